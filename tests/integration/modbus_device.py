"""A Modbus device as a process of its own (pymodbus server): counts its answered reads and keeps a journal.

python modbus_device.py PORT JOURNAL [SERIAL_PORT]

It serves TCP and, where a serial port is given, the same units there as RTU. Units 1 and 2, each with input registers
0..9 (uint32 scan counter at 0), 20..29, 40; holding 100..119 (scan counter at 100), writable; coils 0..9, writable;
discrete inputs 0..9. Everything else is an illegal address; holding 119 answers with exception 4.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

BROKEN_REGISTER = 119
COUNTERS = {4: 0, 3: 100}
READS = frozenset({1, 2, 3, 4})
UNITS = (1, 2)


class Device:
    """A unit's scan counters and its journal."""

    def __init__(self, unit: int, journal: Path) -> None:
        self._unit = unit
        self._scans = dict.fromkeys(COUNTERS, 0)
        self._journal = journal.open("a", buffering=1)

    async def act(
        self,
        function_code: int,
        first: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called by the server before it answers."""
        if function_code in {3, 6, 16} and address <= BROKEN_REGISTER < address + count:
            return ExcCodes.DEVICE_FAILURE
        counter = COUNTERS.get(function_code)
        if counter is not None and address <= counter < address + count:
            self._scans[function_code] += 1
            scan = self._scans[function_code]
            registers[counter - first : counter - first + 2] = [scan >> 16, scan & 0xFFFF]
        entry = {"unit": self._unit, "function": function_code, "address": address, "count": count, "written": values}
        if function_code in COUNTERS:
            entry["scan"] = self._scans[function_code]
        self._journal.write(json.dumps(entry) + "\n")
        return None


def device(unit: int, journal: Path) -> SimDevice:
    """A unit with its four tables."""
    inputs = [
        SimData(0, values=[0, 0, 0x42F6, 0xE979, 0xE979, 0x42F6, 1234, 64302, 7, 8], datatype=DataType.REGISTERS),
        SimData(20, values=list(range(20, 30)), datatype=DataType.REGISTERS),
        SimData(40, values=[40], datatype=DataType.REGISTERS),
    ]
    holding = [SimData(100, values=[0] * 20, datatype=DataType.REGISTERS)]
    coils = [SimData(0, values=[True, False, True, True] + [False] * 12, datatype=DataType.BITS)]
    discrete = [SimData(0, values=[False, True] * 8, datatype=DataType.BITS)]
    return SimDevice(unit, simdata=(coils, discrete, holding, inputs), action=Device(unit, journal).act)


async def main() -> None:
    units = [device(unit, Path(sys.argv[2])) for unit in UNITS]
    server = ModbusTcpServer(units, address=("127.0.0.1", int(sys.argv[1])))
    async with asyncio.TaskGroup() as group:
        if len(sys.argv) > 3:
            line = ModbusSerialServer(units, port=sys.argv[3])
            line.context = server.context
            group.create_task(line.serve_forever())
        group.create_task(server.serve_forever())


if __name__ == "__main__":
    asyncio.run(main())

"""The Modbus connector keeps the contract of every kind."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from edged.clock import SystemClock
from edged.ports import Connector
from edged.registry import Binding, SourceSetup
from edged.types import Seal, Signal
from edged_connectors.south.modbus import KIND, ModbusOptions
from edged_connectors.south.modbus_types import ModbusAddress
from tests.integration.connector_contract import ConnectorContract
from tests.integration.modbus_rig import DeviceProcess, running_device

READING_REGISTER = 110
WRITABLE_REGISTER = 102


class ModbusRig:
    """The test device as the contract sees it; its registers are reached by a client of its own."""

    reading = "line_a/test/reading"
    writable: str | None = "line_a/test/setpoint"
    absent: str | None = "line_a/test/absent"
    refuses_at_connect = True
    loss_seconds = 3.0
    pace_seconds = 0.1

    def __init__(self, process: DeviceProcess, folder: Path) -> None:
        self.process = process
        self.seal = Seal()
        bindings = (
            Binding(Signal(self.reading, "1"), address("holding", READING_REGISTER)),
            Binding(Signal("line_a/test/setpoint", "1", writable=True), address("holding", WRITABLE_REGISTER)),
            Binding(Signal("line_a/test/absent", "1"), address("input", 10)),
        )
        options = ModbusOptions(host="127.0.0.1", port=process.port, period_milliseconds=20, timeout_seconds=0.5)
        self.setup = SourceSetup("device", options, bindings, SystemClock(), self.seal, folder)

    def build(self) -> Connector:
        return KIND.build(self.setup)

    async def change(self, value: float) -> None:
        words = struct.unpack(">HH", struct.pack(">f", value))
        async with AsyncModbusTcpClient("127.0.0.1", port=self.process.port) as client:
            await client.write_registers(READING_REGISTER, list(words), device_id=1)

    async def held(self) -> float:
        async with AsyncModbusTcpClient("127.0.0.1", port=self.process.port) as client:
            answer = await client.read_holding_registers(WRITABLE_REGISTER, count=2, device_id=1)
        value: float = struct.unpack(">f", struct.pack(">HH", *answer.registers))[0]
        return value

    async def break_off(self) -> None:
        await self.process.kill()

    async def restore(self) -> None:
        await self.process.start()


def address(table: str, register: int) -> ModbusAddress:
    return ModbusAddress.model_validate({"table": table, "register": register, "type": "float32"})


class TestModbus(ConnectorContract):
    """A pymodbus server in a process of its own."""

    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[ModbusRig]:
        async with running_device(tmp_path) as device:
            yield ModbusRig(device, tmp_path)

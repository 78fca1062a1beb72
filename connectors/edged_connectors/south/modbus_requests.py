"""What the connector asks of a device, and what it believes of an answer; the same on every transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from edged.errors import EdgedError, SourceLost
from edged_connectors.south.modbus_types import BIT_TABLES, REGISTER_BYTES, Table

EXCEPTION_BIT = 0x80

ILLEGAL_DATA_ADDRESS = 2
EXCEPTION_NAMES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, still working",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target does not respond",
}


class ModbusRefusal(EdgedError):
    """The device answered with a Modbus exception: check table, register and type against its manual."""

    def __init__(self, code: int) -> None:
        super().__init__(f"modbus exception {code} ({EXCEPTION_NAMES.get(code, 'unknown')})")
        self.code = code


class Link(Protocol):
    """What the connector needs of a connection; one request at a time."""

    async def open(self) -> None:
        """Raises SourceUnreachable."""
        ...

    def check(self) -> None:
        """Raises SourceLost when the connection is known to be gone."""
        ...

    async def read(self, table: Table, start: int, count: int) -> bytes:
        """The bytes of the answer. Raises ModbusRefusal or SourceLost."""
        ...

    async def write_registers(self, start: int, payload: bytes, *, single: bool) -> None:
        """FC16, or FC6 when `single`. Raises ModbusRefusal or SourceLost."""
        ...

    async def write_coil(self, start: int, value: bool) -> None:
        """FC5. Raises ModbusRefusal or SourceLost."""
        ...

    def close(self) -> None:
        """Ends the connection at once."""
        ...


class _RawAnswer(ModbusPDU):
    """A read's answer, kept as bytes."""

    rtu_byte_count_pos = 2
    raw: bytes = b""

    def decode(self, data: bytes) -> None:
        self.raw = data[1:] if data and data[0] == len(data) - 1 else b""


class _RawCoils(_RawAnswer):
    function_code = 1


class _RawDiscrete(_RawAnswer):
    function_code = 2


class _RawHolding(_RawAnswer):
    function_code = 3


class _RawInput(_RawAnswer):
    function_code = 4


RAW_ANSWERS = (_RawCoils, _RawDiscrete, _RawHolding, _RawInput)
READ_REQUESTS: dict[Table, Callable[..., ModbusPDU]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE: ReadDiscreteInputsRequest,
    Table.HOLDING: ReadHoldingRegistersRequest,
    Table.INPUT: ReadInputRegistersRequest,
}


class CheckedRequests(ABC):
    """Reads and writes over one way of asking; an answer that does not fit its request ends the link."""

    def __init__(self, device_id: int) -> None:
        self._device_id = device_id

    async def read(self, table: Table, start: int, count: int) -> bytes:
        """The bytes of the answer. Raises ModbusRefusal or SourceLost."""
        answer = await self._ask(READ_REQUESTS[table](address=start, count=count, dev_id=self._device_id))
        expected = (count + 7) // 8 if table in BIT_TABLES else count * REGISTER_BYTES
        if not isinstance(answer, _RawAnswer) or len(answer.raw) != expected:
            raise self._lose(f"asked for {expected} bytes at {table} {start}, the answer has another size")
        return answer.raw

    async def write_registers(self, start: int, payload: bytes, *, single: bool) -> None:
        """FC16, or FC6 when `single`. Raises ModbusRefusal or SourceLost."""
        words = [int.from_bytes(payload[at : at + 2], "big") for at in range(0, len(payload), REGISTER_BYTES)]
        if single and len(words) == 1:
            answer = await self._ask(WriteSingleRegisterRequest(address=start, registers=words, dev_id=self._device_id))
            echoed = answer.registers == words
        else:
            answer = await self._ask(
                WriteMultipleRegistersRequest(address=start, registers=words, count=len(words), dev_id=self._device_id)
            )
            echoed = answer.count == len(words)
        if not echoed or answer.address != start:
            raise self._lose(f"the device confirmed another write than the one at {start}")

    async def write_coil(self, start: int, value: bool) -> None:
        """FC5. Raises ModbusRefusal or SourceLost."""
        answer = await self._ask(WriteSingleCoilRequest(address=start, bits=[value], dev_id=self._device_id))
        if answer.address != start or list(answer.bits) != [value]:
            raise self._lose(f"the device confirmed another write than the one at coil {start}")

    @abstractmethod
    async def _ask(self, request: ModbusPDU) -> ModbusPDU:
        """The answer to this request. Raises ModbusRefusal or SourceLost."""

    @abstractmethod
    def _lose(self, fault: str) -> SourceLost:
        """Notes that the link cannot be trusted any more; what to raise."""

"""One Modbus TCP connection that yields only what was asked for: anything else ends it with SourceLost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from edged.errors import EdgedError, SourceLost, SourceUnreachable
from edged_connectors.south.modbus_types import BIT_TABLES, REGISTER_BYTES, Table

HEADER_BYTES = 7
"""Transaction (2), protocol (2), length (2), unit (1)."""
LENGTH_END = 6
EXCEPTION_BIT = 0x80
MAX_LENGTH = 254

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


class TcpLink:
    """A pymodbus client without retries and reconnects of its own, with every answer checked before it is believed."""

    def __init__(self, host: str, port: int, device_id: int, timeout_seconds: float) -> None:
        self._host = host
        self._port = port
        self._device_id = device_id
        self._timeout = timeout_seconds
        self._client: AsyncModbusTcpClient | None = None
        self._asked: ModbusPDU | None = None
        self._fault = "not connected"

    async def open(self) -> None:
        """Raises SourceUnreachable."""
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=self._timeout,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._check_packet,
            trace_connect=self._note_connect,
        )
        for answer in RAW_ANSWERS:
            client.register(answer)
        if not await client.connect():
            raise SourceUnreachable(f"no Modbus device listens at {self._host}:{self._port}")
        self._client = client
        self._fault = ""

    def check(self) -> None:
        """Raises SourceLost when the connection is known to be gone."""
        if self._client is None or (self._fault and self._asked is None):
            raise SourceLost(self._sentence())

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

    def close(self) -> None:
        """Ends the connection at once."""
        self._fault = self._fault or "closed"
        if self._client is not None:
            self._client.close()

    async def _ask(self, request: ModbusPDU) -> ModbusPDU:
        """The checked answer. Until it is there the link counts as lost, so an abandoned request ends it too."""
        if self._client is None or self._fault:
            raise SourceLost(self._sentence())
        self._asked = request
        self._fault = "a request was abandoned"
        try:
            answer: ModbusPDU = await self._client.execute(False, request)
        except ModbusException as fault:
            raise self._lose(self._reason(fault)) from fault
        finally:
            self._asked = None
        if answer.transaction_id != request.transaction_id or answer.dev_id != request.dev_id:
            raise self._lose("an answer to another request")
        self._fault = ""
        if answer.function_code & EXCEPTION_BIT:
            raise ModbusRefusal(answer.exception_code)
        return answer

    def _check_packet(self, sending: bool, data: bytes) -> bytes:
        """Sees every byte before pymodbus does; what is not (part of) the one expected answer ends the link."""
        if not sending:
            fault = self._packet_fault(data)
            if fault:
                self._end(fault)
                return b""
        return data

    def _packet_fault(self, data: bytes) -> str:
        asked = self._asked
        if asked is None:
            return "the device spoke without being asked"
        if len(data) <= HEADER_BYTES:
            return ""
        transaction, protocol, length = (int.from_bytes(data[at : at + 2], "big") for at in (0, 2, 4))
        if protocol != 0 or not 3 <= length <= MAX_LENGTH:
            return "not a Modbus answer"
        if transaction != asked.transaction_id:
            return f"an answer to request {transaction} instead of {asked.transaction_id}"
        if data[6] != asked.dev_id:
            return f"an answer of unit {data[6]} instead of {asked.dev_id}"
        if data[HEADER_BYTES] & ~EXCEPTION_BIT != asked.function_code:
            return f"an answer to function {data[HEADER_BYTES]} instead of {asked.function_code}"
        if len(data) > LENGTH_END + length:
            return "more bytes than the answer has"
        return ""

    def _note_connect(self, connected: bool) -> None:
        if not connected:
            self._end("the device closed the connection")

    def _end(self, fault: str) -> None:
        """Notes why the link is lost and wakes the request that waits, if any."""
        if self._client is None:
            return
        if not self._fault or self._asked is not None:
            self._fault = fault
        waiting = self._client.ctx.response_future
        if self._asked is not None and not waiting.done():
            waiting.set_exception(ModbusException(fault))

    def _reason(self, fault: ModbusException) -> str:
        if "No response" in fault.string:
            return f"no answer within {self._timeout:g} s"
        return fault.string

    def _lose(self, fault: str) -> SourceLost:
        self._fault = fault
        return SourceLost(self._sentence())

    def _sentence(self) -> str:
        return f"{self._host}:{self._port} unit {self._device_id}: {self._fault}"


logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # every fault is raised as one of ours instead

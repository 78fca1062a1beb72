"""One Modbus TCP connection that yields only what was asked for: anything else ends it with SourceLost."""

from __future__ import annotations

import logging

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from edged.errors import SourceLost, SourceUnreachable
from edged_connectors.south.modbus_requests import EXCEPTION_BIT, RAW_ANSWERS, CheckedRequests, ModbusRefusal

HEADER_BYTES = 7
"""Transaction (2), protocol (2), length (2), unit (1)."""
LENGTH_END = 6
MAX_LENGTH = 254


class TcpLink(CheckedRequests):
    """A pymodbus client without retries and reconnects of its own, with every answer checked before it is believed."""

    def __init__(self, host: str, port: int, device_id: int, timeout_seconds: float) -> None:
        super().__init__(device_id)
        self._host = host
        self._port = port
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

"""One unit of a serial line, as the connector sees it: disturbed reads are asked again, writes never."""

from __future__ import annotations

from pymodbus.pdu import ModbusPDU

from edged.clock import Clock
from edged.errors import SourceLost
from edged.log import get_logger
from edged_connectors.south.modbus_frame import READS
from edged_connectors.south.modbus_requests import EXCEPTION_BIT, CheckedRequests, ModbusRefusal
from edged_connectors.south.modbus_serial import SerialLine, SerialPort, Unanswered, serial_line

READ_ATTEMPTS = 3
SILENT_ATTEMPTS = 2
"""A unit that says nothing at all is given up sooner: it may not be there."""

log = get_logger("modbus")


class RtuLink(CheckedRequests):
    """A unit keeps its link when an answer is lost; the link is lost with the port."""

    def __init__(self, port: SerialPort, device_id: int, timeout_seconds: float, clock: Clock) -> None:
        super().__init__(device_id)
        self._port = port
        self._timeout = timeout_seconds
        self._clock = clock
        self._line: SerialLine | None = None
        self._opening = 0
        self.repeats = 0

    async def open(self) -> None:
        """Raises SourceUnreachable, or ConfigError when the port is in use with other settings."""
        self._line = serial_line(self._port.path)
        self._opening = await self._line.join(self, self._port, self._clock)

    def check(self) -> None:
        """Raises SourceLost when the connection is known to be gone."""
        if self._line is None or not self._line.stands(self._opening):
            raise SourceLost(self._sentence("the serial port is gone"))

    def close(self) -> None:
        """Ends the connection at once."""
        line, self._line = self._line, None
        if line is not None:
            line.leave(self)

    async def _ask(self, request: ModbusPDU) -> ModbusPDU:
        attempts = silences = 0
        while True:
            self.check()
            assert self._line is not None
            try:
                answer = await self._line.ask(request, self._opening, self._timeout)
            except Unanswered as fault:
                attempts += 1
                silences += fault.silent
                if request.function_code not in READS or attempts >= READ_ATTEMPTS or silences >= SILENT_ATTEMPTS:
                    raise self._lose(str(fault)) from fault
                self._note_repeat(fault)
                continue
            except SourceLost as fault:
                raise self._lose(str(fault)) from fault
            if answer.function_code & EXCEPTION_BIT:
                raise ModbusRefusal(answer.exception_code)
            return answer

    def _lose(self, fault: str) -> SourceLost:
        return SourceLost(self._sentence(fault))

    def _note_repeat(self, fault: Unanswered) -> None:
        if not self.repeats:
            log.warning("line_disturbed", port=self._port.path, device_id=self._device_id, fault=str(fault))
        self.repeats += 1

    def _sentence(self, fault: str) -> str:
        return f"{self._port.path} unit {self._device_id}: {fault}"

"""Serial lines: one owner per port, one request at a time, and no answer that could belong to an earlier request."""

from __future__ import annotations

import asyncio
import os
import termios
from enum import StrEnum
from typing import Annotated

from pydantic import Field as Option
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from edged.clock import Clock, SystemClock
from edged.errors import ConfigError, SourceLost, SourceUnreachable
from edged.settings import Section
from edged_connectors.south.modbus_frame import Verdict, answer_bytes, judge, request_bytes
from edged_connectors.south.modbus_requests import RAW_ANSWERS

GAP_CHARACTERS = 3.5
GAP_SECONDS = 0.00175
"""Silence between frames (Modbus over serial line 1.02, 2.5.1.1): 3.5 characters, and no less than this."""
DAMAGE_SECONDS = 0.05
"""Silence after a damaged frame: what hangs behind it has passed, also through a USB adapter."""
NEVER_SECONDS = 3600.0
"""The library's own time limit; ours is shorter."""


class Parity(StrEnum):
    """What guards each character."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


class SerialPort(Section):
    """A serial port, always of 8 data bits; sources that name the same port share it and must agree on the rest."""

    path: Annotated[str, Option(pattern="^/", description="such as /dev/serial/by-id/usb-..., or /dev/ttyUSB0")]
    baud_rate: Annotated[int, Option(ge=300, le=4_000_000)] = 19_200
    parity: Parity = Parity.EVEN
    stop_bits: Annotated[int, Option(ge=1, le=2)] = 1

    @property
    def framing(self) -> tuple[int, Parity, int]:
        """What every source of the line must agree on."""
        return self.baud_rate, self.parity, self.stop_bits

    def seconds(self, characters: float) -> float:
        """How long so many characters take."""
        bits = 9 + (self.parity is not Parity.NONE) + self.stop_bits
        return characters * bits / self.baud_rate


class Unanswered(SourceLost):
    """No answer that could be believed. `silent` when there was nothing at all: the unit may yet answer."""

    def __init__(self, fault: str, *, silent: bool) -> None:
        super().__init__(fault)
        self.silent = silent


class SerialLine:
    """One port while anybody uses it. Each opening has a number: who joined an earlier one has lost the line."""

    def __init__(self) -> None:
        self._users: set[object] = set()
        self._port: SerialPort | None = None
        self._clock: Clock = SystemClock()
        self._client: AsyncModbusSerialClient | None = None
        self._turn = asyncio.Lock()
        self._asked: ModbusPDU | None = None
        self._heard = False
        self._strange = ""
        self._quiet_from = 0.0
        self._doubts: dict[int, float] = {}
        self.opening = 0

    async def join(self, user: object, port: SerialPort, clock: Clock) -> int:
        """Opens the port if it is not open; returns the opening. Raises SourceUnreachable or ConfigError."""
        if not self._users:
            self._turn = asyncio.Lock()
            self._port = port
        elif self._port is None or port.framing != self._port.framing:
            raise ConfigError([f"{port.path} is in use with other serial settings: give its sources the same ones"])
        self._users.add(user)
        self._clock = clock
        async with self._turn:
            if self._client is None:
                await self._open(port)
            return self.opening

    def leave(self, user: object) -> None:
        """Closes the port when nobody uses it any more."""
        self._users.discard(user)
        if not self._users and self._client is not None:
            client, self._client = self._client, None
            client.close()

    def stands(self, opening: int) -> bool:
        """Whether the line is still open as it was then."""
        return self._client is not None and self.opening == opening

    async def ask(self, request: ModbusPDU, opening: int, timeout_seconds: float) -> ModbusPDU:
        """One request, as soon as it is its turn. Raises Unanswered, or SourceLost when the port is gone."""
        while True:
            await self._settled(request.dev_id)
            async with self._turn:
                if self._doubts.get(request.dev_id, 0.0) > self._clock.monotonic():
                    continue
                await self._silence()
                if not self.stands(opening):
                    raise SourceLost("the serial port is gone")
                return await self._exchange(request, timeout_seconds)

    async def _exchange(self, request: ModbusPDU, timeout_seconds: float) -> ModbusPDU:
        """Until the unit has answered, or had twice its time, whatever it says may belong to this request."""
        assert self._client is not None
        assert self._port is not None
        limit = timeout_seconds + self._port.seconds(request_bytes(request) + answer_bytes(request))
        self._asked, self._heard, self._strange = request, False, ""
        self._doubts[request.dev_id] = self._clock.monotonic() + 2 * limit
        try:
            async with asyncio.timeout(limit):
                answer: ModbusPDU = await self._client.execute(False, request)
        except TimeoutError:
            fault = self._strange or ("half an answer" if self._heard else f"no answer within {timeout_seconds:g} s")
            raise Unanswered(fault, silent=not self._heard) from None
        except ModbusException as fault:
            raise Unanswered(fault.string, silent=False) from fault
        finally:
            self._asked = None
            self._keep_quiet(0.0)
        del self._doubts[request.dev_id]
        return answer

    async def _open(self, port: SerialPort) -> None:
        client = AsyncModbusSerialClient(
            port.path,
            baudrate=port.baud_rate,
            parity=port.parity.value[0].upper(),
            stopbits=port.stop_bits,
            timeout=NEVER_SECONDS,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._check_packet,
            trace_connect=self._note_connect,
        )
        for answer in RAW_ANSWERS:
            client.register(answer)
        try:
            opened = await client.connect()
        except (termios.error, ValueError) as fault:
            raise SourceUnreachable(f"the serial port {port.path} does not take its settings: {fault}") from fault
        if not opened:
            raise SourceUnreachable(f"the serial port {port.path} cannot be opened: not there, not allowed, or in use")
        self._client = client
        self.opening += 1
        self._keep_quiet(0.0)

    async def _settled(self, unit: int) -> None:
        """Waits until nothing can come any more of what the unit was asked before."""
        left = self._doubts.get(unit, 0.0) - self._clock.monotonic()
        if left > 0:
            await self._clock.sleep(left)

    async def _silence(self) -> None:
        while (left := self._quiet_from - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    def _keep_quiet(self, seconds: float) -> None:
        assert self._port is not None
        gap = max(GAP_SECONDS, self._port.seconds(GAP_CHARACTERS), seconds)
        self._quiet_from = max(self._quiet_from, self._clock.monotonic() + gap)

    def _check_packet(self, sending: bool, data: bytes) -> bytes:
        """Sees every byte before pymodbus does, and lets nothing pass but the awaited answer, whole."""
        if sending:
            return data
        asked = self._asked
        if asked is None:
            self._keep_quiet(0.0)
            return b""
        self._heard = True
        verdict, fault = judge(data, asked)
        if verdict is Verdict.RIGHT:
            return data
        if verdict is Verdict.FOREIGN:
            self._strange = fault
        if verdict is Verdict.DAMAGED:
            self._doubts.pop(asked.dev_id, None)
            self._keep_quiet(DAMAGE_SECONDS)
            self._end(fault)
        return b""

    def _note_connect(self, connected: bool) -> None:
        if not connected:
            self._end("the serial port is gone")
            self._client = None

    def _end(self, fault: str) -> None:
        """Wakes the request that waits, if any."""
        if self._client is not None and self._asked is not None:
            waiting = self._client.ctx.response_future
            if not waiting.done():
                waiting.set_exception(ModbusException(fault))


LINES: dict[str, SerialLine] = {}
"""Every port that was ever used, by its real path: a port has one owner in a process."""


def serial_line(path: str) -> SerialLine:
    """The line at a path; links to the same port lead to the same line. Raises SourceUnreachable."""
    if not os.path.exists(path):
        raise SourceUnreachable(f"there is no serial port {path}: is the adapter plugged in?")
    return LINES.setdefault(os.path.realpath(path), SerialLine())

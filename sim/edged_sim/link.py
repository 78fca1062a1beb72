"""What the plant's process and a face's process tell each other: one JSON document per line over pipes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson

from edged.errors import EdgedError
from edged.types import Value
from edged_sim.tags import Face

OnWrite: TypeAlias = Callable[[str, Value], None]
"""Told of each write that a face accepted: path below the line, value."""

PIPE_BYTES = 4096
"""Size of the pipe and of the longest line: a write is whole or refused, so a stalled face never tears a line."""


class LinkBroken(EdgedError):
    """The other process sent what nobody understands: both sides must come from the same installation."""


@dataclass(frozen=True, slots=True)
class Security:
    """How the OPC UA face is guarded; anonymous and open when nothing is given."""

    username: str = ""
    password_file: str = ""
    certificate: str = ""
    private_key: str = ""
    required: bool = False
    """Refuse connections without Basic256Sha256."""


@dataclass(frozen=True, slots=True)
class Setup:
    """First line to a face: where it serves or publishes, and where its journal stands."""

    face: Face
    port: int
    journal: str
    mqtt_protocol: Literal["5", "3.1.1"] = "5"
    security: Security = field(default_factory=Security)


@dataclass(frozen=True, slots=True)
class UnitLine:
    """One inspected unit."""

    unit_id: str
    passed: bool
    defect_type: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Requests that touch these registers get this exception code."""

    table: str
    first: int
    last: int
    code: int


@dataclass(frozen=True, slots=True)
class Tick:
    """One moment of the plant: source time in ms UTC, the face's readings in table order, None for no value."""

    t: int
    values: list[Value | None]
    units: list[UnitLine] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LocalSet:
    """Somebody at the panel changed a set-point or switch."""

    set: str
    value: Value


@dataclass(frozen=True, slots=True)
class Ready:
    """The face answers on this port."""

    ready: int


@dataclass(frozen=True, slots=True)
class Written:
    """A client of the face wrote."""

    write: str
    value: Value


Message: TypeAlias = Setup | Tick | LocalSet | Ready | Written


def encode(message: Message) -> bytes:
    """One line. Raises LinkBroken for a message that does not fit into one write."""
    line = orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
    if len(line) > PIPE_BYTES:
        raise LinkBroken(f"{type(message).__name__} of {len(line)} bytes, at most {PIPE_BYTES} fit")
    return line


def decode(line: bytes) -> Message:
    """The message on a line. Raises LinkBroken."""
    try:
        fields: dict[str, Any] = orjson.loads(line)
        return _built(fields)
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError) as error:
        raise LinkBroken(f"{error}: {line[:80]!r}") from error


def _built(fields: dict[str, Any]) -> Message:
    if "t" in fields:
        fields["units"] = [UnitLine(**unit) for unit in fields["units"]]
        fields["refusals"] = [Refusal(**refusal) for refusal in fields["refusals"]]
        return Tick(**fields)
    if "write" in fields:
        return Written(**fields)
    if "set" in fields:
        return LocalSet(**fields)
    if "ready" in fields:
        return Ready(**fields)
    fields["face"] = Face(fields["face"])
    fields["security"] = Security(**fields["security"])
    return Setup(**fields)


class Inbox(asyncio.Protocol):
    """A face's end of the pipe from the plant.

    With `newest_only`, a tick that was not taken yet gives way to the next: what was never offered needs no catching
    up. Everything else is handed out in order.
    """

    def __init__(self) -> None:
        self.newest_only = False
        self._rest = b""
        self._waiting: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = decode(line)
            if self.newest_only and isinstance(message, Tick) and self._waiting and isinstance(self._waiting[-1], Tick):
                self._waiting.pop()
            self._waiting.append(message)
        self._arrived.set()

    def connection_lost(self, _: Exception | None) -> None:
        """Called by the event loop: the plant's process is gone or wants the face to stop."""
        self._closed = True
        self._arrived.set()

    async def take(self) -> Message | None:
        """The next message; None when the plant closed the pipe."""
        while not self._waiting:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()


class Outbox:
    """A face's end of the pipe to the plant. When the plant's process is gone the face ends by its own inbox."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def ready(self, port: int) -> None:
        """The face answers on this port."""
        self._send(Ready(port))

    def written(self, path: str, value: Value) -> None:
        """A client wrote; an `OnWrite`."""
        self._send(Written(path, value))

    def _send(self, message: Ready | Written) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._descriptor, encode(message))

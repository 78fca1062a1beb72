"""A capture of MQTT messages as a file: one JSON object per line, in the order of arrival."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson

from edged.errors import EdgedError
from edged.types import NANOSECONDS_PER_SECOND

LONGEST_LINE_BYTES = 64 * 1024 * 1024
MOST_FAULTS = 100
"""A file with more is no capture: reading stops."""
FIELDS = ("at", "topic", "payload", "qos", "retain")
HIGHEST_QOS = 2
LATEST_TIME = 253_402_300_800 * NANOSECONDS_PER_SECOND
"""The end of the year 9999, ns UTC."""
SHOWN_CHARACTERS = 60
"""A wrong value is quoted up to here."""


class CaptureUnusable(EdgedError):
    """The capture file cannot be read or written: see its path and the disk."""


class Captured(NamedTuple):
    """One message; `at` is when it arrived, ns UTC. `retain` is None where the listener could not see it."""

    at: int
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool | None = False


def moment(at: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    seconds, rest = divmod(at, NANOSECONDS_PER_SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return whole.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class CaptureReader:
    """Gives the sound lines of a file; `faults` holds a sentence, with file and line, for every other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.faults: list[str] = []

    def __iter__(self) -> Iterator[Captured]:
        """Raises CaptureUnusable when the file cannot be opened or read."""
        try:
            with self._path.open("rb") as file:
                lines = iter(lambda: file.readline(LONGEST_LINE_BYTES + 1), b"")
                for number, line in enumerate(lines, 1):
                    if len(line) > LONGEST_LINE_BYTES or len(self.faults) == MOST_FAULTS:
                        self.faults.append(f"{self._path}:{number}: too long or too many faults, reading ends here")
                        return
                    if line.strip():
                        yield from self._read(number, line)
        except OSError as fault:
            raise CaptureUnusable(f"{self._path}: {fault.strerror}") from fault

    def _read(self, number: int, line: bytes) -> Iterator[Captured]:
        try:
            message = parse_line(line)
        except ValueError as fault:
            self.faults.append(f"{self._path}:{number}: {fault}")
        else:
            yield message


class CaptureWriter:
    """Writes what `CaptureReader` reads. A file that is there already is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("wb")
        except OSError as fault:
            raise CaptureUnusable(f"{path}: {fault.strerror}") from fault

    def __enter__(self) -> Self:
        return self

    def write(self, message: Captured) -> None:
        """On the disk's side at once, so that a shot listener leaves whole lines. Raises CaptureUnusable."""
        try:
            self._file.write(format_line(message))
            self._file.flush()
        except OSError as fault:
            raise CaptureUnusable(f"{self._path}: {fault.strerror}") from fault

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise CaptureUnusable(f"{self._path}: {error.strerror}") from error


def format_line(message: Captured) -> bytes:
    """One line, with its end."""
    document = {
        "at": moment(message.at),
        "topic": message.topic,
        "payload": base64.b64encode(message.payload).decode(),
        "qos": message.qos,
        "retain": message.retain,
    }
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def parse_line(line: bytes) -> Captured:
    """Raises ValueError with a sentence of what is wrong."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as fault:
        raise ValueError(f"is not JSON: {fault}") from fault
    if not isinstance(document, dict):
        raise ValueError("expected an object")  # noqa: TRY004 - one kind of fault for every line
    missing, strange = set(FIELDS) - document.keys(), document.keys() - set(FIELDS)
    if missing or strange:
        named = [*(f"{name} is missing" for name in sorted(missing)), *(f"unknown key {name!r}" for name in strange)]
        raise ValueError(", ".join(named))
    return Captured(
        at=_read_time(document["at"]),
        topic=_read_topic(document["topic"]),
        payload=_read_payload(document["payload"]),
        qos=_read_qos(document["qos"]),
        retain=_read_retain(document["retain"]),
    )


def _read_time(value: Any) -> int:
    try:
        since = datetime.fromisoformat(value) - datetime(1970, 1, 1, tzinfo=UTC)
    except (TypeError, ValueError):
        since = timedelta(-1)
    at = (since.days * 86_400 + since.seconds) * NANOSECONDS_PER_SECOND + since.microseconds * 1000
    if not 0 <= at < LATEST_TIME:
        raise ValueError(f"at: expected a time such as 2026-01-31T12:00:00.000Z, got {_shown(value)}")
    return at


def _read_topic(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"topic: expected text, got {_shown(value)}")
    return value


def _read_payload(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as fault:
        raise ValueError(f"payload: expected base64, got {_shown(value)}") from fault


def _read_qos(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= HIGHEST_QOS:
        raise ValueError(f"qos: expected 0, 1 or 2, got {_shown(value)}")
    return value


def _read_retain(value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"retain: expected true, false or null, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."

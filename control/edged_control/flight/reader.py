"""Reads a flight file: which sessions it holds, and what came into control in a stretch of time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from edged import __version__
from edged.errors import EdgedError
from edged.types import NANOSECONDS_PER_SECOND
from edged_control.flight.file import open_file
from edged_control.flight.records import Record, unpacked
from edged_control.flight.schema import (
    APPLICATION_ID,
    FORMAT,
    INSERT_PART,
    DamagedFlight,
    expanded,
    unpacked_blueprint,
)
from edged_control.flight.state import KeyFrame, unpacked_state


class NoFlight(EdgedError):
    """There is no recording to replay: name the data directory of the line, or a range that was recorded."""


class FlightTooNew(EdgedError):
    """Another edged wrote this flight file: replay it with that version."""


class Missing(NamedTuple):
    """Deeds that are missing before one at `wall` (ns UTC): the disk was full, or the recorder could not keep up."""

    wall: int


Item: TypeAlias = KeyFrame | Record | Missing


class Session(NamedTuple):
    """One start of the daemon. `since..until` in ns UTC is what the file holds of it."""

    number: int
    version: str
    since: int
    until: int
    blueprint: dict[str, Any]
    dictionary: bytes


class _Part(NamedTuple):
    number: int
    key_frame: int
    serial: int
    since: int
    until: int
    checksum: int
    body: bytes


class FlightReader:
    """One file, opened for reading; the daemon may be writing it. Raises NoFlight, FlightTooNew or DamagedFlight."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise NoFlight(f"{path} does not exist: has control run here, with control.flight enabled?")
        self._connection = _connect(path)
        try:
            self.sessions = [self._session(*row) for row in self._connection.execute(_SESSIONS)]
            self.incident = self._connection.execute("SELECT since, until FROM incident").fetchone()
        except sqlite3.Error as fault:
            self._connection.close()
            raise DamagedFlight(f"{path}: {fault}") from fault
        if not self.sessions:
            self._connection.close()
            raise NoFlight(f"{path} holds no records yet")

    @property
    def until(self) -> int:
        """The newest that there is, in ns UTC."""
        return max(session.until for session in self.sessions)

    def close(self) -> None:
        """Lets the file go."""
        self._connection.close()

    def items(self, session: Session, since: int, until: int) -> Iterator[Item]:
        """What is needed to replay `since..until`: from the last start before it, in the order in which deeds ended.

        Key-frames in between are passed on as well. Raises DamagedFlight, NoFlight where there is no start.
        """
        expected = None
        _, needed = self._parts(session, since, until)
        if needed and needed[0].since > since and needed[0].serial:
            yield Missing(needed[0].since)
        for part in needed:
            for item in self._decoded(session, part):
                if expected is not None and item.serial != expected:
                    yield Missing(part.since)
                expected = item.serial + 1
                yield item

    def lead_in(self, session: Session, since: int, until: int) -> Iterator[Record]:
        """What came before the start from which `items` begins, as far as it was kept. Raises DamagedFlight."""
        before, _ = self._parts(session, since, until)
        for part in before:
            yield from (item for item in self._decoded(session, part) if isinstance(item, Record))

    def export(self, path: Path, since: int, until: int) -> None:
        """Writes a file of its own with all that is needed to replay the range. Raises EdgedError."""
        if path.exists():
            raise EdgedError(f"{path} exists already: nothing is overwritten")
        try:
            with closing(open_file(path, journal="DELETE")) as copy, copy:
                for session in self.overlapping(since, until):
                    row = self._connection.execute("SELECT * FROM session WHERE id = ?", (session.number,)).fetchone()
                    copy.execute("INSERT INTO session VALUES (?,?,?,?,?)", row)
                    for part in self._parts(session, since, until)[1]:
                        copy.execute(INSERT_PART, (session.number, *part[1:]))
                copy.execute("INSERT INTO incident VALUES (?,?)", (since, until))
        except (sqlite3.Error, OSError) as fault:
            with suppress(OSError):
                path.unlink()
            raise EdgedError(f"{path} can't be written: {fault}") from fault

    def overlapping(self, since: int, until: int) -> list[Session]:
        """The sessions that have something in the range. Raises NoFlight where none has."""
        found = [session for session in self.sessions if session.since <= until and session.until >= since]
        if not found:
            known = ", ".join(f"{stamp(session.since)}..{stamp(session.until)}" for session in self.sessions[-5:])
            raise NoFlight(f"nothing was recorded in {stamp(since)}..{stamp(until)}; the newest recordings: {known}")
        return found

    def _parts(self, session: Session, since: int, until: int) -> tuple[list[_Part], list[_Part]]:
        """Those before the last start before the range, and those from there to its end."""
        try:
            parts = [_Part(*row) for row in self._connection.execute(_PARTS, (session.number,))]
        except sqlite3.Error as fault:
            raise DamagedFlight(f"{self._path}: {fault}") from fault
        starts = [at for at, part in enumerate(parts) if part.key_frame or part.serial == 0]
        if not starts:
            raise NoFlight(f"the start of the session of {stamp(session.since)} is gone, and no key-frame was kept")
        wanted = [at for at, part in enumerate(parts) if part.since <= until and part.until >= since]
        if not wanted:
            raise NoFlight(f"nothing was recorded in {stamp(since)}..{stamp(until)}")
        first = max((at for at in starts if at <= wanted[0]), default=starts[0])
        return parts[:first], parts[first : wanted[-1] + 1]

    def _decoded(self, session: Session, part: _Part) -> list[KeyFrame] | list[Record]:
        body = expanded(part.body, session.dictionary, part.checksum, f"{self._path}, {stamp(part.since)}")
        try:
            return [unpacked_state(body)] if part.key_frame else unpacked(body)
        except (ValueError, TypeError, LookupError) as fault:
            raise DamagedFlight(f"{self._path}, {stamp(part.since)}: {fault}") from fault

    def _session(
        self, number: int, version: str, started: int, blueprint: bytes, dictionary: bytes, since: int, until: int
    ) -> Session:
        del started
        plain = unpacked_blueprint(blueprint, f"{self._path}, session {number}")
        return Session(number, version, since, until, plain, dictionary)


_SESSIONS = """SELECT session.*, min(part.since), max(part.until) FROM session JOIN part ON part.session = session.id
GROUP BY session.id ORDER BY session.id"""

_PARTS = """SELECT number, key_frame, serial, since, until, checksum, body FROM part WHERE session = ?
ORDER BY number"""


def stamp(wall: int) -> str:
    """A time in ns UTC for people: 2026-11-29T10:00:00.250Z."""
    seconds, rest = divmod(wall, NANOSECONDS_PER_SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


def _connect(path: Path) -> sqlite3.Connection:
    """Opened read-only. Raises FlightTooNew or DamagedFlight."""
    connection = None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        (kind,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as fault:
        if connection is not None:
            connection.close()
        raise DamagedFlight(f"{path}: {fault}") from fault
    if kind == APPLICATION_ID and version == FORMAT:
        return connection
    connection.close()
    if kind != APPLICATION_ID:
        raise DamagedFlight(f"{path} is no flight file")
    raise FlightTooNew(f"{path} has format {version}, edged {__version__} reads {FORMAT}")

"""A damaged outbox file is set aside and kept; what can be read of it still drains under its own stream."""

from __future__ import annotations

import sqlite3
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edged.intervals import IntervalSet
from edged.log import get_logger
from edged.outbox_bounds import Bounds, bounds_path, read_bounds
from edged.outbox_numbers import MOST_NUMBERS, numbers_of
from edged.outbox_read import ReadableRows, extent, fetch, neighbours, sink_rows
from edged.outbox_schema import (
    LANES,
    PAGE_BYTES,
    companions,
    connect_read_only,
    create,
    new_stream,
)
from edged.outbox_types import Extent, Fetched, SinkRow, Span
from edged.types import NANOSECONDS_PER_SECOND, Lane

ASIDE_MARK = ".damaged-"
UUID_BYTES = 16
FIRST_PAGE_SUFFIX = ".page1"
"""The damaged first page of a file is kept under this suffix when another took its place."""

_CHANGES_AT, _PAGES_AT, _FREE_AT, _VALID_FOR_AT = 24, 28, 32, 92
"""Offsets in the first page, https://www.sqlite.org/fileformat2.html#the_database_header."""

log = get_logger("outbox")


@dataclass(frozen=True, slots=True)
class Salvage:
    """What is known of a file that was set aside. `candidates` are the numbers that it holds or may hold.

    For each lane that may have held more, `unknown_since` says from which source time on (ns UTC), None if nobody can.
    """

    file: str
    stream: str
    candidates: Mapping[Lane, IntervalSet]
    sinks: Sequence[SinkRow]
    sources: Mapping[str, int]
    drained: Sequence[str] = field(default=())
    unknown_since: Sequence[int | None] = ()


class Aside:
    """An old file, open for reading. Every method runs on the writer thread."""

    def __init__(self, path: Path, stream: str, connection: sqlite3.Connection, bounds: Bounds | None) -> None:
        self.path = path
        self.stream = stream
        self._connection = connection
        self._bounds = bounds

    def read(self, lane: Lane, seqs: Sequence[int], max_bytes: int) -> Fetched:
        """The batches of these numbers; what cannot be read is damaged. Raises sqlite3.ProgrammingError when closed."""
        found = Fetched([], [], [])
        size = 0
        for place, seq in enumerate(seqs):
            if size >= max_bytes:
                return found._replace(rest=seqs[place:])
            try:
                one = fetch(self._connection, self.stream, lane, [seq], max_bytes)
            except sqlite3.ProgrammingError:
                raise
            except sqlite3.Error:
                one = Fetched([], [seq], [])
            found.batches.extend(one.batches)
            found.damaged.extend(one.damaged)
            size += sum(len(batch.blob) for batch in one.batches)
        return found

    def extent(self, span: Span) -> Extent:
        """What is known of these batches, as far as it can be read."""
        try:
            return extent(self._connection, self.stream, span, self._bounds)
        except sqlite3.Error:
            return neighbours(self._connection, self.stream, span, self._bounds)

    def since(self, lane: Lane, first: int) -> int | None:
        """No batch from that number on has an older source time, ns UTC; None when nobody can tell."""
        return self.extent(Span(lane, first, MOST_NUMBERS)).start

    def close(self) -> None:
        self._connection.close()


def set_aside(path: Path, now: int) -> Path:
    """Renames the file, its log and its bounds; its new name. Raises OSError."""
    stamp = datetime.fromtimestamp(now / NANOSECONDS_PER_SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.stem}{ASIDE_MARK}{stamp}{path.suffix}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.stem}{ASIDE_MARK}{stamp}-{number}{path.suffix}")
    path.rename(target)
    finish_set_aside(path)
    return target


def finish_set_aside(path: Path) -> None:
    """Gives log and bounds whose file was renamed to that file: SQLite would play the log into the next one."""
    log_file, shared = companions(path)
    shared.unlink(missing_ok=True)
    if path.exists():
        return
    files = asides_of(path)
    for left, own in ((log_file, lambda file: companions(file)[0]), (bounds_path(path), bounds_path)):
        if left.exists():
            if files and not own(files[-1]).exists():
                left.rename(own(files[-1]))
            else:
                left.unlink()


def asides_of(path: Path) -> list[Path]:
    """The files that were set aside from this one, oldest first."""
    return sorted(path.parent.glob(f"{path.stem}{ASIDE_MARK}*{path.suffix}"))


def salvage(path: Path) -> tuple[Salvage, Aside] | None:
    """What can be known of a set-aside file, and the open file; None when nothing of it can be read."""
    connection = _connect(path)
    if connection is None:
        return None
    stream = _stream(connection)
    if stream is None:
        connection.close()
        return None
    bounds = read_bounds(path)
    if bounds is not None and bounds.stream != stream:
        bounds = None
    sinks = _sinks(connection)
    numbers = {lane: numbers_of(connection, stream, lane, sinks) for lane in LANES}
    aside = Aside(path, stream, connection, bounds)
    unknown = [aside.since(lane, first) for lane, (_, first) in numbers.items() if first is not None]
    found = Salvage(
        file=path.name,
        stream=stream,
        candidates={lane: known for lane, (known, _) in numbers.items()},
        sinks=sinks or (),
        sources={**(bounds.sources if bounds else {}), **_sources(connection)},
        drained=[name for (name,) in _rows(connection, "SELECT file FROM aside WHERE drained")],
        unknown_since=unknown,
    )
    return found, aside


def _connect(path: Path) -> sqlite3.Connection | None:
    """A reading connection; when the first page is what is damaged, another one takes its place."""
    try:
        connection = _connect_if_readable(path)
        if connection is None and _replace_first_page(path):
            connection = _connect_if_readable(path)
            if connection is None:
                _restore_first_page(path)
    except (sqlite3.Error, OSError) as fault:
        log.warning("aside_unreadable", file=path.name, fault=str(fault))
        return None
    return connection


def _connect_if_readable(path: Path) -> sqlite3.Connection | None:
    connection = connect_read_only(path)
    if _readable(connection):
        return connection
    connection.close()
    return None


def _readable(connection: sqlite3.Connection) -> bool:
    return _stream(connection) is not None


def _replace_first_page(path: Path) -> bool:
    """Writes the first page of a new outbox over a damaged one: the tables have the same places in both."""
    size = path.stat().st_size
    kept = path.with_name(path.name + FIRST_PAGE_SUFFIX)
    if size < 2 * PAGE_BYTES or kept.exists():
        return False
    template = path.with_name(path.name + ".template")
    create(template, new_stream(), 0)
    page = bytearray(template.read_bytes()[:PAGE_BYTES])
    for leftover in (template, *companions(template)):
        leftover.unlink(missing_ok=True)
    struct.pack_into(">I", page, _CHANGES_AT, 1)
    struct.pack_into(">I", page, _PAGES_AT, size // PAGE_BYTES)
    struct.pack_into(">II", page, _FREE_AT, 0, 0)
    struct.pack_into(">I", page, _VALID_FOR_AT, 1)
    with path.open("r+b") as file:
        kept.write_bytes(file.read(PAGE_BYTES))
        file.seek(0)
        file.write(page)
    return True


def _restore_first_page(path: Path) -> None:
    """It did not help: the file is kept as it was found."""
    kept = path.with_name(path.name + FIRST_PAGE_SUFFIX)
    with path.open("r+b") as file:
        file.write(kept.read_bytes())
    kept.unlink()


def _stream(connection: sqlite3.Connection) -> str | None:
    """The stream's name, which stands in several places."""
    for (name,) in _rows(connection, "SELECT value FROM meta WHERE key = 'stream'"):
        if _is_stream(name):
            return str(name)
    for order in ("ASC", "DESC"):
        for (name,) in _rows(connection, f"SELECT stream FROM blob ORDER BY id {order} LIMIT 1"):  # noqa: S608 - ours
            if isinstance(name, bytes) and len(name) == UUID_BYTES:
                return str(uuid.UUID(bytes=name))
    return None


def _is_stream(name: object) -> bool:
    try:
        return isinstance(name, str) and str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _sources(connection: sqlite3.Connection) -> dict[str, int]:
    rows = _rows(connection, "SELECT name, last_seen FROM source")
    return {name: seen for name, seen in rows if isinstance(name, str) and isinstance(seen, int)}


def _sinks(connection: sqlite3.Connection) -> list[SinkRow] | None:
    """None when they cannot be read."""
    try:
        return list(sink_rows(connection))
    except sqlite3.Error as fault:
        log.warning("aside_sinks_unreadable", fault=str(fault))
        return None


def _rows(connection: sqlite3.Connection, query: str, values: Sequence[int] = ()) -> Iterator[Any]:
    return iter(ReadableRows(connection, query, values))

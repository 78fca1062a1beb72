"""Reading an outbox file, the current one or one that was set aside. Everything here raises sqlite3.Error."""

from __future__ import annotations

import sqlite3
import uuid
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from edged.intervals import IntervalSet
from edged.outbox_schema import LANES, batch_id, lane_range, seq_of
from edged.outbox_types import Extent, Fetched, RawBatch, SinkRow, Span
from edged.types import BatchKey, Lane


def checksum(stream: bytes, row_id: int, rows: int, blob: bytes) -> int:
    """CRC-32 of a batch with its place, so that a page of another place does not pass for it."""
    return zlib.crc32(blob, zlib.crc32(b"%b%d:%d" % (stream, row_id, rows)))


def asked(connection: sqlite3.Connection, query: str, values: Sequence[int] = ()) -> Iterator[Any]:
    """The rows of a query. A fault that quotes damaged text is no sqlite3.Error by itself; here it becomes one."""
    try:
        yield from connection.execute(query, values)
    except UnicodeDecodeError as fault:
        raise sqlite3.DatabaseError(f"damaged text: {fault}") from fault


def fetch(connection: sqlite3.Connection, stream: str, lane: Lane, seqs: Sequence[int], max_bytes: int) -> Fetched:
    """Reads and checks batches one by one; a number that is not there counts as damaged."""
    stream_bytes = uuid.UUID(stream).bytes
    found = Fetched([], [], [])
    query = "SELECT b.crc, b.rows, b.data FROM blob b WHERE b.id = ?"
    size = 0
    for place, seq in enumerate(seqs):
        if size >= max_bytes:
            return found._replace(rest=seqs[place:])
        row_id = batch_id(lane, seq)
        sound = [row for row in asked(connection, query, (row_id,)) if _is_sound(stream_bytes, row_id, *row)]
        if not sound:
            found.damaged.append(seq)
        for _, rows, blob in sound:
            size += len(blob)
            found.batches.append(RawBatch(BatchKey(stream, lane, seq), rows, blob, 0))
    return found


def _is_sound(stream: bytes, row_id: int, crc: object, rows: object, blob: object) -> bool:
    """Whether the columns of a batch fit together; damage can turn any of them into NULL."""
    return isinstance(rows, int) and isinstance(blob, bytes) and checksum(stream, row_id, rows, blob) == crc


def extent(connection: sqlite3.Connection, span: Span) -> Extent:
    """What the table of batches says of these numbers; where it lacks some, their neighbours bound the time."""
    query = "SELECT count(*), sum(rows), min(first_time), max(last_time) FROM batch WHERE id BETWEEN ? AND ?"
    first, last = batch_id(span.lane, span.first), batch_id(span.lane, span.last)
    ((known, rows, start, end),) = asked(connection, query, (first, last))
    if known == span.last - span.first + 1 and all(isinstance(number, int) for number in (rows, start, end)):
        return Extent(rows, start, end)
    return neighbours(connection, span)


def neighbours(connection: sqlite3.Connection, span: Span) -> Extent:
    """The end of the batch before and the beginning of the one after, as far as they can be read."""
    lowest, highest = lane_range(span.lane)
    before = "SELECT last_time FROM batch WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
    after = "SELECT first_time FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1"
    start = _one(connection, before, (lowest, batch_id(span.lane, span.first) - 1))
    return Extent(None, start, _one(connection, after, (batch_id(span.lane, span.last) + 1, highest)))


def _one(connection: sqlite3.Connection, query: str, values: tuple[int, int]) -> int | None:
    try:
        row = next(asked(connection, query, values), None)
    except sqlite3.DatabaseError:
        return None
    return row[0] if row is not None and isinstance(row[0], int) else None


def stored_numbers(connection: sqlite3.Connection, lane: Lane) -> IntervalSet:
    """Which batches a file holds."""
    query = "SELECT id FROM batch WHERE id BETWEEN ? AND ? ORDER BY id"
    return IntervalSet.of(seq_of(row_id) for (row_id,) in asked(connection, query, lane_range(lane)))


def missing_numbers(lane: Lane, head: int, known: IntervalSet, stream: str, sinks: Sequence[SinkRow]) -> IntervalSet:
    """Numbers that were given out, are not known, and that no sink is done with; none when no sink ever took any."""
    missing = IntervalSet()
    of_lane = [row for row in sinks if (row.stream, row.lane) == (stream, lane)]
    if head and of_lane:
        missing.add(1, head)
        missing.subtract(known)
    for row in of_lane:
        missing.subtract(IntervalSet.parse(row.confirmed))
        missing.subtract(IntervalSet.parse(row.forgone))
    return missing


def sink_rows(connection: sqlite3.Connection) -> Iterator[SinkRow]:
    """What each sink is done with."""
    for name, stream, code, confirmed, forgone in asked(connection, "SELECT * FROM sink"):
        try:
            IntervalSet.parse(confirmed)
            IntervalSet.parse(forgone)
            yield SinkRow(str(name), str(stream), LANES[code], confirmed, forgone)
        except (AttributeError, IndexError, TypeError, ValueError) as fault:
            raise sqlite3.DatabaseError(f"what sink {name} is done with cannot be read: {fault}") from fault


class ReadableRows:
    """The rows of a query up to the first that cannot be read; then `complete` is false."""

    def __init__(self, connection: sqlite3.Connection, query: str, values: Sequence[int] = ()) -> None:
        self._connection = connection
        self._query = query
        self._values = values
        self.complete = False

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from asked(self._connection, self._query, self._values)
        except sqlite3.Error:
            return
        self.complete = True

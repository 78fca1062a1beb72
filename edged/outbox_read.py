"""Reading an outbox file, the current one or one that was set aside. Everything here raises sqlite3.Error."""

from __future__ import annotations

import json
import sqlite3
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edged.errors import DamagedRecord
from edged.intervals import IntervalSet
from edged.outbox_bounds import UNKNOWN_SPREAD_NS, Bounds
from edged.outbox_schema import LANES, batch_id, lane_range, seq_of
from edged.outbox_types import AgeMark, Extent, Fetched, RawBatch, SinkRow, Span
from edged.records import decode_samples
from edged.types import BatchKey, Lane

READ_BYTES = 16 * 1024 * 1024
AGES = "ages"
NEAREST_TRIED = 100
"""So many blobs on either side of a loss are looked at for one that can be read."""


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


def extent(connection: sqlite3.Connection, stream: str, span: Span, bounds: Bounds | None) -> Extent:
    """What the table of batches says of these numbers; where it lacks some, what their neighbours say of the time."""
    query = "SELECT count(*), sum(rows), min(first_time), max(last_time) FROM batch WHERE id BETWEEN ? AND ?"
    first, last = batch_id(span.lane, span.first), batch_id(span.lane, span.last)
    ((known, rows, start, end),) = asked(connection, query, (first, last))
    if known == span.last - span.first + 1 and all(isinstance(number, int) for number in (rows, start, end)):
        return Extent(rows, start, end)
    return neighbours(connection, stream, span, bounds)


def neighbours(connection: sqlite3.Connection, stream: str, span: Span, bounds: Bounds | None) -> Extent:
    """Between the batch before and the one after, as far as they can be read.

    Batches follow each other by the times of their commits, and no source time is further from its commit than the
    spread: so a batch begins at most two spreads before the one before it ends.
    """
    margin = 2 * (UNKNOWN_SPREAD_NS if bounds is None else bounds.spread)
    before = _nearest(connection, stream, span.lane, span.first, -1)
    after = _nearest(connection, stream, span.lane, span.last, 1)
    start = end = None
    if before is not None:
        start = max(0, min(before[1], (after or before)[0]) - margin)
    if bounds is not None:
        start = max(bounds.oldest[span.lane], start or 0)
    if after is not None:
        end = max(after[0], (before or after)[1]) + margin
    return Extent(None, start, end)


def _nearest(connection: sqlite3.Connection, stream: str, lane: Lane, seq: int, step: int) -> tuple[int, int] | None:
    """First and last source time of the next batch in that direction: as its row says, or as its samples do."""
    listed = _listed(connection, lane, seq, step)
    if listed is not None and listed[0] == seq + step:
        return listed[1:]
    if lane is Lane.PROCESS:
        for near in range(seq + step, listed[0] if listed else seq + step * (NEAREST_TRIED + 1), step):
            times = _decoded_times(connection, stream, near)
            if times is not None:
                return times
            if abs(near - seq) >= NEAREST_TRIED:
                break
    return None if listed is None else listed[1:]


def _listed(connection: sqlite3.Connection, lane: Lane, seq: int, step: int) -> tuple[int, int, int] | None:
    """Number, first and last time of the next batch that the table of batches lists in that direction."""
    lowest, highest = lane_range(lane)
    bounds = (lowest, batch_id(lane, seq) - 1) if step < 0 else (batch_id(lane, seq) + 1, highest)
    order = "DESC" if step < 0 else "ASC"
    query = f"SELECT id, first_time, last_time FROM batch WHERE id BETWEEN ? AND ? ORDER BY id {order} LIMIT 1"  # noqa: S608 - ours
    for row_id, first, last in ReadableRows(connection, query, bounds):
        if isinstance(first, int) and isinstance(last, int):
            return seq_of(row_id), first, last
    return None


def _decoded_times(connection: sqlite3.Connection, stream: str, seq: int) -> tuple[int, int] | None:
    try:
        found = fetch(connection, stream, Lane.PROCESS, [seq], READ_BYTES).batches
        times = [sample.source_time for batch in found for sample in decode_samples(batch.blob)]
    except (sqlite3.DatabaseError, DamagedRecord):
        return None
    return (min(times), max(times)) if times else None


def first_stored(connection: sqlite3.Connection, lane: Lane) -> int | None:
    """The lowest number that a file holds."""
    query = "SELECT id FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1"
    return next((seq_of(row_id) for (row_id,) in asked(connection, query, lane_range(lane))), None)


def batch_times(connection: sqlite3.Connection, lane: Lane) -> Iterator[tuple[int, int, int]]:
    """The batches of a file in order, some at a time: the last number, the oldest source time, the greatest spread."""
    query = (
        "SELECT max(id), min(first_time), max(max(committed - first_time, last_time - committed)) FROM batch"
        " WHERE id BETWEEN ? AND ? GROUP BY id / 64 ORDER BY 1"
    )
    for row_id, first, spread in asked(connection, query, lane_range(lane)):
        yield seq_of(row_id), first, spread


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


def ages_of(meta: Mapping[str, str], boot: str) -> Sequence[AgeMark]:
    """Marks that were written since the machine was started; none when that cannot be told."""
    try:
        of_boot, marks = json.loads(meta[AGES])
        return [AgeMark(*mark) for mark in marks] if boot and of_boot == boot else ()
    except (KeyError, TypeError, ValueError):
        return ()


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

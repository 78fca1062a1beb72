"""Looking into an outbox file, in use or set aside, without changing it: contents, faults, rows."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from edged.errors import DamagedRecord, EdgedError, OutboxUnavailable
from edged.intervals import IntervalSet
from edged.log import get_logger
from edged.outbox_open import disk_trouble
from edged.outbox_read import ReadableRows, fetch, missing_numbers, sink_rows, stored_numbers
from edged.outbox_schema import LANE_CODES, LANES, connect_read_only, lane_range, seq_of
from edged.outbox_types import RawBatch, SinkRow
from edged.records import decode_events, decode_samples
from edged.types import Event, Lane, Sample

NUMBERS_PER_READ = 1000
READ_BYTES = 16 * 1024 * 1024
RECENT_BATCHES = 5000
CSV_COLUMNS = (
    "stream",
    "lane",
    "seq",
    "row",
    "kind",
    "signal",
    "value",
    "type",
    "source_time",
    "receive_time",
    "quality",
    "reason",
    "event",
)


log = get_logger("outbox")


class NotAnOutbox(EdgedError):
    """The file is no outbox, or its beginning is damaged: edged sets such a file aside by itself when it starts."""


class LaneReport(NamedTuple):
    """One lane of the file. Times are of the samples or commits, ns UTC, None when it is empty."""

    lane: str
    head: int
    batches: int
    rows: int
    bytes: int
    held: str
    first_time: int | None
    last_time: int | None


class SinkReport(NamedTuple):
    """What one sink is done with; `waiting` counts the batches of this file that it still waits for."""

    name: str
    stream: str
    lane: str
    confirmed: str
    forgone: str
    waiting: int


class SourceReport(NamedTuple):
    """When a source was last heard, ns UTC."""

    name: str
    last_seen: int


@dataclass(frozen=True, slots=True)
class OutboxReport:
    """What an outbox file holds. `old_files` were set aside and still drain."""

    path: str
    stream: str
    schema: int
    clean: bool
    bytes: int
    free_bytes: int
    lanes: tuple[LaneReport, ...]
    sinks: tuple[SinkReport, ...]
    sources: tuple[SourceReport, ...]
    old_files: tuple[str, ...]


def inspect(path: Path) -> OutboxReport:
    """What the file holds. Raises NotAnOutbox or OutboxUnavailable."""
    with _reading(path) as connection:
        return _report(path, connection)


def verify(path: Path) -> list[str]:
    """Every fault of the file, one sentence each: structure, numbering, checksums, contents. Raises like `inspect`."""
    with _reading(path) as connection:
        stream = _stream(connection)
        connection.execute("BEGIN")  # one state of a file that is in use
        faults = [f"structure: {row[0]}" for row in ReadableRows(connection, "PRAGMA quick_check") if row[0] != "ok"]
        for lane in LANES:
            faults += _lane_faults(connection, stream, lane)
        return faults


def export(path: Path, out: TextIO, format: Literal["jsonl", "csv"] = "jsonl") -> int:  # noqa: A002 - as users say it
    """Writes every readable row with its key (stream, lane, seq, row); how many. Raises like `inspect`."""
    write = _csv_writer(out) if format == "csv" else _jsonl_writer(out)
    count = 0
    with _reading(path) as connection:
        stream = _stream(connection)
        for lane in LANES:
            for seq in _stored(connection, lane):
                for batch in _batch(connection, stream, lane, seq):
                    for row, record in enumerate(_records(batch)):
                        write(batch, row, record)
                        count += 1
    return count


def recent_events(path: Path, kinds: tuple[type[Event], ...], most: int) -> list[Event]:
    """The newest events of these kinds, oldest first, as far as they can be read. Raises like `inspect`."""
    found: list[Event] = []
    with _reading(path) as connection:
        stream = _stream(connection)
        query = "SELECT id FROM batch WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?"
        for (row_id,) in connection.execute(query, (*lane_range(Lane.EVENTS), RECENT_BATCHES)):
            for batch in _batch(connection, stream, Lane.EVENTS, seq_of(row_id)):
                found += [event for event in reversed(_event_records(batch)) if isinstance(event, kinds)]
            if len(found) >= most:
                break
    return found[most - 1 :: -1]


def _event_records(batch: RawBatch) -> Sequence[Event]:
    return [record for record in _records(batch) if not isinstance(record, Sample)]


def _report(path: Path, connection: sqlite3.Connection) -> OutboxReport:
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    stored = {lane: stored_numbers(connection, lane) for lane in LANES}
    pages, free, page_bytes = (_pragma(connection, name) for name in ("page_count", "freelist_count", "page_size"))
    return OutboxReport(
        path=str(path),
        stream=meta["stream"],
        schema=_pragma(connection, "user_version"),
        clean=meta["clean"] == "1",
        bytes=pages * page_bytes,
        free_bytes=free * page_bytes,
        lanes=tuple(_lane_report(connection, lane, stored[lane]) for lane in LANES),
        sinks=tuple(_sink_report(row, meta["stream"], stored[row.lane]) for row in sink_rows(connection)),
        sources=tuple(SourceReport(*row) for row in connection.execute("SELECT name, last_seen FROM source")),
        old_files=tuple(name for (name,) in connection.execute("SELECT file FROM aside WHERE NOT drained")),
    )


def _lane_report(connection: sqlite3.Connection, lane: Lane, stored: IntervalSet) -> LaneReport:
    query = "SELECT total(rows), total(bytes), min(first_time), max(last_time) FROM batch WHERE id BETWEEN ? AND ?"
    rows, size, first, last = connection.execute(query, lane_range(lane)).fetchone()
    head = _head(connection, lane)
    return LaneReport(lane.value, head, len(stored), int(rows), int(size), str(stored), first, last)


def _sink_report(row: SinkRow, stream: str, stored: IntervalSet) -> SinkReport:
    waiting = stored.copy() if row.stream == stream else IntervalSet()
    waiting.subtract(IntervalSet.parse(row.confirmed))
    waiting.subtract(IntervalSet.parse(row.forgone))
    return SinkReport(row.sink, row.stream, row.lane.value, row.confirmed, row.forgone, len(waiting))


def _lane_faults(connection: sqlite3.Connection, stream: str, lane: Lane) -> list[str]:
    ids = ReadableRows(connection, "SELECT id FROM batch WHERE id BETWEEN ? AND ? ORDER BY id", lane_range(lane))
    stored = [seq_of(row_id) for (row_id,) in ids]
    faults = [] if ids.complete else [f"{lane.value}: the table of batches cannot be read to its end"]
    missing = missing_numbers(
        lane, _head(connection, lane), IntervalSet.of(stored), stream, list(sink_rows(connection))
    )
    faults += [f"{lane.value} {first}-{last}: missing" for first, last in missing.intervals()]
    for seq in stored:
        try:
            found = fetch(connection, stream, lane, [seq], READ_BYTES)
            for batch in found.batches:
                if len(_decoded(batch)) != batch.rows:
                    faults.append(f"{lane.value} {seq}: holds another number of rows than {batch.rows}")
            faults += [f"{lane.value} {seq}: its checksum does not fit" for seq in found.damaged]
        except (sqlite3.DatabaseError, DamagedRecord) as fault:
            faults.append(f"{lane.value} {seq}: {fault}")
    return faults


def _stored(connection: sqlite3.Connection, lane: Lane) -> Iterator[int]:
    """The numbers that the file holds, in portions: a file in use is not held back by a slow reader."""
    query = "SELECT id FROM batch WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
    after, highest = lane_range(lane)
    while rows := connection.execute(query, (after, highest, NUMBERS_PER_READ)).fetchall():
        yield from (seq_of(row_id) for (row_id,) in rows)
        ((after,),) = rows[-1:]


def _batch(connection: sqlite3.Connection, stream: str, lane: Lane, seq: int) -> Sequence[RawBatch]:
    """The batch, or nothing when it is damaged or was removed meanwhile."""
    try:
        return fetch(connection, stream, lane, [seq], READ_BYTES).batches
    except sqlite3.DatabaseError as fault:
        log.warning("batch_unreadable", lane=lane.value, seq=seq, fault=str(fault))
        return ()


def _records(batch: RawBatch) -> Sequence[Sample] | Sequence[Event]:
    try:
        return _decoded(batch)
    except DamagedRecord as fault:
        log.warning("batch_unreadable", lane=batch.key.lane.value, seq=batch.key.seq, fault=str(fault))
        return ()


def _decoded(batch: RawBatch) -> Sequence[Sample] | Sequence[Event]:
    return decode_samples(batch.blob) if batch.key.lane is Lane.PROCESS else decode_events(batch.blob)


_Write = Callable[[RawBatch, int, Sample | Event], None]


def _jsonl_writer(out: TextIO) -> _Write:
    def write(batch: RawBatch, row: int, record: Sample | Event) -> None:
        fields = record._asdict() if isinstance(record, Sample) else {"event": asdict(record)}
        key = {**batch.key._asdict(), "row": row, "kind": type(record).__name__}
        out.write(json.dumps({**key, **fields}, ensure_ascii=False) + "\n")

    return write


def _csv_writer(out: TextIO) -> _Write:
    """One table for both lanes: an event stands as JSON in the last column."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(CSV_COLUMNS)

    def write(batch: RawBatch, row: int, record: Sample | Event) -> None:
        key = (*batch.key, row, type(record).__name__)
        if isinstance(record, Sample):
            signal, value, *rest = record
            kind = "" if value is None else type(value).__name__
            table.writerow((*key, signal, value, kind, *(int(x) if isinstance(x, int) else x for x in rest), ""))
        else:
            table.writerow((*key, *[""] * 7, json.dumps(asdict(record), ensure_ascii=False)))

    return write


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write. Raises NotAnOutbox or OutboxUnavailable, also from within."""
    if not path.is_file():
        raise NotAnOutbox(f"{path}: there is no such file")
    try:
        with closing(connect_read_only(path)) as connection:
            yield connection
    except (sqlite3.Error, KeyError, ValueError) as fault:
        if isinstance(fault, sqlite3.Error) and disk_trouble(fault):
            raise OutboxUnavailable(f"{path}: {fault}") from fault
        raise NotAnOutbox(f"{path}: {fault}") from fault


def _stream(connection: sqlite3.Connection) -> str:
    for (stream,) in connection.execute("SELECT value FROM meta WHERE key = 'stream'"):
        return str(stream)
    raise ValueError("it has no stream")


def _head(connection: sqlite3.Connection, lane: Lane) -> int:
    row = connection.execute("SELECT head FROM lane WHERE code = ?", (LANE_CODES[lane],)).fetchone()
    return 0 if row is None else int(row[0])


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)

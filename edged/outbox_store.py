"""The outbox file as the writer thread uses it: one transaction per group, reads by number, all checked."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgpack

from edged.log import get_logger
from edged.outbox_bounds import BoundsFile
from edged.outbox_encode import new_batches
from edged.outbox_read import (
    AGES,
    ages_of,
    batch_times,
    checksum,
    extent,
    fetch,
    first_stored,
    sink_rows,
    stored_numbers,
)
from edged.outbox_schema import LANE_CODES, LANES, batch_id, lane_range, seq_of, transaction
from edged.outbox_types import (
    AgeMark,
    Committed,
    EventPiece,
    Extent,
    Fetched,
    NewBatch,
    RawBatch,
    Span,
    StoredAside,
    StoredState,
    Transaction,
)
from edged.ports import MARKS_KEPT
from edged.types import BatchKey, Lane

ROOM_BYTES = 16 * 1024 * 1024
ROOM_SHARE = 8
"""So much of the disk is left free, but on a small disk not more than this part of it."""
VACUUM_ABOVE_PAGES = 2048
VACUUM_PAGES = 512
"""Given back per commit while more pages than that are free."""


log = get_logger("outbox")


class Store:
    """One open outbox file. Every method runs on the writer thread and raises sqlite3.Error."""

    def __init__(self, path: Path, connection: sqlite3.Connection, boot: str) -> None:
        self.path = path
        self._connection = connection
        self._boot = boot
        self._opened = False
        self._suspected = False
        self._page_bytes: int = self._pragma("page_size")
        self._marks: dict[str, deque[tuple[int, int]]] = {}
        self.stream = ""
        self._stream_bytes = b""
        self._heads: dict[Lane, int] = {}
        self._rows: dict[Lane, int] = {}
        self._used = 0
        self._free = 0
        self._bounds = BoundsFile(path)

    def load(self) -> StoredState:
        """What the file holds. Called once, before anything else."""
        run = self._connection.execute
        meta = dict(run("SELECT key, value FROM meta").fetchall())
        heads = dict(run("SELECT code, head FROM lane").fetchall())
        stored = {lane: stored_numbers(self._connection, lane) for lane in LANES}
        for lane in LANES:
            (self._rows[lane],) = run(
                "SELECT coalesce(sum(rows), 0) FROM batch WHERE id BETWEEN ? AND ?", lane_range(lane)
            ).fetchone()
        self.stream, self._stream_bytes = meta["stream"], uuid.UUID(meta["stream"]).bytes
        self._heads = {lane: max(heads.get(LANE_CODES[lane], 0), stored[lane].last or 0) for lane in LANES}
        sources = dict(run("SELECT name, last_seen FROM source").fetchall())
        self._bounds.load(self.stream, {lane: batch_times(self._connection, lane) for lane in LANES}, sources)
        return StoredState(
            stream=self.stream,
            heads=dict(self._heads),
            stored=stored,
            rows=dict(self._rows),
            used_bytes=self._used_bytes(),
            free_pages=self._pragma("freelist_count"),
            sinks=[*sink_rows(self._connection)],
            sources=sources,
            marks=self._load_marks(),
            ages=ages_of(meta, self._boot),
            asides=[StoredAside(file, stream, bool(drained)) for file, stream, drained in run("SELECT * FROM aside")],
        )

    def commit(self, work: Transaction) -> Committed:
        """Makes all of it durable, or nothing."""
        began = time.perf_counter()
        new = new_batches(work)
        heads, rows = dict(self._heads), dict(self._rows)
        batches: list[RawBatch] = []
        if not work.probe:
            self._check_room()
        self._bounds.cover(new, work.now)
        try:
            marks = self._write(work, new, heads, rows, batches)
        except sqlite3.OperationalError as fault:
            self._suspect(fault)
            raise
        self._suspected = False
        for batch, made in zip(batches, new, strict=True):
            rows[batch.key.lane] += batch.rows
            self._bounds.stored(batch.key, made.times)
        self._opened = True
        self._heads, self._rows = heads, rows
        self._note_marks(marks)
        return Committed(batches, rows, *self._after_commit(work), time.perf_counter() - began)

    def _write(
        self,
        work: Transaction,
        new: Sequence[NewBatch],
        heads: dict[Lane, int],
        rows: dict[Lane, int],
        batches: list[RawBatch],
    ) -> dict[str, list[bytes]]:
        """One transaction; adds what was inserted to `heads`, `rows` and `batches`, and returns the marks."""
        with transaction(self._connection):
            if work.probe or not self._opened:
                self._mark_open(work.now)
            batches.extend(self._insert(heads, batch) for batch in new)
            self._write_heads(heads)
            marks = self._write_sources(work)
            self._write_sinks(work)
            self._write_ages(work.ages)
            for span in work.removals:
                rows[span.lane] -= self._remove(span)
        return marks

    def adopt(self, asides: Sequence[StoredAside], sources: Mapping[str, int], gaps: EventPiece, now: int) -> None:
        """Notes files that were set aside, when their sources were last seen, and what of them is lost."""
        with transaction(self._connection):
            self._connection.executemany("INSERT OR IGNORE INTO aside VALUES (?, ?, ?)", asides)
            self._connection.executemany("INSERT OR IGNORE INTO source VALUES (?, ?)", sources.items())
            heads = dict(self._heads)
            for batch in new_batches(Transaction(now, events=[gaps])):
                self._insert(heads, batch)
            self._write_heads(heads)

    def read(self, lane: Lane, seqs: Sequence[int], max_bytes: int) -> Fetched:
        """The batches of these numbers, up to `max_bytes` but at least one."""
        return fetch(self._connection, self.stream, lane, seqs, max_bytes)

    def extent(self, span: Span) -> Extent:
        """What is known of these batches."""
        return extent(self._connection, self.stream, span, self._bounds.known())

    def make_room(self) -> None:
        """Gives all free pages back to the disk. Raises OSError when that leaves too little."""
        self._vacuum(self._pragma("freelist_count"))
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._check_room()

    def last_before(self, lane: Lane, committed: int) -> int | None:
        """The last of the batches at the beginning of a lane that were committed before that time (ns UTC)."""
        found = None
        query = "SELECT id, committed FROM batch WHERE id BETWEEN ? AND ? ORDER BY id"
        for row_id, when in self._connection.execute(query, lane_range(lane)):
            if when >= committed:
                break
            found = seq_of(row_id)
        return found

    def last_of_oldest(self, lane: Lane, size: int) -> tuple[int | None, int]:
        """The last of the oldest batches that hold `size` bytes together, and what they do hold."""
        found, total = None, 0
        query = "SELECT id, bytes FROM batch WHERE id BETWEEN ? AND ? ORDER BY id"
        for row_id, length in self._connection.execute(query, lane_range(lane)):
            if total >= size:
                break
            found, total = seq_of(row_id), total + length
        return found, total

    def between(self, since: int, until: int, slack: int) -> list[int]:
        """Process batches with source times in since..until, or committed then or within `slack` after (ns UTC)."""
        query = (
            "SELECT id FROM batch WHERE id BETWEEN ? AND ?"
            " AND (first_time <= ? AND last_time >= ? OR committed BETWEEN ? AND ?) ORDER BY id"
        )
        values = (*lane_range(Lane.PROCESS), until, since, since, until + slack)
        return [seq_of(row_id) for (row_id,) in self._connection.execute(query, values)]

    def close(self, clean: bool, ages: Sequence[AgeMark]) -> None:
        """Closes; after a clean stop the next start needs no check."""
        try:
            if clean:
                with transaction(self._connection):
                    self._connection.execute("UPDATE meta SET value = '1' WHERE key = 'clean'")
                    self._write_ages(ages)
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._connection.close()

    def _load_marks(self) -> dict[str, list[bytes]]:
        marks: dict[str, list[bytes]] = {}
        for source, number, packed in self._connection.execute("SELECT * FROM mark ORDER BY source, number"):
            found = msgpack.unpackb(packed)
            if not isinstance(found, list) or not all(isinstance(mark, bytes) for mark in found):
                raise TypeError(f"the marks of {source} cannot be read")
            marks.setdefault(source, []).extend(found)
            self._marks.setdefault(source, deque()).append((number, len(found)))
        return marks

    def _after_commit(self, work: Transaction) -> tuple[Mapping[tuple[Lane, int], int], int, int]:
        """Gives back free pages; what is now stored: times asked for, bytes in use, free pages.

        The data are durable already, so that a fault here must not look like a failed commit: the next one meets it.
        """
        oldest: dict[tuple[Lane, int], int] = {}
        try:
            if self._pragma("freelist_count") > VACUUM_ABOVE_PAGES:
                self._vacuum(VACUUM_PAGES)
            oldest = {place: when for place in work.oldest if (when := self._committed(*place)) is not None}
            self._bounds.narrow({lane: first_stored(self._connection, lane) for lane in LANES}, work.heard(), work.now)
            self._used, self._free = self._used_bytes(), self._pragma("freelist_count")
        except sqlite3.Error as fault:
            log.warning("outbox_tidying_failed", fault=str(fault))
        return oldest, self._used, self._free

    def _check_room(self) -> None:
        """Stops a little before the disk is full: what is left is needed to remove what sinks confirm."""
        disk = os.statvfs(self.path)
        margin = min(ROOM_BYTES, disk.f_blocks * disk.f_frsize // ROOM_SHARE)
        if disk.f_bavail * disk.f_frsize < margin:
            raise OSError(errno.ENOSPC, f"less than {margin} bytes are free on the disk of {self.path.name}")

    def _suspect(self, fault: sqlite3.OperationalError) -> None:
        """SQLite calls the disk full, too, when a damaged page points nowhere. Raises sqlite3.DatabaseError then."""
        if fault.sqlite_errorcode != sqlite3.SQLITE_FULL or self._suspected:
            return
        if self._pragma("page_count") >= self._pragma("max_page_count"):
            return
        try:
            self._check_room()
            ((verdict, *_), *_) = self._connection.execute("PRAGMA quick_check(1)").fetchall()
        except OSError:
            return
        except sqlite3.Error as damage:
            verdict = str(damage)
        self._suspected = True
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"quick_check: {verdict}") from fault

    def _vacuum(self, pages: int) -> None:
        self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")  # `execute` would free a single page

    def _mark_open(self, now: int) -> None:
        meta = [("clean", "0"), ("boot", self._boot), ("written", str(now))]
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)

    def _insert(self, heads: dict[Lane, int], new: NewBatch) -> RawBatch:
        heads[new.lane] += 1
        key, times = BatchKey(self.stream, new.lane, heads[new.lane]), new.times
        row_id = batch_id(new.lane, key.seq)
        crc = checksum(self._stream_bytes, row_id, new.rows, new.blob)
        self._connection.execute(
            "INSERT INTO blob VALUES (?, ?, ?, ?, ?)", (row_id, self._stream_bytes, crc, new.rows, new.blob)
        )
        self._connection.execute(
            "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)", (row_id, new.rows, len(new.blob), *times)
        )
        return RawBatch(key, new.rows, new.blob, times.committed, new.samples, new.events)

    def _write_heads(self, heads: Mapping[Lane, int]) -> None:
        changed = [(LANE_CODES[lane], head) for lane, head in heads.items() if head != self._heads[lane]]
        self._connection.executemany("INSERT OR REPLACE INTO lane VALUES (?, ?)", changed)

    def _write_sources(self, work: Transaction) -> dict[str, list[bytes]]:
        self._connection.executemany("INSERT OR REPLACE INTO source VALUES (?, ?)", work.heard().items())
        marks: dict[str, list[bytes]] = {}
        for source, added in [(p.source, p.marks) for p in work.pieces] + [(p.source, p.marks) for p in work.events]:
            if added:
                marks.setdefault(source, []).extend(added)
        for source, added in marks.items():
            held = self._marks.get(source, deque())
            row = (source, held[-1][0] + 1 if held else 1, msgpack.packb(added[-MARKS_KEPT:]))
            self._connection.execute("INSERT INTO mark VALUES (?, ?, ?)", row)
            surplus = _surplus(held, len(added))
            if surplus:
                self._connection.execute("DELETE FROM mark WHERE source = ? AND number <= ?", (source, surplus))
        return marks

    def _note_marks(self, marks: Mapping[str, Sequence[bytes]]) -> None:
        for source, added in marks.items():
            held = self._marks.setdefault(source, deque())
            surplus = _surplus(held, len(added))
            number = held[-1][0] + 1 if held else 1
            while held and surplus is not None and held[0][0] <= surplus:
                held.popleft()
            held.append((number, len(added)))

    def _write_sinks(self, work: Transaction) -> None:
        rows = [(row.sink, row.stream, LANE_CODES[row.lane], row.confirmed, row.forgone) for row in work.sinks]
        self._connection.executemany("INSERT OR REPLACE INTO sink VALUES (?, ?, ?, ?, ?)", rows)
        self._connection.executemany("UPDATE aside SET drained = 1 WHERE file = ?", [(file,) for file in work.drained])

    def _write_ages(self, ages: Sequence[AgeMark]) -> None:
        if ages:
            row = (AGES, json.dumps([self._boot, ages]))
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)

    def _remove(self, span: Span) -> int:
        """Deletes batches; how many rows they had."""
        bounds = batch_id(span.lane, span.first), batch_id(span.lane, span.last)
        (rows,) = self._connection.execute(
            "SELECT coalesce(sum(rows), 0) FROM batch WHERE id BETWEEN ? AND ?", bounds
        ).fetchone()
        self._connection.execute("DELETE FROM blob WHERE id BETWEEN ? AND ?", bounds)
        self._connection.execute("DELETE FROM batch WHERE id BETWEEN ? AND ?", bounds)
        return int(rows)

    def _committed(self, lane: Lane, seq: int) -> int | None:
        row = self._connection.execute("SELECT committed FROM batch WHERE id = ?", (batch_id(lane, seq),)).fetchone()
        return None if row is None else int(row[0])

    def _used_bytes(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._page_bytes

    def _pragma(self, name: str) -> int:
        (value,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return int(value)


def _surplus(held: Sequence[tuple[int, int]], added: int) -> int | None:
    """The number of the last row of marks that is not needed beside `added` new ones."""
    kept = added
    for number, count in reversed(held):
        if kept >= MARKS_KEPT:
            return number
        kept += count
    return None

"""The loop's side of writing: groups fill, are committed one at a time, and wait in a ring while the disk refuses."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from edged.clock import Clock
from edged.log import get_logger
from edged.outbox_files import Files
from edged.outbox_group import Durable, Group, Losses, gaps_of
from edged.outbox_open import disk_trouble
from edged.outbox_retention import Retention
from edged.outbox_shelf import Shelf, Volume
from edged.outbox_sink import OutboxSink
from edged.outbox_status import Meters
from edged.outbox_types import Committed, EventPiece, Piece, Transaction
from edged.records import encode_events
from edged.settings import OutboxSettings
from edged.supervise import start_task
from edged.types import Gap

CLOSED = "the outbox is closed"
FILES_TRIED = 2
"""A damaged file and its successor; if that is damaged as well, the disk is."""
RETRY_SECONDS = 1.0
"""Between attempts while the disk refuses."""
CLOCK_GRAIN_SECONDS = 1e-6

log = get_logger("outbox")


class Writer:
    """Two tasks: one watches the time that a group may wait, the other commits. The file itself is the shelf's."""

    def __init__(
        self,
        path: Path,
        settings: OutboxSettings,
        clock: Clock,
        meters: Meters,
        sinks: Mapping[str, OutboxSink],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._meters = meters
        self._sinks = sinks
        self.shelf = Shelf(self._found_damaged)
        self.retention = Retention(self.shelf, sinks, settings, clock, self._record_own)
        self.files = Files(path, settings, clock, self.shelf, sinks, self.retention)
        self.degraded = ""
        self.commits = 0
        self.last: Committed | None = None
        self.losses = Losses()
        self.rows = 0
        """Samples that are not durable yet."""
        self._group = Group()
        self._queue: deque[Group] = deque()
        self._own: list[Gap] = []
        self._damage: sqlite3.Error | None = None
        self._filling = asyncio.Event()
        self._due = asyncio.Event()
        self._flushes: list[asyncio.Future[None]] = []
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Opens the file, or begins degraded. Raises OutboxTooNew."""
        try:
            self.last = await self.files.open()
        except (sqlite3.Error, OSError) as fault:
            self._degrade(str(fault))
            await self.files.remember()
            self._filling.set()
        writer = start_task("outbox-writer", self._write())
        writer.add_done_callback(self._ended)
        self._tasks = [start_task("outbox-timer", self._watch_time()), writer]

    def append(self, piece: Piece) -> Durable:
        """Adds samples to the current group."""
        if self._closing:
            return _refused(CLOSED)
        if not piece.samples and not piece.marks:
            return _kept()
        group = self._group
        group.add(piece)
        self.rows += len(piece.samples)
        if self.rows > self._settings.ring_samples:
            self._shed()
        if group.rows >= self._settings.commit_samples and not self.degraded:
            self._due.set()
        self.touch()
        return group.durable

    def record(self, piece: EventPiece) -> Durable:
        """Adds events and has them committed at once."""
        if self.degraded or self._closing:
            return _refused(self.degraded or CLOSED)
        self._group.events.append(piece)
        self.touch()
        self._due.set()
        return self._group.recorded

    def touch(self) -> None:
        """There is something to write: at the latest when the group's time is up."""
        if self._group.opened is None:
            self._group.opened = self._clock.monotonic()
            self._filling.set()

    async def flush(self) -> None:
        """Commits what is there now; returns after one attempt, also when the disk refuses."""
        if not self._tasks or self._tasks[1].done():
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushes.append(done)
        self._due.set()
        await done

    async def stop(self) -> None:
        """Commits what is there and marks a clean stop if that worked; refuses what could not be committed."""
        self._closing = True
        await self.flush()
        if self._tasks:
            self._tasks[0].cancel()
            await asyncio.wait(self._tasks)
        for group in (*self._queue, self._group):
            group.break_off(self.degraded or CLOSED)
        await self.files.close(clean=not self.degraded)
        self.shelf.stop()

    async def _watch_time(self) -> None:
        """Sets `due` when the current group has waited long enough, or when it is time to try the disk again."""
        while True:
            await self._filling.wait()
            self._filling.clear()
            if self.degraded:
                await self._clock.sleep(RETRY_SECONDS)
                self._due.set()
            elif self._group.opened is not None:
                left = self._group.opened + self._settings.commit_seconds - self._clock.monotonic()
                if left <= CLOCK_GRAIN_SECONDS:
                    self._due.set()
                else:
                    await self._clock.sleep(left)
                    self._filling.set()

    async def _write(self) -> None:
        while not self._closing or self._flushes:
            await self._due.wait()
            self._due.clear()
            flushes, self._flushes = self._flushes, []
            await self._commit_all()
            for done in flushes:
                if not done.done():
                    done.set_result(None)

    async def _commit_all(self) -> None:
        """Commits what waits, oldest first; where the disk refuses, the timer tries again."""
        if not self._queue and self._group.opened is not None:
            self._queue.append(self._group)
            self._group = Group()
        committed = not self.degraded or await self._commit(Group(), probe=True)
        while committed and self._queue:
            group = self._queue.popleft()
            committed = await self._commit(group)
            if committed:
                if group.opened is not None:
                    self._meters.wait_seconds.observe(self._clock.monotonic() - group.opened)
                group.keep()
            else:
                self._queue.appendleft(group)
        if committed:
            self._recover()
            if self.last is not None:
                await self.retention.apply_caps(self.last.used_bytes)
        if self.degraded or self._group.opened is not None:
            self._filling.set()

    async def _commit(self, group: Group, *, probe: bool = False) -> bool:
        """Whether the group is durable now; a damaged file is replaced by a new one on the way."""
        for _ in range(FILES_TRIED):
            try:
                if self._damage is not None:
                    await self.files.put_aside(self._damage)
                    self._damage = None
                if self.shelf.store is None:
                    self.last = await self.files.open()
                await self._commit_to(group, probe=probe)
            except (sqlite3.Error, OSError) as fault:
                if isinstance(fault, OSError) or disk_trouble(fault):
                    self._degrade(str(fault))
                    break
                self._damage = fault
            else:
                return True
        else:
            self._degrade(f"new files are damaged as well: {self._damage}")
        for waiting in (group, *self._queue, self._group):
            waiting.refuse_events(self.degraded)
        return False

    async def _commit_to(self, group: Group, *, probe: bool) -> None:
        store, volume = self.shelf.store, self.shelf.current
        assert store is not None
        assert volume is not None
        losses, own = {} if probe else self.losses.take(), self._own
        gaps = [*own, *gaps_of(losses)]
        events = [*group.events, *([EventPiece(gaps, encode_events(gaps), "", ())] if gaps else [])]
        drained = self.retention.drained()
        work = Transaction(
            now=self._clock.now(),
            pieces=tuple(group.pieces),
            events=events,
            sinks=[row for sink in self._sinks.values() for row in sink.changed_rows()],
            removals=self.retention.removals(volume),
            drained=[old.file for old in drained],
            oldest=[place for sink in self._sinks.values() for place in sink.oldest(volume)],
            ages=self.retention.new_ages(),
            probe=probe,
        )
        self._own = []
        try:
            done = await self.shelf.run(store.commit, work)
        except (sqlite3.Error, OSError):
            self._own[:0] = own
            self.losses.restore(losses)
            self.retention.keep(volume, work.removals)
            if work.ages:
                self.retention.restore_ages()
            for sink in self._sinks.values():
                sink.change_again(work.sinks)
            raise
        self._committed(volume, work, done)
        for old in drained:
            await self.files.forget(old)
        if probe:
            await self.shelf.run(store.make_room)

    def _committed(self, volume: Volume, work: Transaction, done: Committed) -> None:
        self.commits += 1
        self.last = done
        for span in work.removals:
            self.shelf.recent.remove(volume.stream, span)
        for batch in done.batches:
            lane, seq = batch.key.lane, batch.key.seq
            volume.heads[lane] = seq
            volume.stored[lane].add(seq, seq)
            self.shelf.recent.add(batch)
            for sink in self._sinks.values():
                sink.committed(batch)
        self.files.sources.note(work.pieces, work.events)
        samples = sum(len(piece.samples) for piece in work.pieces)
        self.rows -= samples
        self._meters.committed(samples, done, self.rows)
        for sink in self._sinks.values():
            self._meters.depth(sink.name, sum(map(sink.depth, sink.lanes)))

    def _shed(self) -> None:
        """Drops the oldest pieces until the ring is within its bound; what is with the disk now cannot be dropped."""
        dropped = self.losses.samples
        for group in (*self._queue, self._group):
            while self.rows > self._settings.ring_samples and (piece := group.drop_oldest()) is not None:
                self.rows -= len(piece.samples)
                self.losses.add(piece.source, piece.samples)
        while self._queue and self._queue[0].empty:
            emptied = self._queue.popleft()
            (self._queue[0] if self._queue else self._group).absorb(emptied)
        self._meters.dropped.inc(self.losses.samples - dropped)

    def _degrade(self, reason: str) -> None:
        if not self.degraded:
            log.error("outbox_unwritable", reason=reason)
            self._meters.degraded.set(1)
        self.degraded = reason or "unknown"

    def _recover(self) -> None:
        if self.degraded:
            log.info("outbox_writable", dropped_samples=self.losses.samples)
            self._meters.degraded.set(0)
        self.degraded = ""

    def _found_damaged(self, fault: sqlite3.Error) -> None:
        """A read met damage: the file is replaced with the next commit, which is now."""
        self._damage = fault
        self._due.set()

    def _record_own(self, gaps: Sequence[Gap]) -> None:
        self._own.extend(gaps)
        self.touch()
        self._due.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The writing task ends with `stop`; otherwise that is a fault of ours, and nothing is durable any more."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            log.error("outbox_writer_failed", exc_info=fault)
            self._degrade(f"its writer failed: {fault}")
        for done in self._flushes:
            done.cancel()


def _refused(reason: str) -> Durable:
    refused = Durable()
    refused.break_off(reason)
    return refused


def _kept() -> Durable:
    kept = Durable()
    kept.keep()
    return kept

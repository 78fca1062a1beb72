"""The streams that an outbox still holds: the current file, and old files that drain."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple, Unpack

from edged.errors import OutboxUnavailable
from edged.intervals import IntervalSet
from edged.outbox_aside import Aside
from edged.outbox_open import disk_trouble
from edged.outbox_schema import LANES
from edged.outbox_store import Store
from edged.outbox_types import Extent, Fetched, RawBatch, Span
from edged.types import BatchKey, Lane

RECENT_SAMPLES = 20_000
RECENT_BYTES = 8 * 1024 * 1024
"""Batches that stay in memory with their samples, so that live sinks neither read nor decode them."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Volume:
    """One stream: which numbers its file holds. `gone` are those that a cap gave up, until they are removed."""

    def __init__(
        self, stream: str, stored: Mapping[Lane, IntervalSet], heads: Mapping[Lane, int], aside: Aside | None = None
    ) -> None:
        self.stream = stream
        self.stored = dict(stored)
        self.heads = dict(heads)
        self.gone = {lane: IntervalSet() for lane in LANES}
        self.aside = aside

    @property
    def file(self) -> str:
        """The name of the file, for one that was set aside."""
        return "" if self.aside is None else self.aside.path.name


class Recent:
    """The newest batches, bounded by their samples and their bytes."""

    def __init__(self) -> None:
        self._batches: OrderedDict[BatchKey, RawBatch] = OrderedDict()
        self._samples = 0
        self._bytes = 0

    def add(self, batch: RawBatch) -> None:
        self._batches[batch.key] = batch
        self._samples += batch.rows
        self._bytes += len(batch.blob)
        while self._samples > RECENT_SAMPLES or self._bytes > RECENT_BYTES:
            self._forget(next(iter(self._batches)))

    def get(self, key: BatchKey) -> RawBatch | None:
        return self._batches.get(key)

    def remove(self, stream: str, span: Span) -> None:
        """These are no longer stored."""
        if len(self._batches) < span.last - span.first:
            keys = [
                key for key in self._batches if key[:2] == (stream, span.lane) and span.first <= key.seq <= span.last
            ]
        else:
            keys = [BatchKey(stream, span.lane, seq) for seq in range(span.first, span.last + 1)]
        for key in keys:
            self._forget(key)

    def _forget(self, key: BatchKey) -> None:
        batch = self._batches.pop(key, None)
        if batch is not None:
            self._samples -= batch.rows
            self._bytes -= len(batch.blob)


class Shelf:
    """Gives batches by number, from memory or through the one thread that may touch the files."""

    def __init__(self, on_fault: Callable[[sqlite3.Error], None]) -> None:
        self.volumes: list[Volume] = []
        self.recent = Recent()
        self.store: Store | None = None
        self._on_fault = on_fault
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")

    @property
    def current(self) -> Volume | None:
        """The volume that new batches go to; None while there is no file to write to."""
        return self.volumes[-1] if self.store is not None else None

    async def run(self, work: Callable[[Unpack[Ts]], T], *arguments: *Ts) -> T:
        """Runs `work` on the thread; jobs run in the order of these calls."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def fetch(self, volume: Volume, lane: Lane, seqs: Sequence[int], max_bytes: int) -> Fetched:
        """These batches in order, up to `max_bytes` but at least one. Raises OutboxUnavailable."""
        found = Fetched([], [], [])
        size = place = 0
        while place < len(seqs) and size < max_bytes:
            held = self.recent.get(BatchKey(volume.stream, lane, seqs[place]))
            if held is not None:
                found.batches.append(held)
                size += len(held.blob)
                place += 1
                continue
            run = self._not_in_memory(volume, lane, seqs[place:])
            part = await self._read(volume, lane, run, max_bytes - size)
            found.batches.extend(part.batches)
            found.damaged.extend(part.damaged)
            size += sum(len(batch.blob) for batch in part.batches)
            place += len(run) - len(part.rest)
            if part.rest:
                break
        return found._replace(rest=seqs[place:])

    async def extent(self, volume: Volume, span: Span) -> Extent | None:
        """What is known of these batches, None when nothing can be read."""
        source = volume.aside or self.store
        if source is None:
            return None
        try:
            return await self.run(source.extent, span)
        except sqlite3.Error as fault:
            self._note(fault)
            return None

    def stop(self) -> None:
        """Ends the thread."""
        self._thread.shutdown()

    def _not_in_memory(self, volume: Volume, lane: Lane, seqs: Sequence[int]) -> Sequence[int]:
        for place, seq in enumerate(seqs):
            if self.recent.get(BatchKey(volume.stream, lane, seq)) is not None:
                return seqs[:place]
        return seqs

    async def _read(self, volume: Volume, lane: Lane, seqs: Sequence[int], max_bytes: int) -> Fetched:
        source = volume.aside or self.store
        if source is None:
            raise OutboxUnavailable("the outbox cannot be read at the moment")
        try:
            return await self.run(source.read, lane, seqs, max_bytes)
        except sqlite3.Error as fault:
            self._note(fault)
            raise OutboxUnavailable(f"the outbox cannot be read at the moment: {fault}") from fault

    def _note(self, fault: sqlite3.Error) -> None:
        if not disk_trouble(fault):
            self._on_fault(fault)

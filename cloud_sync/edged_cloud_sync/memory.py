"""A sink without a disk: what the uplink can be run against where there is no outbox (tests, benchmarks)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from edged.records import decode_events, decode_samples, encode_events, encode_samples
from edged.types import BatchKey, Event, Lane, Sample, SeqRange


@dataclass(frozen=True, slots=True)
class MemoryBatch:
    """One batch as a sink sees it."""

    key: BatchKey
    blob: bytes
    rows: int
    live: bool = True

    def samples(self) -> Sequence[Sample]:
        """The samples of a process batch."""
        return decode_samples(self.blob)

    def events(self) -> Sequence[Event]:
        """The events of an events batch."""
        return decode_events(self.blob)


class MemorySink:
    """Keeps batches until they are confirmed. Follows `edged.ports.Sink`; nothing survives the process."""

    def __init__(self, stream: str = "memory") -> None:
        self._stream = stream
        self._last = dict.fromkeys(Lane, 0)
        self._batches: dict[BatchKey, MemoryBatch] = {}
        self._backlog: set[BatchKey] = set()
        self._out: set[BatchKey] = set()
        self._committed = asyncio.Event()

    def add_samples(self, samples: Sequence[Sample]) -> BatchKey:
        """Commits one process batch."""
        return self.add_blob(Lane.PROCESS, encode_samples(samples), len(samples))

    def add_events(self, events: Sequence[Event]) -> BatchKey:
        """Commits one events batch."""
        return self.add_blob(Lane.EVENTS, encode_events(events), len(events))

    def add_blob(self, lane: Lane, blob: bytes, rows: int) -> BatchKey:
        """Commits one batch as it is, damaged or not."""
        self._last[lane] += 1
        key = BatchKey(self._stream, lane, self._last[lane])
        self._batches[key] = MemoryBatch(key, blob, rows)
        self._committed.set()
        return key

    async def take(self, lane: Lane, *, live: bool, max_batches: int, max_bytes: int) -> Sequence[MemoryBatch]:
        """See `Sink.take`; the first batch is taken whatever its size."""
        taken: list[MemoryBatch] = []
        size = 0
        for key in sorted(self._batches):
            if key.lane is not lane or key in self._out or (key in self._backlog) is live:
                continue
            size += len(self._batches[key].blob)
            if len(taken) >= max_batches or (taken and size > max_bytes):
                break
            taken.append(self._batches[key])
        self._out.update(batch.key for batch in taken)
        return taken

    async def wait(self, seconds: float) -> None:
        """See `Sink.wait`."""
        try:
            async with asyncio.timeout(seconds):
                await self._committed.wait()
        except TimeoutError:
            return
        self._committed.clear()

    async def confirm(self, keys: Sequence[BatchKey]) -> None:
        """See `Sink.confirm`."""
        for key in keys:
            self._batches.pop(key, None)
        self._out.difference_update(keys)
        self._backlog.difference_update(keys)

    def release(self, keys: Sequence[BatchKey]) -> None:
        """See `Sink.release`."""
        held = self._batches.keys() & keys
        self._out -= held
        self._backlog |= held

    def reopen(self) -> None:
        """See `Sink.reopen`."""
        self._out.clear()
        self._backlog = set(self._batches)

    async def unconfirm(self, since: int, until: int) -> int:
        """Confirmed batches are gone: nothing comes back, whatever the time."""
        return 0

    def depth(self, lane: Lane) -> int:
        """See `Sink.depth`."""
        return sum(key.lane is lane for key in self._batches)

    def offers(self) -> Sequence[SeqRange]:
        """See `Announcer.offers`."""
        spans = []
        for lane in Lane:
            waiting = [key.seq for key in self._batches if key.lane is lane]
            if waiting:
                spans.append(SeqRange(self._stream, lane, min(waiting), self._last[lane]))
        return spans

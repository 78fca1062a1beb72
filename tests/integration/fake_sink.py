"""An outbox of one lane in memory, with the promises of edged.ports.Sink, for tests of what drains it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from edged.ports import StoredBatch
from edged.types import BatchKey, Event, Lane, Sample


@dataclass(frozen=True, slots=True)
class FakeBatch:
    """One batch of samples."""

    key: BatchKey
    kept: tuple[Sample, ...]
    live: bool

    @property
    def blob(self) -> bytes:
        return b""

    @property
    def rows(self) -> int:
        return len(self.kept)

    def samples(self) -> Sequence[Sample]:
        return self.kept

    def events(self) -> Sequence[Event]:
        return ()


class FakeSink:
    """Keeps every batch; a batch is waiting, out or confirmed, and live or backlog."""

    def __init__(self, stream: str = "test") -> None:
        self._stream = stream
        self._batches: list[tuple[Sample, ...]] = []
        self._live_from = 1
        self._backlog: set[int] = set()
        self._out: set[int] = set()
        self._new = asyncio.Event()
        self.confirmed: set[int] = set()

    def append(self, samples: Sequence[Sample]) -> None:
        """What a commit of the outbox would do."""
        self._batches.append(tuple(samples))
        self._new.set()

    async def take(self, lane: Lane, *, live: bool, max_batches: int, max_bytes: int) -> Sequence[StoredBatch]:
        if lane != Lane.PROCESS:
            return ()
        found: list[StoredBatch] = []
        for seq in range(1, len(self._batches) + 1):
            if seq in self.confirmed or seq in self._out or self._is_live(seq) != live:
                continue
            found.append(FakeBatch(BatchKey(self._stream, lane, seq), self._batches[seq - 1], live))
            self._out.add(seq)
            if len(found) == max_batches:
                break
        return found

    async def wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._new.wait()
        except TimeoutError:
            return
        self._new.clear()

    async def confirm(self, keys: Sequence[BatchKey]) -> None:
        for key in keys:
            self._out.discard(key.seq)
            self.confirmed.add(key.seq)

    def release(self, keys: Sequence[BatchKey]) -> None:
        for key in keys:
            self._out.discard(key.seq)
            self._backlog.add(key.seq)

    def reopen(self) -> None:
        self._live_from = len(self._batches) + 1
        self._out.clear()
        self._backlog.clear()

    async def unconfirm(self, since: int, until: int) -> int:
        again = {
            seq
            for seq in self.confirmed
            if any(since <= sample.source_time <= until for sample in self._batches[seq - 1])
        }
        self.confirmed -= again
        self._backlog |= again
        return len(again)

    def depth(self, lane: Lane) -> int:
        return len(self._batches) - len(self.confirmed) if lane == Lane.PROCESS else 0

    def _is_live(self, seq: int) -> bool:
        return seq >= self._live_from and seq not in self._backlog

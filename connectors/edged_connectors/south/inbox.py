"""A bounded queue of sample lists between a protocol's callback and `read`; when full, the oldest make room."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import chain

from edged.errors import EdgedError
from edged.ports import Reading
from edged.types import Gap, Sample

QUEUE_FULL = "queue_full"


class Inbox:
    """Holds at most `capacity` samples. What is dropped is counted and told as one Gap with the next reading."""

    def __init__(self, source: str, capacity: int) -> None:
        self._source = source
        self._capacity = capacity
        self._lists: deque[Sequence[Sample]] = deque()
        self._held = 0
        self._gaps: list[Gap] = []
        self._dropped: Gap | None = None
        self._fault: EdgedError | None = None
        self._arrived = asyncio.Event()

    def put(self, samples: Sequence[Sample]) -> None:
        """Takes a list; an empty one is a sign of life."""
        if samples:
            self._lists.append(samples)
            self._held += len(samples)
            while self._held > self._capacity and len(self._lists) > 1:
                self._drop(self._lists.popleft())
        self._arrived.set()

    def tell(self, gap: Gap) -> None:
        """Takes a known loss."""
        self._gaps.append(gap)
        self._arrived.set()

    def fail(self, fault: EdgedError) -> None:
        """The connection is over: raised by `take` once everything held is taken."""
        self._fault = self._fault or fault
        self._arrived.set()

    async def take(self) -> Reading:
        """Everything that is there, or the next thing to come. Raises the fault that ended the connection."""
        await self._arrived.wait()
        self._arrived.clear()
        if self._fault is not None:
            self._arrived.set()
            if not self._lists and not self._gaps and self._dropped is None:
                raise self._fault
        gaps = [*self._gaps, self._dropped] if self._dropped is not None else self._gaps
        samples: Sequence[Sample] = ()
        if self._lists:
            samples = self._lists[0] if len(self._lists) == 1 else list(chain.from_iterable(self._lists))
        self._lists.clear()
        self._held = 0
        self._gaps = []
        self._dropped = None
        return Reading(samples, gaps)

    def _drop(self, samples: Sequence[Sample]) -> None:
        self._held -= len(samples)
        first = samples[0].receive_time if self._dropped is None else self._dropped.start
        before = 0 if self._dropped is None else self._dropped.samples or 0
        last = samples[-1].receive_time
        self._dropped = Gap(self._source, first, last, QUEUE_FULL, samples=before + len(samples))

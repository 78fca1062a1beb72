"""A road that remembers what it carried, for tests of sources without an outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from edged.types import Event, Gap, Sample


class RecordingRoad:
    """Every publish is durable at once, unless a test holds the commits back."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.restored: list[Sample] = []
        self.events: list[Event] = []
        self.calls: list[tuple[str, int, tuple[bytes, ...]]] = []
        self.commits: list[asyncio.Future[None]] = []
        self.holding = False
        self.refusals: list[Exception] = []
        self.seen_before: dict[str, int] = {}
        self.known_marks: dict[str, tuple[bytes, ...]] = {}
        self._arrived = asyncio.Event()

    @property
    def gaps(self) -> list[Gap]:
        return [event for event in self.events if isinstance(event, Gap)]

    def of(self, signal: str) -> list[Sample]:
        """What came of one signal."""
        return [sample for sample in self.samples if sample.signal == signal]

    def publish(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        self.samples.extend(samples)
        self.calls.append((source, len(samples), tuple(marks)))
        self._arrived.set()
        return self._commit()

    def restore(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        self.restored.extend(samples)
        return self.publish(source, samples, marks)

    def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> Awaitable[None]:
        if self.refusals:
            raise self.refusals.pop(0)
        self.events.extend(events)
        self.calls.append((source, 0, tuple(marks)))
        self._arrived.set()
        return self._commit()

    def marks(self, source: str) -> Sequence[bytes]:
        return self.known_marks.get(source, ())

    def last_seen(self, source: str) -> int | None:
        return self.seen_before.get(source)

    def commit(self) -> None:
        """Everything held back becomes durable."""
        for commit in self.commits:
            if not commit.done():
                commit.set_result(None)
        self.commits.clear()

    async def until(self, enough: Callable[[], bool], seconds: float = 10.0) -> None:
        """Waits for something to be on the road. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not enough():
                self._arrived.clear()
                await self._arrived.wait()

    def _commit(self) -> asyncio.Future[None]:
        commit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.holding:
            self.commits.append(commit)
        else:
            commit.set_result(None)
        return commit

"""Time is injected: wall time for stamps, monotonic time for intervals, virtual time for tests."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol

from edged.types import NANOSECONDS_PER_SECOND


class Clock(Protocol):
    """What a component may know of time."""

    def now(self) -> int:
        """Wall time in ns UTC, for stamps only: it can jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for intervals and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits on the monotonic clock."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualClock:
    """Time that stands still until `advance` moves it; sleepers wake in order. `jump` parts wall from monotonic."""

    def __init__(self, now: int = 1_767_225_600 * NANOSECONDS_PER_SECOND) -> None:
        self._wall = now
        self._monotonic = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), wake))
        await wake

    def jump(self, seconds: float) -> None:
        """Moves wall time only, as an administrator or NTP would."""
        self._wall += round(seconds * NANOSECONDS_PER_SECOND)

    def tick(self, seconds: float) -> None:
        """Moves both clocks without letting any task run: for pure, synchronous tests."""
        self._monotonic += seconds
        self._wall += round(seconds * NANOSECONDS_PER_SECOND)

    async def advance(self, seconds: float) -> None:
        """Moves both clocks, waking every sleeper on the way and letting it run."""
        target = self._monotonic + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, wake = heapq.heappop(self._sleepers)
            self.tick(due - self._monotonic)
            if not wake.done():
                wake.set_result(None)
            await self._settle()
        self.tick(target - self._monotonic)
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(SETTLE_ROUNDS):
            await asyncio.sleep(0)


SETTLE_ROUNDS = 20
"""Turns of the event loop given to woken tasks: more than any chain of awaits in our tests needs."""

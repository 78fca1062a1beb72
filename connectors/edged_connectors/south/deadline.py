"""A time limit on the injected clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from edged.clock import Clock
from edged.supervise import start_task


@asynccontextmanager
async def deadline(clock: Clock, expiry: Callable[[], float]) -> AsyncIterator[None]:
    """Cancels the body and raises TimeoutError once the clock reaches `expiry()`, which may move meanwhile."""
    async with asyncio.timeout(None) as limit:
        timer = start_task("deadline", _watch(clock, expiry, limit))
        try:
            yield
        finally:
            timer.cancel()
            await asyncio.wait({timer})


def within(clock: Clock, seconds: float) -> Callable[[], float]:
    """An expiry that does not move: `seconds` from now."""
    end = clock.monotonic() + seconds
    return lambda: end


async def _watch(clock: Clock, expiry: Callable[[], float], limit: asyncio.Timeout) -> None:
    while (left := expiry() - clock.monotonic()) > 0:
        await clock.sleep(left)
    limit.reschedule(asyncio.get_running_loop().time())

"""A source at work against a counting server, and what its road tells."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

from edged.clock import SystemClock
from edged.metrics import Metrics
from edged.registry import SourceSetup
from edged.types import Quality, Sample, Signal
from edged_connectors.south.opcua import KIND
from edged_connectors.south.runner import SourceRunner
from tests.integration.opcua_rig import signal_of
from tests.integration.recording_road import RecordingRoad


@asynccontextmanager
async def running(
    setup: SourceSetup, road: RecordingRoad, silence_seconds: float = 10.0
) -> AsyncIterator[SourceRunner]:
    """A runner at work."""
    runner = SourceRunner(
        name="plc",
        signals=[binding.signal for binding in setup.bindings],
        build=lambda: KIND.build(setup),
        road=road,
        clock=SystemClock(),
        metrics=Metrics(),
        silence_seconds=silence_seconds,
        skew_limit_seconds=3600.0,
    )
    task = asyncio.get_running_loop().create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.wait({task})


def counters(number: int) -> list[Signal]:
    """Signals of the server's counters."""
    return [signal_of(f"c{i}") for i in range(number)]


def good(road: RecordingRoad, since: int = 0) -> int:
    """How many good values came after a moment."""
    return sum(s.quality == Quality.GOOD and s.receive_time > since for s in road.samples)


async def fresh(road: RecordingRoad, seconds: float = 10.0) -> float:
    """Waits for values made from now on; returns how long that took."""
    started, now = time.monotonic(), SystemClock().now()
    await road.until(lambda: good(road, now) > 0, seconds)
    return time.monotonic() - started


def missing_steps(road: RecordingRoad, signal: str) -> list[tuple[int, int]]:
    """The source times between which a counter of the server jumped."""
    counts = [(s.source_time, float(s.value)) for s in road.of(signal) if s.quality == Quality.GOOD and s.value]
    return [(a[0], b[0]) for a, b in pairwise(counts) if b[1] != a[1] + 1.0]


def settled_gaps(road: RecordingRoad) -> int:
    """How many gaps were filled or recorded, of those that waited for the source's history."""
    return sum(mark.startswith(b"gap-settled") for _, _, marks in road.calls for mark in marks)


def lost_and_doubled(samples: Sequence[Sample], signals: Sequence[Signal]) -> tuple[int, int]:
    """Counts that are missing between the first and the last of each counter, and counts that came more than once."""
    lost = doubled = 0
    for signal in signals:
        seen = Counter(int(s.value or 0) for s in samples if s.signal == signal.path and s.quality == Quality.GOOD)
        lost += max(seen) - min(seen) + 1 - len(seen)
        doubled += seen.total() - len(seen)
    return lost, doubled

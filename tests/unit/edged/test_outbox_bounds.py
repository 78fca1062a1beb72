"""What is known of the times in an outbox file without the file: never too narrow, a few seconds too wide at most."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.clock import VirtualClock
from edged.outbox_bounds import MOST_STEPS, NARROWED_BY_NS, STEP_NS, Horizon, bounds_path, read_bounds
from edged.types import NANOSECONDS_PER_SECOND, Lane, Sample
from tests.unit.edged.outbox_bench import committed, drain, opened, query

COMMITS = 60
COMMIT_SECONDS = 0.2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@given(st.lists(st.tuples(st.integers(0, 100 * STEP_NS), st.integers(0, 3)), max_size=60))
def test_the_horizon_is_never_too_late(batches: list[tuple[int, int]]) -> None:
    horizon, stored = Horizon(), dict[int, int]()
    for seq, (first, removed) in enumerate(batches):
        horizon.add(seq, first)
        stored[seq] = first
        for gone in list(stored)[:removed]:
            del stored[gone]
        if stored:
            horizon.drop_before(min(stored))
            assert horizon.oldest is not None
            assert min(stored.values()) - STEP_NS <= horizon.oldest <= min(stored.values())


def test_the_horizon_stays_small() -> None:
    horizon = Horizon()
    count = 3 * MOST_STEPS
    for seq in range(count):
        horizon.add(seq, seq * STEP_NS)
    assert len(horizon._steps) <= MOST_STEPS
    for seq in range(0, count, 100):
        horizon.drop_before(seq)
        assert horizon.oldest is not None
        assert horizon.oldest <= seq * STEP_NS


@pytest.mark.parametrize("seed", range(5))
async def test_every_commit_is_within_the_bounds(path: Path, seed: int) -> None:
    """Sources are late, early, and tell of hours ago; the wall clock jumps; the hub confirms now and then."""
    rng, clock = random.Random(seed), VirtualClock()
    for _ in range(3):
        async with opened(path, clock) as outbox:
            sink = outbox.sink("hub")
            for _ in range(COMMITS):
                lag = rng.choice([0.0, 0.3, -0.5, 2.0, *([7200.0] * (rng.random() < 0.1))])
                time = clock.now() - round(lag * NANOSECONDS_PER_SECOND)
                await committed(outbox, outbox.append("a", [Sample("s", 1.0, time, clock.now())]))
                ((first, spread),) = await query(
                    outbox,
                    "SELECT min(first_time), max(max(committed - first_time, last_time - committed)) FROM batch",
                )
                known = read_bounds(path)
                assert known is not None
                assert known.stream == outbox.stream
                assert known.oldest[Lane.PROCESS] <= first
                assert known.spread >= spread
                if rng.random() < 0.2:
                    await drain(sink)
                if rng.random() < 0.05:
                    clock.jump(rng.choice([-86_400.0, 86_400.0]))
                await clock.advance(COMMIT_SECONDS)


async def test_it_follows_what_the_hub_has_confirmed_and_is_seldom_written(path: Path) -> None:
    clock, written = VirtualClock(), set[int]()
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        for _ in range(COMMITS):
            await committed(outbox, outbox.append("a", [Sample("s", 1.0, clock.now(), clock.now())]))
            await drain(sink)
            await clock.advance(COMMIT_SECONDS)
            written.add(bounds_path(path).stat().st_mtime_ns)
    known = read_bounds(path)
    assert known is not None
    assert clock.now() - known.oldest[Lane.PROCESS] < 2 * NARROWED_BY_NS
    assert 0 <= clock.now() - known.sources["a"] < 2 * NARROWED_BY_NS
    assert len(written) <= COMMITS * COMMIT_SECONDS * NANOSECONDS_PER_SECOND / NARROWED_BY_NS + 1


async def test_damage_of_the_bounds_is_seen(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock) as outbox:
        await committed(outbox, outbox.append("a", [Sample("s", 1.0, clock.now(), clock.now())]))
    file = bounds_path(path)
    content, known = file.read_bytes(), read_bounds(path)
    assert known is not None
    for place in range(len(content)):
        for damaged in (content[:place], content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]):
            file.write_bytes(damaged)
            assert read_bounds(path) in (None, known)

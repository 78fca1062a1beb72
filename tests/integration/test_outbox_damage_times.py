"""The Gap of a damaged file covers what is really lost of it, and little more: real files with torn pages."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from edged.clock import VirtualClock
from edged.outbox_bounds import bounds_path
from edged.outbox_schema import PAGE_BYTES, companions
from edged.outbox_wal import last_commit_frame
from edged.types import NANOSECONDS_PER_SECOND, Gap, Lane, Sample
from tests.unit.edged.outbox_bench import committed, drain, gaps, opened, take

SECONDS = 250
CONFIRMED = 100
"""Seconds that the hub has; then it is away."""
DOWN_SECONDS = 3.0
MOST_EXCESS_SECONDS = 5.0
WAL_HEADER_BYTES, WAL_FRAME_BYTES = 32, 24 + PAGE_BYTES
LAGS_SECONDS = (0.05, 0.9)
"""How far two sources are behind."""


class Held(NamedTuple):
    """What the file held that the hub did not have: source times by number; when it was started again."""

    stream: str
    owed: dict[int, list[int]]
    file: Path


async def at_work(folder: Path, clock: VirtualClock, *, crashed: bool) -> Held:
    """A second per batch, two sources that are differently late; the hub goes away before the end."""
    rng, made = random.Random(1), folder / "made.db"
    owed: dict[int, list[int]] = {}
    async with opened(made, clock) as outbox:
        sink = outbox.sink("hub")
        for second in range(SECONDS):
            times = [clock.now() - round(lag * NANOSECONDS_PER_SECOND) for lag in LAGS_SECONDS]
            samples = [Sample("s", rng.randbytes(1500).hex(), time, clock.now()) for time in times]
            await committed(outbox, outbox.append("a", samples))
            owed[second + 1] = times
            if second < CONFIRMED:
                owed.clear()
                await drain(sink)
            await clock.advance(1.0)
        if crashed:
            copy(made, folder / "outbox.db")
    if not crashed:
        copy(made, folder / "outbox.db")
        with closing(sqlite3.connect(folder / "outbox.db")) as connection, connection:
            connection.execute("UPDATE meta SET value = '0' WHERE key = 'clean'")
    await clock.advance(DOWN_SECONDS)
    return Held(outbox.stream, owed, folder / "outbox.db")


def copy(made: Path, target: Path) -> None:
    """Database, log and bounds."""
    for one, other in (
        (made, target),
        (companions(made)[0], companions(target)[0]),
        (bounds_path(made), bounds_path(target)),
    ):
        if one.exists():
            shutil.copy(one, other)


def garbage(path: Path, offset: int, length: int) -> None:
    """What a disk gives back that has forgotten."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(random.Random(offset).randbytes(length))


def pages_of(path: Path, table: str) -> list[int]:
    """The pages of a table, its root first: found by their content, since the file is sound."""
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    content = path.read_bytes()
    page = content[(root - 1) * PAGE_BYTES : root * PAGE_BYTES]
    if page[0] != 5:
        return [root]
    cells = [int.from_bytes(page[12 + 2 * n : 14 + 2 * n], "big") for n in range(int.from_bytes(page[3:5], "big"))]
    children = [int.from_bytes(page[at : at + 4], "big") for at in cells]
    return [root, *children, int.from_bytes(page[8:12], "big")]


def tear_root(path: Path) -> None:
    garbage(path, (pages_of(path, "batch")[0] - 1) * PAGE_BYTES, PAGE_BYTES)


def tear_leaf(path: Path) -> None:
    garbage(path, (pages_of(path, "batch")[-2] - 1) * PAGE_BYTES, PAGE_BYTES)


def tear_last_leaf(path: Path) -> None:
    garbage(path, (pages_of(path, "batch")[-1] - 1) * PAGE_BYTES, PAGE_BYTES)


def tear_batches_and_blobs(path: Path) -> None:
    tear_root(path)
    for page in pages_of(path, "blob")[40:60]:
        garbage(path, (page - 1) * PAGE_BYTES, PAGE_BYTES)


def tear_heads(path: Path) -> None:
    garbage(path, (pages_of(path, "lane")[0] - 1) * PAGE_BYTES, PAGE_BYTES)


def tear_heads_and_batches(path: Path) -> None:
    tear_heads(path)
    tear_root(path)


def tear_sinks(path: Path) -> None:
    garbage(path, (pages_of(path, "sink")[0] - 1) * PAGE_BYTES, PAGE_BYTES)
    tear_heads_and_batches(path)


def tear_schema(path: Path) -> None:
    garbage(path, 0, PAGE_BYTES)


def tear_schema_and_batches(path: Path) -> None:
    tear_root(path)
    tear_schema(path)


def tear_everything(path: Path) -> None:
    garbage(path, 0, path.stat().st_size)


TEARS = (
    tear_root,
    tear_leaf,
    tear_last_leaf,
    tear_batches_and_blobs,
    tear_heads,
    tear_heads_and_batches,
    tear_schema,
    tear_schema_and_batches,
)


def covers(gap: Gap, held: Held, seq: int, time: int) -> bool:
    """Whether it tells of a sample of the file."""
    named = gap.stream in ("", held.stream) and (not gap.lane or gap.first_seq <= seq <= gap.last_seq)
    return gap.source == "outbox" and named and gap.start <= time <= gap.end


async def outcome(held: Held, clock: VirtualClock) -> tuple[dict[int, list[int]], list[Gap]]:
    """What never came, and what was told."""
    async with opened(held.file, clock) as outbox:
        sink = outbox.sink("hub")
        came = {batch.key.seq for batch in await drain(sink) if batch.key.stream == held.stream}
        await outbox.flush()
        told = gaps(await drain(sink, Lane.EVENTS))
        assert await take(sink) == []
    return {seq: times for seq, times in held.owed.items() if seq not in came}, told


def excess_seconds(lost: dict[int, list[int]], told: Sequence[Gap], stopped: int) -> float:
    """How much earlier the gaps begin, or how much longer they are, than what is lost, or may be, at the end."""
    if not told:
        return 0.0
    times = sorted(time for of_batch in lost.values() for time in of_batch) or [stopped]
    to_restart = any(not gap.lane for gap in told)
    first, last = min(gap.start for gap in told), max(gap.end for gap in told)
    late = 0 if to_restart else last - times[-1]
    return max(times[0] - first, late) / NANOSECONDS_PER_SECOND


@pytest.mark.parametrize("tear", TEARS)
async def test_a_gap_covers_what_is_lost_and_little_more(tmp_path: Path, tear: Callable[[Path], None]) -> None:
    clock = VirtualClock()
    held = await at_work(tmp_path, clock, crashed=False)
    tear(held.file)
    lost, told = await outcome(held, clock)
    check_covered(lost, told, held)
    stopped = clock.now() - round(DOWN_SECONDS * NANOSECONDS_PER_SECOND)
    assert excess_seconds(lost, told, stopped) <= MOST_EXCESS_SECONDS


@pytest.mark.parametrize("tear", [tear_sinks, tear_everything])
async def test_where_nobody_knows_what_the_hub_has_the_gap_begins_when_the_hub_went_away(
    tmp_path: Path, tear: Callable[[Path], None]
) -> None:
    clock = VirtualClock()
    held = await at_work(tmp_path, clock, crashed=False)
    tear(held.file)
    lost, told = await outcome(held, clock)
    check_covered(lost, told, held)
    assert excess_seconds(held.owed, told, clock.now()) <= MOST_EXCESS_SECONDS


async def test_the_sources_are_remembered_beyond_the_file(tmp_path: Path) -> None:
    clock = VirtualClock()
    held = await at_work(tmp_path, clock, crashed=False)
    tear_everything(held.file)
    last = max(time for times in held.owed.values() for time in times)
    async with opened(held.file, clock) as outbox:
        seen = outbox.last_seen("a")
        assert seen is not None
        assert last - MOST_EXCESS_SECONDS * NANOSECONDS_PER_SECOND <= seen <= clock.now()


async def test_a_torn_log_is_told_from_the_last_batch_that_can_be_read(tmp_path: Path) -> None:
    clock = VirtualClock()
    held = await at_work(tmp_path, clock, crashed=True)
    log = companions(held.file)[0]
    garbage(log, WAL_HEADER_BYTES + last_commit_frame(log) * 9 // 10 * WAL_FRAME_BYTES, 64)
    lost, told = await outcome(held, clock)
    assert lost
    check_covered(lost, told, held)
    assert excess_seconds(lost, told, clock.now()) <= MOST_EXCESS_SECONDS


async def test_without_its_bounds_a_file_that_is_gone_is_told_as_far_back_as_anything_is_kept(tmp_path: Path) -> None:
    clock = VirtualClock()
    held = await at_work(tmp_path, clock, crashed=False)
    tear_everything(held.file)
    bounds_path(held.file).write_text("00000000 {}", encoding="ascii")
    lost, told = await outcome(held, clock)
    check_covered(lost, told, held)


def check_covered(lost: dict[int, list[int]], told: Sequence[Gap], held: Held) -> None:
    """No sample is lost without a Gap."""
    for seq, times in lost.items():
        for time in times:
            assert any(covers(gap, held, seq, time) for gap in told), (seq, time)

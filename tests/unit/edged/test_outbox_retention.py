"""What leaves by the caps, oldest process values first, and what is said of it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.outbox import Outbox
from edged.outbox_group import Group
from edged.types import Alarm, AlarmState, Gap, Lane, Priority
from tests.unit.edged.outbox_bench import (
    all_events,
    committed,
    drain,
    gaps,
    noise_of,
    opened,
    put,
    seqs,
    take,
)
from tests.unit.edged.outbox_witness import copy_folder, unwatch, witness

DAY = 86_400.0
CAP = 1_000_000
ALARM = Alarm("hot", "line/oven/temperature", AlarmState.UNACKNOWLEDGED, Priority.HIGH, "too hot", 5)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


async def fill(outbox: Outbox, batches: int, first: int = 0) -> None:
    """Batches of about 40 kB, ten samples each."""
    for number in range(first, first + batches):
        await committed(outbox, outbox.append("a", noise_of(10, start=10 * number, size=4000)))
        await outbox.flush()


async def test_beyond_the_cap_of_bytes_the_oldest_values_go_with_a_gap(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, cap_bytes=CAP) as outbox:
        sink = outbox.sink("hub")
        await outbox.record([ALARM])
        await fill(outbox, 60)
        assert outbox.status().bytes <= CAP
        batches = await drain(sink)
        kept = seqs(batches)
        assert kept == list(range(kept[0], 61))
        assert kept[0] > 20
        events = await drain(sink, Lane.EVENTS)
        assert all_events(events)[0] == ALARM
        told = gaps(events)
        assert [(gap.source, gap.reason, gap.stream, gap.lane) for gap in told] == [
            ("outbox", "cap_bytes", outbox.stream, "process")
        ] * len(told)
        lost = [number for gap in told for number in range(gap.first_seq, gap.last_seq + 1)]
        assert lost == list(range(1, kept[0]))
        assert sum(gap.samples or 0 for gap in told) == 10 * len(lost)
        assert [(gap.start, gap.end) for gap in told] == [
            (10 * (gap.first_seq - 1), 10 * gap.last_seq - 1) for gap in told
        ]


async def test_events_go_only_when_no_values_are_left(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, cap_bytes=CAP) as outbox:
        sink = outbox.sink("hub")
        for number in range(20):
            long = str(noise_of(1, number, 160_000)[0].value)
            await outbox.record([ALARM, Gap(long, 0, 1, "r")])
            await outbox.flush()
        assert outbox.status().bytes <= CAP
        kept = await drain(sink, Lane.EVENTS)
        lost = [
            number
            for gap in gaps(kept)
            if gap.reason == "cap_bytes"
            for number in range(gap.first_seq, gap.last_seq + 1)
        ]
        assert lost
        assert sorted(lost + seqs(kept)) == list(range(1, outbox.status().lanes[1].head + 1))


async def test_values_that_everybody_has_are_no_loss(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, cap_bytes=CAP) as outbox:
        sink = outbox.sink("hub", hold_seconds=1000.0)
        for number in range(40):
            await fill(outbox, 1, first=number)
            await drain(sink)
        assert outbox.status().bytes <= CAP * 1.1
        assert await drain(sink, Lane.EVENTS) == []


async def test_beyond_the_cap_of_age_values_go_with_a_gap(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, cap_age_seconds=DAY) as outbox:
        sink = outbox.sink("hub")
        await put(outbox, count=3)
        await clock.advance(DAY / 2)
        await put(outbox, start=10)
        await clock.advance(DAY * 0.6)
        await put(outbox, start=20)
        await outbox.flush()
        assert seqs(await take(sink)) == [2, 3]
        (gap,) = gaps(await drain(sink, Lane.EVENTS))
        assert gap == Gap("outbox", 0, 2, "cap_age", outbox.stream, "process", 1, 1, 3)


async def test_age_is_that_of_earlier_runs_too(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        outbox.sink("hub")
        await put(outbox, count=3)
    await clock.advance(2 * DAY)
    async with opened(path, clock, cap_age_seconds=DAY) as outbox:
        sink = outbox.sink("hub")
        await put(outbox, start=10)
        await outbox.flush()
        assert seqs(await take(sink)) == [2]
        assert len(gaps(await drain(sink, Lane.EVENTS))) == 1


async def test_a_wall_clock_that_jumps_ages_nothing_of_this_run(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, cap_age_seconds=DAY) as outbox:
        sink = outbox.sink("hub")
        await put(outbox, count=3)
        clock.jump(365 * DAY)
        await clock.advance(DAY / 10)
        await put(outbox, start=10)
        await outbox.flush()
        assert seqs(await take(sink)) == [1, 2]
        assert await drain(sink, Lane.EVENTS) == []


@pytest.mark.parametrize("clean", [True, False])
async def test_a_restart_while_the_wall_clock_is_a_day_ahead_ages_nothing(
    path: Path, clock: VirtualClock, tmp_path: Path, *, clean: bool
) -> None:
    async with opened(path, clock) as outbox:
        outbox.sink("sparkplug", cap_age_seconds=DAY)
        await put(outbox, count=3)
        await clock.advance(DAY / 2)
        await put(outbox, start=10)
        clock.jump(DAY)
        if not clean:
            copy_folder(tmp_path, tmp_path / "crashed")
    path = path if clean else tmp_path / "crashed" / path.name
    async with opened(path, clock) as outbox:
        other = outbox.sink("sparkplug", cap_age_seconds=DAY)
        await put(outbox, start=20)
        await outbox.flush()
        assert seqs(await take(other)) == [1, 2, 3]
        clock.jump(-DAY)
        await clock.advance(DAY * 0.6)
        await put(outbox, start=30)
        await outbox.flush()
        other.reopen()
        assert 3 in seqs(await take(other))


async def test_what_is_of_an_earlier_boot_is_not_aged_by_a_jump_of_this_run(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        outbox.sink("sparkplug", cap_age_seconds=DAY)
        await put(outbox)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = replace(value, '-', '+') WHERE key = 'ages'")
    connection.close()
    async with opened(path, clock) as outbox:
        other = outbox.sink("sparkplug", cap_age_seconds=DAY)
        clock.jump(2 * DAY)
        await put(outbox, start=10)
        await outbox.flush()
        assert seqs(await take(other)) == [1, 2]


async def test_what_was_committed_a_day_ahead_goes_when_it_is_old_all_the_same(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, cap_age_seconds=DAY) as outbox:
        sink = outbox.sink("hub")
        clock.jump(10 * DAY)
        await put(outbox)
        clock.jump(-10 * DAY)
        await clock.advance(DAY + 1000)
        await put(outbox, start=10)
        await outbox.flush()
        assert seqs(await take(sink)) == [2]
        (gap,) = gaps(await drain(sink, Lane.EVENTS))
        assert (gap.reason, gap.first_seq, gap.last_seq) == ("cap_age", 1, 1)


async def test_a_gap_and_what_it_gives_up_are_one_commit(path: Path, clock: VirtualClock, tmp_path: Path) -> None:
    """Also when the disk refused in between: the attempt that finds it writable again takes both."""
    async with opened(path, clock, cap_age_seconds=DAY) as outbox:
        outbox.sink("hub")
        await put(outbox, count=3)
        await clock.advance(DAY + 1000)
        store = outbox._writer.shelf.store
        assert store is not None
        connection, heard = store._connection, [""]

        def refuse_after_a_commit() -> None:
            connection.set_trace_callback(heard.append)
            connection.set_progress_handler(lambda: int("COMMIT" in heard and heard[-1].startswith("BEGIN")), 1)

        await outbox._writer.shelf.run(refuse_after_a_commit)
        await put(outbox, start=10)
        await outbox.flush()
        assert not outbox.writable
        await outbox._writer.shelf.run(lambda: unwatch(connection))
        await outbox._writer._commit(Group(), probe=True)
        copy_folder(tmp_path, tmp_path / "crashed")
    async with opened(tmp_path / "crashed" / path.name, clock, cap_age_seconds=DAY) as outbox:
        sink = outbox.sink("hub")
        there, told = seqs(await take(sink)), gaps(await drain(sink, Lane.EVENTS))
        assert (1 in there) != any(gap.first_seq == 1 for gap in told)


@pytest.mark.parametrize("moment", range(90, 150, 4))
async def test_a_crash_while_a_damaged_batch_is_given_up_loses_no_gap(
    path: Path, clock: VirtualClock, tmp_path: Path, moment: int
) -> None:
    async with opened(path, clock) as outbox:
        outbox.sink("hub")
        for start in range(3):
            await put(outbox, start=start)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE blob SET crc = crc + 1 WHERE id = 2")
    connection.close()
    crashed = tmp_path / "crashed"
    with witness(tmp_path, crashed, moment) as seen:
        async with opened(path, clock) as outbox, asyncio.TaskGroup() as tasks:
            sink = outbox.sink("hub")
            await put(outbox, start=3)
            tasks.create_task(take(sink))
            for start in range(4, 8):
                await put(outbox, start=start)
    if not seen.taken:
        copy_folder(tmp_path, crashed)
    async with opened(crashed / path.name, clock) as outbox:
        sink = outbox.sink("hub")
        assert {1, 3} <= set(seqs(await take(sink)))
        await outbox.flush()
        told = gaps(await drain(sink, Lane.EVENTS))
        assert [(gap.reason, gap.first_seq, gap.last_seq) for gap in told] == [("record_damaged", 2, 2)]


async def test_a_secondary_sink_pins_nothing_beyond_its_own_age(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        hub = outbox.sink("hub")
        other = outbox.sink("sparkplug", cap_age_seconds=DAY, lanes=[Lane.PROCESS])
        await put(outbox, count=3)
        await drain(hub)
        await clock.advance(DAY + 1000)
        await put(outbox, start=10)
        await outbox.flush()
        assert seqs(await take(other)) == [2]
        assert outbox.status().lanes[0].batches == 1
        (gap,) = gaps(await drain(hub, Lane.EVENTS))
        assert gap == Gap("outbox/sparkplug", 0, 2, "cap_age", samples=3)


async def test_what_a_secondary_sink_gave_up_stays_given_up(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        outbox.sink("hub")
        outbox.sink("sparkplug", cap_age_seconds=DAY)
        await put(outbox)
        await clock.advance(DAY + 1000)
        await put(outbox)
        await outbox.flush()
    async with opened(path, clock) as outbox:
        assert seqs(await take(outbox.sink("sparkplug", cap_age_seconds=DAY))) == [2]
        assert seqs(await take(outbox.sink("hub"))) == [1, 2]


async def test_without_sinks_the_caps_hold_as_well(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, cap_bytes=CAP, cap_age_seconds=DAY) as outbox:
        await fill(outbox, 40)
        assert outbox.status().bytes <= CAP
        assert outbox.status().lanes[1].head == 0
        await clock.advance(DAY + 1000)
        await put(outbox)
        await outbox.flush()
        await put(outbox)
        assert outbox.status().lanes[0].batches <= 2

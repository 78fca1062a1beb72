"""What the outbox promises to those who append and to those who take."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.errors import OutboxUnavailable
from edged.metrics import Metrics
from edged.outbox import Outbox
from edged.ports import MARKS_KEPT, Announcer, Recorder, Sink
from edged.settings import OutboxSettings
from edged.types import Alarm, AlarmState, Gap, Lane, Priority, Quality, Sample, SeqRange
from tests.unit.edged.outbox_bench import (
    COMMIT_SECONDS,
    PLENTY,
    all_events,
    committed,
    drain,
    limit_pages,
    noise_of,
    opened,
    put,
    query,
    samples_of,
    seqs,
    take,
    values,
)

ALARM = Alarm("hot", "line/oven/temperature", AlarmState.UNACKNOWLEDGED, Priority.HIGH, "too hot", 5)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


async def test_a_group_is_committed_when_its_time_is_up(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, commit_seconds=COMMIT_SECONDS) as outbox:
        first = outbox.append("a", samples_of(3))
        await clock.advance(COMMIT_SECONDS / 2)
        second = outbox.append("b", samples_of(2))
        assert outbox.status().commits == 0
        await clock.advance(COMMIT_SECONDS / 2)
        await first
        await second
        assert outbox.status().commits == 1
        assert outbox.status().lanes[0].samples == 5


async def test_a_full_group_is_committed_at_once(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, commit_samples=10) as outbox:
        waiting = outbox.append("a", samples_of(9))
        await asyncio.sleep(0.02)
        assert outbox.status().commits == 0
        await outbox.append("a", samples_of(1))
        await waiting


async def test_events_are_committed_at_once_and_take_the_group_along(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        waiting = outbox.append("a", samples_of(2))
        await outbox.record([ALARM, Gap("a", 1, 2, "overflow")])
        await waiting
        sink.reopen()
        assert all_events(await drain(sink, Lane.EVENTS)) == [ALARM, Gap("a", 1, 2, "overflow")]
        assert values(await drain(sink)) == [0.0, 1.0]


async def test_a_group_after_an_early_commit_waits_no_longer_than_any_other(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, commit_seconds=COMMIT_SECONDS, commit_samples=10) as outbox:
        await outbox.record([ALARM])
        await outbox.append("a", samples_of(10))
        await clock.advance(COMMIT_SECONDS / 4)
        waiting = outbox.append("a", samples_of(1))
        await clock.advance(COMMIT_SECONDS)
        await waiting


async def test_nothing_appended_is_durable_already(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        await outbox.append("a", [])
        assert outbox.status().commits == 0


async def test_a_waiter_that_is_cancelled_takes_nobody_along(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        other = outbox.append("b", samples_of(1))

        async def wait() -> None:
            await outbox.append("a", samples_of(1))

        async with asyncio.TaskGroup() as tasks:
            waiter = tasks.create_task(wait())
            await asyncio.sleep(0)
            waiter.cancel()
        await committed(outbox, other)
        assert outbox.status().lanes[0].samples == 2


async def test_what_was_committed_is_there_after_a_restart(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        stream = outbox.stream
        sink = outbox.sink("hub")
        for start in range(5):
            await put(outbox, start=start)
        await outbox.record([ALARM])
        await sink.confirm([batch.key for batch in await take(sink, count=2)])
    async with opened(path, clock) as outbox:
        assert outbox.stream == stream
        sink = outbox.sink("hub")
        assert sink.depth(Lane.PROCESS) == 3
        await put(outbox, start=5)
        batches = await drain(sink)
        assert seqs(batches) == [3, 4, 5, 6]
        assert values(batches) == [2.0, 3.0, 4.0, 5.0]
        assert [batch.key.stream for batch in batches] == [stream] * 4
        assert seqs(await drain(sink, Lane.EVENTS)) == [1]


async def test_numbers_go_on_after_everything_was_removed(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await put(outbox)
        await drain(sink)
        await outbox.flush()
        assert outbox.status().lanes[0].batches == 0
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await put(outbox)
        assert seqs(await drain(sink)) == [2]


async def test_what_must_not_be_stored_is_repaired_for_everyone(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        sink.reopen()
        waiting = outbox.append("a", [Sample("s", math.nan, 1, 2), Sample("s", 1.5, 2, 3)])
        await committed(outbox, waiting)
        (batch,) = await take(sink, live=True)
        mended = [Sample("s", None, 1, 2, Quality.BAD, "not_finite"), Sample("s", 1.5, 2, 3)]
        assert list(batch.samples()) == mended
        sink.release([batch.key])
    async with opened(path, clock) as outbox:
        (batch,) = await take(outbox.sink("hub"))
        assert list(batch.samples()) == mended
        assert batch.rows == 2


async def test_long_groups_become_several_batches(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await put(outbox, count=10_000)
        batches = await drain(sink)
        assert len(batches) == 3
        assert values(batches) == [float(number) for number in range(10_000)]


async def test_very_long_values_become_several_batches(path: Path, clock: VirtualClock) -> None:
    long = [Sample("s", f"{number:04d}" * 50_000, number, number) for number in range(40)]
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await committed(outbox, outbox.append("a", long))
        batches = await drain(sink)
        assert len(batches) > 1
        assert [sample for batch in batches for sample in batch.samples()] == long


async def test_last_seen_and_marks_are_those_of_durable_data(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        waiting = outbox.append("a", samples_of(3, start=7), marks=[b"one", b"two"])
        assert outbox.last_seen("a") is None
        assert outbox.marks("a") == ()
        await committed(outbox, waiting)
        await outbox.record([ALARM], "a", [b"three"])
        assert outbox.last_seen("a") == 9
        assert outbox.last_seen("b") is None
        assert outbox.marks("a") == (b"one", b"two", b"three")
    async with opened(path, clock) as outbox:
        assert outbox.last_seen("a") == 9
        assert outbox.marks("a") == (b"one", b"two", b"three")
        assert outbox.marks("b") == ()


async def test_only_the_last_marks_are_kept(path: Path, clock: VirtualClock) -> None:
    every = [b"%d" % number for number in range(3 * MARKS_KEPT)]
    async with opened(path, clock) as outbox:
        for start in range(0, len(every), 700):
            await committed(outbox, outbox.append("a", samples_of(1), every[start : start + 700]))
        assert list(outbox.marks("a")) == every[-MARKS_KEPT:]
    async with opened(path, clock) as outbox:
        assert list(outbox.marks("a")) == every[-MARKS_KEPT:]
        ((rows,),) = await query(outbox, "SELECT count(*) FROM mark")
        assert rows <= MARKS_KEPT // 700 + 2


async def test_live_and_backlog_are_apart(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await put(outbox)
        await put(outbox)
        sink.reopen()
        await put(outbox)
        live, backlog = await take(sink, live=True), await take(sink)
        assert seqs(live) == [3]
        assert seqs(backlog) == [1, 2]
        assert [batch.live for batch in live + backlog] == [True, False, False]
        assert await take(sink, live=True) == await take(sink) == []
        sink.release([live[0].key, backlog[1].key])
        assert await take(sink, live=True) == []
        assert seqs(await take(sink)) == [2, 3]
        sink.reopen()
        assert seqs(await take(sink)) == [1, 2, 3]
        assert sink.depth(Lane.PROCESS) == 3


async def test_takes_are_bounded_by_batches_and_by_bytes_but_not_empty(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        for start in range(6):
            await put(outbox, start=start)
        assert seqs(await sink.take(Lane.PROCESS, live=False, max_batches=2, max_bytes=PLENTY)) == [1, 2]
        (third,) = await sink.take(Lane.PROCESS, live=False, max_batches=9, max_bytes=1)
        assert third.key.seq == 3
        size = len(third.blob)
        assert seqs(await sink.take(Lane.PROCESS, live=False, max_batches=9, max_bytes=size + 1)) == [4, 5]
        assert not await sink.take(Lane.PROCESS, live=False, max_batches=0, max_bytes=PLENTY)
        assert not await sink.take(Lane.PROCESS, live=False, max_batches=9, max_bytes=0)
        assert seqs(await take(sink)) == [6]


async def test_sinks_are_independent_and_a_batch_stays_until_the_last_has_it(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        hub, other = outbox.sink("hub"), outbox.sink("other")
        await put(outbox)
        await drain(hub)
        await outbox.flush()
        assert outbox.status().lanes[0].batches == 1
        assert seqs(await take(other)) == [1]
        await other.confirm([batch.key for batch in await take(hub)])
        other.reopen()
        await drain(other)
        await outbox.flush()
        assert outbox.status().lanes[0].batches == 0


async def test_a_sink_of_earlier_runs_pins_nothing(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        outbox.sink("old")
        hub = outbox.sink("hub")
        await put(outbox)
        await drain(hub)
    async with opened(path, clock) as outbox:
        hub = outbox.sink("hub")
        await put(outbox)
        await drain(hub)
        await outbox.flush()
        assert outbox.status().lanes[0].batches == 0


async def test_without_sinks_everything_stays(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        for _ in range(3):
            await put(outbox)
        assert outbox.status().lanes[0].batches == 3


async def test_a_lane_that_a_sink_does_not_take_is_not_kept_for_it(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        hub, narrow = outbox.sink("hub"), outbox.sink("narrow", lanes=[Lane.PROCESS])
        await outbox.record([ALARM])
        assert narrow.depth(Lane.EVENTS) == 0
        assert await take(narrow, Lane.EVENTS) == []
        await drain(hub, Lane.EVENTS)
        await outbox.flush()
        assert outbox.status().lanes[1].batches == 0


async def test_confirmations_are_exact_after_a_restart(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        for start in range(8):
            await put(outbox, start=start)
        batches = await take(sink)
        await sink.confirm([batches[index].key for index in (1, 2, 5)])
    async with opened(path, clock) as outbox:
        assert seqs(await take(outbox.sink("hub"))) == [1, 4, 5, 7, 8]


async def test_confirming_what_is_not_owed_changes_nothing(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await put(outbox)
        (batch,) = await take(sink)
        key = batch.key
        await sink.confirm([key._replace(seq=99), key._replace(stream="other"), key._replace(lane=Lane.EVENTS)])
        sink.release([key._replace(seq=99), key._replace(stream="other")])
        assert sink.depth(Lane.PROCESS) == 1
        await put(outbox)
        assert seqs(await drain(sink)) == [2]


async def test_what_was_confirmed_is_held_and_can_be_sent_again(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("sparkplug", hold_seconds=20.0)
        await put(outbox, start=1)
        await clock.advance(2.0)
        await put(outbox, start=2)
        confirmed = clock.now()
        await drain(sink)
        await outbox.flush()
        assert outbox.status().lanes[0].batches == 2
        assert await sink.unconfirm(confirmed + 10**12, confirmed + 10**13) == 0
        assert await sink.unconfirm(2, 2) == 1
        assert seqs(await drain(sink)) == [2]
        assert await sink.unconfirm(confirmed - 1, confirmed + 1) == 2
        assert seqs(await drain(sink)) == [1, 2]
        await clock.advance(21)
        await put(outbox, start=3)
        assert outbox.status().lanes[0].batches == 1
        assert await sink.unconfirm(0, clock.now()) == 0


async def test_offers_span_what_is_owed(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        assert list(sink.offers()) == []
        for start in range(4):
            await put(outbox, start=start)
        batches = await take(sink)
        await sink.confirm([batches[0].key, batches[2].key])
        assert list(sink.offers()) == [SeqRange(outbox.stream, Lane.PROCESS, 2, 4)]


async def test_waiting_ends_with_a_commit_or_with_the_time(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await sink.wait(0)
        async with asyncio.TaskGroup() as tasks:
            waiter = tasks.create_task(sink.wait(5.0))
            await clock.advance(4.9)
            assert not waiter.done()
            await clock.advance(0.2)
            await waiter
            waiter = tasks.create_task(sink.wait(5.0))
            await asyncio.sleep(0)
            await outbox.record([ALARM])
            await waiter
        await put(outbox)
        await sink.wait(5.0)


async def test_status_and_metrics_tell_how_it_is(path: Path, clock: VirtualClock) -> None:
    metrics = Metrics()
    outbox = await Outbox.open(path, OutboxSettings(), clock, metrics=metrics)
    sink = outbox.sink("hub")
    await put(outbox, count=5)
    await outbox.record([ALARM])
    await clock.advance(30.0)
    status = outbox.status()
    assert status.stream == outbox.stream
    assert status.degraded == ""
    assert outbox.writable
    assert status.bytes > 0
    assert [(lane.lane, lane.head, lane.batches, lane.samples) for lane in status.lanes] == [
        ("process", 1, 1, 5),
        ("events", 1, 1, 1),
    ]
    (of_sink,) = status.sinks
    assert (of_sink.name, of_sink.process_batches, of_sink.events_batches) == ("hub", 1, 1)
    assert of_sink.oldest_age_seconds == pytest.approx(30.0)
    await drain(sink)
    await drain(sink, Lane.EVENTS)
    assert outbox.status().sinks[0].oldest_age_seconds is None
    assert b"edged_outbox_samples_total 5.0" in metrics.render()
    await outbox.close()


async def test_it_is_what_the_ports_ask_for(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        recorder: Recorder = outbox
        sink: Sink = outbox.sink("hub")
        announcer: Announcer = outbox.sink("hub")
        assert recorder.writable
        assert isinstance(sink, Announcer)
        assert announcer == sink


async def test_after_closing_nothing_is_taken(path: Path, clock: VirtualClock) -> None:
    outbox = await Outbox.open(path, OutboxSettings(), clock)
    waiting = outbox.append("a", samples_of(1))
    await outbox.close()
    await waiting
    with pytest.raises(OutboxUnavailable):
        await outbox.append("a", samples_of(1))
    with pytest.raises(OutboxUnavailable):
        await outbox.record([ALARM])


async def test_what_is_no_event_is_refused_at_once(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        with pytest.raises(ValueError, match="is no event"):
            outbox.record(samples_of(1))  # type: ignore[arg-type]  # that is the point


async def test_reopening_while_a_take_reads_gives_nothing_twice(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        await put(outbox)
        await put(outbox)
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(take(sink))
            await asyncio.sleep(0)
            sink.reopen()
        assert taking.result() == []
        assert seqs(await take(sink)) == [1, 2]


async def test_a_take_that_is_cancelled_keeps_nothing_out(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        await put(outbox)
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(take(sink))
            await asyncio.sleep(0)
            taking.cancel()
        assert seqs(await take(sink)) == [1]


async def test_the_file_shrinks_after_a_drain(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await committed(outbox, outbox.append("a", noise_of(5000)))
        full = outbox.status().bytes
        assert full > 16_000_000
        await drain(sink)
        for _ in range(20):
            await put(outbox)
            await drain(sink)
        ((pages,),) = await query(outbox, "PRAGMA page_count")
        assert outbox.status().bytes < 1_000_000
        assert pages * 4096 < full * 0.6


async def test_full_pages_mean_degraded_then_healed(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, commit_seconds=COMMIT_SECONDS) as outbox:
        sink = outbox.sink("hub")
        await put(outbox)
        await limit_pages(outbox, 0)
        waiting = outbox.append("a", noise_of(40))
        await outbox.flush()
        assert not outbox.writable
        assert "full" in outbox.status().degraded
        assert outbox.status().ring_samples == 40
        with pytest.raises(OutboxUnavailable):
            await outbox.record([ALARM])
        assert seqs(await take(sink)) == [1]
        await limit_pages(outbox, None)
        await clock.advance(2.0)
        await waiting
        assert outbox.writable
        assert seqs(await take(sink)) == [2]
        await outbox.record([ALARM])
        assert all_events(await drain(sink, Lane.EVENTS)) == [ALARM]


async def test_events_that_come_while_a_commit_fails_are_refused_with_it(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock) as outbox:
        await put(outbox)
        await limit_pages(outbox, 0)
        waiting = outbox.append("a", noise_of(40))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outbox.flush())
            while outbox._writer._group.pieces:
                await asyncio.sleep(0)
            recorded = outbox.record([ALARM])
        with pytest.raises(OutboxUnavailable):
            await recorded
        await limit_pages(outbox, None)
        await clock.advance(2.0)
        await waiting


async def test_what_the_ring_dropped_is_one_gap_per_source(path: Path, clock: VirtualClock) -> None:
    async with opened(path, clock, ring_samples=10) as outbox:
        sink = outbox.sink("hub")
        await limit_pages(outbox, 0)
        waiting = [outbox.append("a", noise_of(1))]
        await outbox.flush()
        waiting += [outbox.append("ba"[number % 2], noise_of(2, start=10 * number)) for number in range(1, 10)]
        await outbox.flush()
        assert outbox.status().ring_samples == 10
        assert outbox.status().dropped_samples == 9
        assert not any(future.done() for future in waiting if isinstance(future, asyncio.Future))
        await limit_pages(outbox, None)
        await clock.advance(2.0)
        for future in waiting:
            await future
        assert outbox.last_seen("a") == 91
        assert outbox.last_seen("b") == 81
        found = all_events(await drain(sink, Lane.EVENTS))
        assert found == [
            Gap("a", 0, 31, "outbox_unavailable", samples=5),
            Gap("b", 20, 41, "outbox_unavailable", samples=4),
        ]
        kept = [sample for batch in await drain(sink) for sample in batch.samples()]
        assert kept == [sample for number in range(5, 10) for sample in noise_of(2, start=10 * number)]


async def test_what_could_not_be_written_is_refused_at_the_end(path: Path, clock: VirtualClock) -> None:
    outbox = await Outbox.open(path, OutboxSettings(), clock)
    await limit_pages(outbox, 0)
    waiting = outbox.append("a", noise_of(40))
    await outbox.close()
    with pytest.raises(OutboxUnavailable, match="full"):
        await waiting

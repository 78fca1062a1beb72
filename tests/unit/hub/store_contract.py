"""What every store promises. A back end's test subclasses it and provides `opener`."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.clock import Clock, VirtualClock
from edged.records import encode_events, encode_samples
from edged.types import (
    Alarm,
    AlarmState,
    BatchKey,
    Gap,
    Lane,
    Prediction,
    Priority,
    Quality,
    QualityResult,
    Sample,
    SeqRange,
    Value,
)
from edged_cloud_sync.wire import WireBatch
from edged_hub.store import Bucket, Identity, IdentityKind, Period, Role, Span, Store

NODE = "line_a"
STREAM = "0f8fad5b-d9cb-469f-a165-70867728950e"
SIGNAL = "line_a/furnace/temperature"
START = 1_767_225_600_000_000_000
SECOND = 1_000_000_000
EVERYTHING = Period(0, 2**63 - 1)
MANY = 10_000

SHARED_BY_STORES = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
"""Each example opens stores of its own, and each store's test is another class with the same tests."""

Opener = Callable[[Path, Clock], Awaitable[Store]]


def sample(value: Value | None, second: float = 0.0, signal: str = SIGNAL, quality: int = Quality.GOOD) -> Sample:
    time = START + round(second * SECOND)
    return Sample(signal, value, time, time + 5_000_000, quality, "" if quality == Quality.GOOD else "sensor")


def process(seq: int, samples: list[Sample], stream: str = STREAM) -> WireBatch:
    return WireBatch(BatchKey(stream, Lane.PROCESS, seq), len(samples), encode_samples(samples))


def events(seq: int, items: list[Gap | Alarm | Prediction | QualityResult]) -> WireBatch:
    return WireBatch(BatchKey(STREAM, Lane.EVENTS, seq), len(items), encode_events(items))


def offer(first: int, last: int, lane: Lane = Lane.PROCESS) -> SeqRange:
    return SeqRange(STREAM, lane, first, last)


async def values(store: Store, signal: str = SIGNAL) -> list[Value | None]:
    return [held.value for held in await store.history(signal, EVERYTHING, MANY)]


def buckets_of(rows: list[Sample], width: int) -> list[Bucket]:
    """The statistics in plain Python."""
    of_start: dict[int, list[Sample]] = {}
    for row in rows:
        of_start.setdefault(row.source_time // width * width, []).append(row)
    return [_bucket(start, of_start[start]) for start in sorted(of_start)]


def _bucket(start: int, rows: list[Sample]) -> Bucket:
    numbers = [row.value for row in rows if row.quality > 0 and isinstance(row.value, int | float)]
    good = sum(row.quality == Quality.GOOD for row in rows) / len(rows)
    if not numbers:
        return Bucket(start, None, None, None, len(rows), good)
    mean = math.fsum(numbers) / len(numbers)
    return Bucket(start, min(numbers), mean, max(numbers), len(rows), good)


class StoreContract:
    """Every test opens empty stores; `opener` is given the same folder for the same store."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    async def store(self, opener: Opener, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Store]:
        opened = await opener(tmp_path, clock)
        yield opened
        await opened.close()

    async def test_what_was_accepted_can_be_read(self, store: Store) -> None:
        batch = process(1, [sample(1500.5), sample(1501.0, 1, quality=Quality.UNCERTAIN)])
        answer = await store.ingest(NODE, [batch])
        assert (list(answer.accepted), answer.duplicates, list(answer.refused)) == ([batch.key], 0, [])
        first, second = await store.history(SIGNAL, EVERYTHING, MANY)
        assert (first.node, first.signal, first.value, first.quality, first.reason) == (NODE, SIGNAL, 1500.5, 192, "")
        assert (first.source_time, first.receive_time, first.seq, first.row) == (START, START + 5_000_000, 1, 0)
        assert (second.value, second.quality, second.reason, second.row) == (1501.0, 64, "sensor", 1)

    @pytest.mark.parametrize("value", [1.5, -0.25, 0, -7, 2**63 - 1, 2**64 + 1, True, False, "", "crack", "Ω\n", None])
    async def test_every_type_of_value_comes_back_as_it_was(self, store: Store, value: Value | None) -> None:
        await store.ingest(NODE, [process(1, [sample(value)])])
        (held,) = await values(store)
        assert held == value
        assert type(held) is type(value)

    async def test_a_batch_sent_again_changes_nothing(self, store: Store) -> None:
        batch = process(1, [sample(1.0), sample(2.0, 1)])
        await store.ingest(NODE, [batch])
        answer = await store.ingest(NODE, [batch])
        assert (list(answer.accepted), answer.duplicates) == ([batch.key], 1)
        assert await values(store) == [1.0, 2.0]

    async def test_a_batch_twice_in_one_post_is_held_once(self, store: Store) -> None:
        batch = process(1, [sample(1.0)])
        answer = await store.ingest(NODE, [batch, batch])
        assert (list(answer.accepted), answer.duplicates) == ([batch.key, batch.key], 1)
        assert await values(store) == [1.0]

    async def test_a_partial_overlap_adds_only_what_is_new(self, store: Store) -> None:
        batches = [process(seq, [sample(float(seq), seq)]) for seq in range(1, 6)]
        await store.ingest(NODE, batches[:3])
        answer = await store.ingest(NODE, batches[1:])
        assert (len(answer.accepted), answer.duplicates) == (4, 2)
        assert await values(store) == [1.0, 2.0, 3.0, 4.0, 5.0]

    async def test_equal_times_never_overwrite(self, store: Store) -> None:
        await store.ingest(NODE, [process(1, [sample(1.0), sample(2.0), sample(1.0)])])
        await store.ingest(NODE, [process(2, [sample(3.0)])])
        await store.ingest(NODE, [process(1, [sample(4.0)], stream="another-stream")])
        assert await values(store) == [1.0, 2.0, 1.0, 3.0, 4.0]

    async def test_the_same_numbers_of_two_nodes_streams_and_lanes_are_apart(self, store: Store) -> None:
        answers = [
            await store.ingest(NODE, [process(1, [sample(1.0)])]),
            await store.ingest("line_b", [process(1, [sample(2.0)])]),
            await store.ingest(NODE, [process(1, [sample(3.0)], stream="another-stream")]),
            await store.ingest(NODE, [events(1, [QualityResult("u1", START, True, "", "inspection")])]),
        ]
        assert [answer.duplicates for answer in answers] == [0, 0, 0, 0]
        assert [held.value for held in await store.history(SIGNAL, EVERYTHING, MANY, node="line_b")] == [2.0]
        assert (await store.totals()).batches == 4

    async def test_a_restart_forgets_nothing(self, opener: Opener, tmp_path: Path, clock: VirtualClock) -> None:
        batches = [process(seq, [sample(float(seq), seq)]) for seq in range(1, 4)]
        store = await opener(tmp_path, clock)
        await store.ingest(NODE, batches[:2])
        await store.close()
        store = await opener(tmp_path, clock)
        answer = await store.ingest(NODE, batches)
        assert (len(answer.accepted), answer.duplicates) == (3, 2)
        assert await values(store) == [1.0, 2.0, 3.0]
        await store.close()

    async def test_a_batch_that_cannot_be_read_is_refused_by_key_and_the_others_go_on(self, store: Store) -> None:
        good, bad = process(1, [sample(1.0)]), process(2, [sample(2.0)])._replace(blob=b"not a batch")
        answer = await store.ingest(NODE, [bad, good])
        assert list(answer.accepted) == [good.key]
        assert [refusal.key for refusal in answer.refused] == [bad.key]
        assert answer.refused[0].reason
        assert await values(store) == [1.0]
        assert (await store.totals()).refused_batches == 1

    async def test_a_wrong_row_count_is_refused(self, store: Store) -> None:
        answer = await store.ingest(NODE, [process(1, [sample(1.0)])._replace(rows=2)])
        assert "1 rows, announced were 2" in answer.refused[0].reason

    async def test_the_bytes_of_one_lane_are_refused_in_the_other(self, store: Store) -> None:
        batch = process(1, [sample(1.0)])
        answer = await store.ingest(NODE, [batch._replace(key=batch.key._replace(lane=Lane.EVENTS))])
        assert len(answer.refused) == 1

    async def test_an_empty_batch_is_held(self, store: Store) -> None:
        answer = await store.ingest(NODE, [process(1, [])])
        assert len(answer.accepted) == 1
        ((lane,),) = [await store.holdings(0)]
        assert (lane.rows, list(lane.held)) == (0, [Span(1, 1)])

    async def test_posts_at_the_same_time_are_all_answered_for_themselves(self, store: Store) -> None:
        posts = [[process(seq, [sample(float(seq), seq)]), process(1000, [sample(0.0, 1000)])] for seq in range(1, 31)]
        answers = await asyncio.gather(*(store.ingest(NODE, post) for post in posts))
        assert [[key.seq for key in answer.accepted] for answer in answers] == [[seq, 1000] for seq in range(1, 31)]
        assert sum(answer.duplicates for answer in answers) == 29
        assert len(await values(store)) == 31

    async def test_lacks_names_what_nobody_has_any_more(self, store: Store) -> None:
        batches = {seq: process(seq, [sample(float(seq), seq)]) for seq in (1, 2, 5, 9)}
        answer = await store.ingest(NODE, list(batches.values()), [offer(7, 9)])
        assert list(answer.lacks) == [offer(3, 4), offer(6, 6)]

    async def test_a_backlog_that_was_announced_is_not_asked_for(self, store: Store) -> None:
        answer = await store.ingest(NODE, [process(50, [sample(1.0)])], [offer(1, 60)])
        assert list(answer.lacks) == []

    async def test_without_an_announcement_nothing_is_lacking(self, store: Store) -> None:
        answer = await store.ingest(NODE, [process(50, [sample(1.0)])])
        assert list(answer.lacks) == []

    async def test_batches_that_an_outbox_gave_up_are_not_lacking(
        self, opener: Opener, tmp_path: Path, clock: VirtualClock
    ) -> None:
        gap = Gap("outbox", START, START + SECOND, "cap", STREAM, Lane.PROCESS, 2, 4, 300)
        store = await opener(tmp_path, clock)
        await store.ingest(NODE, [events(1, [gap]), process(1, [sample(1.0)]), process(6, [sample(6.0)])])
        assert list((await store.ingest(NODE, [], [offer(6, 6)])).lacks) == [offer(5, 5)]
        await store.close()
        store = await opener(tmp_path, clock)
        assert list((await store.ingest(NODE, [], [offer(6, 6)])).lacks) == [offer(5, 5)]
        (lane,) = [lane for lane in await store.holdings(0) if lane.lane == Lane.PROCESS]
        assert list(lane.held) == [Span(1, 1), Span(6, 6)]
        assert list(lane.given_up) == [Span(2, 4)]
        assert list(lane.missing) == [Span(5, 5)]
        await store.close()

    async def test_a_refused_batch_is_accounted_for(self, store: Store) -> None:
        await store.ingest(NODE, [process(1, [sample(1.0)])._replace(blob=b"")])
        assert list((await store.ingest(NODE, [], [offer(2, 2)])).lacks) == []
        ((lane,),) = [await store.holdings(0)]
        assert (lane.refused, list(lane.missing)) == (1, [])

    async def test_latest_is_the_newest_by_source_time(self, store: Store) -> None:
        other = "line_a/forming/thickness"
        await store.ingest(NODE, [process(1, [sample(2.0, 2), sample(1.0, 1), sample(9.0, signal=other)])])
        await store.ingest(NODE, [process(2, [sample(0.5, 0.5), sample(3.0, 2)])])
        latest = await store.latest()
        assert [(held.signal, held.value) for held in latest] == [(other, 9.0), (SIGNAL, 3.0)]
        assert [held.value for held in await store.latest(NODE, SIGNAL)] == [3.0]
        assert list(await store.latest("line_z")) == []

    async def test_history_is_bounded_by_period_and_limit(self, store: Store) -> None:
        await store.ingest(NODE, [process(1, [sample(float(second), second) for second in range(10)])])
        period = Period(START + 2 * SECOND, START + 6 * SECOND)
        assert [held.value for held in await store.history(SIGNAL, period, MANY)] == [2.0, 3.0, 4.0, 5.0]
        assert [held.value for held in await store.history(SIGNAL, period, 2)] == [2.0, 3.0]

    async def test_buckets_leave_bad_values_out_of_the_statistics(self, store: Store) -> None:
        rows = [
            sample(1.0, 0),
            sample(3.0, 1),
            sample(100.0, 2, quality=Quality.BAD),
            sample(None, 3, quality=Quality.BAD),
        ]
        rows += [sample(5.0, 20), sample("text", 40)]
        await store.ingest(NODE, [process(1, rows)])
        assert await store.buckets(SIGNAL, EVERYTHING, 10 * SECOND, MANY) == [
            Bucket(START, 1.0, 2.0, 3.0, 4, 0.5),
            Bucket(START + 20 * SECOND, 5.0, 5.0, 5.0, 1, 1.0),
            Bucket(START + 40 * SECOND, None, None, None, 1, 1.0),
        ]

    async def test_buckets_are_what_the_rows_say(self, store: Store) -> None:
        dice = random.Random(7)
        rows = [
            sample(
                dice.choice([dice.uniform(-5, 5), dice.randint(-9, 9), None, "text"]), dice.uniform(-90, 90), quality=q
            )
            for q in dice.choices([Quality.GOOD, Quality.UNCERTAIN, Quality.BAD], k=400)
        ]
        await store.ingest(NODE, [process(1, rows[:300])])
        await store.ingest("line_b", [process(1, rows[300:])])
        for _ in range(40):
            start, end = sorted(START + dice.randint(-100, 100) * SECOND for _ in range(2))
            width = dice.choice([SECOND // 100, SECOND // 3, SECOND, 7 * SECOND, 500 * SECOND])
            limit, node = dice.choice([3, 17, MANY]), dice.choice([NODE, None])
            held = rows[:300] if node else rows
            found = await store.buckets(SIGNAL, Period(start, end), width, limit, node=node)
            expected = buckets_of([row for row in held if start <= row.source_time < end], width)[:limit]
            assert [bucket._replace(mean=None) for bucket in found] == [one._replace(mean=None) for one in expected]
            assert [bucket.mean for bucket in found] == pytest.approx([one.mean for one in expected])

    @settings(max_examples=25, deadline=None, suppress_health_check=SHARED_BY_STORES)
    @given(posts=st.lists(st.lists(st.integers(1, 12), max_size=5), max_size=8))
    async def test_any_order_of_posts_holds_each_batch_once(
        self, opener: Opener, tmp_path_factory: pytest.TempPathFactory, posts: list[list[int]]
    ) -> None:
        store = await opener(tmp_path_factory.mktemp("store"), VirtualClock())
        for post in posts:
            answer = await store.ingest(NODE, [process(seq, [sample(float(seq), seq)]) for seq in post])
            assert [key.seq for key in answer.accepted] == post
        expected = sorted({seq for post in posts for seq in post})
        assert await values(store) == [float(seq) for seq in expected]
        for lane in await store.holdings(0):
            assert [number for first, last in lane.held for number in range(first, last + 1)] == expected
        await store.close()

    async def test_events_come_newest_first_with_their_body(self, store: Store) -> None:
        alarm = Alarm("hot", SIGNAL, AlarmState.UNACKNOWLEDGED, Priority.HIGH, "too hot", START, 1610.0, 1600.0)
        result = QualityResult("u1", START + SECOND, False, "crack", "line_a/inspection")
        await store.ingest(NODE, [events(1, [alarm, result])])
        newest, oldest = await store.events(EVERYTHING, MANY)
        assert (newest.kind, newest.time, newest.source) == ("QualityResult", START + SECOND, "line_a/inspection")
        assert '"unit_identity":"u1"' in newest.body
        assert (oldest.kind, oldest.source, oldest.row) == ("Alarm", SIGNAL, 0)
        assert [held.kind for held in await store.events(EVERYTHING, MANY, kind="Alarm")] == ["Alarm"]
        assert list(await store.events(EVERYTHING, MANY, node="line_b")) == []

    async def test_gaps_are_events_and_a_list_of_their_own(self, store: Store) -> None:
        gap = Gap("furnace", START, START + 4 * SECOND, "silent", samples=None)
        await store.ingest(NODE, [events(1, [gap])])
        (held,) = await store.gaps(Period(START + SECOND, START + 2 * SECOND), MANY)
        assert (held.source, held.start, held.end, held.reason, held.samples) == (
            "furnace",
            START,
            gap.end,
            "silent",
            None,
        )
        assert list(await store.gaps(Period(0, START), MANY)) == []
        assert [event.kind for event in await store.events(EVERYTHING, MANY)] == ["Gap"]

    async def test_holdings_count_rows_per_minute(self, store: Store) -> None:
        await store.ingest(NODE, [process(1, [sample(1.0, 0), sample(1.0, 59)]), process(2, [sample(1.0, 60)])])
        ((lane,),) = [await store.holdings(START, node=NODE)]
        assert [(minute.start, minute.rows) for minute in lane.minutes] == [(START, 2), (START + 60 * SECOND, 1)]
        assert (lane.node, lane.stream, lane.lane, lane.batches, lane.rows) == (NODE, STREAM, "process", 2, 3)
        assert list(await store.holdings(0, node="line_b")) == []

    async def test_totals(self, store: Store) -> None:
        await store.ingest(NODE, [process(1, [sample(1.0), sample(2.0, 1)]), events(1, [Gap("x", 1, 2, "r")])])
        totals = await store.totals()
        assert (totals.nodes, totals.signals, totals.batches, totals.samples) == (1, 1, 2, 2)
        assert (totals.events, totals.gaps, totals.refused_batches) == (1, 1, 0)
        assert totals.last_received == VirtualClock().now()

    async def test_identities_are_kept_and_replaced(self, opener: Opener, tmp_path: Path, clock: VirtualClock) -> None:
        first = Identity(IdentityKind.EDGE, NODE, Role.EDGE, b"salt", b"hash", 1)
        second = Identity(IdentityKind.EDGE, NODE, Role.EDGE, b"other", b"hash2", 2)
        user = Identity(IdentityKind.USER, NODE, Role.VIEWER, b"s", b"h", 3)
        store = await opener(tmp_path, clock)
        for identity in (first, second, user):
            await store.put_identity(identity)
        await store.close()
        store = await opener(tmp_path, clock)
        assert await store.identity(IdentityKind.EDGE, NODE) == second
        assert await store.identity(IdentityKind.EDGE, "line_b") is None
        assert list(await store.identities()) == [second, user]
        await store.close()

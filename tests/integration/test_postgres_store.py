"""What is particular to the store in PostgreSQL: its partitions, its limits, several hubs, lost connections."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import date, timedelta

import asyncpg
import pytest

from bench.postgres_server import PostgresServer
from edged.clock import VirtualClock
from edged.columns import INT64_MAX, INT64_MIN
from edged.types import Gap, Quality, Sample, Value
from edged_cloud_sync.wire import WireBatch
from edged_hub.postgres_schema import statement
from edged_hub.postgres_store import PostgresStore
from edged_hub.settings import Database
from edged_hub.store import Period, StoreUnavailable, WrongSchema
from tests.unit.hub.store_contract import (
    EVERYTHING,
    MANY,
    NODE,
    SECOND,
    SIGNAL,
    START,
    events,
    offer,
    process,
    sample,
    values,
)

pytestmark = pytest.mark.postgresql

DAY = 24 * 3600 * SECOND
EARLY, LATE = Period(INT64_MIN, 0), Period(7_258_118_400 * SECOND, INT64_MAX)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(database, VirtualClock())
    yield opened
    await opened.close()


def at(time: int, value: Value | None = 1.0, signal: str = SIGNAL) -> Sample:
    return Sample(signal, value, time, time, Quality.GOOD)


async def partitions(look: asyncpg.Connection) -> set[str]:
    return {name for (name,) in await look.fetch(statement("known_partitions"))}


async def rows_of(look: asyncpg.Connection, table: str) -> int:
    count: int = await look.fetchval(f"SELECT count(*) FROM {table}")
    return count


@pytest.mark.parametrize(
    "value", ["zero\0inside", "\0", '"\0\\', 2**53 + 1, -(2**63), 2**63 - 1, 10**400, -0.0, 5e-324]
)
async def test_values_that_no_column_holds_as_they_are_come_back_as_they_were(
    store: PostgresStore, value: Value
) -> None:
    await store.ingest(NODE, [process(1, [sample(value)])])
    (held,) = await values(store)
    assert (held, type(held)) == (value, type(value))
    if isinstance(value, float):
        assert math.copysign(1.0, value) == math.copysign(1.0, held)  # type: ignore[arg-type]


async def test_a_zero_character_in_a_name_or_reason_is_shown_as_its_symbol(store: PostgresStore) -> None:
    odd = Sample("line_a/x\0y", 1.0, START, START, Quality.BAD, "not\0sure")
    gap = Gap("furnace\0", START, START + 1, "silent\0", "no\0stream", "no lane", 1, 2)
    answer = await store.ingest(NODE, [process(1, [odd]), events(1, [gap])])
    assert len(answer.accepted) == 2
    (held,) = await store.latest()
    assert (held.signal, held.reason) == ("line_a/x␀y", "not␀sure")
    (lost,) = await store.gaps(EVERYTHING, MANY)
    assert (lost.source, lost.reason, lost.stream) == ("furnace␀", "silent␀", "no␀stream")
    (event,) = await store.events(EVERYTHING, MANY)
    assert "\\u0000" in event.body


async def test_whole_numbers_beyond_a_double_count_in_statistics(store: PostgresStore) -> None:
    await store.ingest(NODE, [process(1, [sample(2**60 + 1), sample(2**60 + 3, 1), sample(True, 2)])])
    (bucket,) = await store.buckets(SIGNAL, EVERYTHING, 60 * SECOND, MANY)
    assert (bucket.minimum, bucket.maximum, bucket.samples) == (1.0, float(2**60), 3)


async def test_the_mean_of_huge_values_is_no_fault(store: PostgresStore) -> None:
    await store.ingest(NODE, [process(1, [sample(1.5e308), sample(1.7e308, 1)])])
    (bucket,) = await store.buckets(SIGNAL, EVERYTHING, 60 * SECOND, MANY)
    assert bucket.mean == pytest.approx(1.6e308)
    many = await store.buckets(SIGNAL, Period(START, START + DAY), SECOND, 1)
    assert [one.maximum for one in many] == [1.5e308]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (sample(1.0)._replace(quality=Quality.GOOD * 1000), "192000 is no quality"),
        (sample(1.0)._replace(quality=-1), "-1 is no quality"),
        (sample(1.0)._replace(signal="line_a/" + "x" * 1100), "more than 1024 bytes"),
    ],
)
async def test_what_no_column_can_hold_is_put_aside_and_the_others_go_on(
    store: PostgresStore, look: asyncpg.Connection, odd: Sample, said: str
) -> None:
    answer = await store.ingest(NODE, [process(1, [odd]), process(2, [sample(2.0)])])
    assert [(refusal.key.seq, said in refusal.reason) for refusal in answer.refused] == [(1, True)]
    assert await values(store) == [2.0]
    assert await look.fetchval("SELECT blob FROM refused_batches") == process(1, [odd]).blob


async def test_one_batch_that_the_server_will_never_take_holds_up_nobody(
    store: PostgresStore, look: asyncpg.Connection
) -> None:
    await raise_in_the_table(look, "22000", "value_number = 13")
    posts = [
        store.ingest(NODE, [process(seq, [sample(float(seq), seq)]), process(100 + seq, [])]) for seq in range(11, 16)
    ]
    answers = await asyncio.gather(*posts)
    assert [[key.seq for key in answer.accepted] for answer in answers] == [
        [11, 111],
        [12, 112],
        [113],
        [14, 114],
        [15, 115],
    ]
    assert [refusal.key.seq for answer in answers for refusal in answer.refused] == [13]
    assert await values(store) == [11.0, 12.0, 14.0, 15.0]
    assert (await store.totals()).refused_batches == 1


async def test_a_full_disk_is_unavailable_and_heals(store: PostgresStore, look: asyncpg.Connection) -> None:
    await raise_in_the_table(look, "53100", "true")
    batch = process(1, [sample(1.0)])
    with pytest.raises(StoreUnavailable, match=r"postgresql at 127\.0\.0\.1"):
        await store.ingest(NODE, [batch])
    assert await rows_of(look, "batches") == 0
    await look.execute("DROP TRIGGER odd ON sample_rows")
    answer = await store.ingest(NODE, [batch])
    assert (len(answer.accepted), answer.duplicates) == (1, 0)


async def raise_in_the_table(look: asyncpg.Connection, code: str, where: str) -> None:
    """From now on the server raises this fault for rows like these."""
    await look.execute(
        f"CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN RAISE EXCEPTION 'odd' USING ERRCODE = '{code}'; END$$"
    )
    condition = where.replace("value_number", "new.value_number")
    await look.execute(
        f"CREATE TRIGGER odd BEFORE INSERT ON sample_rows FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION odd()"
    )


async def test_days_are_made_ahead_and_when_they_come(store: PostgresStore, look: asyncpg.Connection) -> None:
    assert await partitions(look) == {"sample_rows_other"}
    await store.ingest(NODE, [process(1, [at(START), at(START + 40 * DAY)])])
    today = VirtualClock().now() // DAY
    ahead = {f"sample_rows_{day_name(day)}" for day in range(today, today + 3)}
    assert await partitions(look) == ahead | {"sample_rows_other", "sample_rows_20260101", "sample_rows_20260210"}
    assert await rows_of(look, "sample_rows_20260210") == 1
    assert await rows_of(look, "sample_rows_other") == 0


def day_name(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).strftime("%Y%m%d")


async def test_times_from_one_end_of_the_range_to_the_other_are_kept(store: PostgresStore) -> None:
    times = [INT64_MIN, -1, 0, DAY - 1, DAY, START, LATE.start - 1, LATE.start, INT64_MAX - 1]
    for seq, time in enumerate(times, 1):
        await store.ingest(NODE, [process(seq, [at(time, float(seq))])])
        assert [held.source_time for held in await store.latest()] == [time]
    everything = Period(INT64_MIN, INT64_MAX)
    assert [held.source_time for held in await store.history(SIGNAL, everything, MANY)] == times
    assert [held.source_time for held in await store.history(SIGNAL, EARLY, MANY)] == [INT64_MIN, -1]
    assert [held.source_time for held in await store.history(SIGNAL, LATE, MANY)] == [LATE.start, INT64_MAX - 1]
    assert sum(bucket.samples for bucket in await store.buckets(SIGNAL, everything, DAY, MANY)) == len(times)
    assert sum(bucket.samples for bucket in await store.buckets(SIGNAL, EARLY, DAY, MANY)) == 2


async def test_days_beyond_the_limit_are_kept_together_and_stay_there(
    database: Database, look: asyncpg.Connection
) -> None:
    def of_day(seq: int, day: int) -> WireBatch:
        return process(seq, [at(START + (100 + day) * DAY + seq, float(seq))])

    store = await PostgresStore.open(database, VirtualClock(), max_partitions=5)
    await store.ingest(NODE, [of_day(day, day) for day in (1, 2, 3)])
    await store.close()
    assert await rows_of(look, "sample_rows_other") == 2
    store = await PostgresStore.open(database, VirtualClock())
    await store.ingest(NODE, [of_day(day, day) for day in (3, 4, 5)])
    await store.ingest(NODE, [of_day(6, 2), of_day(7, 4)])
    assert await rows_of(look, "sample_rows_other") == 3
    assert len(await partitions(look)) == 7
    assert sorted(await values(store), key=str) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    await store.close()


async def test_a_held_batch_that_comes_again_damaged_is_still_held(store: PostgresStore) -> None:
    batch = process(1, [sample(1.0)])
    await store.ingest(NODE, [batch])
    answer = await store.ingest(NODE, [batch._replace(blob=b"damaged")])
    assert (list(answer.accepted), answer.duplicates, list(answer.refused)) == ([batch.key], 1, [])


async def test_a_post_of_many_rows_is_answered_as_one(store: PostgresStore) -> None:
    batches = [
        process(seq, [Sample(SIGNAL, float(n), START + (seq * 30_000 + n) * 1000, START) for n in range(30_000)])
        for seq in range(1, 5)
    ]
    answer = await store.ingest(NODE, [batches[0], *batches], [offer(9, 9)])
    assert [key.seq for key in answer.accepted] == [1, 1, 2, 3, 4]
    assert (answer.duplicates, list(answer.lacks)) == (1, [offer(5, 8)])
    assert (await store.totals()).samples == 120_000


async def test_a_database_of_another_version_is_left_alone(
    store: PostgresStore, look: asyncpg.Connection, database: Database
) -> None:
    assert store
    await look.execute("UPDATE hub_schema SET version = 99")
    with pytest.raises(WrongSchema, match="has schema version 99, this hub reads 1"):
        await PostgresStore.open(database, VirtualClock())


async def test_a_database_that_is_not_there_is_named(postgres: PostgresServer) -> None:
    with pytest.raises(StoreUnavailable, match='database "nowhere" does not exist'):
        await PostgresStore.open(Database.at(postgres.dsn.rsplit("/", 1)[0] + "/nowhere"), VirtualClock())


async def test_the_probe_for_timescale_finds_none_here(store: PostgresStore, look: asyncpg.Connection) -> None:
    assert store
    assert await look.fetchval(statement("timescale_probe")) is None
    assert await look.fetchval("SELECT slicing FROM hub_schema") == "partitions"


async def test_what_is_confirmed_is_on_the_disk(store: PostgresStore) -> None:
    assert await store._writer._connection.fetchval("SHOW synchronous_commit") == "on"
    assert await store._writer._connection.fetchval("SHOW fsync") == "on"


async def test_every_batch_has_the_time_of_its_commit(store: PostgresStore, look: asyncpg.Connection) -> None:
    await store.ingest(NODE, [process(1, [sample(1.0)]), process(2, [sample(2.0)])])
    await store.ingest(NODE, [process(2, [sample(2.0)]), process(3, [sample(3.0)])])
    rows = await look.fetch("SELECT seq, received_ns, committed_ns FROM ledger ORDER BY seq")
    assert [seq for seq, _, _ in rows] == [1, 2, 3]
    assert all(received == committed == VirtualClock().now() for _, received, committed in rows)
    assert await rows_of(look, "commits") == 2


PLANS = {
    "history": (1, START, START + DAY, 9),
    "extent": ([1], START, START + DAY),
    "buckets": ([1], SECOND, START, START + DAY, 9),
    "buckets_few": ([1], START, START + DAY - 1, 90 * SECOND, START, START + DAY, 9),
}


@pytest.mark.parametrize("name", PLANS)
async def test_queries_follow_the_index_of_the_day_that_they_need(
    store: PostgresStore, look: asyncpg.Connection, name: str
) -> None:
    for day in (0, 1):
        samples = [at(START + day * DAY + n * SECOND, 1.0, f"s{n % 20}") for n in range(2000)]
        await store.ingest(NODE, [process(day + 1, samples)])
    await look.execute("VACUUM ANALYZE sample_rows")
    async with store._pools[0].acquire() as connection:
        explained = await connection.fetch("EXPLAIN " + statement(name), *PLANS[name])
    plan = "\n".join(line for (line,) in explained)
    assert "Scan using sample_rows_20260101_" in plan
    assert ("Index Only Scan" in plan) == (name != "history")
    assert "Seq Scan" not in plan
    assert "sample_rows_20260102" not in plan


async def test_the_newest_values_are_looked_up_in_one_day(store: PostgresStore, look: asyncpg.Connection) -> None:
    signals = [f"s{number}" for number in range(20)]
    for day in range(5):
        samples = [at(START + day * DAY + n, float(day), name) for n in range(100) for name in signals]
        await store.ingest(NODE, [process(day + 1, samples)])
    await look.execute("VACUUM ANALYZE sample_rows, signals")
    async with store._pools[0].acquire() as connection:
        explained = await connection.fetch("EXPLAIN ANALYZE " + statement("latest"), None, None)
    scanned = [line for (line,) in explained if "on sample_rows" in line and "never executed" not in line]
    assert [("sample_rows_20260105" in line, "Seq Scan" in line) for line in scanned] == [(True, False)]
    assert [held.value for held in await store.latest()] == [4.0] * 20

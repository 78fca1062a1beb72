"""The PostgreSQL store when connections are lost, servers hang, and several hubs write at the same time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import asyncpg
import pytest

from bench.postgres_server import PostgresServer
from edged.clock import VirtualClock
from edged.types import Gap, Lane
from edged_hub.postgres_connect import Limits
from edged_hub.postgres_store import PostgresStore
from edged_hub.settings import Database
from edged_hub.store import Identity, IdentityKind, Role, StoreBusy, StoreUnavailable
from tests.integration.hub_rig import until
from tests.integration.postgres_server import postgres_server
from tests.unit.hub.store_contract import (
    NODE,
    SECOND,
    SIGNAL,
    START,
    STREAM,
    events,
    offer,
    process,
    sample,
    values,
)

pytestmark = pytest.mark.postgresql

END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
"""

SHORT = Limits(connect_seconds=0.5, query_seconds=0.3, write_seconds=0.3)
T = TypeVar("T")


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(database, VirtualClock())
    yield opened
    await opened.close()


@contextmanager
def every_process_stopped(server: PostgresServer) -> Iterator[None]:
    """The server neither answers nor ends its connections meanwhile."""
    family = [server.pid, *server.children()]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)


async def test_two_hubs_on_one_database_hold_each_batch_once(database: Database) -> None:
    one, other = [await PostgresStore.open(database, VirtualClock()) for _ in range(2)]
    batches = [process(seq, [sample(float(seq), seq)]) for seq in range(1, 41)]
    answers = await asyncio.gather(
        *(hub.ingest(NODE, batches[start : start + 20]) for start in range(0, 40, 4) for hub in (one, other))
    )
    sent = sum(len(batches[start : start + 20]) for start in range(0, 40, 4)) * 2
    assert sum(len(answer.accepted) for answer in answers) == sent
    assert sum(answer.duplicates for answer in answers) == sent - 40
    for hub in (one, other):
        assert await values(hub) == [float(seq) for seq in range(1, 41)]
        ((lane,),) = [await hub.holdings(0)]
        assert (lane.batches, lane.rows, [tuple(span) for span in lane.held]) == (40, 40, [(1, 40)])
    for hub in (one, other):
        await hub.close()


async def test_a_hub_knows_what_another_one_took_in(database: Database) -> None:
    one, other = [await PostgresStore.open(database, VirtualClock()) for _ in range(2)]
    await one.ingest(NODE, [process(1, [sample(1.0)])])
    await other.ingest(NODE, [process(2, [sample(2.0, 2)]), process(5, [sample(5.0, 5)])])
    assert list((await one.ingest(NODE, [], [offer(5, 5)])).lacks) == [offer(3, 4)]
    gap = Gap("outbox", START, START + SECOND, "cap", STREAM, Lane.PROCESS, 3, 3, 300)
    await other.ingest(NODE, [events(1, [gap]), process(2, [])._replace(blob=b"damaged")])
    assert list((await one.ingest(NODE, [], [offer(5, 5)])).lacks) == [offer(4, 4)]
    late = await one.ingest(NODE, [process(4, [sample(4.0, 4)])], [offer(5, 5)])
    assert list(late.lacks) == []
    for hub in (one, other):
        await hub.close()


async def test_connections_that_the_server_ends_come_back(store: PostgresStore, look: asyncpg.Connection) -> None:
    await store.ingest(NODE, [process(1, [sample(1.0)])])
    await look.execute(END_OTHERS)
    batches = [process(seq, [sample(float(seq), seq)]) for seq in (2, 3)]

    async def healed() -> bool:
        try:
            return len((await store.ingest(NODE, batches)).accepted) == 2
        except StoreUnavailable:
            return False

    await until("the healing", healed)
    assert await values(store) == [1.0, 2.0, 3.0]


async def test_a_database_that_was_replaced_is_asked_anew(
    store: PostgresStore, look: asyncpg.Connection, database: Database
) -> None:
    other = "line_a/forming/thickness"
    await store.ingest(NODE, [process(1, [sample(1.0), sample(9.0, signal=other)])])
    schema = await look.fetchval("SELECT current_schema()")
    await look.execute(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")
    again = await PostgresStore.open(database, VirtualClock())
    await again.ingest("line_b", [process(1, [sample(2.0, signal="line_b/x")])])
    await again.close()
    await look.execute(END_OTHERS)

    async def taken() -> bool:
        try:
            await store.ingest(NODE, [process(1, [sample(1.0), sample(9.0, signal=other)])])
        except StoreUnavailable:
            return False
        return True

    await until("the healing", taken)
    assert [(held.signal, held.value) for held in await store.latest(NODE)] == [(other, 9.0), (SIGNAL, 1.0)]


async def test_a_transaction_that_hangs_is_given_up_and_nothing_of_it_was_acknowledged(database: Database) -> None:
    store = await PostgresStore.open(database, VirtualClock(), limits=SHORT)
    await store.ingest(NODE, [process(1, [sample(1.0)])])
    blocker = await asyncpg.connect(database.address)
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE batches")
        with pytest.raises(StoreUnavailable):
            await store.ingest(NODE, [process(2, [sample(2.0, 2)])])
    await blocker.close()
    answer = await retried(lambda: store.ingest(NODE, [process(1, [sample(1.0)]), process(2, [sample(2.0, 2)])]))
    assert (len(answer.accepted), answer.duplicates) == (2, 1)
    assert await values(store) == [1.0, 2.0]
    await store.close()


async def test_a_frozen_server_is_unavailable_and_heals() -> None:
    with postgres_server() as frozen:
        store = await PostgresStore.open(Database.at(frozen.dsn), VirtualClock(), limits=SHORT)
        await store.ingest(NODE, [process(1, [sample(1.0)])])
        await store.totals()
        with every_process_stopped(frozen):
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await asyncio.wait_for(store.totals(), 20)
                with pytest.raises(StoreUnavailable):
                    await asyncio.wait_for(store.ingest(NODE, [process(2, [sample(2.0, 2)])]), 20)
        await retried(lambda: store.ingest(NODE, [process(2, [sample(2.0, 2)])]))
        assert (await store.totals()).batches == 2
        await store.close()


async def test_a_slow_query_is_broken_off_and_does_not_hold_up_identities(database: Database) -> None:
    store = await PostgresStore.open(database, VirtualClock(), limits=SHORT)
    await store.put_identity(Identity(IdentityKind.EDGE, NODE, Role.EDGE, b"salt", b"hash", 1))
    blocker = await asyncpg.connect(database.address)
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE signals")
        queries = [asyncio.ensure_future(store.latest()) for _ in range(8)]  # noqa: TID251 - a test's own
        assert await store.identity(IdentityKind.EDGE, NODE) is not None
        for query in queries:
            with pytest.raises(StoreUnavailable, match="ask for less"):
                await query
    await blocker.close()
    assert list(await store.latest()) == []
    await store.close()


async def test_too_many_waiting_posts_are_asked_to_come_back(database: Database) -> None:
    store = await PostgresStore.open(database, VirtualClock())
    await store.ingest(NODE, [process(1, [sample(1.0)])])
    blocker = await asyncpg.connect(database.address)
    async with asyncio.TaskGroup() as group:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE batches")
            posts = [group.create_task(outcome(store, seq)) for seq in range(2, 302)]
            await until("a refusal", lambda: any(task.done() for task in posts))
        done = [await task for task in posts]
    await blocker.close()
    assert done.count(False) == 300 - 256
    assert (await store.totals()).batches == 1 + done.count(True)
    await store.close()


async def outcome(store: PostgresStore, seq: int) -> bool:
    """Whether a post was taken; False when it was asked to come back."""
    try:
        return bool((await store.ingest(NODE, [process(seq, [sample(float(seq), seq)])])).accepted)
    except StoreBusy:
        return False


async def retried(work: Callable[[], Awaitable[T]]) -> T:
    """The outcome once the store is available again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await work()
            except StoreUnavailable:
                await asyncio.sleep(0.05)

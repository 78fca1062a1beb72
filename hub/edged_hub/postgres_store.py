"""The store in PostgreSQL: one writing connection, a pool for queries; several hubs may share one database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from edged.clock import Clock
from edged.log import get_logger
from edged.supervise import start_task
from edged.types import SeqRange
from edged_cloud_sync.wire import Answer, WireBatch
from edged_hub.postgres_connect import DEFAULT_LIMITS, Connections, Limits, close_quietly
from edged_hub.postgres_names import Names
from edged_hub.postgres_partitions import MAX_PARTITIONS, Partitions
from edged_hub.postgres_prepare import Portion, Prepared, Preparer, portions
from edged_hub.postgres_reader import PostgresReader
from edged_hub.postgres_schema import prepare, statement
from edged_hub.postgres_writer import PostgresWriter, joined
from edged_hub.settings import Database
from edged_hub.store import (
    Bucket,
    HeldEvent,
    HeldGap,
    HeldSample,
    Identity,
    IdentityKind,
    LaneHoldings,
    Period,
    StoreBusy,
    Totals,
)

QUERY_CONNECTIONS = 3
SERVICE_CONNECTIONS = 2
"""For identities, new names and partitions."""
MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_WAITING_JOBS = 256
MAX_READY_ROWS = 100_000
"""Rows that are packed and wait for the writer; about 10 MB."""

log = get_logger("hub.database")


@dataclass(frozen=True, slots=True)
class _Ready:
    prepared: Prepared
    answer: asyncio.Future[Answer]


class PostgresStore:
    """Group commit: what was prepared while one transaction is written goes into the next one together."""

    def __init__(
        self,
        connections: Connections,
        clock: Clock,
        pools: Sequence[Any],
        writer: PostgresWriter,
        preparer: Preparer,
    ) -> None:
        queries, service = pools
        self._connections = connections
        self._clock = clock
        self._pools = pools
        self._service = service
        self._writer = writer
        self._preparer = preparer
        self._reader = PostgresReader(connections, queries, service)
        self._waiting_bytes = 0
        self._waiting_jobs = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self._ready: list[_Ready] = []
        self._ready_rows = 0
        self._writing: asyncio.Task[list[Answer]] | None = None

    @classmethod
    async def open(
        cls,
        database: Database,
        clock: Clock,
        *,
        limits: Limits = DEFAULT_LIMITS,
        max_partitions: int = MAX_PARTITIONS,
    ) -> Self:
        """Connects, waiting a while for a database that is starting, and makes the tables of an empty one.

        Raises StoreUnavailable, WrongSchema.
        """
        connections = Connections(database, limits)
        connection = await connections.connect_patiently(clock)
        try:
            async with connections.faults():
                slicing = await prepare(connection)
                await _warn(connection, database)
        except BaseException:
            connection.terminate()
            raise
        names, partitions = Names(), Partitions(slicing, max_partitions)
        pools = [await connections.pool(QUERY_CONNECTIONS), await connections.pool(SERVICE_CONNECTIONS)]
        writer = PostgresWriter(connections, connection, names, partitions, clock)
        return cls(connections, clock, pools, writer, Preparer(connections, pools[1], names, partitions, clock))

    async def ingest(self, node: str, batches: Sequence[WireBatch], offers: Sequence[SeqRange] = ()) -> Answer:
        """See `Store.ingest`."""
        size = sum(len(batch.blob) for batch in batches)
        full = self._waiting_bytes + size > MAX_WAITING_BYTES or self._waiting_jobs >= MAX_WAITING_JOBS
        if full and self._waiting_jobs:
            raise StoreBusy(f"{self._waiting_jobs} requests are waiting for the database")
        self._waiting_bytes += size
        self._waiting_jobs += 1
        try:
            whole = Portion(node, batches, offers, self._clock.now())
            return joined([await self._take(portion) for portion in portions(whole)])
        finally:
            self._waiting_bytes -= size
            self._waiting_jobs -= 1

    async def latest(self, node: str | None = None, signal: str | None = None) -> Sequence[HeldSample]:
        """See `Store.latest`."""
        return await self._reader.latest(node, signal)

    async def history(
        self, signal: str, period: Period, limit: int, *, node: str | None = None
    ) -> Sequence[HeldSample]:
        """See `Store.history`."""
        return await self._reader.history(signal, period, limit, node)

    async def buckets(
        self, signal: str, period: Period, bucket_ns: int, limit: int, *, node: str | None = None
    ) -> Sequence[Bucket]:
        """See `Store.buckets`."""
        return await self._reader.buckets(signal, period, bucket_ns, limit, node)

    async def events(
        self, period: Period, limit: int, *, kind: str | None = None, node: str | None = None
    ) -> Sequence[HeldEvent]:
        """See `Store.events`."""
        return await self._reader.events(period, limit, kind, node)

    async def gaps(self, period: Period, limit: int, *, node: str | None = None) -> Sequence[HeldGap]:
        """See `Store.gaps`."""
        return await self._reader.gaps(period, limit, node)

    async def holdings(self, since: int, *, node: str | None = None) -> Sequence[LaneHoldings]:
        """See `Store.holdings`."""
        return await self._reader.holdings(since, node)

    async def totals(self) -> Totals:
        """See `Store.totals`."""
        return await self._reader.totals()

    async def put_identity(self, identity: Identity) -> None:
        """See `Store.put_identity`."""
        values = (identity.kind.value, identity.name, identity.role.value)
        secret = (identity.salt, identity.hash, identity.created)
        async with self._connections.borrowed(self._service) as connection:
            await connection.execute(statement("identity_put"), *values, *secret)

    async def identity(self, kind: IdentityKind, name: str) -> Identity | None:
        """See `Store.identity`."""
        return await self._reader.identity(kind, name)

    async def identities(self) -> Sequence[Identity]:
        """See `Store.identities`."""
        return await self._reader.identities()

    async def close(self) -> None:
        """See `Store.close`."""
        while self._writing is not None:
            await asyncio.wait({self._writing})
            await asyncio.sleep(0)
        self._preparer.close()
        for pool in self._pools:
            await close_quietly(pool)
        await self._writer.close()

    async def _take(self, portion: Portion) -> Answer:
        """Prepares in the order of arrival, at most so many rows ahead of the writer."""
        async with self._turn:
            await self._room.wait()
            prepared = await self._preparer.prepare(portion)
            answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._ready.append(_Ready(prepared, answer))
            self._ready_rows += prepared.rows
            if self._ready_rows >= MAX_READY_ROWS:
                self._room.clear()
        if self._writing is None:
            self._write()
        return await answer

    def _write(self) -> None:
        """Hands everything that is ready to the writer."""
        group, self._ready, self._ready_rows = self._ready, [], 0
        self._room.set()
        self._writing = start_task("store writer", self._writer.write([ready.prepared for ready in group]))
        self._writing.add_done_callback(partial(self._written, group))

    def _written(self, group: Sequence[_Ready], result: asyncio.Task[list[Answer]]) -> None:
        """Tells the waiting requests, and goes on with those that came meanwhile."""
        self._writing = None
        if self._ready:
            self._write()
        fault = result.exception()
        answers = [] if fault else result.result()
        for number, ready in enumerate(group):
            if ready.answer.done():
                continue
            if fault:
                ready.answer.set_exception(fault)
            else:
                ready.answer.set_result(answers[number])


async def _warn(connection: Any, database: Database) -> None:
    """Says what an administrator should mend."""
    if await connection.fetchval("SHOW fsync") != "on":
        log.warning("database_not_durable", remedy="set fsync = on in postgresql.conf")
    if not database.local and not await connection.fetchval(statement("is_encrypted")):
        log.warning("database_in_clear", database=database.place, remedy="add ?sslmode=verify-full to the address")

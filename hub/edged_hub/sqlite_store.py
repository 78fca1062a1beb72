"""The embedded store: one SQLite file, one writing thread, readers beside it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from edged.clock import Clock
from edged.types import SeqRange
from edged_cloud_sync.wire import Answer, WireBatch
from edged_hub.sqlite_files import connect_writer
from edged_hub.sqlite_reader import SqliteReader
from edged_hub.sqlite_writer import IngestJob, SqliteWriter
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
    StoreUnavailable,
    Totals,
)

FILE_NAME = "hub.db"
MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_WAITING_JOBS = 256

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: IngestJob
    size: int
    answer: asyncio.Future[Answer]


class SqliteStore:
    """Group commit: what arrives while one transaction is written goes into the next one together."""

    def __init__(self, path: Path, clock: Clock, thread: ThreadPoolExecutor, writer: SqliteWriter) -> None:
        self._path = path
        self._clock = clock
        self._thread = thread
        self._writer = writer
        self._reader = SqliteReader(path)
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Future[list[Answer]] | None = None

    @classmethod
    async def open(cls, path: Path, clock: Clock) -> Self:
        """Opens or creates the file. Raises StoreUnavailable, WrongSchema."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        loop = asyncio.get_running_loop()
        try:
            writer = await loop.run_in_executor(thread, SqliteWriter, path, clock, connect_writer)
        except sqlite3.Error as fault:
            thread.shutdown()
            raise StoreUnavailable(f"{path}: {fault}") from fault
        except BaseException:
            thread.shutdown()
            raise
        store = cls(path, clock, thread, writer)
        await store._reader.open()
        return store

    async def ingest(self, node: str, batches: Sequence[WireBatch], offers: Sequence[SeqRange] = ()) -> Answer:
        """See `Store.ingest`."""
        size = sum(len(batch.blob) for batch in batches)
        full = self._waiting_bytes + size > MAX_WAITING_BYTES or len(self._waiting) >= MAX_WAITING_JOBS
        if full and self._waiting:
            raise StoreBusy(f"{len(self._waiting)} requests are waiting for the database")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(IngestJob(node, batches, offers, self._clock.now()), size, answer))
        self._waiting_bytes += size
        if self._writing is None:
            self._write()
        return await answer

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
        values = (
            identity.kind.value,
            identity.name,
            identity.role.value,
            identity.salt,
            identity.hash,
            identity.created,
        )
        await self._in_thread(partial(self._writer.execute, "identity_put", values))

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
        await self._reader.close()
        await self._in_thread(self._writer.close)
        self._thread.shutdown()

    def _write(self) -> None:
        """Hands everything that waits to the writer's thread."""
        group, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        jobs = [waiting.job for waiting in group]
        self._writing = asyncio.get_running_loop().run_in_executor(self._thread, self._writer.ingest, jobs)
        self._writing.add_done_callback(partial(self._written, group))

    def _written(self, group: Sequence[_Waiting], result: asyncio.Future[list[Answer]]) -> None:
        """Tells the waiting requests, and goes on with those that came meanwhile."""
        self._writing = None
        if self._waiting:
            self._write()
        fault = result.exception()
        if isinstance(fault, sqlite3.Error):
            fault = StoreUnavailable(f"{self._path}: {fault}")
        answers = [] if fault else result.result()
        for number, waiting in enumerate(group):
            if waiting.answer.done():
                continue
            if fault:
                waiting.answer.set_exception(fault)
            else:
                waiting.answer.set_result(answers[number])

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as fault:
            raise StoreUnavailable(f"{self._path}: {fault}") from fault

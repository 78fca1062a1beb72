"""Connections to PostgreSQL: how they are made, and their faults as the store's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from edged.clock import Clock
from edged.log import get_logger
from edged.supervise import Backoff
from edged_hub.settings import Database
from edged_hub.store import StoreUnavailable

START_SECONDS = 30.0
"""How long a starting hub waits for a database that is starting too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the database is waited for."""

    connect_seconds: float = 10.0
    query_seconds: float = 10.0
    """A query that takes longer is broken off: ask for less at a time."""
    write_seconds: float = 30.0
    """A transaction that takes longer is given up; nothing of it was acknowledged."""


DEFAULT_LIMITS = Limits()

SESSION = {
    "application_name": "edged-hub",
    "enable_bitmapscan": "off",  # rows are wanted in the order of an index, and only so many of them
    "jit": "off",  # our queries take milliseconds; compiling them takes longer
    "plan_cache_mode": "force_custom_plan",  # a plan made for the times asked for touches only their partitions
    "synchronous_commit": "on",  # what the hub confirmed survives a power cut, whatever the server's default
    "idle_in_transaction_session_timeout": "60s",  # a hub that vanished holds no lane
    "timezone": "UTC",
}
CONFUSED = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The driver no longer knows what the server is doing: the connection is of no more use."""
FAULTS = (asyncpg.PostgresError, *CONFUSED, OSError, TimeoutError)
NOT_YET = (OSError, TimeoutError, asyncpg.CannotConnectNowError)

log = get_logger("hub.database")


class Connections:
    """Makes connections to one database. Raises StoreUnavailable, which never carries the password."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self.limits = limits
        self._database = database

    async def connect(self) -> Any:
        """One connection of asyncpg."""
        async with self.faults():
            return await asyncpg.connect(
                self._database.address, timeout=self.limits.connect_seconds, server_settings=SESSION
            )

    async def connect_patiently(self, clock: Clock) -> Any:
        """The first connection: waits a while for a database that cannot be reached yet."""
        backoff = Backoff()
        deadline = clock.monotonic() + START_SECONDS
        while True:
            try:
                return await self.connect()
            except StoreUnavailable as fault:
                if not isinstance(fault.__cause__, NOT_YET) or clock.monotonic() > deadline:
                    raise
                log.warning("database_awaited", database=self._database.place, fault=str(fault))
                await clock.sleep(backoff.next())

    async def pool(self, size: int) -> Any:
        """A pool that connects when asked, and again when a connection broke."""
        return await asyncpg.create_pool(
            self._database.address,
            min_size=0,
            max_size=size,
            timeout=self.limits.connect_seconds,
            command_timeout=self.limits.query_seconds,
            server_settings=SESSION,
            reset=_reset,
        )

    @asynccontextmanager
    async def borrowed(self, pool: Any) -> AsyncIterator[Any]:
        """A connection of a pool for a short while."""
        async with self.faults(), pool.acquire(timeout=self.limits.connect_seconds) as connection:
            yield connection

    @asynccontextmanager
    async def faults(self) -> AsyncIterator[None]:
        """Turns the driver's and the server's faults into StoreUnavailable."""
        try:
            yield
        except TimeoutError as fault:
            raise StoreUnavailable(f"{self._database.place}: no answer in time; ask for less") from fault
        except FAULTS as fault:
            raise StoreUnavailable(f"{self._database.place}: {fault or type(fault).__name__}") from fault


async def close_quietly(pool: Any, seconds: float = 5.0) -> None:
    """Closes a pool, by force when its connections do not end by themselves."""
    try:
        async with asyncio.timeout(seconds):
            await pool.close()
    except FAULTS:
        pool.terminate()


async def _reset(connection: Any) -> None:
    """Saves a round trip per query: no statement of ours changes the session, only a broken-off transaction does."""
    if connection.is_in_transaction():
        await connection.reset()

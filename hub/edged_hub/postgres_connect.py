"""Connections to PostgreSQL: how they are made, and their faults as the store's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from edged.clock import Clock
from edged.log import get_logger
from edged.supervise import Backoff
from edged_hub.settings import Database
from edged_hub.store import StoreUnavailable

CONNECT_SECONDS = 10.0
START_SECONDS = 30.0
"""How long a starting hub waits for a database that is starting too."""
QUERY_SECONDS = 10.0
"""A query that takes longer is broken off: ask for less at a time."""
WRITE_SECONDS = 60.0
"""A transaction that takes longer is given up; nothing of it was acknowledged."""
SESSION = {
    "application_name": "edged-hub",
    "jit": "off",  # our queries take milliseconds; compiling them takes longer
    "plan_cache_mode": "force_custom_plan",  # a plan made for the times asked for touches only their partitions
    "synchronous_commit": "on",  # what the hub confirmed survives a power cut, whatever the server's default
    "idle_in_transaction_session_timeout": str(round(WRITE_SECONDS * 1000)),  # a hub that vanished holds no lane
    "timezone": "UTC",
}
FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
NOT_YET = (OSError, TimeoutError, asyncpg.CannotConnectNowError)

log = get_logger("hub.database")


class Connections:
    """Makes connections to one database. Raises StoreUnavailable, which never carries the password."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def connect(self, settings: Mapping[str, str] | None = None) -> Any:
        """One connection of asyncpg."""
        with_faults = self.faults()
        async with with_faults:
            return await asyncpg.connect(
                self._database.address, timeout=CONNECT_SECONDS, server_settings={**SESSION, **(settings or {})}
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
        """A pool that connects when asked and again when a connection broke."""
        return await asyncpg.create_pool(
            self._database.address,
            min_size=0,
            max_size=size,
            timeout=CONNECT_SECONDS,
            command_timeout=QUERY_SECONDS,
            server_settings=SESSION,
        )

    @asynccontextmanager
    async def faults(self) -> AsyncIterator[None]:
        """Turns the driver's and the server's faults into StoreUnavailable."""
        try:
            yield
        except TimeoutError as fault:
            raise StoreUnavailable(f"{self._database.place}: no answer in time") from fault
        except FAULTS as fault:
            raise StoreUnavailable(f"{self._database.place}: {fault or type(fault).__name__}") from fault


async def close_quietly(pool: Any, seconds: float = 5.0) -> None:
    """Closes a pool, by force when its connections do not end by themselves."""
    try:
        async with asyncio.timeout(seconds):
            await pool.close()
    except FAULTS:
        pool.terminate()

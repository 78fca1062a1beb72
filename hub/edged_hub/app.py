"""The composition root of the hub: the only place that knows every concrete class."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import orjson
import uvloop

from edged import garbage
from edged.clock import Clock, SystemClock
from edged.errors import MissingLibrary
from edged.log import get_logger
from edged.metrics import Metrics
from edged_hub.identities import new_identity
from edged_hub.server import HubServer
from edged_hub.settings import Database, HubServerSettings
from edged_hub.sqlite_store import FILE_NAME, SqliteStore
from edged_hub.store import IdentityKind, Role, Store

ADMIN_NAME = "admin"
ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105 - a file name
OWNER_ONLY_FILE = 0o600
OWNER_ONLY_FOLDER = 0o700

log = get_logger("hub")


class Hub:
    """One hub in one process: a store and the server over it."""

    def __init__(self, settings: HubServerSettings, store: Store, clock: Clock, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self.server = HubServer(settings, store, clock, metrics)

    async def start(self) -> None:
        """Makes the first user if there is none, and listens. Raises PortTaken, StoreUnavailable."""
        await self._ensure_admin()
        await self.server.open()
        database = self._settings.database
        place = database.place if database else str(self._settings.data_directory / FILE_NAME)
        log.info("hub_running", url=self.server.url, database=place)
        if self._settings.ready_file is not None:
            ready = orjson.dumps({"url": self.server.url, "pid": os.getpid()})
            await asyncio.to_thread(self._settings.ready_file.write_bytes, ready)

    async def stop(self) -> None:
        """Answers what is under way, finishes the transaction, closes the store."""
        log.info("hub_stopping")
        await self.server.close()
        await self._store.close()
        log.info("hub_stopped")

    async def _ensure_admin(self) -> None:
        if await self._store.identity(IdentityKind.USER, ADMIN_NAME) is not None:
            return
        identity, token = new_identity(IdentityKind.USER, ADMIN_NAME, Role.ADMIN, self._clock.now())
        path = self._settings.data_directory / ADMIN_TOKEN_FILE
        await asyncio.to_thread(write_secret, path, token)
        await self._store.put_identity(identity)
        log.info("admin_token_written", file=str(path))


async def open_store(data_directory: Path, clock: Clock) -> SqliteStore:
    """The embedded store of a data directory, made when it is not there. Raises StoreUnavailable, OSError."""
    await asyncio.to_thread(data_directory.mkdir, parents=True, exist_ok=True, mode=OWNER_ONLY_FOLDER)
    return await SqliteStore.open(data_directory / FILE_NAME, clock)


async def open_configured_store(data_directory: Path, database: Database | None, clock: Clock) -> Store:
    """The store in the database, or else the embedded one. Raises StoreUnavailable, WrongSchema, OSError."""
    if database is None:
        return await open_store(data_directory, clock)
    try:
        from edged_hub.postgres_store import PostgresStore
    except ModuleNotFoundError as fault:
        raise MissingLibrary(str(fault.name), "hub") from fault
    await asyncio.to_thread(data_directory.mkdir, parents=True, exist_ok=True, mode=OWNER_ONLY_FOLDER)
    return await PostgresStore.open(database, clock)


def write_secret(path: Path, secret: str) -> None:
    """Writes a secret that only the owner can read, replacing an older one at once."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY_FILE), "w") as file:
        file.write(secret + "\n")
    draft.replace(path)


def run(settings: HubServerSettings) -> int:
    """Runs the hub until SIGTERM or SIGINT; the exit status."""
    return uvloop.run(_serve(settings))


async def _serve(settings: HubServerSettings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    store = await open_configured_store(settings.data_directory, settings.database, clock)
    hub = Hub(settings, store, clock, Metrics())
    try:
        await hub.start()
        garbage.settle()
        await stop.wait()
    finally:
        await hub.stop()
    return 0

"""Where a flight recorder's parcels are kept: a capped SQLite file, written once a second, away from every cycle."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from edged import __version__
from edged.clock import Clock
from edged.durable import OWNER_ONLY
from edged.log import get_logger
from edged.outbox_open import disk_trouble
from edged.settings import FlightSettings
from edged.types import NANOSECONDS_PER_SECOND
from edged_control.blueprint import Blueprint
from edged_control.flight.recorder import Parcel
from edged_control.flight.schema import (
    APPLICATION_ID,
    DICTIONARY_BYTES,
    FORMAT,
    INSERT_PART,
    TABLES,
    compressed,
    packed_blueprint,
)

STORE_SECONDS = 1.0
"""So much of a flight is lost when the daemon is killed."""
MOST_WAITING = 10_000
"""Parcels held while the disk refuses; then new ones are given up, and a replay says so."""
ASIDE_SUFFIX = ".damaged"
PAGE_BYTES, LOG_PAGES = 4096, 100
"""The log is written back when it has so many pages: the disk may be small."""

log = get_logger("flight")


class FlightFile:
    """One session of a line. `put` costs an append; a disk that refuses costs records and never a cycle."""

    def __init__(self, path: Path, settings: FlightSettings, blueprint: Blueprint, clock: Clock) -> None:
        self._path = path
        self._settings = settings
        self._blueprint = packed_blueprint(blueprint.plain())
        self._clock = clock
        self._waiting: deque[Parcel] = deque()
        self._connection: sqlite3.Connection | None = None
        self._session: int | None = None
        self._dictionary = b""
        self._bytes = 0
        self._storing = threading.Lock()
        self.fault = ""
        """Why records are given up now; empty while they are kept."""
        self.wants_key_frame = False
        self.lost = 0
        """Parcels that were given up."""

    def put(self, parcel: Parcel) -> None:
        """Takes it at once; where too many wait it is given up."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(parcel)
        else:
            self._lose(1)

    async def run(self) -> None:
        """Stores what waits, once a second, until cancelled."""
        while True:
            await self._clock.sleep(STORE_SECONDS)
            await asyncio.to_thread(self.store)

    async def close(self) -> None:
        """Stores the rest."""
        await asyncio.to_thread(self.store)
        if self._connection is not None:
            self._connection.close()

    def store(self) -> None:
        """Stores what waits, or gives it up. From any thread, one after the other."""
        with self._storing:
            self._store()

    def _store(self) -> None:
        parcels = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not parcels:
            return
        try:
            self._insert(parcels)
        except (sqlite3.Error, OSError) as fault:
            self._lose(len(parcels))
            self._give_up(fault)
        else:
            self.fault = ""

    def _insert(self, parcels: Sequence[Parcel]) -> None:
        connection = self._connection or self._open()
        dictionary = self._dictionary
        if self._session is None:
            dictionary = b"".join(parcel.body for parcel in parcels)[:DICTIONARY_BYTES]
        with connection:
            session = self._session or self._begin_session(connection, parcels[0].wall, dictionary)
            added = 0
            for part in _parts(parcels):
                stored = compressed(b"".join(parcel.body for parcel in part), dictionary)
                walls = [parcel.wall for parcel in part]
                first, checksum = part[0], zlib.crc32(stored)
                row = (session, first.is_key_frame, first.serial, min(walls), max(walls), checksum, stored)
                connection.execute(INSERT_PART, row)
                added += len(stored)
        self._session, self._dictionary = session, dictionary
        self._bytes += added
        self._trim(connection)

    def _begin_session(self, connection: sqlite3.Connection, started: int, dictionary: bytes) -> int:
        row = (__version__, started, self._blueprint, dictionary)
        insert = "INSERT INTO session (version, started, blueprint, dictionary) VALUES (?,?,?,?)"
        session = connection.execute(insert, row).lastrowid
        assert session is not None
        return session

    def _trim(self, connection: sqlite3.Connection) -> None:
        """Takes the oldest parts away that are too old or too many."""
        oldest = self._clock.now() - round(self._settings.cap_age_seconds * NANOSECONDS_PER_SECOND)
        while True:
            row = connection.execute("SELECT number, until, length(body) FROM part ORDER BY number LIMIT 1").fetchone()
            if row is None or (self._bytes <= self._settings.cap_bytes and row[1] >= oldest):
                return
            with connection:
                connection.execute("DELETE FROM part WHERE number = ?", (row[0],))
                connection.execute(
                    "DELETE FROM session WHERE id <> ? AND id NOT IN (SELECT session FROM part)", (self._session,)
                )
            self._bytes -= row[2]

    def _open(self) -> sqlite3.Connection:
        """Opens or makes the file; a damaged one is set aside. Raises sqlite3.Error or OSError."""
        try:
            self._connection = open_file(self._path)
        except sqlite3.Error as fault:
            if disk_trouble(fault):
                raise
            log.warning("flight_damaged", file=str(self._path), reason=str(fault))
            self._set_aside()
            self._connection = open_file(self._path)
        (self._bytes,) = self._connection.execute("SELECT coalesce(sum(length(body)), 0) FROM part").fetchone()
        return self._connection

    def _set_aside(self) -> None:
        self._path.replace(f"{self._path}{ASIDE_SUFFIX}")
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").unlink()

    def _lose(self, parcels: int) -> None:
        self.lost += parcels
        self.wants_key_frame = True

    def _give_up(self, fault: Exception) -> None:
        """What was begun is over; the next attempt opens the file anew, and a damaged one makes room for a new one."""
        if not self.fault:
            log.warning("flight_not_kept", file=str(self._path), reason=str(fault))
        self.fault = f"{self._path}: {fault}"
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
        if isinstance(fault, sqlite3.Error) and not disk_trouble(fault):
            self._session = None
            with suppress(OSError):
                self._set_aside()


def flight_path(data_directory: Path, line: str) -> Path:
    """Where a line's flight is kept."""
    return data_directory / f"flight-{line}.db"


def open_file(path: Path, journal: str = "WAL") -> sqlite3.Connection:
    """Opens or makes a file for writing. Raises sqlite3.Error, also for a file of another kind, or OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY))
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        (kind,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and (kind, version) != (APPLICATION_ID, FORMAT):
            raise sqlite3.DatabaseError(f"it is no flight file of format {FORMAT}")
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_PAGES * PAGE_BYTES}")
        if not tables:
            with connection:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
                for table in TABLES:
                    connection.execute(table)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _parts(parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
    """Runs of deeds, and each key-frame by itself."""
    for is_key_frame, found in groupby(parcels, key=lambda parcel: parcel.is_key_frame):
        if is_key_frame:
            yield from ([parcel] for parcel in found)
        else:
            yield list(found)

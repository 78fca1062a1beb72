"""The outbox file: its tables, how a new one is made, and how its schema moves between versions of edged."""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from edged.errors import EdgedError
from edged.settings import Synchronous
from edged.types import Lane

APPLICATION_ID = 0x65646764
PAGE_BYTES = 4096
BUSY_MILLISECONDS = 5000
WAL_LIMIT_BYTES = 16 * 1024 * 1024
"""The log is cut back to this after a reader kept it from being written back."""
LOG_PAGES = 1000
LOG_SHARE = 16
NEW_SUFFIX = ".new"

LANE_CODES = {Lane.PROCESS: 0, Lane.EVENTS: 1}
LANES = tuple(LANE_CODES)
_LANE_SHIFT = 48
_SEQ_MASK = (1 << _LANE_SHIFT) - 1


class OutboxTooNew(EdgedError):
    """A newer edged wrote this outbox: start that version, or move the file away to begin a new one."""


class Migration(NamedTuple):
    """One step of the schema. Its way back is written into the file, so that the version before can take it."""

    upgrade: tuple[str, ...]
    downgrade: tuple[str, ...]


MIGRATIONS = (
    Migration(
        upgrade=(
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE migration (version INTEGER PRIMARY KEY, downgrade TEXT NOT NULL)",
            "CREATE TABLE lane (code INTEGER PRIMARY KEY, head INTEGER NOT NULL)",
            """CREATE TABLE batch (id INTEGER PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
               first_time INTEGER NOT NULL, last_time INTEGER NOT NULL, committed INTEGER NOT NULL)""",
            """CREATE TABLE blob (id INTEGER PRIMARY KEY, stream BLOB NOT NULL, crc INTEGER NOT NULL,
               rows INTEGER NOT NULL, data BLOB NOT NULL)""",
            "CREATE TABLE source (name TEXT PRIMARY KEY, last_seen INTEGER NOT NULL) WITHOUT ROWID",
            """CREATE TABLE mark (source TEXT, number INTEGER, marks BLOB NOT NULL,
               PRIMARY KEY (source, number)) WITHOUT ROWID""",
            """CREATE TABLE sink (name TEXT, stream TEXT, lane INTEGER, confirmed TEXT NOT NULL, forgone TEXT NOT NULL,
               PRIMARY KEY (name, stream, lane)) WITHOUT ROWID""",
            "CREATE TABLE aside (file TEXT PRIMARY KEY, stream TEXT NOT NULL, drained INTEGER NOT NULL) WITHOUT ROWID",
        ),
        downgrade=(),
    ),
)
SCHEMA_VERSION = len(MIGRATIONS)


def batch_id(lane: Lane, seq: int) -> int:
    """The row number of a batch: each lane has its own range."""
    return (LANE_CODES[lane] << _LANE_SHIFT) | seq


def lane_range(lane: Lane) -> tuple[int, int]:
    """The lowest and the highest row number of a lane."""
    return batch_id(lane, 0), batch_id(lane, _SEQ_MASK)


def seq_of(row_id: int) -> int:
    """The sequence number of a row."""
    return row_id & _SEQ_MASK


def connect(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """A writing connection to an existing file; transactions are explicit. Raises sqlite3.Error."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        _set(connection, synchronous)
        connection.execute(f"PRAGMA wal_autocheckpoint = {_log_pages(path)}").fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as fault:
        connection.close()
        if isinstance(fault, sqlite3.Error):
            raise
        raise sqlite3.DatabaseError(f"damaged text: {fault}") from fault
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing; works beside a running daemon. Raises sqlite3.Error."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    return connection


def create(path: Path, stream: str, now: int, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """A new, empty outbox; it appears under its name only when complete. Raises sqlite3.Error or OSError."""
    draft = path.with_name(path.name + NEW_SUFFIX)
    for leftover in (draft, *companions(draft)):
        leftover.unlink(missing_ok=True)
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        _set(connection, Synchronous.FULL)
        _upgrade(connection, 0, migrations)
        meta = [("stream", stream), ("created", str(now)), ("clean", "1")]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
    finally:
        connection.close()
    draft.chmod(0o600)
    draft.rename(path)
    _sync_folder(path.parent)


def new_stream() -> str:
    """The name of a new stream."""
    return str(uuid.uuid4())


def companions(path: Path) -> tuple[Path, Path]:
    """The log and the shared memory that SQLite keeps beside a file."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Brings the schema to our version. Raises OutboxTooNew when there is no way, sqlite3.Error when damaged."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        raise sqlite3.DatabaseError("file has no outbox schema")
    if version < len(migrations):
        _upgrade(connection, version, migrations)
    elif version > len(migrations):
        _downgrade(connection, version, len(migrations))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _log_pages(path: Path) -> int:
    """The log is written back at 4 MB as usual, on a small disk earlier."""
    disk = os.statvfs(path)
    return max(1, min(LOG_PAGES, disk.f_blocks * disk.f_frsize // LOG_SHARE // PAGE_BYTES))


def _set(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    for pragma in (
        f"busy_timeout = {BUSY_MILLISECONDS}",
        f"synchronous = {synchronous.value}",
        f"journal_size_limit = {WAL_LIMIT_BYTES}",
        "secure_delete = OFF",
        "cell_size_check = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _upgrade(connection: sqlite3.Connection, version: int, migrations: tuple[Migration, ...]) -> None:
    with transaction(connection):
        for number, step in enumerate(migrations[version:], version + 1):
            for statement in step.upgrade:
                connection.execute(statement)
            connection.execute("INSERT INTO migration VALUES (?, ?)", (number, json.dumps(step.downgrade)))
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _downgrade(connection: sqlite3.Connection, version: int, ours: int) -> None:
    row = connection.execute("SELECT downgrade FROM migration WHERE version = ?", (version,)).fetchone()
    if version != ours + 1 or row is None:
        raise OutboxTooNew(f"its schema has version {version}, this edged knows {ours} and one version more at most")
    with transaction(connection):
        for statement in json.loads(row[0]):
            connection.execute(statement)
        connection.execute("DELETE FROM migration WHERE version = ?", (version,))
        connection.execute(f"PRAGMA user_version = {ours}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

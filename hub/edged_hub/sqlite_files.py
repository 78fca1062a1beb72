"""The embedded store's file and its SQL: opening, schema, named statements."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edged_hub.statements import sql_file, statements
from edged_hub.store import WrongSchema

SCHEMA_VERSION = 1
BUSY_SECONDS = 5.0
"""How long one writer waits for another: `edged-hub enroll` writes while the hub runs."""
OWNER_ONLY = 0o600
CACHE_KIBIBYTES = 65_536


def connect_writer(path: Path) -> sqlite3.Connection:
    """A connection that writes, with the schema in place. FULL: what the hub confirmed survives a power cut."""
    try:
        path.touch(mode=OWNER_ONLY)
    except OSError as fault:
        raise sqlite3.OperationalError(str(fault)) from fault
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read; it sees whole transactions and never holds up the writer."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def statement(name: str) -> str:
    """The SQL of that name in sql/read.sql or sql/write.sql."""
    return statements("read.sql", "write.sql")[name]


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables of a new file; two processes may do so at the same time."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        schema = sql_file(f"schema_{SCHEMA_VERSION}.sql")
        connection.executescript(f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        raise WrongSchema(f"{path} has schema version {version}, this hub reads {SCHEMA_VERSION}")

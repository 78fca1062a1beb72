"""A real PostgreSQL for tests: one server per test process, an empty schema for every store, or a server to break."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from bench.postgres_server import PostgresServer, programs
from edged_hub.settings import Database


def require_postgres() -> None:
    """Skips the test, by name, where no PostgreSQL is installed."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")


@contextmanager
def postgres_server(**settings: str) -> Iterator[PostgresServer]:
    """A server that the caller may stop, crash and start again."""
    require_postgres()
    with PostgresServer(settings) as server:
        yield server


async def schema_for(server: PostgresServer, folder: Path) -> Database:
    """An address that leads to a schema of its own for each folder, as other database names would."""
    name = "t" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")
    finally:
        await connection.close()
    return Database.at(f"{server.dsn}?search_path={name}")

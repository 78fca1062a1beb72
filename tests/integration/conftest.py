"""Fixtures that several integration tests share: one PostgreSQL per test process, a hub, a client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from bench.postgres_server import PostgresServer
from edged_hub.settings import Database
from tests.integration.hub_rig import RunningHub, running_hub
from tests.integration.postgres_server import postgres_server, schema_for


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that stays as it is; a test that breaks one starts its own."""
    with postgres_server() as started:
        yield started


@pytest.fixture
async def database(postgres: PostgresServer, tmp_path: Path) -> Database:
    """An empty schema."""
    return await schema_for(postgres, tmp_path)


@pytest.fixture
async def look(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Another client's connection to the same schema."""
    opened = await asyncpg.connect(database.address)
    yield opened
    await opened.close()


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    """An empty hub on a free port."""
    async with running_hub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client of any hub."""
    async with aiohttp.ClientSession() as opened:
        yield opened

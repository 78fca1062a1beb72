"""The PostgreSQL store keeps the contract of every store, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.postgres_server import PostgresServer
from edged.clock import Clock
from edged_hub.postgres_store import PostgresStore
from edged_hub.store import Store
from tests.integration.postgres_server import postgres_server, schema_for
from tests.unit.hub.store_contract import Opener, StoreContract

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as started:
        yield started


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def opener(self, server: PostgresServer) -> Opener:
        async def open_schema(folder: Path, clock: Clock) -> Store:
            return await PostgresStore.open(await schema_for(server, folder), clock)

        return open_schema

"""The PostgreSQL store keeps the contract of every store, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.postgres_server import PostgresServer
from edged.clock import Clock
from edged_hub.postgres_store import PostgresStore
from edged_hub.store import Store
from tests.integration.postgres_server import schema_for
from tests.unit.hub.store_contract import Opener, StoreContract

pytestmark = pytest.mark.postgresql


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def opener(self, postgres: PostgresServer) -> Opener:
        async def open_schema(folder: Path, clock: Clock) -> Store:
            return await PostgresStore.open(await schema_for(postgres, folder), clock)

        return open_schema

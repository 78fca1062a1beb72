"""The embedded store keeps the contract of every store."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.clock import Clock
from edged_hub.sqlite_store import SqliteStore
from edged_hub.store import Store
from tests.unit.hub.store_contract import Opener, StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def opener(self) -> Opener:
        async def open_file(folder: Path, clock: Clock) -> Store:
            return await SqliteStore.open(folder / "hub.db", clock)

        return open_file

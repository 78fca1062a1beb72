"""The checker reads the same from either store of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.checker import read_gaps, read_rows, read_units
from bench.judge import GapSpan, Row
from bench.postgres_server import PostgresServer
from edged.clock import VirtualClock
from edged.types import Gap, Quality, QualityResult
from edged_cloud_sync.wire import WireBatch
from edged_hub.postgres_store import PostgresStore
from edged_hub.sqlite_store import SqliteStore
from edged_hub.store import Store
from tests.integration.postgres_server import schema_for
from tests.unit.hub.store_contract import NODE, SECOND, SIGNAL, START, events, process, sample

pytestmark = pytest.mark.postgresql

BATCHES: Sequence[WireBatch] = (
    process(2, [sample(2.0, 2.0), sample("crack", 1.0, "line_a/inspection/last_defect")]),
    process(1, [sample(1.5), sample(None, 1.0, quality=Quality.BAD)]),
    events(1, [Gap("furnace", START, START + SECOND, "source_lost"), QualityResult("u1", START, True, "", "cold_end")]),
)


async def filled(store: Store) -> None:
    for batch in BATCHES:
        await store.ingest(NODE, [batch])
    await store.close()


async def test_rows_gaps_and_units_are_the_same(postgres: PostgresServer, tmp_path: Path) -> None:
    database = await schema_for(postgres, tmp_path)
    await filled(await PostgresStore.open(database, VirtualClock()))
    await filled(await SqliteStore.open(tmp_path / "hub.db", VirtualClock()))
    for hub in (database.address, tmp_path / "hub.db"):
        rows, gaps, units = await asyncio.to_thread(read_all, hub)
        begin = START // 1_000_000
        temperature = [row._replace(committed=0) for row in rows[SIGNAL]]
        assert temperature == [
            Row(begin, 1.5, 0, True, False, begin + 5),
            Row(begin + 1000, None, 0, False, False, begin + 1005),
            Row(begin + 2000, 2.0, 0, True, False, begin + 2005),
        ]
        assert all(row.committed for held in rows.values() for row in held)
        assert [row.value for row in rows["line_a/inspection/last_defect"]] == ["crack"]
        assert gaps == [GapSpan("furnace", begin, begin + 1000, "source_lost")]
        assert units == {"u1": 1}


def read_all(hub: Path | str) -> tuple[dict[str, list[Row]], list[GapSpan], dict[str, int]]:
    return read_rows(hub, NODE), read_gaps(hub, NODE), dict(read_units(hub, NODE))

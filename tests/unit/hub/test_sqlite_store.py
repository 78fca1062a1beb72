"""What is particular to the embedded store: its file, its schema, its readers."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.records import encode_samples
from edged.types import BatchKey, Lane, Sample
from edged_cloud_sync.wire import WireBatch
from edged_hub.sqlite_files import connect_reader, connect_writer, statement
from edged_hub.sqlite_reader import QUERY_CONNECTIONS, SqliteReader
from edged_hub.sqlite_store import SqliteStore
from edged_hub.store import Period, StoreUnavailable, WrongSchema

SIGNAL = "line_a/furnace/temperature"
EVERYTHING = Period(0, 2**63 - 1)


async def filled(path: Path, rows: int) -> None:
    samples = [Sample(SIGNAL, float(row), row, row) for row in range(rows)]
    store = await SqliteStore.open(path, VirtualClock())
    await store.ingest("line_a", [WireBatch(BatchKey("s", Lane.PROCESS, 1), rows, encode_samples(samples))])
    await store.close()


async def test_the_file_is_for_its_owner_and_survives_a_power_cut(tmp_path: Path) -> None:
    connection = connect_writer(tmp_path / "hub.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert stat.S_IMODE((tmp_path / "hub.db").stat().st_mode) == 0o600
    connection.close()


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    await filled(tmp_path / "hub.db", 1)
    connection = connect_reader(tmp_path / "hub.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM batches")
    connection.close()


async def test_a_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    await filled(path, 1)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(WrongSchema, match="has schema version 99, this hub reads 1"):
        await SqliteStore.open(path, VirtualClock())


async def test_what_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await SqliteStore.open(path, VirtualClock())


async def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="nowhere"):
        await SqliteStore.open(tmp_path / "nowhere" / "hub.db", VirtualClock())


async def test_slow_queries_are_broken_off_and_their_connections_come_back(tmp_path: Path) -> None:
    await filled(tmp_path / "hub.db", 50_000)
    reader = SqliteReader(tmp_path / "hub.db", query_seconds=0.0005)
    await reader.open()
    for _ in range(2 * QUERY_CONNECTIONS):
        with pytest.raises(StoreUnavailable, match="ask for less"):
            await reader.buckets(SIGNAL, EVERYTHING, 10, 10_000, None)
    await reader.close()


@pytest.mark.parametrize(("name", "never"), [("history", "USE TEMP B-TREE"), ("events_of_kind", "events_by_time")])
async def test_pages_are_read_in_the_order_of_an_index(tmp_path: Path, name: str, never: str) -> None:
    await filled(tmp_path / "hub.db", 1)
    connection = connect_reader(tmp_path / "hub.db")
    values = {"signal_id": 1, "node": None, "kind": "Alarm", "start": 0, "end": 9, "limit": 1}
    plan = " ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement(name), values))
    connection.close()
    assert "SEARCH r USING" in plan
    assert never not in plan

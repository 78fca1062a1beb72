"""The floor of the ingest benchmark: plain SQLite and plain PostgreSQL taking rows that were made beforehand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self, TypeAlias

import asyncpg

from bench.postgres_server import PostgresServer
from bench.stopwatch import Stopwatch, Took
from edged.types import Sample
from edged_hub.postgres_partitions import Partitions
from edged_hub.postgres_rows import days_of, stored_value
from edged_hub.postgres_schema import Slicing, prepare
from edged_hub.rows import store_value
from edged_hub.sqlite_files import connect_writer
from edged_hub.sqlite_files import statement as sqlite_statement

Rows: TypeAlias = Sequence[Sample]
SIZE = "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'sample_rows'::regclass"


def executemany_floor(folder: Path, batches: Sequence[Rows], per_transaction: int) -> Took:
    """Plain SQLite: one `executemany` per transaction into the hub's own table."""
    numbers = {signal: number for number, signal in enumerate({one.signal for batch in batches for one in batch})}
    tables = [
        [
            (numbers[s.signal], s.source_time, batch, row, *store_value(s.value), s.quality, s.receive_time, s.reason)
            for row, s in enumerate(rows)
        ]
        for batch, rows in enumerate(batches)
    ]
    with TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "plain.db"
        with closing(connect_writer(path)) as connection:
            watch = Stopwatch()
            for start in range(0, len(tables), per_transaction):
                connection.execute("BEGIN IMMEDIATE")
                rows = [row for table in tables[start : start + per_transaction] for row in table]
                connection.executemany(sqlite_statement("sample_insert"), rows)
                connection.execute("COMMIT")
            took = watch.stop()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with closing(sqlite3.connect(path)):
            return took._replace(size=path.stat().st_size)


class CopyFloor:
    """Plain PostgreSQL: one COPY per transaction by asyncpg, in a schema of its own on the same server."""

    def __init__(self, server: PostgresServer, batches: Sequence[Rows], per_transaction: int) -> None:
        self._server = server
        numbers = {signal: number for number, signal in enumerate({one.signal for batch in batches for one in batch})}
        tables = [
            [
                (
                    numbers[s.signal],
                    s.source_time,
                    s.receive_time,
                    1,
                    batch,
                    row,
                    kind,
                    s.quality,
                    number,
                    text,
                    s.reason,
                )
                for row, s in enumerate(rows)
                for kind, number, text in [stored_value(s.value)]
            ]
            for batch, rows in enumerate(batches)
        ]
        starts = range(0, len(tables), per_transaction)
        self._copies = [[row for table in tables[start : start + per_transaction] for row in table] for start in starts]
        self._days = days_of([one.source_time for batch in batches for one in batch])

    def __enter__(self) -> Self:
        self._server.run("CREATE SCHEMA floor")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.run("DROP SCHEMA floor CASCADE")

    def same_table(self) -> Took:
        """Into the hub's own table, with its partitions and its index."""
        return asyncio.run(self._measure(index=True))

    def without_index(self) -> Took:
        """The same without the index."""
        return asyncio.run(self._measure(index=False))

    async def _measure(self, *, index: bool) -> Took:
        address = f"{self._server.dsn}?search_path=floor"
        connection = await asyncpg.connect(address, server_settings={"synchronous_commit": "on"})
        try:
            await connection.execute("DROP SCHEMA floor CASCADE; CREATE SCHEMA floor")
            await prepare(connection)
            await Partitions(Slicing.PARTITIONS).make(connection, self._days, 0)
            if not index:
                await connection.execute("DROP INDEX samples_by_signal")
            watch = Stopwatch(database=self._server.cpu_seconds)
            for rows in self._copies:
                await self._copy(connection, rows)
            return watch.stop()._replace(size=int(await connection.fetchval(SIZE)))
        finally:
            await connection.close()

    async def _copy(self, connection: Any, rows: Sequence[tuple[object, ...]]) -> None:
        await connection.copy_records_to_table("sample_rows", records=rows)

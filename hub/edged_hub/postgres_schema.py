"""The tables in PostgreSQL: made once, in days, as declared partitions or as TimescaleDB's chunks."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from edged.log import get_logger
from edged_hub.statements import sql_file, statements
from edged_hub.store import WrongSchema

SCHEMA_VERSION = 1
SCHEMA_LOCK = 0x6564676564
"""Advisory lock: two hubs that start at the same time make the tables one after the other."""

log = get_logger("hub.database")


class Slicing(StrEnum):
    """Who keeps the samples of each day apart."""

    PARTITIONS = "partitions"
    TIMESCALE = "timescale"


def statement(name: str) -> str:
    """The SQL of that name in the files of this store."""
    return statements("postgres_read.sql", "postgres_write.sql", "postgres_samples.sql", "postgres_timescale.sql")[name]


async def prepare(connection: Any) -> Slicing:
    """Makes the tables of an empty schema. Raises WrongSchema."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
        if await connection.fetchval("SELECT to_regclass('hub_schema') IS NULL"):
            return await _create(connection)
        version, slicing = await connection.fetchrow("SELECT version, slicing FROM hub_schema")
    if version != SCHEMA_VERSION:
        raise WrongSchema(f"the database has schema version {version}, this hub reads {SCHEMA_VERSION}")
    return Slicing(slicing)


async def _create(connection: Any) -> Slicing:
    timescale = await connection.fetchval(statement("timescale_probe"))
    slicing = Slicing.PARTITIONS if timescale is None else Slicing.TIMESCALE
    await connection.execute(sql_file(f"postgres_schema_{SCHEMA_VERSION}.sql"))
    if slicing is Slicing.TIMESCALE:
        await connection.execute(statement("sample_rows"))
        await connection.fetch(statement("timescale_hypertable"))
    else:
        await connection.execute(f"{statement('sample_rows')} PARTITION BY RANGE (source_time)")
        await connection.execute(statement("default_partition"))
    await connection.execute(statement("sample_index"))
    await connection.execute(statement("sample_view"))
    await connection.execute("CREATE TABLE hub_schema (version integer NOT NULL, slicing text NOT NULL)")
    await connection.execute("INSERT INTO hub_schema VALUES ($1, $2)", SCHEMA_VERSION, slicing.value)
    log.info("database_prepared", version=SCHEMA_VERSION, slicing=slicing.value, timescale=timescale or "absent")
    return slicing

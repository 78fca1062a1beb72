"""The partitions of the samples, one per day: made ahead of time, and when a day comes that has none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import asyncpg

from edged.log import get_logger
from edged_hub.postgres_rows import DAY_NANOSECONDS, NO_DAY
from edged_hub.postgres_schema import SCHEMA_LOCK, Slicing, statement

DAYS_AHEAD = 2
MAX_PARTITIONS = 4000
"""Eleven years of days; the rows of further ones are kept together in `sample_rows_other`."""
LOCK_SECONDS = 15
EPOCH = date(1970, 1, 1)

log = get_logger("hub.database")


class Partitions:
    """Knows which days need no more work. A day whose rows are in `sample_rows_other` already stays there."""

    def __init__(self, slicing: Slicing, limit: int = MAX_PARTITIONS) -> None:
        self._slicing = slicing
        self._limit = limit
        self._known: set[int] = {NO_DAY}
        self._ahead_of = -1

    def wanted(self, days: Iterable[int], now: int) -> list[int]:
        """Which of these days, of today (ns UTC) and the next ones have to be looked after by `make`."""
        if self._slicing is Slicing.TIMESCALE:
            return []
        today = now // DAY_NANOSECONDS
        ahead = range(today, today + DAYS_AHEAD + 1) if today != self._ahead_of else ()
        return sorted({*days, *ahead} - self._known)

    def forget(self) -> None:
        """Looks again: another database may answer now."""
        self._known = {NO_DAY}
        self._ahead_of = -1

    async def make(self, connection: Any, days: Iterable[int], now: int) -> None:
        """Makes the partitions that are not there. Raises asyncpg.PostgresError."""
        for day in days:
            try:
                async with connection.transaction():
                    await self._make(connection, day)
            except asyncpg.CheckViolationError:
                log.info("day_without_partition", day=_date(day).isoformat())
            self._known.add(day)
        self._ahead_of = now // DAY_NANOSECONDS

    async def _make(self, connection: Any, day: int) -> None:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
        known = {name for (name,) in await connection.fetch(statement("known_partitions"))}
        name = f"sample_rows_{_date(day):%Y%m%d}"
        if name in known:
            return
        if len(known) >= self._limit:
            log.warning("partitions_used_up", limit=self._limit, day=_date(day).isoformat())
            return
        first = day * DAY_NANOSECONDS
        attach = statement("partition_attach").format(name=name, first=first, end=first + DAY_NANOSECONDS)
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        await connection.execute(statement("partition_table").format(name=name))
        await connection.execute(attach)


def _date(day: int) -> date:
    return EPOCH + timedelta(days=day)

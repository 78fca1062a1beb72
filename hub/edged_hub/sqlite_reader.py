"""The readers of the embedded store: aiosqlite connections of their own that never hold up the writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from edged.intervals import IntervalSet
from edged_hub.buckets import few_starts
from edged_hub.ledger import missing
from edged_hub.rows import load_value
from edged_hub.sqlite_files import connect_reader, statement
from edged_hub.store import (
    Bucket,
    HeldEvent,
    HeldGap,
    HeldSample,
    Identity,
    IdentityKind,
    LaneHoldings,
    Minute,
    Period,
    Role,
    Span,
    StoreUnavailable,
    Totals,
)

QUERY_CONNECTIONS = 3
QUERY_SECONDS = 10.0
"""A query that takes longer is broken off: ask for less at a time."""


class SqliteReader:
    """Every query of the API as one or a few statements. Raises StoreUnavailable."""

    def __init__(self, path: Path, query_seconds: float = QUERY_SECONDS) -> None:
        self._path = path
        self._query_seconds = query_seconds
        self._open: list[aiosqlite.Connection] = []
        self._idle: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        self._identities: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()

    async def open(self) -> None:
        """Opens the connections; slow queries never hold up the check of an identity."""
        for queue in [self._idle] * QUERY_CONNECTIONS + [self._identities]:
            connection = await aiosqlite.Connection(lambda: connect_reader(self._path), 64)
            self._open.append(connection)
            queue.put_nowait(connection)

    async def latest(self, node: str | None, signal: str | None) -> Sequence[HeldSample]:
        rows = await self._fetch("latest", {"node": node, "signal": signal})
        return [_sample(row) for row in rows]

    async def history(self, signal: str, period: Period, limit: int, node: str | None) -> Sequence[HeldSample]:
        values = {"start": period.start, "end": period.end, "limit": limit}
        found: list[HeldSample] = []
        for (signal_id,) in await self._fetch("signals_of_path", {"signal": signal, "node": node}):
            found += [_sample(row) for row in await self._fetch("history", values | {"signal_id": signal_id})]
        return sorted(found, key=lambda sample: sample.source_time)[:limit]

    async def buckets(
        self, signal: str, period: Period, bucket_ns: int, limit: int, node: str | None
    ) -> Sequence[Bucket]:
        values: dict[str, object] = {"start": period.start, "end": period.end, "limit": limit, "bucket": bucket_ns}
        ids = [signal_id for (signal_id,) in await self._fetch("signals_of_path", {"signal": signal, "node": node})]
        if len(ids) == 1:
            values["signal_id"] = ids[0]
            ((first, last),) = await self._fetch("extent", values)
            starts = None if first is None else few_starts(first, last, bucket_ns)
            if starts is not None:
                few = await self._fetch("buckets_few", values | {"first": starts.first, "last": starts.last})
                return sorted(bucket for row in few if (bucket := _bucket(*row)).samples)[:limit]
        return [Bucket(*row) for row in await self._fetch("buckets", values | {"signal": signal, "node": node})]

    async def events(self, period: Period, limit: int, kind: str | None, node: str | None) -> Sequence[HeldEvent]:
        values = {"start": period.start, "end": period.end, "limit": limit, "kind": kind, "node": node}
        name = "events" if kind is None else "events_of_kind"
        return [HeldEvent(*row) for row in await self._fetch(name, values)]

    async def gaps(self, period: Period, limit: int, node: str | None) -> Sequence[HeldGap]:
        values = {"start": period.start, "end": period.end, "limit": limit, "node": node}
        return [HeldGap(*row) for row in await self._fetch("gaps", values)]

    async def holdings(self, since: int, node: str | None) -> Sequence[LaneHoldings]:
        lanes = await self._fetch("lanes", {"node": node})
        return [await self._lane(row, since) for row in lanes]

    async def totals(self) -> Totals:
        ((nodes, batches, samples, events, last_received, signals, gaps, refused),) = await self._fetch("totals", {})
        return Totals(nodes, signals, batches, samples, events, gaps, refused, last_received)

    async def identity(self, kind: IdentityKind, name: str) -> Identity | None:
        rows = await self._fetch("identity", {"kind": kind.value, "name": name}, self._identities)
        return _identity(rows[0]) if rows else None

    async def identities(self) -> Sequence[Identity]:
        return [_identity(row) for row in await self._fetch("identities", {}, self._identities)]

    async def close(self) -> None:
        """Closes every connection."""
        for connection in self._open:
            await connection.close()

    async def _lane(self, row: Sequence[Any], since: int) -> LaneHoldings:
        stream_id, node, stream, lane, batches, rows, last_received = row
        key = {"stream_id": stream_id}
        held = [Span(*span) for span in await self._fetch("lane_held", key)]
        refused = [seq for (seq,) in await self._fetch("lane_refused", key)]
        lost = await self._fetch("lane_given_up", {"node": node, "stream": stream, "lane": lane})
        minutes = await self._fetch("lane_minutes", key | {"since": since})
        given_up = IntervalSet((first, last) for first, last in lost)
        known = IntervalSet([*held, *given_up.intervals(), *((seq, seq) for seq in refused)])
        return LaneHoldings(
            node=node,
            stream=stream,
            lane=lane,
            batches=batches,
            rows=rows,
            last_received=last_received,
            held=held,
            missing=_spans(missing(known)),
            given_up=_spans(given_up),
            refused=len(refused),
            minutes=[Minute(*minute) for minute in minutes],
        )

    async def _fetch(
        self, name: str, values: Mapping[str, object], queue: asyncio.Queue[aiosqlite.Connection] | None = None
    ) -> Sequence[Sequence[Any]]:
        async with self._borrow(queue or self._idle) as connection:
            try:
                async with asyncio.timeout(self._query_seconds):
                    return list(await connection.execute_fetchall(statement(name), dict(values)))
            except TimeoutError as fault:
                await connection.interrupt()
                raise StoreUnavailable(f"a query took longer than {self._query_seconds:g} s: ask for less") from fault
            except sqlite3.Error as fault:
                raise StoreUnavailable(f"{self._path}: {fault}") from fault

    @asynccontextmanager
    async def _borrow(self, queue: asyncio.Queue[aiosqlite.Connection]) -> AsyncIterator[aiosqlite.Connection]:
        connection = await queue.get()
        try:
            yield connection
        finally:
            queue.put_nowait(connection)


def _sample(row: Sequence[Any]) -> HeldSample:
    node, signal, unit, source_time, receive_time, kind, number, text, quality, reason, seq, place = row
    value = load_value(kind, number, text)
    return HeldSample(node, signal, unit, source_time, receive_time, value, quality, reason, seq, place)


def _bucket(start: int, packed: str) -> Bucket:
    """Statistics as SQL's `quote` writes them, which loses no digit."""
    *values, samples, good = (None if text == "NULL" else float(text) for text in packed.split())
    minimum, mean, maximum = values
    return Bucket(start, minimum, mean, maximum, int(samples or 0), good or 0.0)


def _spans(numbers: IntervalSet) -> list[Span]:
    return [Span(first, last) for first, last in numbers.intervals()]


def _identity(row: Sequence[Any]) -> Identity:
    kind, name, role, salt, digest, created = row
    return Identity(IdentityKind(kind), name, Role(role), salt, digest, created)

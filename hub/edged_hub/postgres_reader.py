"""Every query of the API over a pool of connections of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from edged.intervals import IntervalSet
from edged_hub.buckets import few_starts
from edged_hub.ledger import missing
from edged_hub.postgres_connect import Connections
from edged_hub.postgres_rows import loaded_value
from edged_hub.postgres_schema import statement
from edged_hub.postgres_writer import ACCOUNTED, HELD
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

Row = Sequence[Any]


class _Named(NamedTuple):
    """One signal of one node."""

    signal_id: int
    node: str
    unit: str | None


class PostgresReader:
    """Raises StoreUnavailable. Identities have connections of their own: slow queries never hold up their check."""

    def __init__(self, connections: Connections, queries: Any, identities: Any) -> None:
        self._connections = connections
        self._queries = queries
        self._identities = identities

    async def latest(self, node: str | None, signal: str | None) -> Sequence[HeldSample]:
        return [
            _sample(_Named(0, held_by, unit), path, row)
            for held_by, path, unit, *row in await self._fetch("latest", node, signal)
        ]

    async def history(self, signal: str, period: Period, limit: int, node: str | None) -> Sequence[HeldSample]:
        found: list[HeldSample] = []
        for named in await self._signals(signal, node):
            rows = await self._fetch("history", named.signal_id, period.start, period.end, limit)
            found += [_sample(named, signal, row) for row in rows]
        return sorted(found, key=lambda sample: sample.source_time)[:limit]

    async def buckets(
        self, signal: str, period: Period, bucket_ns: int, limit: int, node: str | None
    ) -> Sequence[Bucket]:
        ids = [named.signal_id for named in await self._signals(signal, node)]
        ((first, last),) = await self._fetch("extent", ids, period.start, period.end)
        if first is None:
            return []
        starts = few_starts(first, last, bucket_ns)
        try:
            if starts is not None:
                rows = await self._fetch("buckets_few", ids, *starts, bucket_ns, period.start, period.end, limit)
            else:
                rows = await self._fetch("buckets", ids, bucket_ns, period.start, period.end, limit)
        except StoreUnavailable as fault:
            if not isinstance(fault.__cause__, asyncpg.NumericValueOutOfRangeError):
                raise
            rows = await self._fetch("buckets_of_huge_numbers", ids, bucket_ns, period.start, period.end, limit)
        return [Bucket(int(start), *statistics) for start, *statistics in rows]

    async def events(self, period: Period, limit: int, kind: str | None, node: str | None) -> Sequence[HeldEvent]:
        values = (period.start, period.end, limit, node)
        rows = await (self._fetch("events", *values) if kind is None else self._fetch("events_of_kind", *values, kind))
        return [HeldEvent(*row) for row in rows]

    async def gaps(self, period: Period, limit: int, node: str | None) -> Sequence[HeldGap]:
        return [HeldGap(*row) for row in await self._fetch("gaps", period.start, period.end, limit, node)]

    async def holdings(self, since: int, node: str | None) -> Sequence[LaneHoldings]:
        return [await self._lane(row, since) for row in await self._fetch("lanes", node)]

    async def totals(self) -> Totals:
        ((nodes, batches, samples, events, last_received, signals, gaps, refused),) = await self._fetch("totals")
        return Totals(nodes, signals, batches, samples, events, gaps, refused, last_received)

    async def identity(self, kind: IdentityKind, name: str) -> Identity | None:
        rows = await self._fetch("identity", kind.value, name, pool=self._identities)
        return _identity(rows[0]) if rows else None

    async def identities(self) -> Sequence[Identity]:
        return [_identity(row) for row in await self._fetch("identities", pool=self._identities)]

    async def _signals(self, signal: str, node: str | None) -> list[_Named]:
        return [_Named(*row) for row in await self._fetch("signals_of_path", signal, node)]

    async def _lane(self, row: Row, since: int) -> LaneHoldings:
        stream_id, node, stream, lane, batches, rows, last_received = row
        held = await self._fetch("lane_intervals", stream_id, HELD)
        accounted = await self._fetch("lane_intervals", stream_id, ACCOUNTED)
        given_up = await self._fetch("lane_given_up", node, stream, lane)
        ((refused,),) = await self._fetch("lane_refused", stream_id)
        minutes = await self._fetch("lane_minutes", stream_id, since)
        return LaneHoldings(
            node=node,
            stream=stream,
            lane=lane,
            batches=batches,
            rows=rows,
            last_received=last_received,
            held=_spans(_set(held)),
            missing=_spans(missing(_set(accounted))),
            given_up=_spans(_set(given_up)),
            refused=refused,
            minutes=[Minute(*minute) for minute in minutes],
        )

    async def _fetch(self, name: str, *values: object, pool: Any = None) -> Sequence[Row]:
        async with self._connections.borrowed(pool or self._queries) as connection:
            rows: Sequence[Row] = await connection.fetch(statement(name), *values)
            return rows


def _sample(named: _Named, signal: str, row: Row) -> HeldSample:
    source_time, receive_time, kind, number, text, quality, reason, seq, place = row
    value = loaded_value(kind, number, text)
    return HeldSample(named.node, signal, named.unit, source_time, receive_time, value, quality, reason, seq, place)


def _set(rows: Sequence[Row]) -> IntervalSet:
    return IntervalSet((first, last) for first, last in rows)


def _spans(numbers: IntervalSet) -> list[Span]:
    return [Span(first, last) for first, last in numbers.intervals()]


def _identity(row: Row) -> Identity:
    kind, name, role, salt, digest, created = row
    return Identity(IdentityKind(kind), name, Role(role), salt, digest, created)

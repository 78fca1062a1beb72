"""The read API: typed handlers over the store, and the table of routes that the OpenAPI document is made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from edged import __version__
from edged.clock import Clock
from edged.types import NANOSECONDS_PER_SECOND
from edged_hub.identities import Caller
from edged_hub.models import (
    MAX_ROWS,
    Answer,
    BucketRecord,
    CompletenessAnswer,
    CompletenessQuery,
    EventRecord,
    EventsAnswer,
    EventsQuery,
    GapRecord,
    GapsAnswer,
    GapsQuery,
    HistoryAnswer,
    HistoryQuery,
    LaneRecord,
    LatestAnswer,
    LatestQuery,
    MinuteRecord,
    NoQuery,
    Query,
    Record,
    SeqSpan,
    StatusAnswer,
    iso_time,
    line_name,
    status_of,
)
from edged_hub.store import HeldGap, HeldSample, LaneHoldings, Period, Role, Span, Store

SECONDS_PER_MINUTE = 60

Q = TypeVar("Q", bound=Query)
B = TypeVar("B", bound=Query)


@dataclass(frozen=True, slots=True)
class Route(Generic[Q]):
    """One documented GET route for users."""

    path: str
    summary: str
    query: type[Q]
    answer: type[Answer]
    handle: Callable[[Q], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class PostRoute(Generic[B]):
    """One documented POST route for users of some roles. Its body is a JSON object; what it starts is not done yet."""

    path: str
    summary: str
    body: type[B]
    answer: type[Answer]
    roles: frozenset[Role]
    handle: Callable[[B, Caller], Awaitable[Answer]]


class ReadApi:
    """What users and the dashboard can ask."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._started = clock.now()

    def routes(self) -> Sequence[Route[Any]]:
        """Every route; all of them need the secret of a user."""
        return (
            Route("/api/v1/latest", "The newest value of each signal", LatestQuery, LatestAnswer, self.latest),
            Route("/api/v1/history", "Values or statistics of a signal", HistoryQuery, HistoryAnswer, self.history),
            Route("/api/v1/events", "Alarms, predictions, decisions, results", EventsQuery, EventsAnswer, self.events),
            Route("/api/v1/gaps", "Known losses", GapsQuery, GapsAnswer, self.gaps),
            Route(
                "/api/v1/completeness",
                "Which batches are held and which are missing",
                CompletenessQuery,
                CompletenessAnswer,
                self.completeness,
            ),
            Route("/api/v1/status", "The hub in numbers", NoQuery, StatusAnswer, self.status),
        )

    async def latest(self, query: LatestQuery) -> LatestAnswer:
        """The newest value of each signal."""
        held = await self._store.latest(query.node, query.signal)
        return LatestAnswer(records=[_record(sample) for sample in held])

    async def history(self, query: HistoryQuery) -> HistoryAnswer:
        """Rows, or buckets when an interval is given."""
        period = Period(query.start, query.end)
        if query.bucket_seconds is not None:
            return await self._buckets(query, period, round(query.bucket_seconds * NANOSECONDS_PER_SECOND))
        held = await self._store.history(query.signal, period, query.limit + 1, node=query.node)
        page, more = _page(held, query.limit)
        return HistoryAnswer(signal=query.signal, records=[_record(sample) for sample in page], next=more)

    async def events(self, query: EventsQuery) -> EventsAnswer:
        """Events, newest first."""
        held = await self._store.events(Period(query.start, query.end), query.limit, kind=query.kind, node=query.node)
        return EventsAnswer(
            events=[
                EventRecord(
                    node=event.node,
                    kind=event.kind,
                    timestamp=iso_time(event.time),
                    source=event.source,
                    body=orjson.loads(event.body),
                )
                for event in held
            ]
        )

    async def gaps(self, query: GapsQuery) -> GapsAnswer:
        """Known losses, oldest first."""
        held = await self._store.gaps(Period(query.start, query.end), query.limit, node=query.node)
        return GapsAnswer(gaps=[_gap(gap) for gap in held])

    async def completeness(self, query: CompletenessQuery) -> CompletenessAnswer:
        """What is held, what is missing, what is known to be lost."""
        now = self._clock.now()
        since = now - query.minutes * SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND
        lanes = await self._store.holdings(since, node=query.node)
        gaps = await self._store.gaps(Period(since, now), MAX_ROWS, node=query.node)
        return CompletenessAnswer(lanes=[_lane(lane) for lane in lanes], gaps=[_gap(gap) for gap in gaps])

    async def status(self, _: NoQuery) -> StatusAnswer:
        """The hub in numbers."""
        totals = await self._store.totals()
        return StatusAnswer(
            version=__version__,
            started=iso_time(self._started),
            now=iso_time(self._clock.now()),
            nodes=totals.nodes,
            signals=totals.signals,
            batches=totals.batches,
            samples=totals.samples,
            events=totals.events,
            gaps=totals.gaps,
            refused_batches=totals.refused_batches,
            last_received=iso_time(totals.last_received) if totals.last_received else None,
        )

    async def _buckets(self, query: HistoryQuery, period: Period, bucket_ns: int) -> HistoryAnswer:
        held = await self._store.buckets(query.signal, period, bucket_ns, query.limit + 1, node=query.node)
        more = held[query.limit].start if len(held) > query.limit else None
        return HistoryAnswer(
            signal=query.signal,
            buckets=[
                BucketRecord(
                    timestamp=iso_time(bucket.start),
                    minimum=bucket.minimum,
                    mean=bucket.mean,
                    maximum=bucket.maximum,
                    count=bucket.samples,
                    good_share=bucket.good_share,
                )
                for bucket in held[: query.limit]
            ],
            next=None if more is None else iso_time(more),
        )


def _page(held: Sequence[HeldSample], limit: int) -> tuple[Sequence[HeldSample], str | None]:
    """At most `limit` samples and where the next page begins; equal times stay together where they can."""
    if len(held) <= limit:
        return held, None
    following = held[limit].source_time
    page = [sample for sample in held[:limit] if sample.source_time < following] or held[:limit]
    return page, iso_time(following)


def _record(sample: HeldSample) -> Record:
    return Record(
        timestamp=iso_time(sample.source_time),
        sensor_id=sample.signal,
        parameter_name=sample.signal.split("/", 2)[-1],
        value=sample.value,
        unit=sample.unit,
        status=status_of(sample.quality),
        production_line=line_name(sample.node),
        quality=sample.quality,
        reason=sample.reason,
        received=iso_time(sample.receive_time),
        node=sample.node,
    )


def _gap(gap: HeldGap) -> GapRecord:
    return GapRecord(
        node=gap.node,
        source=gap.source,
        start=iso_time(gap.start),
        end=iso_time(gap.end),
        reason=gap.reason,
        stream=gap.stream,
        lane=gap.lane,
        first_seq=gap.first_seq,
        last_seq=gap.last_seq,
        samples=gap.samples,
    )


def _lane(lane: LaneHoldings) -> LaneRecord:
    return LaneRecord(
        node=lane.node,
        stream=lane.stream,
        lane=lane.lane,
        batches=lane.batches,
        rows=lane.rows,
        last_received=iso_time(lane.last_received),
        complete=not lane.missing,
        held=_spans(lane.held),
        missing=_spans(lane.missing),
        given_up=_spans(lane.given_up),
        refused_batches=lane.refused,
        minutes=[MinuteRecord(timestamp=iso_time(minute.start), rows=minute.rows) for minute in lane.minutes],
    )


def _spans(spans: Sequence[Span]) -> list[SeqSpan]:
    return [SeqSpan(first=first, last=last) for first, last in spans]

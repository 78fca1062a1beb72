"""What one POST brought, made ready for the writer: decoded, checked, its names numbered, its rows packed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from edged.clock import Clock
from edged.errors import DamagedRecord
from edged.types import BatchKey, Lane, SeqRange
from edged_cloud_sync.wire import STREAM_PATTERN, WireBatch
from edged_hub.ledger import LaneKey
from edged_hub.postgres_connect import Connections
from edged_hub.postgres_names import Names, Numbers
from edged_hub.postgres_partitions import Partitions
from edged_hub.postgres_rows import NO_DAY, SampleColumns, check_storable, days_of, newest_days, pack_samples, shown
from edged_hub.rows import DecodedBatch, decode

MAX_PORTION_ROWS = 50_000
"""Rows of one POST that are prepared and written together; a larger POST takes several transactions."""


@dataclass(frozen=True, slots=True)
class Portion:
    """A POST, or a part of a very large one."""

    node: str
    batches: Sequence[WireBatch]
    offers: Sequence[SeqRange]
    received: int


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Batches of another lane that an outbox says are lost."""

    stream_id: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ReadyBatch:
    """A batch that can be written. `events` and `gaps` are rows of their tables; `newest` is per signal id."""

    key: BatchKey
    stream_id: int
    rows: int
    size: int
    first_time: int
    last_time: int
    samples: bytes
    newest: Sequence[tuple[int, int, int]]
    events: Sequence[tuple[object, ...]]
    gaps: Sequence[tuple[object, ...]]
    given_up: Sequence[GivenUp]


@dataclass(frozen=True, slots=True)
class DamagedBatch:
    """A batch that cannot be read; its bytes are kept aside."""

    batch: WireBatch
    stream_id: int
    reason: str


Item: TypeAlias = ReadyBatch | DamagedBatch


@dataclass(frozen=True, slots=True)
class Prepared:
    """A portion as the writer takes it; `lanes` are those of its batches, its gaps and its offers."""

    portion: Portion
    items: Sequence[Item]
    lanes: Mapping[LaneKey, int]
    rows: int
    generation: int


class _Readable(NamedTuple):
    """A batch that could be decoded; `unknown` are its signals that have no number yet."""

    decoded: DecodedBatch
    columns: SampleColumns | None
    days: set[int]
    unknown: Sequence[str]


_Decoded: TypeAlias = _Readable | tuple[WireBatch, str]


class Preparer:
    """Decodes and packs in a thread, so that the event loop only moves bytes."""

    def __init__(self, connections: Connections, pool: Any, names: Names, partitions: Partitions, clock: Clock) -> None:
        self._connections = connections
        self._pool = pool
        self._names = names
        self._partitions = partitions
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def prepare(self, portion: Portion) -> Prepared:
        """Raises StoreUnavailable when new names cannot be numbered."""
        loop = asyncio.get_running_loop()
        offered = {LaneKey(portion.node, offer.stream, offer.lane) for offer in portion.offers}
        while True:
            numbers = self._names.of(portion.node)
            decoded = await loop.run_in_executor(self._thread, _decode_all, portion.batches, numbers.signals)
            lanes = _own_lanes(portion, decoded)
            await self._learn(portion.node, numbers, lanes, offered, decoded)
            if numbers.generation == self._names.generation:
                break  # else all was forgotten meanwhile, and what was unknown is no longer all that is
        items = await loop.run_in_executor(self._thread, _pack_all, portion.node, decoded, numbers)
        rows = sum(item.rows for item in items if isinstance(item, ReadyBatch))
        known_lanes = {key: numbers.lanes[key] for key in lanes | offered if key in numbers.lanes}
        return Prepared(portion, items, known_lanes, rows, numbers.generation)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown()

    async def _learn(
        self,
        node: str,
        numbers: Numbers,
        lanes: set[LaneKey],
        offered: set[LaneKey],
        decoded: Sequence[_Decoded],
    ) -> None:
        readable = [one for one in decoded if isinstance(one, _Readable)]
        paths = {path for one in readable for path in one.unknown}
        now = self._clock.now()
        make = self._partitions.wanted({day for one in readable for day in one.days}, now)
        if make or paths or not lanes | offered <= numbers.lanes.keys():
            async with self._connections.borrowed(self._pool) as connection:
                await self._names.learn_lanes(connection, node, lanes, register=True)
                await self._names.learn_lanes(connection, node, offered, register=False)
                await self._names.learn_signals(connection, node, paths)
                await self._partitions.make(connection, make, now)


def portions(portion: Portion) -> Iterator[Portion]:
    """The parts of a POST that are written in one transaction each; at least one."""
    part: list[WireBatch] = []
    rows = 0
    for batch in portion.batches:
        if part and rows + batch.rows > MAX_PORTION_ROWS:
            yield Portion(portion.node, part, portion.offers, portion.received)
            part, rows = [], 0
        part.append(batch)
        rows += batch.rows
    yield Portion(portion.node, part, portion.offers, portion.received)


def _decode_all(batches: Sequence[WireBatch], known: Mapping[str, int]) -> list[_Decoded]:
    return [_decode(batch, known) for batch in batches]


def _decode(batch: WireBatch, known: Mapping[str, int]) -> _Decoded:
    try:
        decoded = decode(batch)
        if not decoded.samples:
            return _Readable(decoded, None, set(), ())
        columns = SampleColumns.of(decoded.samples)
        unknown = [path for path in set(columns.signals) if path not in known]
        check_storable(columns, unknown)
    except DamagedRecord as fault:
        return batch, shown(str(fault))
    ends = days_of((decoded.first_time, decoded.last_time))
    days = ends if len(ends) == 1 and NO_DAY not in ends else days_of(columns.source_times)
    return _Readable(decoded, columns, days, unknown)


def _pack_all(node: str, decoded: Sequence[_Decoded], numbers: Numbers) -> list[Item]:
    return [_pack(node, one, numbers) for one in decoded]


def _pack(node: str, one: _Decoded, numbers: Numbers) -> Item:
    if not isinstance(one, _Readable):
        batch, reason = one
        return DamagedBatch(batch, numbers.lanes[LaneKey(node, batch.key.stream, batch.key.lane)], reason)
    key, rows, blob = one.decoded.batch
    stream_id = numbers.lanes[LaneKey(node, key.stream, key.lane)]
    samples, newest = b"", list[tuple[int, int, int]]()
    if one.columns is not None:
        ids = list(map(numbers.signals.__getitem__, one.columns.signals))
        samples = pack_samples(one.columns, ids, stream_id, key.seq)
        newest = newest_days(ids, one.columns.source_times, one.days, numbers.newest_from)
    return ReadyBatch(
        key=key,
        stream_id=stream_id,
        rows=rows,
        size=len(blob),
        first_time=one.decoded.first_time,
        last_time=one.decoded.last_time,
        samples=samples,
        newest=newest,
        events=[
            (stream_id, key.seq, row, event.kind, event.time, shown(event.source), event.body)
            for row, event in enumerate(one.decoded.events)
        ],
        gaps=list(_gap_rows(one.decoded, stream_id)),
        given_up=[GivenUp(numbers.lanes[lane], *span) for lane, span in _lost(node, one)],
    )


def _gap_rows(one: DecodedBatch, stream_id: int) -> Iterator[tuple[object, ...]]:
    for row, gap in one.gaps:
        lost = (shown(gap.stream), shown(gap.lane), gap.first_seq, gap.last_seq, gap.samples)
        yield stream_id, one.batch.key.seq, row, shown(gap.source), gap.start, gap.end, shown(gap.reason), *lost


def _own_lanes(portion: Portion, decoded: Sequence[_Decoded]) -> set[LaneKey]:
    """The lanes of the batches, and those of which a gap says that batches are lost."""
    lanes = {LaneKey(portion.node, batch.key.stream, batch.key.lane) for batch in portion.batches}
    return lanes.union(*({lane for lane, _ in _lost(portion.node, one)} for one in decoded))


def _lost(node: str, one: _Decoded) -> Iterator[tuple[LaneKey, tuple[int, int]]]:
    """Which batches of which lane the gaps of a batch give up."""
    for _, gap in one.decoded.gaps if isinstance(one, _Readable) else ():
        known = STREAM_PATTERN.fullmatch(gap.stream) is not None and gap.lane in set(Lane)
        if known and 1 <= gap.first_seq <= gap.last_seq:
            yield LaneKey(node, gap.stream, Lane(gap.lane)), (gap.first_seq, gap.last_seq)

"""From a batch's bytes to checked rows, the same for every back end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import orjson

from edged.columns import INT64_MAX, INT64_MIN
from edged.errors import DamagedRecord
from edged.records import decode_events, decode_samples
from edged.types import Alarm, Decision, Event, Gap, Lane, OperatorAction, Prediction, QualityResult, Sample, Value
from edged_cloud_sync.wire import WireBatch


class ValueKind(IntEnum):
    """How a value is kept: its type, and which of the two columns holds it."""

    NONE = 0
    FLOAT = 1
    INT = 2
    BOOL = 3
    STRING = 4
    BIG_INT = 5


class StoredValue(NamedTuple):
    """A value as two columns."""

    kind: ValueKind
    number: float | int | None
    text: str | None


class EventRow(NamedTuple):
    """One event as columns; `body` is JSON."""

    kind: str
    time: int
    source: str
    body: str


class GapRow(NamedTuple):
    """The gap in the event of the same row number."""

    row: int
    gap: Gap


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """A batch that could be read. Times are ns UTC, 0 when it is empty."""

    batch: WireBatch
    samples: Sequence[Sample]
    events: Sequence[EventRow]
    gaps: Sequence[GapRow]
    first_time: int
    last_time: int


NO_VALUE = StoredValue(ValueKind.NONE, None, None)


def decode(batch: WireBatch) -> DecodedBatch:
    """The rows of one batch. Raises DamagedRecord when its bytes or its row count are not what they should be."""
    decoded = _decode_samples(batch) if batch.key.lane is Lane.PROCESS else _decode_events(batch)
    rows = len(decoded.samples) + len(decoded.events)
    if rows != batch.rows:
        raise DamagedRecord(f"{rows} rows, announced were {batch.rows}")
    return decoded


def store_value(value: Value | None) -> StoredValue:
    """A value as columns."""
    if isinstance(value, float):
        return StoredValue(ValueKind.FLOAT, value, None)
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return StoredValue(ValueKind.BOOL, int(value), None)
    if isinstance(value, int):
        if INT64_MIN <= value <= INT64_MAX:
            return StoredValue(ValueKind.INT, value, None)
        return StoredValue(ValueKind.BIG_INT, None, str(value))
    return StoredValue(ValueKind.STRING, None, value)


def load_value(kind: int, number: float | None, text: str | None) -> Value | None:
    """The value that `store_value` took apart."""
    if kind == ValueKind.FLOAT:
        return None if number is None else float(number)
    if kind == ValueKind.INT:
        return None if number is None else int(number)
    if kind == ValueKind.BOOL:
        return bool(number)
    if kind == ValueKind.BIG_INT:
        return None if text is None else int(text)
    return text


def event_row(event: Event) -> EventRow:
    """An event as columns."""
    return EventRow(type(event).__name__, event_time(event), event_source(event), orjson.dumps(event).decode())


def event_time(event: Event) -> int:
    """When it happened, ns UTC; a gap counts from its start."""
    return event.start if isinstance(event, Gap) else event.time


def event_source(event: Event) -> str:
    """What it is about: a signal path, or the name of a source, service or loop."""
    match event:
        case Gap() | Alarm() | QualityResult():
            return event.source
        case Prediction() | Decision():
            return event.signal
        case OperatorAction():
            return event.target


def _decode_samples(batch: WireBatch) -> DecodedBatch:
    samples = decode_samples(batch.blob)
    times = [sample.source_time for sample in samples]
    return DecodedBatch(batch, samples, (), (), min(times, default=0), max(times, default=0))


def _decode_events(batch: WireBatch) -> DecodedBatch:
    events = decode_events(batch.blob)
    rows = [event_row(event) for event in events]
    gaps = [GapRow(row, event) for row, event in enumerate(events) if isinstance(event, Gap)]
    times = [row.time for row in rows]
    return DecodedBatch(batch, (), rows, gaps, min(times, default=0), max(times, default=0))

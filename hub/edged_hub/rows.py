"""From a batch's bytes to checked rows, the same for every back end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import orjson

from edged.errors import DamagedRecord
from edged.records import decode_events, decode_samples
from edged.types import Alarm, Decision, Event, Gap, Lane, Prediction, Quality, QualityResult, Sample, Value
from edged_cloud_sync.wire import WireBatch

INT64_MAX = 2**63 - 1
NOT_FINITE = "not a finite number"


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
    """The rows of one batch. Raises DamagedRecord when its bytes, row count or numbers are not what they should be."""
    decoded = _decode_samples(batch) if batch.key.lane is Lane.PROCESS else _decode_events(batch)
    rows = len(decoded.samples) + len(decoded.events)
    if rows != batch.rows:
        raise DamagedRecord(f"{rows} rows, announced were {batch.rows}")
    return decoded


def store_value(value: Value | None) -> StoredValue:
    """A value as columns. NaN and infinities are kept as no value: see `store_quality`."""
    if isinstance(value, float):
        return StoredValue(ValueKind.FLOAT, value, None) if math.isfinite(value) else NO_VALUE
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return StoredValue(ValueKind.BOOL, int(value), None)
    if isinstance(value, int):
        if -INT64_MAX <= value <= INT64_MAX:
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


def store_quality(sample: Sample) -> tuple[int, str]:
    """Quality and reason; a number that is not finite is BAD and says so."""
    value = sample.value
    if isinstance(value, float) and not math.isfinite(value):
        return Quality.BAD, sample.reason or NOT_FINITE
    return sample.quality, sample.reason


def event_row(event: Event) -> EventRow:
    """An event as columns. Raises DamagedRecord when JSON cannot carry it (a number beyond 64 bits)."""
    try:
        body = orjson.dumps(event).decode()
    except orjson.JSONEncodeError as fault:
        raise DamagedRecord(f"{type(event).__name__}: {fault}") from fault
    return EventRow(type(event).__name__, event_time(event), event_source(event), body)


def event_time(event: Event) -> int:
    """When it happened, ns UTC; a gap counts from its start."""
    return event.start if isinstance(event, Gap) else event.time


def event_source(event: Event) -> str:
    """What it is about: a signal path, or the name of a source or service."""
    match event:
        case Gap() | Alarm() | QualityResult():
            return event.source
        case Prediction() | Decision():
            return event.signal


def _decode_samples(batch: WireBatch) -> DecodedBatch:
    samples = decode_samples(batch.blob)
    times = [sample.source_time for sample in samples]
    _check_range("source times", times)
    _check_range("receive times", [sample.receive_time for sample in samples])
    _check_range("qualities", [sample.quality for sample in samples])
    return DecodedBatch(batch, samples, (), (), min(times, default=0), max(times, default=0))


def _decode_events(batch: WireBatch) -> DecodedBatch:
    events = decode_events(batch.blob)
    rows = [event_row(event) for event in events]
    gaps = [GapRow(row, event) for row, event in enumerate(events) if isinstance(event, Gap)]
    times = [row.time for row in rows]
    _check_range("times", times)
    for _, gap in gaps:
        _check_range("gap numbers", [gap.start, gap.end, gap.first_seq, gap.last_seq, gap.samples or 0])
    return DecodedBatch(batch, (), rows, gaps, min(times, default=0), max(times, default=0))


def _check_range(what: str, numbers: Sequence[int]) -> None:
    if numbers and (min(numbers) < -INT64_MAX or max(numbers) > INT64_MAX):
        raise DamagedRecord(f"{what} beyond 64 bits")

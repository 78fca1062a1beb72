"""The one place where a sample that must not be stored as it is becomes one that may: never NaN, never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from edged.columns import INT64_MAX, INT64_MIN
from edged.records import MAX_INT_BITS, MAX_TEXT_BYTES
from edged.types import Quality, Sample, Value

MAX_REASON_LENGTH = 500
MAX_SIGNAL_LENGTH = 1000
MAX_QUALITY = 0xFFFF

NOT_FINITE = "not_finite"
NOT_STORABLE = "not_storable"
BAD_TIME = "bad_time"


def repaired(samples: Sequence[Sample]) -> list[Sample]:
    """The same samples, each made storable.

    A value that is NaN or infinite becomes None, BAD, `not_finite`; one of a foreign type, too long or not UTF-8
    becomes None, BAD, `not_storable`; a time outside int64 becomes the nearest bound, UNCERTAIN, `bad_time`.
    """
    return [_repaired(sample) for sample in samples]


def _repaired(sample: Sample) -> Sample:
    signal, value, source_time, receive_time, quality, reason = sample
    stored, fault = _storable(value)
    times = _bounded(source_time), _bounded(receive_time)
    quality = int(quality) if isinstance(quality, int) and 0 <= quality <= MAX_QUALITY else int(Quality.BAD)
    reason = _clean(reason)[:MAX_REASON_LENGTH]
    if times != (source_time, receive_time):
        quality, reason = min(quality, int(Quality.UNCERTAIN)), BAD_TIME
    if fault:
        quality, reason = int(Quality.BAD), fault
    return Sample(_clean(signal)[:MAX_SIGNAL_LENGTH], stored, *times, quality, reason)


def _storable(value: object) -> tuple[Value | None, str]:
    """The value as it can be stored, and what was wrong with it."""
    match value:
        case None | bool():
            return value, ""
        case float():
            return (float(value), "") if isfinite(value) else (None, NOT_FINITE)
        case int():
            return (int(value), "") if value.bit_length() <= MAX_INT_BITS else (None, NOT_STORABLE)
        case str():
            fits = len(value) <= MAX_TEXT_BYTES and _clean(value) == value
            return (str(value), "") if fits else (None, NOT_STORABLE)
        case _:
            return None, NOT_STORABLE


def _bounded(time: object) -> int:
    return max(INT64_MIN, min(INT64_MAX, int(time))) if isinstance(time, int) else 0


def _clean(text: object) -> str:
    return str(text).encode("utf-8", "replace").decode()

"""OPC UA values as samples: types checked, status codes as quality, times in ns. On the hot path."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from asyncua import ua
from asyncua.ua import status_codes

from edged.types import NANOSECONDS_PER_SECOND, Quality, Value, ValueType

SEVERITY_SHIFT = 30
SEVERITY_QUALITY = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)
NAME_MASK = 0xFFFF0000
OVERFLOW_BITS = 0x0480
"""InfoType DataValue + Overflow: values were dropped at the server before this one (OPC UA part 4, 7.39)."""

WRONG_TYPE = "wrong_type"
NOT_A_NUMBER = "not_a_number"
NO_VALUE = "no_value"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_PER_DAY = 86_400
NANOSECONDS_PER_MICROSECOND = 1_000

Converter: TypeAlias = Callable[[Any], tuple[Value | None, str]]
"""A raw value as the declared type, or None and the reason."""


class Change(NamedTuple):
    """A data value of the monitored item with that handle: raw value, status code, times in ns UTC."""

    handle: int
    raw: Any
    code: int
    source_time: int | None
    server_time: int | None


def change_of(handle: int, data: ua.DataValue) -> Change:
    """What the library decoded."""
    code = data.StatusCode.value if data.StatusCode is not None else 0
    raw = data.Value.Value if data.Value is not None else None
    return Change(handle, raw, code, _time_of(data.SourceTimestamp), _time_of(data.ServerTimestamp))


def nanoseconds(moment: datetime) -> int:
    """UTC nanoseconds of an aware datetime, exactly."""
    since = moment - EPOCH
    return (
        since.days * SECONDS_PER_DAY + since.seconds
    ) * NANOSECONDS_PER_SECOND + since.microseconds * NANOSECONDS_PER_MICROSECOND


def moment(time: int) -> datetime:
    """The datetime of UTC nanoseconds, cut to microseconds."""
    return EPOCH + timedelta(microseconds=time // NANOSECONDS_PER_MICROSECOND)


@lru_cache(maxsize=1024)
def quality_of(code: int) -> tuple[int, str]:
    """Quality and reason of a status code; plain Good has no reason."""
    quality = SEVERITY_QUALITY[code >> SEVERITY_SHIFT]
    name, _ = status_codes.get_name_and_doc(code & NAME_MASK)
    return quality, "" if code & NAME_MASK == 0 else str(name)


def overflowed(code: int) -> bool:
    """Whether the server dropped values of this item before this one."""
    return code & OVERFLOW_BITS == OVERFLOW_BITS


def to_float(raw: Any) -> tuple[Value | None, str]:
    """A finite number."""
    if type(raw) is not float:
        if type(raw) is not int:
            return _absent(raw)
        raw = float(raw)
    if math.isfinite(raw):
        return raw, ""
    return None, NOT_A_NUMBER


def to_int(raw: Any) -> tuple[Value | None, str]:
    """A whole number."""
    return (raw, "") if type(raw) is int else _absent(raw)


def to_bool(raw: Any) -> tuple[Value | None, str]:
    """A truth value."""
    return (raw, "") if type(raw) is bool else _absent(raw)


def to_string(raw: Any) -> tuple[Value | None, str]:
    """Text, localized or not."""
    if isinstance(raw, ua.LocalizedText):
        raw = raw.Text
    return (raw, "") if isinstance(raw, str) else _absent(raw)


CONVERTERS: dict[ValueType, Converter] = {
    ValueType.FLOAT: to_float,
    ValueType.INT: to_int,
    ValueType.BOOL: to_bool,
    ValueType.STRING: to_string,
}


def _time_of(moment: datetime | None) -> int | None:
    return None if moment is None else nanoseconds(moment)


def _absent(raw: Any) -> tuple[None, str]:
    return None, NO_VALUE if raw is None else WRONG_TYPE

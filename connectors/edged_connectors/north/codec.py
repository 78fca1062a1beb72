"""Sparkplug B values, types and quality codes, to and from the wire."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from edged.errors import EdgedError
from edged.settings import HostProfile
from edged.types import NANOSECONDS_PER_MILLISECOND, Quality, Value, ValueType
from edged_connectors.north.sparkplug_pb2 import Payload

QUALITY_PROPERTY = "Quality"
INT64_MINIMUM = -(1 << 63)
INT64_MAXIMUM = (1 << 63) - 1
UINT64_MASK = (1 << 64) - 1
UINT32_MASK = (1 << 32) - 1

IGNITION_BAD = 0x80000000 | 512
IGNITION_STALE = 0x80000000 | 516


class DataType(IntEnum):
    """The Sparkplug data types of metrics (specification 6.4.16); edged publishes INT64, DOUBLE, BOOLEAN and STRING."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19


DATA_TYPES = {
    ValueType.FLOAT: DataType.DOUBLE,
    ValueType.INT: DataType.INT64,
    ValueType.BOOL: DataType.BOOLEAN,
    ValueType.STRING: DataType.STRING,
}

QUALITY_CODES = {
    HostProfile.SPEC: {Quality.GOOD: 192, Quality.UNCERTAIN: 500, Quality.BAD: 0},
    HostProfile.IGNITION: {Quality.GOOD: 192, Quality.UNCERTAIN: IGNITION_STALE, Quality.BAD: IGNITION_BAD},
}
"""Quality property by profile. The specification knows good, stale and bad only: what is uncertain is told as stale."""

AddMetric: TypeAlias = Callable[..., Payload.Metric]
Writer: TypeAlias = Callable[[AddMetric, int, int, Any], Payload.Metric]


class MalformedPayload(EdgedError):
    """A Sparkplug payload cannot be decoded: look at what the sender publishes on that topic."""


def milliseconds(nanoseconds: int) -> int:
    """Sparkplug time: whole ms UTC."""
    return nanoseconds // NANOSECONDS_PER_MILLISECOND


def quality_code(profile: HostProfile, quality: int) -> int:
    """The Quality property for an OPC quality; codes between the three classes count as the class below."""
    codes = QUALITY_CODES[profile]
    if quality >= Quality.GOOD:
        return codes[Quality.GOOD]
    return codes[Quality.UNCERTAIN if quality >= Quality.UNCERTAIN else Quality.BAD]


def told_quality(value: Value | None, quality: int) -> int:
    """The quality that travels: nothing without a value is better than uncertain."""
    return min(quality, Quality.UNCERTAIN) if value is None else quality


def set_property(metric: Payload.Metric, key: str, datatype: DataType, value: Value) -> None:
    """Adds one property. Int32 travels as two's complement in an unsigned field."""
    held = metric.properties.values.add(type=datatype)
    metric.properties.keys.append(key)
    match datatype:
        case DataType.INT32:
            held.int_value = int(value) & UINT32_MASK
        case DataType.DOUBLE:
            held.double_value = float(value)
        case DataType.STRING:
            held.string_value = str(value)
        case _:
            raise ValueError(f"no property of type {datatype!r}")


def parse(payload: bytes) -> Payload:
    """Raises MalformedPayload."""
    try:
        message = Payload.FromString(payload)
    except DecodeError as fault:
        raise MalformedPayload(str(fault)) from fault
    for metric in message.metrics:
        for text in (metric.name, metric.string_value, *metric.properties.keys):
            if not isinstance(text, str):
                raise MalformedPayload(f"not UTF-8: {text!r}")
    return message


def _write_double(add: AddMetric, alias: int, stamp: int, value: Any) -> Payload.Metric:
    return add(alias=alias, timestamp=stamp, double_value=value * 1.0)


def _write_integer(add: AddMetric, alias: int, stamp: int, value: Any) -> Payload.Metric:
    whole = int(value)
    if whole != value or not INT64_MINIMUM <= whole <= INT64_MAXIMUM:
        raise ValueError(f"not a 64-bit integer: {value!r}")
    return add(alias=alias, timestamp=stamp, long_value=whole & UINT64_MASK)


def _write_boolean(add: AddMetric, alias: int, stamp: int, value: Any) -> Payload.Metric:
    if value not in (0, 1):
        raise ValueError(f"not a Boolean: {value!r}")
    return add(alias=alias, timestamp=stamp, boolean_value=bool(value))


def _write_text(add: AddMetric, alias: int, stamp: int, value: Any) -> Payload.Metric:
    text = str(value)
    text.encode()
    return add(alias=alias, timestamp=stamp, string_value=text)


WRITERS: dict[DataType, Writer] = {
    DataType.DOUBLE: _write_double,
    DataType.INT64: _write_integer,
    DataType.BOOLEAN: _write_boolean,
    DataType.STRING: _write_text,
}
"""How a value of each type becomes a metric. They raise one of UNFIT, before anything is added."""

UNFIT = (TypeError, ValueError, OverflowError)
"""What a writer raises for a value that is not of its type."""

"""The rules by name, and those that one message or one metric breaks on its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from edged_connectors.north.codec import QUALITY_CODES, QUALITY_PROPERTY, UINT32_MASK, DataType
from edged_connectors.north.sparkplug_pb2 import Payload

EARLIEST_MILLISECONDS = 100_000_000_000
LATEST_MILLISECONDS = 100_000_000_000_000
"""March 1973 to 5138: seconds lie below, microseconds above."""

VALUE_FIELDS: dict[int, tuple[str, ...]] = {
    **dict.fromkeys((DataType.INT8, DataType.INT16, DataType.INT32, DataType.UINT8, DataType.UINT16), ("int_value",)),
    DataType.UINT32: ("int_value", "long_value"),
    **dict.fromkeys((DataType.INT64, DataType.UINT64, DataType.DATETIME), ("long_value",)),
    DataType.FLOAT: ("float_value",),
    DataType.DOUBLE: ("double_value",),
    DataType.BOOLEAN: ("boolean_value",),
    **dict.fromkeys((DataType.STRING, DataType.TEXT, DataType.UUID), ("string_value",)),
    DataType.DATASET: ("dataset_value",),
    **dict.fromkeys((DataType.BYTES, DataType.FILE), ("bytes_value",)),
    DataType.TEMPLATE: ("template_value",),
}
"""Where a value of each type travels; for UInt32 the specification and its reference implementation differ."""

QUALITIES = frozenset(code for codes in QUALITY_CODES.values() for code in codes.values())


class Rule(StrEnum):
    """What a message can violate."""

    TOPIC = "topic"
    UNDECODABLE = "undecodable"
    RETAINED = "retained"
    QOS = "qos"
    SEQ_MISSING = "seq_missing"
    SEQ_BIRTH = "seq_birth"
    SEQ_ORDER = "seq_order"
    SEQ_IN_DEATH = "seq_in_death"
    BDSEQ_MISSING = "bdseq_missing"
    BDSEQ_TYPE = "bdseq_type"
    BDSEQ_MISMATCH = "bdseq_mismatch"
    BDSEQ_UNCHANGED = "bdseq_unchanged"
    DEATH_METRICS = "death_metrics"
    REBIRTH_CONTROL = "rebirth_control"
    TIMESTAMP_MISSING = "timestamp_missing"
    TIMESTAMP_UNIT = "timestamp_unit"
    TIMESTAMP_BACKWARDS = "timestamp_backwards"
    TIMESTAMP_TWICE = "timestamp_twice"
    NAME_MISSING = "name_missing"
    NAME_TWICE = "name_twice"
    NAME_IN_DATA = "name_in_data"
    ALIAS_TWICE = "alias_twice"
    DATATYPE_MISSING = "datatype_missing"
    DATATYPE_IN_DATA = "datatype_in_data"
    VALUE_MISSING = "value_missing"
    VALUE_TYPE = "value_type"
    VALUE_NOT_FINITE = "value_not_finite"
    UNKNOWN_METRIC = "unknown_metric"
    UNBORN = "unborn"
    AFTER_DEATH = "after_death"
    PROPERTY = "property"
    PROPERTY_UNDECLARED = "property_undeclared"
    QUALITY = "quality"
    EMPTY = "empty"


class Fault(NamedTuple):
    """A broken rule and where it shows."""

    rule: Rule
    detail: str


def label(metric: Payload.Metric) -> str:
    """The name of a metric, or its alias."""
    return metric.name or f"alias {metric.alias}"


def time_faults(message: Payload) -> Iterator[Fault]:
    """Every message and metric has a time, in milliseconds."""
    yield from _stamp_faults(message.HasField("timestamp"), message.timestamp, "message")
    for metric in message.metrics:
        yield from _stamp_faults(metric.HasField("timestamp"), metric.timestamp, f"metric {label(metric)}")


def value_faults(metric: Payload.Metric, datatype: int) -> Iterator[Fault]:
    """The value sits in the field of its datatype, or is declared null."""
    kind = metric.WhichOneof("value")
    if kind is None:
        if not metric.is_null:
            yield Fault(Rule.VALUE_MISSING, label(metric))
    elif kind not in VALUE_FIELDS.get(datatype, ()):
        yield Fault(Rule.VALUE_TYPE, f"{label(metric)}: {kind} for datatype {datatype}")
    elif kind in ("double_value", "float_value") and not math.isfinite(getattr(metric, kind)):
        yield Fault(Rule.VALUE_NOT_FINITE, label(metric))


def property_faults(metric: Payload.Metric) -> Iterator[Fault]:
    """Keys and values are parallel; the quality is a code that one of the profiles knows."""
    held = metric.properties
    if len(held.keys) != len(held.values) or len(set(held.keys)) != len(held.keys):
        yield Fault(Rule.PROPERTY, f"{label(metric)}: keys and values do not match")
    for key, value in zip(held.keys, held.values, strict=False):
        if key != QUALITY_PROPERTY:
            continue
        if value.type != DataType.INT32 or value.WhichOneof("value") != "int_value":
            yield Fault(Rule.QUALITY, f"{label(metric)}: not an Int32")
        elif value.int_value & UINT32_MASK not in QUALITIES:
            yield Fault(Rule.QUALITY, f"{label(metric)}: code {value.int_value}")


def _stamp_faults(present: bool, stamp: int, owner: str) -> Iterator[Fault]:
    if not present:
        yield Fault(Rule.TIMESTAMP_MISSING, f"of {owner}")
    elif not EARLIEST_MILLISECONDS < stamp < LATEST_MILLISECONDS:
        yield Fault(Rule.TIMESTAMP_UNIT, f"{owner}: {stamp} is not in ms")

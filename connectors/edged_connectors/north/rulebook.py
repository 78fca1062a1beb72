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

ARRAY_TYPES = range(22, 35)
"""Int8Array to DateTimeArray (specification 6.4.16); they travel as bytes."""

VALUE_FIELDS: dict[int, tuple[str, ...]] = {
    **dict.fromkeys((DataType.INT8, DataType.INT16, DataType.INT32, DataType.UINT8, DataType.UINT16), ("int_value",)),
    DataType.UINT32: ("int_value", "long_value"),
    **dict.fromkeys((DataType.INT64, DataType.UINT64, DataType.DATETIME), ("long_value",)),
    DataType.FLOAT: ("float_value",),
    DataType.DOUBLE: ("double_value",),
    DataType.BOOLEAN: ("boolean_value",),
    **dict.fromkeys((DataType.STRING, DataType.TEXT, DataType.UUID), ("string_value",)),
    DataType.DATASET: ("dataset_value",),
    **dict.fromkeys((DataType.BYTES, DataType.FILE, *ARRAY_TYPES), ("bytes_value",)),
    DataType.TEMPLATE: ("template_value",),
}
"""Where a value of each type travels; for UInt32 the specification and its reference implementation differ."""

UNSIGNED_BITS: dict[int, int] = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32}
"""Narrower than the field that carries them. Negative values of signed types fill the field, so none is too large."""

IGNITION_LEVELS = (0x40000000, 0x80000000, 0xC0000000)
IGNITION_CODE_MASK = 0xFFFF
"""Uncertain, bad and error of Ignition: the level in the two highest bits, the code in the low half."""

TYPE_NAMES = {int(datatype): datatype.name for datatype in DataType}

QUALITIES = frozenset(code for codes in QUALITY_CODES.values() for code in codes.values())


class Rule(StrEnum):
    """What a message can violate."""

    TOPIC = "topic"
    UNDECODABLE = "undecodable"
    RETAINED = "retained"
    NOT_RETAINED = "not_retained"
    QOS = "qos"
    SEQ_MISSING = "seq_missing"
    SEQ_BIRTH = "seq_birth"
    SEQ_ORDER = "seq_order"
    SEQ_IN_DEATH = "seq_in_death"
    BDSEQ_MISSING = "bdseq_missing"
    BDSEQ_TYPE = "bdseq_type"
    BDSEQ_MISMATCH = "bdseq_mismatch"
    BDSEQ_UNCHANGED = "bdseq_unchanged"
    BDSEQ_ORDER = "bdseq_order"
    DEATH_METRICS = "death_metrics"
    DEATH_MISSING = "death_missing"
    REBIRTH_CONTROL = "rebirth_control"
    REBIRTH_IGNORED = "rebirth_ignored"
    REBIRTH_BDSEQ = "rebirth_bdseq"
    REBIRTH_INTERRUPTED = "rebirth_interrupted"
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
    VALUE_RANGE = "value_range"
    VALUE_NOT_FINITE = "value_not_finite"
    UNKNOWN_METRIC = "unknown_metric"
    UNBORN = "unborn"
    AFTER_DEATH = "after_death"
    PROPERTY = "property"
    PROPERTY_UNDECLARED = "property_undeclared"
    QUALITY = "quality"
    EMPTY = "empty"
    STATE_FORM = "state_form"


class Fault(NamedTuple):
    """A broken rule, what was seen, and the metric in which it shows if it is one's."""

    rule: Rule
    detail: str
    metric: str = ""


def label(metric: Payload.Metric) -> str:
    """The name of a metric, or its alias."""
    return metric.name or f"alias {metric.alias}"


def time_faults(message: Payload) -> Iterator[Fault]:
    """Every message and metric has a time, in milliseconds."""
    yield from stamp_faults(message.HasField("timestamp"), message.timestamp)
    for metric in message.metrics:
        yield from stamp_faults(metric.HasField("timestamp"), metric.timestamp, label(metric))


def stamp_faults(present: bool, stamp: int, metric: str = "") -> Iterator[Fault]:
    """One time is there, and in milliseconds."""
    if not present:
        yield Fault(Rule.TIMESTAMP_MISSING, "no timestamp", metric)
    elif not EARLIEST_MILLISECONDS < stamp < LATEST_MILLISECONDS:
        yield Fault(Rule.TIMESTAMP_UNIT, f"{stamp} is not in ms", metric)


def value_faults(metric: Payload.Metric, datatype: int, name: str) -> Iterator[Fault]:
    """The value sits in the field of its datatype and fits it, or is declared null."""
    kind = metric.WhichOneof("value")
    if kind is None:
        if not metric.is_null:
            yield Fault(Rule.VALUE_MISSING, "neither value nor is_null", name)
    elif kind not in VALUE_FIELDS.get(datatype, ()):
        yield Fault(Rule.VALUE_TYPE, f"{kind} for datatype {_type_name(datatype)}", name)
    elif kind in ("double_value", "float_value") and not math.isfinite(getattr(metric, kind)):
        yield Fault(Rule.VALUE_NOT_FINITE, f"{getattr(metric, kind)}", name)
    elif datatype in UNSIGNED_BITS and getattr(metric, kind) >> UNSIGNED_BITS[datatype]:
        yield Fault(Rule.VALUE_RANGE, f"{getattr(metric, kind)} for datatype {_type_name(datatype)}", name)


def property_faults(metric: Payload.Metric, name: str) -> Iterator[Fault]:
    """Keys and values are parallel; the quality is a code of the specification or of Ignition."""
    held = metric.properties
    if len(held.keys) != len(held.values) or len(set(held.keys)) != len(held.keys):
        yield Fault(Rule.PROPERTY, "keys and values do not match", name)
    for key, value in zip(held.keys, held.values, strict=False):
        if key != QUALITY_PROPERTY:
            continue
        if value.type != DataType.INT32 or value.WhichOneof("value") != "int_value":
            yield Fault(Rule.QUALITY, "not an Int32", name)
        elif not _known_quality(value.int_value & UINT32_MASK):
            yield Fault(Rule.QUALITY, f"code {value.int_value}", name)


def _known_quality(code: int) -> bool:
    return code in QUALITIES or any(level <= code <= level | IGNITION_CODE_MASK for level in IGNITION_LEVELS)


def _type_name(datatype: int) -> str:
    return TYPE_NAMES.get(datatype, str(datatype))

"""What one Sparkplug metric says: its value by the datatype of its birth, its time and its quality."""

from __future__ import annotations

from edged.types import NANOSECONDS_PER_MILLISECOND, Quality
from edged_connectors.north.codec import QUALITY_PROPERTY, DataType
from edged_connectors.north.sparkplug_pb2 import Payload
from edged_connectors.south.mqtt_payload import LARGEST_INTEGER, BadPayload, Json

SIGNED = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
UNSIGNED = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64, DataType.DATETIME: 64}
WIDTHS = SIGNED | UNSIGNED
FIELDS = {
    **dict.fromkeys(WIDTHS, ("int_value", "long_value")),
    **dict.fromkeys((DataType.FLOAT, DataType.DOUBLE), ("float_value", "double_value")),
    DataType.BOOLEAN: ("boolean_value",),
    **dict.fromkeys((DataType.STRING, DataType.TEXT, DataType.UUID), ("string_value",)),
}
"""Where a value of each type may stand; a wider or narrower number is as good."""
TYPES = {kind.value: kind for kind in DataType}

STALE = 500
IGNITION_FAULT = 0x80000000
IGNITION_CODE = 0xFFFF
IGNITION_STALE = 516
GOOD_CODES = range(192, 256)
BAD_CODES = range(64)


def value_of(metric: Payload.Metric, datatype: int) -> Json:
    """Number, truth, text or None. Raises BadPayload for what no signal can carry, and for a field of another type."""
    if metric.is_null:
        return None
    kind = TYPES.get(datatype)
    fields = FIELDS.get(kind) if kind is not None else None
    if kind is None or fields is None:
        raise BadPayload(f"Sparkplug type {datatype if kind is None else kind.name} fits no signal")
    field = metric.WhichOneof("value")
    if field not in fields:
        raise BadPayload(f"the birth says {kind.name}, got {field or 'no value'}")
    value: Json = getattr(metric, field)
    width = WIDTHS.get(kind)
    if width is None:
        return value
    assert isinstance(value, int)
    value &= (1 << width) - 1
    return value - (1 << width) if kind in SIGNED and value >> (width - 1) else value


def time_of(metric: Payload.Metric, payload: Payload) -> int | None:
    """Nanoseconds UTC: its own time, else the message's; None when there is none that can be kept."""
    stamp = metric.timestamp if metric.HasField("timestamp") else payload.timestamp
    nanoseconds = stamp * NANOSECONDS_PER_MILLISECOND
    return nanoseconds if 0 < nanoseconds <= LARGEST_INTEGER else None


def quality_of(metric: Payload.Metric, known: int) -> int:
    """The quality that its property tells; without one it is what it was."""
    properties = metric.properties
    for key, held in zip(properties.keys, properties.values, strict=False):
        if key == QUALITY_PROPERTY:
            return _quality(held.int_value or held.long_value)
    return known


def _quality(code: int) -> int:
    if code & IGNITION_FAULT:
        return Quality.UNCERTAIN if code & IGNITION_CODE == IGNITION_STALE else Quality.BAD
    if code in GOOD_CODES:
        return Quality.GOOD
    return Quality.BAD if code in BAD_CODES else Quality.UNCERTAIN

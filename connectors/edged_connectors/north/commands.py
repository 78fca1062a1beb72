"""NCMD and DCMD payloads to proposals. Nothing from the network is trusted, and nothing here writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from edged.proposals import COMMAND_PRIORITY
from edged.types import Proposal, ValueType
from edged_connectors.north.births import REBIRTH_METRIC
from edged_connectors.north.catalog import Catalog, Point
from edged_connectors.north.codec import DataType, MalformedPayload, parse
from edged_connectors.north.sparkplug_pb2 import Payload
from edged_connectors.north.topics import Topics

COMMAND_SOURCE = "sparkplug"
COMMAND_LIFETIME_SECONDS = 10.0
MAX_COMMAND_BYTES = 64 * 1024

SIGNED_BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}


class Refusal(StrEnum):
    """Why a command, or a part of it, was not taken."""

    RETAINED = "retained"
    TOO_LARGE = "too_large"
    GARBAGE = "garbage"
    EMPTY = "empty"
    FOREIGN_TOPIC = "foreign_topic"
    UNKNOWN_METRIC = "unknown_metric"
    READ_ONLY = "read_only"
    WRONG_TYPE = "wrong_type"
    SWITCHED_OFF = "switched_off"
    OVERLOADED = "overloaded"
    BY_GATE = "by_gate"


@dataclass(slots=True)
class Order:
    """What one message asks for."""

    rebirth: bool = False
    proposals: list[Proposal] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class CommandReader:
    """Reads commands; without `writes` it knows the rebirth request only."""

    def __init__(self, topics: Topics, catalog: Catalog, *, writes: bool) -> None:
        self._node_topic = topics.of_node("NCMD")
        self._device_prefix = topics.of_device("DCMD", "")
        self._catalog = catalog
        self._writes = writes

    @property
    def topics(self) -> Sequence[str]:
        """What to subscribe to."""
        return (self._node_topic, self._device_prefix + "#") if self._writes else (self._node_topic,)

    def read(self, topic: str, payload: bytes, *, retained: bool, now: float) -> Order:
        """Never raises. `now` in monotonic seconds."""
        order = Order()
        device = self._device(topic)
        if device is None:
            order.refusals.append(Refusal.FOREIGN_TOPIC)
        elif retained:
            order.refusals.append(Refusal.RETAINED)
        elif len(payload) > MAX_COMMAND_BYTES:
            order.refusals.append(Refusal.TOO_LARGE)
        else:
            self._take(order, device, payload, now)
        return order

    def _device(self, topic: str) -> str | None:
        """Empty for the node; None when the topic is not ours."""
        if topic == self._node_topic:
            return ""
        device = topic.removeprefix(self._device_prefix)
        return device if device != topic and device in self._catalog.devices else None

    def _take(self, order: Order, device: str, payload: bytes, now: float) -> None:
        try:
            metrics = parse(payload).metrics
        except MalformedPayload:
            order.refusals.append(Refusal.GARBAGE)
            return
        if not metrics:
            order.refusals.append(Refusal.EMPTY)
        for metric in metrics:
            if not device and metric.name == REBIRTH_METRIC:
                order.rebirth = order.rebirth or metric.boolean_value
                if not metric.boolean_value:
                    order.refusals.append(Refusal.WRONG_TYPE)
                continue
            verdict = self._judge(device, metric, now)
            if isinstance(verdict, Refusal):
                order.refusals.append(verdict)
            else:
                order.proposals.append(verdict)

    def _judge(self, device: str, metric: Payload.Metric, now: float) -> Proposal | Refusal:
        if not self._writes:
            return Refusal.SWITCHED_OFF
        point = self._find(device, metric)
        if point is None:
            return Refusal.UNKNOWN_METRIC
        if not point.signal.writable:
            return Refusal.READ_ONLY
        value = _number(metric, point)
        if value is None:
            return Refusal.WRONG_TYPE
        return Proposal(
            source=COMMAND_SOURCE,
            signal=point.signal.path,
            value=value,
            priority=COMMAND_PRIORITY,
            expires=now + COMMAND_LIFETIME_SECONDS,
            identity=f"{metric.name or metric.alias} of {device or 'node'}",
        )

    def _find(self, device: str, metric: Payload.Metric) -> Point | None:
        """By name, else by alias. A node command names `equipment/metric`."""
        if metric.name:
            owner, _, rest = (device, "", metric.name) if device else metric.name.partition("/")
            return self._catalog.named(owner, rest)
        point = self._catalog.by_alias.get(metric.alias) if metric.HasField("alias") else None
        return point if point is not None and device in ("", point.device) else None


def _number(metric: Payload.Metric, point: Point) -> float | None:
    """The commanded value, or None when it is not a finite number of the signal's type."""
    kind = metric.WhichOneof("value")
    if metric.is_null or kind is None or point.signal.type == ValueType.STRING:
        return None
    if point.signal.type == ValueType.BOOL:
        return float(metric.boolean_value) if kind == "boolean_value" else None
    match kind:
        case "double_value":
            value = metric.double_value
        case "float_value":
            value = metric.float_value
        case "int_value" | "long_value":
            value = float(_integer(metric, kind))
        case _:
            return None
    whole = point.signal.type != ValueType.INT or value.is_integer()
    return value if math.isfinite(value) and whole else None


def _integer(metric: Payload.Metric, kind: str) -> int:
    """Sparkplug sends signed integers as two's complement; without a datatype the field's own width counts."""
    raw = metric.int_value if kind == "int_value" else metric.long_value
    width = 32 if kind == "int_value" else 64
    if metric.HasField("datatype"):
        if metric.datatype not in SIGNED_BITS:
            return raw
        width = SIGNED_BITS[DataType(metric.datatype)]
    raw &= (1 << width) - 1
    return raw - (1 << width) if raw >> (width - 1) else raw

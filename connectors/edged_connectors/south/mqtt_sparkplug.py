"""Sparkplug B as an ingest format: which nodes are listened to, what becomes of their messages, when they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edged.types import NANOSECONDS_PER_MILLISECOND, Sample, ValueType
from edged_connectors.north.births import REBIRTH_METRIC
from edged_connectors.north.codec import DataType, MalformedPayload, parse
from edged_connectors.north.sparkplug_pb2 import Payload
from edged_connectors.north.topics import NAMESPACE, Topics
from edged_connectors.south.mqtt_edge_node import EdgeNode, Heard
from edged_connectors.south.mqtt_messages import Message

NODE_KINDS = ("NBIRTH", "NDATA", "NDEATH")
DEVICE_KINDS = ("DBIRTH", "DDATA", "DDEATH")
ENDS = frozenset({"NBIRTH", "NDEATH"})
"""After these nothing is owed any more: the node was born, or is not there."""
RETAINED = "a retained Sparkplug message is of unknown age"


class Point(NamedTuple):
    """A signal and the metric that it is; `device` is empty for a metric of the node itself."""

    signal: str
    type: ValueType
    group: str
    node: str
    device: str
    metric: str


class SparkplugIngest:
    """The nodes of one source; `points` come with the filters that bring them. No node is asked twice an interval."""

    def __init__(self, source: str, points: Sequence[Point], *, max_payload_bytes: int, interval: float) -> None:
        self._max_bytes = max_payload_bytes
        self._interval = interval
        self._nodes: dict[Topics, EdgeNode] = {}
        self._asked: dict[Topics, float] = {}
        self._wanted: set[Topics] = set()
        self.points: list[tuple[Point, str]] = []
        for point in points:
            topics = Topics(point.group, point.node)
            self.points.append((point, topics.of_device("DDATA", "+") if point.device else topics.of_node("NDATA")))
            node = self._nodes.setdefault(topics, EdgeNode(source))
            node.bind(point.device, point.metric, point.signal, point.type)

    @property
    def filters(self) -> list[str]:
        """What to subscribe to: all of a node, for its sequence counts every message."""
        found = []
        for topics in self._nodes:
            found += [topics.of_node(kind) for kind in NODE_KINDS]
            found += [topics.of_device(kind, "+") for kind in DEVICE_KINDS]
        return found

    def hears(self, topic: str) -> bool:
        """Whether it is a topic of one of these nodes."""
        return topic.startswith(NAMESPACE) and _split(topic)[0] in self._nodes

    def take(self, message: Message, now: float) -> Heard:
        """What a message of one of these nodes says, at the monotonic second `now`. Never raises."""
        topics, kind, device = _split(message.topic)
        heard = self._understand(self._nodes[topics], kind, device, message, now)
        if heard.rebirth:
            self._wanted.add(topics)
        elif kind in ENDS and not heard.fault:
            self._wanted.discard(topics)
        return heard

    def overdue(self, now: float, received: int) -> list[Sample]:
        """BAD samples of devices that did not follow their node's birth."""
        return [sample for node in self._nodes.values() for sample in node.overdue(now, received)]

    def first_commands(self, now: float) -> list[str]:
        """The NCMD topics of all nodes: what they said before this connection is not known."""
        self._asked = dict.fromkeys(self._nodes, now)
        return [topics.of_node("NCMD") for topics in self._nodes]

    def commands(self, now: float) -> list[str]:
        """The NCMD topics of the nodes whose birth is wanted and was not asked for within the interval."""
        due = [topics for topics in self._wanted if now - self._asked.get(topics, -self._interval) >= self._interval]
        self._asked.update(dict.fromkeys(due, now))
        return [topics.of_node("NCMD") for topics in due]

    def _understand(self, node: EdgeNode, kind: str, device: str, message: Message, now: float) -> Heard:
        if message.retain:
            return Heard(fault=RETAINED)
        if len(message.payload) > self._max_bytes:
            return node.spoiled(device, message, f"{len(message.payload)} bytes are more than max_payload_bytes")
        try:
            payload = parse(message.payload)
        except MalformedPayload:
            return node.spoiled(device, message, "not a Sparkplug payload")
        match kind:
            case "NBIRTH":
                return node.node_birth(payload, message, now)
            case "DBIRTH":
                return node.device_birth(device, payload, message)
            case "NDEATH":
                return node.node_death(payload, message)
            case "DDEATH":
                return node.device_death(device, payload, message)
        return node.data(device, payload, message)


def rebirth_request(now: int) -> bytes:
    """The payload of an NCMD that asks for a rebirth; `now` in ns UTC."""
    stamp = now // NANOSECONDS_PER_MILLISECOND
    payload = Payload(timestamp=stamp)
    payload.metrics.add(name=REBIRTH_METRIC, timestamp=stamp, datatype=DataType.BOOLEAN, boolean_value=True)
    return payload.SerializeToString()


def _split(topic: str) -> tuple[Topics, str, str]:
    """The node, the kind of message, and the device if it is of one."""
    _, group, kind, node, device = [*topic.split("/", 4), "", "", "", ""][:5]
    return Topics(group, node), kind, device

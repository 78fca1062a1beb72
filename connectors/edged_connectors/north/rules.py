"""Our own reading of the Sparkplug B 3.0 rules for edge nodes, message by message, also those that kits overlook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from edged_connectors.north.births import BDSEQ_COUNT, BDSEQ_METRIC, REBIRTH_METRIC, SEQ_COUNT
from edged_connectors.north.codec import MalformedPayload, parse
from edged_connectors.north.rulebook import Fault, Rule, label, property_faults, time_faults, value_faults
from edged_connectors.north.sparkplug_pb2 import Payload
from edged_connectors.north.topics import NAMESPACE

BIRTHS = ("NBIRTH", "DBIRTH")
DATA = ("NDATA", "DDATA")
NODE_KINDS = ("NBIRTH", "NDATA", "NDEATH", "NCMD")
DEVICE_KINDS = ("DBIRTH", "DDATA", "DDEATH", "DCMD")
COMMANDS = ("NCMD", "DCMD")


class Violation(NamedTuple):
    """One broken rule of one message."""

    rule: Rule
    topic: str
    detail: str


@dataclass(slots=True)
class _Born:
    """A metric as its birth declared it; `last` is the newest time that is not historical."""

    datatype: int
    last: int
    properties: frozenset[str]


@dataclass(slots=True)
class _Node:
    alive: bool = False
    bdseq: int | None = None
    ended: int | None = None
    seq: int = 0
    aliases: dict[int, tuple[str, str]] = field(default_factory=dict)
    devices: dict[str, dict[str, _Born]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)


class SparkplugRules:
    """Fed every message of one or more nodes in the order of arrival; a capture begins before the first birth."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._found: list[Violation] = []
        self._topic = ""

    def check(self, topic: str, payload: bytes, *, retain: bool, qos: int) -> list[Violation]:
        """The violations of this message. Topics outside the namespace, and STATE, have none."""
        self._found, self._topic = [], topic
        parts = topic.split("/")
        if parts[0] == NAMESPACE and parts[1:2] != ["STATE"]:
            self._check_message(parts, payload, retain, qos)
        return self._found

    def _note(self, rule: Rule, detail: str) -> None:
        self._found.append(Violation(rule, self._topic, detail))

    def _note_all(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self._note(fault.rule, fault.detail)

    def _check_message(self, parts: list[str], payload: bytes, retain: bool, qos: int) -> None:
        kind = parts[2] if len(parts) > 2 else ""
        if not ((len(parts) == 4 and kind in NODE_KINDS) or (len(parts) == 5 and kind in DEVICE_KINDS)) or not all(
            parts
        ):
            self._note(Rule.TOPIC, "not group/type/node or group/type/node/device")
            return
        if retain:
            self._note(Rule.RETAINED, kind)
        if kind not in COMMANDS and qos != (1 if kind == "NDEATH" else 0):
            self._note(Rule.QOS, f"{kind} with QoS {qos}")
        try:
            message = parse(payload)
        except MalformedPayload as fault:
            self._note(Rule.UNDECODABLE, str(fault))
            return
        if kind in COMMANDS:
            return
        node = self._nodes.setdefault((parts[1], parts[3]), _Node())
        device = parts[4] if len(parts) > 4 else ""
        if kind == "NDEATH":
            self._check_death(node, message)
            return
        self._note_all(time_faults(message))
        self._check_seq(node, kind, message)
        if kind == "NBIRTH":
            self._check_node_birth(node, message)
        elif kind == "DBIRTH":
            self._check_device_birth(node, device, message)
        elif kind == "DDEATH":
            self._check_device_death(node, device)
        else:
            self._check_data(node, device, message)

    def _check_death(self, node: _Node, message: Payload) -> None:
        if message.HasField("seq"):
            self._note(Rule.SEQ_IN_DEATH, f"seq {message.seq}")
        if [metric.name for metric in message.metrics] != [BDSEQ_METRIC]:
            self._note(Rule.DEATH_METRICS, "an NDEATH carries bdSeq alone")
        bdseq = self._bdseq(message)
        if bdseq is not None and node.bdseq is not None and bdseq != node.bdseq:
            self._note(Rule.BDSEQ_MISMATCH, f"NDEATH {bdseq}, NBIRTH {node.bdseq}")
            return
        node.alive = False
        node.ended = node.bdseq
        node.devices.clear()

    def _bdseq(self, message: Payload) -> int | None:
        metric = next((metric for metric in message.metrics if metric.name == BDSEQ_METRIC), None)
        if metric is None:
            self._note(Rule.BDSEQ_MISSING, "")
            return None
        if metric.WhichOneof("value") != "long_value" or metric.long_value >= BDSEQ_COUNT:
            self._note(Rule.BDSEQ_TYPE, "not a 64-bit integer of 0..255")
        return metric.long_value

    def _check_seq(self, node: _Node, kind: str, message: Payload) -> None:
        if not message.HasField("seq"):
            self._note(Rule.SEQ_MISSING, kind)
            return
        if kind == "NBIRTH":
            if message.seq != 0:
                self._note(Rule.SEQ_BIRTH, f"NBIRTH with seq {message.seq}")
        elif message.seq != (node.seq + 1) % SEQ_COUNT and node.alive:
            self._note(Rule.SEQ_ORDER, f"{message.seq} after {node.seq}")
        node.seq = message.seq

    def _check_node_birth(self, node: _Node, message: Payload) -> None:
        node.bdseq = self._bdseq(message)
        if node.bdseq is not None and node.bdseq == node.ended and not node.alive:
            self._note(Rule.BDSEQ_UNCHANGED, f"a new session with bdSeq {node.bdseq}")
        control = next((metric for metric in message.metrics if metric.name == REBIRTH_METRIC), None)
        if control is None or control.WhichOneof("value") != "boolean_value" or control.boolean_value:
            self._note(Rule.REBIRTH_CONTROL, "missing, or not Boolean false")
        elif control.HasField("alias"):
            self._note(Rule.REBIRTH_CONTROL, "has an alias")
        node.alive = True
        node.aliases.clear()
        node.devices.clear()
        node.dead.clear()
        node.devices[""] = self._declare(node, "", message)

    def _check_device_birth(self, node: _Node, device: str, message: Payload) -> None:
        if not node.alive:
            self._note(Rule.UNBORN, "DBIRTH without NBIRTH")
        node.dead.discard(device)
        node.aliases = {alias: owner for alias, owner in node.aliases.items() if owner[0] != device}
        node.devices[device] = self._declare(node, device, message)

    def _check_device_death(self, node: _Node, device: str) -> None:
        if node.devices.pop(device, None) is None:
            self._note(Rule.UNBORN, "DDEATH without DBIRTH")
        node.dead.add(device)

    def _declare(self, node: _Node, device: str, message: Payload) -> dict[str, _Born]:
        """Checks the metrics of a birth and takes them over."""
        born: dict[str, _Born] = {}
        newest = 0
        for metric in message.metrics:
            if not metric.name:
                self._note(Rule.NAME_MISSING, label(metric))
            if metric.name in born:
                self._note(Rule.NAME_TWICE, metric.name)
            if metric.HasField("alias"):
                if metric.alias in node.aliases:
                    self._note(Rule.ALIAS_TWICE, f"{metric.alias} of {metric.name}")
                node.aliases[metric.alias] = (device, metric.name)
            if metric.timestamp < newest:
                self._note(Rule.TIMESTAMP_BACKWARDS, f"{metric.name}: {metric.timestamp} after {newest}")
            newest = max(newest, metric.timestamp)
            if not metric.HasField("datatype"):
                self._note(Rule.DATATYPE_MISSING, metric.name)
            self._note_all(value_faults(metric, metric.datatype))
            self._note_all(property_faults(metric))
            born[metric.name] = _Born(metric.datatype, metric.timestamp, frozenset(metric.properties.keys))
        return born

    def _check_data(self, node: _Node, device: str, message: Payload) -> None:
        metrics = node.devices.get(device)
        if metrics is None:
            dead = device in node.dead or (not node.alive and node.bdseq is not None)
            self._note(Rule.AFTER_DEATH if dead else Rule.UNBORN, f"data of {device or 'the node'}")
            return
        if not message.metrics:
            self._note(Rule.EMPTY, "no metric")
        stamps: set[tuple[str, int]] = set()
        newest = 0
        for metric in message.metrics:
            name = self._resolve(node, device, metric)
            born = metrics.get(name)
            if born is None:
                self._note(Rule.UNKNOWN_METRIC, f"{label(metric)} is not in the birth")
                continue
            if (name, metric.timestamp) in stamps:
                self._note(Rule.TIMESTAMP_TWICE, f"{name} at {metric.timestamp}")
            stamps.add((name, metric.timestamp))
            if not metric.is_historical:
                if metric.timestamp < max(newest, born.last):
                    self._note(Rule.TIMESTAMP_BACKWARDS, f"{name}: {metric.timestamp} after {max(newest, born.last)}")
                newest = max(newest, metric.timestamp)
                born.last = max(born.last, metric.timestamp)
            self._check_datum(metric, name, born)

    def _resolve(self, node: _Node, device: str, metric: Payload.Metric) -> str:
        """The name behind a name or an alias; empty when the alias is not of this device."""
        if not metric.HasField("alias"):
            return metric.name
        if metric.name:
            self._note(Rule.NAME_IN_DATA, metric.name)
        owner, name = node.aliases.get(metric.alias, ("", ""))
        return name if owner == device else ""

    def _check_datum(self, metric: Payload.Metric, name: str, born: _Born) -> None:
        if metric.HasField("datatype"):
            self._note(Rule.DATATYPE_IN_DATA, name)
        self._note_all(value_faults(metric, born.datatype))
        self._note_all(property_faults(metric))
        undeclared = frozenset(metric.properties.keys) - born.properties
        if undeclared:
            self._note(Rule.PROPERTY_UNDECLARED, f"{name}: {', '.join(sorted(undeclared))}")

"""The rules that one edge node can break over time: sessions, sequence numbers, births before data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edged.types import NANOSECONDS_PER_SECOND
from edged_connectors.north.births import BDSEQ_COUNT, BDSEQ_METRIC, REBIRTH_METRIC, SEQ_COUNT
from edged_connectors.north.codec import DataType
from edged_connectors.north.rulebook import (
    Fault,
    Rule,
    label,
    property_faults,
    stamp_faults,
    time_faults,
    value_faults,
)
from edged_connectors.north.sparkplug_pb2 import Payload

REBIRTH_SECONDS = 10
"""An asked node that still sends data after so long, without a birth, has ignored the request."""
DEATH_SECONDS = 180
"""The broker sends the will after 1.5 keep-alives at the latest, which are 90 s with the usual minute."""


@dataclass(slots=True)
class _Born:
    """A metric as its birth declared it; `last` is the newest time that is not historical."""

    datatype: int
    last: int
    aliased: bool
    properties: frozenset[str]


@dataclass(slots=True)
class _Session:
    """What is known between an NBIRTH and the end; `devices` holds the node's own metrics under the empty name."""

    aliases: dict[int, tuple[str, str]] = field(default_factory=dict)
    devices: dict[str, dict[str, _Born]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    awaited: set[str] = field(default_factory=set)
    interrupted: bool = False


class NodeRules:
    """Fed the messages of one node in the order of arrival; `at` is when (ns UTC), 0 when nobody knows.

    With `from_birth` the first message has to be a birth; else what comes before one counts as a session joined late.
    """

    def __init__(self, *, from_birth: bool) -> None:
        self.born = False
        """Whether an NBIRTH came."""
        self._late = not from_birth
        self._alive = False
        self._seq: int | None = None
        self._bdseq: int | None = None
        self._ended: int | None = None
        self._replaced: dict[int, int] = {}
        self._asked: int | None = None
        self._session = _Session()
        self._found: list[Fault] = []

    def ask_rebirth(self, at: int) -> None:
        """Notes that a host asked for a rebirth."""
        self._asked = at if self._asked is None else self._asked

    def check(self, kind: str, device: str, message: Payload, at: int) -> list[Fault]:
        """The faults of this message; `kind` is one that edge nodes send, `device` empty for messages of the node."""
        self._found = []
        if kind == "NDEATH":
            self._check_death(message)
            self._check_overdue(at)
            return self._found
        self._note_all(time_faults(message))
        self._check_seq(kind, message)
        if kind == "NBIRTH":
            self._check_node_birth(message, at)
        elif kind == "DBIRTH":
            self._check_device_birth(device, message)
        elif kind == "DDEATH":
            self._check_device_death(device)
        else:
            self._check_data(device, message)
        self._check_overdue(at)
        return self._found

    def _note(self, rule: Rule, detail: str, metric: str = "") -> None:
        self._found.append(Fault(rule, detail, metric))

    def _note_all(self, faults: Iterable[Fault]) -> None:
        self._found.extend(faults)

    def _check_overdue(self, at: int) -> None:
        """What should have come by now: a birth that was asked for, the deaths of earlier sessions."""
        if not at:
            return
        if self._asked is not None and at - self._asked > REBIRTH_SECONDS * NANOSECONDS_PER_SECOND:
            self._note(Rule.REBIRTH_IGNORED, f"no NBIRTH within {REBIRTH_SECONDS} s after the request")
            self._asked = None
        for bdseq, since in list(self._replaced.items()):
            if at - since > DEATH_SECONDS * NANOSECONDS_PER_SECOND:
                self._note(Rule.DEATH_MISSING, f"no NDEATH of the session with bdSeq {bdseq}", BDSEQ_METRIC)
                del self._replaced[bdseq]

    def _check_death(self, message: Payload) -> None:
        self._late = False
        if message.HasField("seq"):
            self._note(Rule.SEQ_IN_DEATH, f"seq {message.seq}")
        if [metric.name for metric in message.metrics] != [BDSEQ_METRIC]:
            self._note(Rule.DEATH_METRICS, "an NDEATH carries bdSeq alone")
        for metric in message.metrics:
            self._note_all(stamp_faults(metric.HasField("timestamp"), metric.timestamp, label(metric)))
        bdseq = self._read_bdseq(message)
        if bdseq is not None and self._bdseq is not None and bdseq != self._bdseq:
            if bdseq != self._ended and self._replaced.pop(bdseq, None) is None:
                self._note(Rule.BDSEQ_MISMATCH, f"NDEATH {bdseq}, NBIRTH {self._bdseq}", BDSEQ_METRIC)
            return
        self._alive = False
        self._ended = bdseq if self._bdseq is None else self._bdseq
        self._session.devices.clear()
        self._session.awaited.clear()

    def _read_bdseq(self, message: Payload) -> int | None:
        metric = next((metric for metric in message.metrics if metric.name == BDSEQ_METRIC), None)
        if metric is None:
            self._note(Rule.BDSEQ_MISSING, "no metric bdSeq", BDSEQ_METRIC)
            return None
        if metric.WhichOneof("value") != "long_value" or metric.long_value >= BDSEQ_COUNT:
            self._note(Rule.BDSEQ_TYPE, "not a 64-bit integer of 0..255", BDSEQ_METRIC)
        return metric.long_value

    def _check_seq(self, kind: str, message: Payload) -> None:
        if not message.HasField("seq"):
            self._note(Rule.SEQ_MISSING, f"{kind} without seq")
            return
        if kind == "NBIRTH":
            if message.seq != 0:
                self._note(Rule.SEQ_BIRTH, f"NBIRTH with seq {message.seq}")
        elif self._seq is not None and (self._alive or self._late) and message.seq != (self._seq + 1) % SEQ_COUNT:
            self._note(Rule.SEQ_ORDER, f"{message.seq} after {self._seq}")
        self._seq = message.seq

    def _check_node_birth(self, message: Payload, at: int) -> None:
        bdseq = self._read_bdseq(message)
        if bdseq is not None:
            self._compare_bdseq(bdseq, at)
        control = next((metric for metric in message.metrics if metric.name == REBIRTH_METRIC), None)
        if control is None:
            self._note(Rule.REBIRTH_CONTROL, "is missing", REBIRTH_METRIC)
        elif control.datatype != DataType.BOOLEAN or control.WhichOneof("value") != "boolean_value":
            self._note(Rule.REBIRTH_CONTROL, "is not Boolean", REBIRTH_METRIC)
        elif control.boolean_value or control.HasField("alias"):
            self._note(Rule.REBIRTH_CONTROL, "has an alias, or is not false", REBIRTH_METRIC)
        reborn = self._alive and bdseq == self._bdseq
        devices = set(self._session.devices) - {""} if reborn else set()
        self.born = self._alive = True
        self._late = False
        self._asked = None
        self._bdseq = bdseq
        self._session = _Session(awaited=devices)
        self._session.devices[""] = self._declare("", message)

    def _compare_bdseq(self, bdseq: int, at: int) -> None:
        """One more per session, round after 255; the standard lets it start at 0 again."""
        if not self._alive:
            if bdseq == self._ended:
                self._note(Rule.BDSEQ_UNCHANGED, f"a new session with bdSeq {bdseq}", BDSEQ_METRIC)
            last = self._ended
        else:
            last = self._bdseq
            if last is not None and bdseq != last:
                self._replaced[last] = at
                if self._asked is not None:
                    self._note(Rule.REBIRTH_BDSEQ, f"a rebirth with bdSeq {bdseq} after {last}", BDSEQ_METRIC)
        if last is not None and bdseq != 0 and (bdseq - last) % BDSEQ_COUNT > BDSEQ_COUNT // 2:
            self._note(Rule.BDSEQ_ORDER, f"{bdseq} after {last}", BDSEQ_METRIC)

    def _check_device_birth(self, device: str, message: Payload) -> None:
        if not self._alive and not self._late:
            self._note(Rule.UNBORN, "DBIRTH without NBIRTH")
        session = self._session
        if device in session.awaited and session.interrupted:
            self._note(Rule.REBIRTH_INTERRUPTED, f"data went out before the DBIRTH of {device}")
        session.awaited.discard(device)
        session.dead.discard(device)
        session.aliases = {alias: owner for alias, owner in session.aliases.items() if owner[0] != device}
        session.devices[device] = self._declare(device, message)

    def _check_device_death(self, device: str) -> None:
        session = self._session
        if session.devices.pop(device, None) is None and not self._late:
            self._note(Rule.UNBORN, "DDEATH without DBIRTH")
        session.awaited.discard(device)
        session.dead.add(device)

    def _declare(self, device: str, message: Payload) -> dict[str, _Born]:
        """Checks the metrics of a birth and takes them over."""
        aliases = self._session.aliases
        born: dict[str, _Born] = {}
        newest = 0
        for metric in message.metrics:
            name, aliased = metric.name, metric.HasField("alias")
            if name in born:
                self._note(Rule.NAME_TWICE, "twice in one birth", name)
            if aliased:
                if metric.alias in aliases:
                    self._note(Rule.ALIAS_TWICE, f"alias {metric.alias} is that of {aliases[metric.alias][1]}", name)
                aliases[metric.alias] = (device, name)
            if not metric.is_historical:
                self._check_order(metric.timestamp, newest, name)
                newest = max(newest, metric.timestamp)
            self._check_declaration(metric)
            born[name] = _Born(metric.datatype, metric.timestamp, aliased, frozenset(metric.properties.keys))
        return born

    def _check_declaration(self, metric: Payload.Metric) -> None:
        if not metric.name:
            self._note(Rule.NAME_MISSING, "no name", label(metric))
        if not metric.HasField("datatype"):
            self._note(Rule.DATATYPE_MISSING, "no datatype", label(metric))
        self._note_all(value_faults(metric, metric.datatype, label(metric)))
        self._note_all(property_faults(metric, label(metric)))

    def _check_order(self, stamp: int, newest: int, name: str) -> None:
        if stamp < newest:
            self._note(Rule.TIMESTAMP_BACKWARDS, f"{stamp} after {newest}", name)

    def _check_data(self, device: str, message: Payload) -> None:
        session = self._session
        if not message.metrics:
            self._note(Rule.EMPTY, "no metric")
        if session.awaited:
            session.interrupted = True
        metrics = session.devices.get(device)
        if metrics is None:
            self._check_strangers(device)
            return
        stamps: set[tuple[str, int]] = set()
        newest = 0
        for metric in message.metrics:
            name = self._resolve(device, metric)
            born = metrics.get(name)
            if born is None:
                self._note(Rule.UNKNOWN_METRIC, "is not in the birth", label(metric))
                continue
            if (name, metric.timestamp) in stamps:
                self._note(Rule.TIMESTAMP_TWICE, f"twice at {metric.timestamp}", name)
            stamps.add((name, metric.timestamp))
            if not metric.is_historical:
                self._check_order(metric.timestamp, max(newest, born.last), name)
                newest = max(newest, metric.timestamp)
                born.last = max(born.last, metric.timestamp)
            self._check_datum(metric, name, born)

    def _check_strangers(self, device: str) -> None:
        """Data of what is not born: dead, never born, or of a session that was joined late."""
        if self._late:
            return
        dead = device in self._session.dead or (not self._alive and self._ended is not None)
        self._note(Rule.AFTER_DEATH if dead else Rule.UNBORN, f"data of {device or 'the node'}")

    def _resolve(self, device: str, metric: Payload.Metric) -> str:
        """The name behind a name or an alias; empty when the alias is not of this device."""
        if not metric.HasField("alias"):
            return metric.name
        if metric.name:
            self._note(Rule.NAME_IN_DATA, f"beside alias {metric.alias}", metric.name)
        owner, name = self._session.aliases.get(metric.alias, ("", ""))
        return name if owner == device else ""

    def _check_datum(self, metric: Payload.Metric, name: str, born: _Born) -> None:
        if born.aliased and not metric.HasField("alias"):
            self._note(Rule.NAME_IN_DATA, "its birth gave an alias", name)
        if metric.HasField("datatype"):
            self._note(Rule.DATATYPE_IN_DATA, f"datatype {metric.datatype}", name)
        self._note_all(value_faults(metric, born.datatype, name))
        self._note_all(property_faults(metric, name))
        undeclared = frozenset(metric.properties.keys) - born.properties
        if undeclared:
            self._note(Rule.PROPERTY_UNDECLARED, ", ".join(sorted(undeclared)), name)

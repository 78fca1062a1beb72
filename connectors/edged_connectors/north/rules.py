"""Our own reading of the Sparkplug B 3.0 rules for edge nodes, message by message, also those that kits overlook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from edged_connectors.north.births import REBIRTH_METRIC
from edged_connectors.north.codec import MalformedPayload, parse
from edged_connectors.north.host_rules import HostRules
from edged_connectors.north.node_rules import NodeRules
from edged_connectors.north.rulebook import Fault, Rule
from edged_connectors.north.sparkplug_pb2 import Payload
from edged_connectors.north.topics import LEGACY_STATE, NAMESPACE

BIRTHS = ("NBIRTH", "DBIRTH")
DATA = ("NDATA", "DDATA")
NODE_KINDS = ("NBIRTH", "NDATA", "NDEATH", "NCMD")
DEVICE_KINDS = ("DBIRTH", "DDATA", "DDEATH", "DCMD")
COMMANDS = ("NCMD", "DCMD")
STATE = LEGACY_STATE
DEATH_QOS = 1


class Violation(NamedTuple):
    """One broken rule of one message; the metric if it is one's, the seq if the message has one."""

    rule: Rule
    topic: str
    detail: str
    metric: str = ""
    seq: int | None = None


class Address(NamedTuple):
    """What a topic says; `kind` is empty when it has no form that Sparkplug knows. A STATE has its host as `node`."""

    kind: str
    group: str = ""
    node: str = ""
    device: str = ""


def address_of(topic: str) -> Address | None:
    """None outside Sparkplug: neither its namespace nor the older STATE."""
    parts = topic.split("/")
    if parts[0] == STATE:
        return Address(STATE, "", "/".join(parts[1:])) if len(parts) > 1 else None
    if parts[0] != NAMESPACE:
        return None
    if parts[1:2] == [STATE]:
        return Address(STATE if len(parts) == 3 and parts[2] else "", "", "/".join(parts[2:]))
    kind = parts[2] if len(parts) > 2 else ""
    known = (len(parts) == 4 and kind in NODE_KINDS) or (len(parts) == 5 and kind in DEVICE_KINDS)
    if not known or not all(parts):
        return Address("", "".join(parts[1:2]), "".join(parts[3:4]))
    return Address(kind, parts[1], parts[3], "".join(parts[4:]))


class SparkplugRules:
    """Fed every message of any nodes and hosts in the order of arrival.

    With `from_birth` a node's first message has to be its birth; else what comes before it is judged on its own only.
    """

    def __init__(self, *, from_birth: bool = True) -> None:
        self._from_birth = from_birth
        self._nodes: dict[tuple[str, str], NodeRules] = {}
        self._hosts: dict[str, HostRules] = {}

    def born(self, group: str, node: str) -> bool:
        """Whether an NBIRTH of the node came."""
        found = self._nodes.get((group, node))
        return found is not None and found.born

    def check(self, topic: str, payload: bytes, *, retain: bool | None, qos: int, at: int = 0) -> list[Violation]:
        """The violations of this message, none outside Sparkplug; `retain` is None where it could not be seen.

        `at` is the time of arrival, ns UTC; without it, nothing is missed that should have come by then.
        """
        address = address_of(topic)
        if address is None:
            return []
        if not address.kind:
            form = "STATE/host" if topic.startswith(f"{NAMESPACE}/{STATE}") else "group/type/node[/device]"
            return [Violation(Rule.TOPIC, topic, f"not {NAMESPACE}/{form} with a known type")]
        if address.kind == STATE:
            rules = self._hosts.setdefault(topic, HostRules())
            legacy = not topic.startswith(NAMESPACE)
            return _placed(topic, None, rules.check(payload, legacy=legacy, retain=retain, qos=qos))
        return self._check_message(address, topic, payload, retain, qos, at)

    def _check_message(
        self, address: Address, topic: str, payload: bytes, retain: bool | None, qos: int, at: int
    ) -> list[Violation]:
        kind = address.kind
        faults = []
        if retain:
            faults.append(Fault(Rule.RETAINED, f"a retained {kind}"))
        if qos != (DEATH_QOS if kind == "NDEATH" else 0):
            faults.append(Fault(Rule.QOS, f"{kind} with QoS {qos}"))
        try:
            message = parse(payload)
        except MalformedPayload as fault:
            return _placed(topic, None, [*faults, Fault(Rule.UNDECODABLE, str(fault))])
        node = self._nodes.setdefault((address.group, address.node), NodeRules(from_birth=self._from_birth))
        if kind not in COMMANDS:
            faults += node.check(kind, address.device, message, at)
        elif not retain and _asks_rebirth(kind, message):
            node.ask_rebirth(at)
        return _placed(topic, message, faults)


def _asks_rebirth(kind: str, message: Payload) -> bool:
    return kind == "NCMD" and any(metric.name == REBIRTH_METRIC and metric.boolean_value for metric in message.metrics)


def _placed(topic: str, message: Payload | None, faults: Iterable[Fault]) -> list[Violation]:
    seq = message.seq if message is not None and message.HasField("seq") else None
    return [Violation(fault.rule, topic, fault.detail, fault.metric, seq) for fault in faults]

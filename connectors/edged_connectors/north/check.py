"""Grades edge nodes: counts their messages and what each of them broke."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from edged_connectors.north.check_capture import Captured
from edged_connectors.north.rulebook import Rule
from edged_connectors.north.rules import BIRTHS, COMMANDS, DATA, STATE, Address, SparkplugRules, Violation, address_of

MOST_KINDS = 1000
OTHERS = "(other metrics)"


class Broken(NamedTuple):
    """One kind of violation of one sender: the rule, and the metric if it is one's."""

    rule: Rule
    metric: str


@dataclass(slots=True)
class Tally:
    """What one sender did. `before_birth` counts messages of a session that was joined late."""

    is_node: bool
    born: bool = False
    messages: int = 0
    births: int = 0
    data: int = 0
    before_birth: int = 0
    violations: Counter[Broken] = field(default_factory=Counter)

    def note(self, violation: Violation) -> int:
        """Counts it; how many of its kind there were. Beyond many metrics, those of a rule are counted together."""
        kind = Broken(violation.rule, violation.metric)
        if kind not in self.violations and len(self.violations) >= MOST_KINDS:
            kind = Broken(violation.rule, OTHERS)
        self.violations[kind] += 1
        return self.violations[kind]


class Checker:
    """Fed every message in the order of arrival. With a group or a node only theirs are graded, and no hosts."""

    def __init__(self, *, group: str | None = None, node: str | None = None, from_birth: bool = False) -> None:
        self._group = group
        self._node = node
        self._rules = SparkplugRules(from_birth=from_birth)
        self._unborn: list[tuple[str, str]] = []
        self.senders: dict[str, Tally] = {}
        self.messages = 0

    @property
    def violations(self) -> int:
        """Of all senders."""
        return sum(sum(tally.violations.values()) for tally in self.senders.values())

    @property
    def ungraded(self) -> list[str]:
        """Nodes that were heard, but never born: of their data nothing can be said."""
        return [name for name, tally in self.senders.items() if tally.is_node and not tally.born]

    def take(self, message: Captured) -> list[Violation]:
        """What this message breaks."""
        address = address_of(message.topic)
        if address is None or not self._asked_for(address):
            return []
        found = self._rules.check(message.topic, message.payload, retain=message.retain, qos=message.qos, at=message.at)
        self._count(address, found)
        return found

    def take_unborn(self) -> list[tuple[str, str]]:
        """Group and node of those whose session was joined late, each once: one may ask them for a rebirth."""
        taken, self._unborn = self._unborn, []
        return taken

    def _asked_for(self, address: Address) -> bool:
        if self._group is None and self._node is None:
            return True
        if address.kind == STATE:
            return False
        return self._group in (None, address.group) and self._node in (None, address.node)

    def _count(self, address: Address, found: list[Violation]) -> None:
        is_node = bool(address.kind) and address.kind not in COMMANDS and address.kind != STATE
        sender = sender_of(address)
        tally = self.senders.setdefault(sender, Tally(is_node))
        self.messages += 1
        tally.messages += 1
        tally.births += address.kind in BIRTHS
        tally.data += address.kind in DATA
        for violation in found:
            tally.note(violation)
        if not is_node or tally.born:
            return
        tally.born = self._rules.born(address.group, address.node)
        if not tally.born:
            tally.before_birth += 1
            if address.kind != "NDEATH" and tally.before_birth == 1:
                self._unborn.append((address.group, address.node))


def sender_of(address: Address) -> str:
    """Who is graded for a message; commands are the hosts' doing, not the node's."""
    name = f"{address.group}/{address.node}"
    if address.kind == STATE:
        return f"host {address.node}"
    if address.kind in COMMANDS:
        return f"commands to {name}"
    return name if address.kind else f"wrong topics of {name}"

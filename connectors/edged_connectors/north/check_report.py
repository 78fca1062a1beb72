"""What a check tells: a line per violation as it is found, and tables at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edged.table import table
from edged_connectors.north.check import Checker
from edged_connectors.north.check_capture import Captured, moment
from edged_connectors.north.rulebook import Rule
from edged_connectors.north.rules import Violation

SHOWN_OF_A_KIND = 3
"""The tables count the rest: a node that breaks a rule mostly does so with every message."""


class Teller:
    """Words violations; of one rule, topic and metric only the first few, unless `everything` is wanted."""

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self._told: dict[tuple[Rule, str, str], int] = {}

    def lines(self, message: Captured, found: Sequence[Violation]) -> Iterator[str]:
        """One line per violation: when, topic, seq, rule, metric, what was seen."""
        for violation in found:
            kind = (violation.rule, violation.topic, violation.metric)
            self._told[kind] = told = self._told.get(kind, 0) + 1
            if self._everything or told <= SHOWN_OF_A_KIND:
                yield _line(message, violation)


def summary(checker: Checker) -> Iterator[str]:
    """A table of the senders, one of their violations by rule, and the verdict."""
    if checker.senders:
        yield from table([_sender(checker, name) for name in checker.senders])
        yield ""
    violations = list(_violations(checker))
    if violations:
        yield from table(violations)
        yield ""
    for name in checker.ungraded:
        yield f"{name}: no NBIRTH came, so its data was not judged (--rebirth asks for one)"
    count = checker.violations
    yield f"{checker.messages} messages: {count or 'no'} violation{'' if count == 1 else 's'}"


def _line(message: Captured, violation: Violation) -> str:
    seq = "" if violation.seq is None else f" seq {violation.seq}"
    metric = f" {violation.metric!r}:" if violation.metric else ""
    return f"{moment(message.at)} {violation.topic}{seq}: {violation.rule}:{metric} {violation.detail}"


def _sender(checker: Checker, name: str) -> dict[str, object]:
    tally = checker.senders[name]
    return {
        "sender": name,
        "messages": tally.messages,
        "births": tally.births,
        "data": tally.data,
        "before birth": tally.before_birth,
        "violations": sum(tally.violations.values()),
    }


def _violations(checker: Checker) -> Iterator[dict[str, object]]:
    for name, tally in checker.senders.items():
        for (rule, metric), count in tally.violations.most_common():
            yield {"sender": name, "rule": rule.value, "metric": metric or None, "violations": count}

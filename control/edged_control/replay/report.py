"""What came out differently in a replay, deed by deed and value by value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edged_control.flight.boundary import Crossing, Deed
from edged_control.flight.records import DECISION_FIELDS, OUTCOME_FIELDS, Record, plain
from edged_control.replay.tape import Play

HEARTBEAT = "heartbeat"


class Change(NamedTuple):
    """One value that came out differently."""

    name: str
    recorded: Any
    replayed: Any


class Difference(NamedTuple):
    """One deed that came out differently; `wall` in ns UTC."""

    wall: int
    deed: Deed
    target: str
    changes: tuple[Change, ...]


@dataclass
class Report:
    """What a replay has found. Decisions are counted in both phases; `before` counts differences before the range."""

    cycles: int = 0
    orders: int = 0
    decisions: int = 0
    before: int = 0
    missing: list[int] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(play: Play, since: int, until: int, report: Report) -> None:
    """Counts one deed, if it began in `since..until` (ns UTC)."""
    record = play.record
    changes = tuple(changes_of(play))
    if record.wall > until:
        return
    if record.wall < since:
        report.before += bool(changes)
        return
    report.cycles += record.kind is Deed.CYCLE
    report.orders += record.kind in (Deed.ORDER, Deed.WISH, Deed.MODE)
    report.decisions += len(_decisions(record))
    if changes:
        report.differences.append(Difference(record.wall, record.kind, record.target, changes))


def changes_of(play: Play) -> Iterator[Change]:
    """What came out differently in one deed."""
    record = play.record
    if record.outcome is not None and play.outcome is None:
        yield Change("ended", recorded=True, replayed=play.failure or False)
    elif record.outcome is not None:
        yield from _changes(OUTCOME_FIELDS.get(record.kind, ()), record.outcome, plain(play.outcome))
    yield from _decision_changes(_decisions(record), plain(play.decisions))
    yield from _command_changes(_commands(record), plain(play.commands))


def _changes(names: Sequence[str], recorded: Sequence[Any], now: Sequence[Any]) -> Iterator[Change]:
    for name, before, after in zip(names, recorded, now, strict=True):
        if before != after:
            yield Change(name, before, after)


def _decision_changes(recorded: Sequence[Any], now: Sequence[Any]) -> Iterator[Change]:
    if len(recorded) != len(now):
        yield Change("decisions", len(recorded), len(now))
    for before, after in zip(recorded, now, strict=False):
        for change in _changes(DECISION_FIELDS, before, after):
            yield change._replace(name=f"{before[0]} {change.name}")


def _command_changes(recorded: Sequence[Any], now: Sequence[Any]) -> Iterator[Change]:
    before, after = (
        " ".join(f"{value:g}" for _, value, origin in all_ if origin != HEARTBEAT) for all_ in (recorded, now)
    )
    if [one for one in recorded if one[2] != HEARTBEAT] != [one for one in now if one[2] != HEARTBEAT]:
        yield Change("sent", before or "nothing", after or "nothing")
    beats = [[one for one in all_ if one[2] == HEARTBEAT] for all_ in (recorded, now)]
    if beats[0] != beats[1]:
        yield Change("heartbeat", bool(beats[0]), bool(beats[1]))


def _decisions(record: Record) -> list[Any]:
    return [row for step in record.steps if step.crossing == Crossing.RECORD for row in step.told]


def _commands(record: Record) -> list[Any]:
    return [step.told for step in record.steps if step.crossing == Crossing.WRITE]

"""What a scenario does at a moment: forces on the plant, bent readings, faults of the faces."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from edged.types import Value, ValueType
from edged_sim.forces import Force, Target
from edged_sim.scenario import (
    BadQuality,
    Disturbance,
    Drift,
    Fault,
    LocalChange,
    ServerDeath,
    ServerStall,
    Spike,
    Stuck,
)
from edged_sim.tags import TAGS, Tag

FULL_PERCENT = 100.0


def forces_at(faults: Sequence[Fault], now: float) -> dict[Target, Force]:
    """The forces that act at `now` seconds; several on one target add up."""
    acting: dict[Target, Force] = {}
    for fault in faults:
        share = fault.share(now) if isinstance(fault, Disturbance) else 0.0
        if isinstance(fault, Disturbance) and share > 0:
            before = acting.get(fault.target, Force())
            factor = before.factor + share * (fault.percent or 0.0) / FULL_PERCENT
            acting[fault.target] = Force(factor, before.amount + share * (fault.amount or 0.0))
    return acting


class Sensors:
    """Turns true values into readings: noise, resolution, and the sensor faults that are active."""

    def __init__(self, seed: int, faults: Sequence[Fault]) -> None:
        self._rng = random.Random(seed + 1)  # noqa: S311 - repeatable noise, not a secret
        self._faults = [fault for fault in faults if isinstance(fault, Drift | Spike | Stuck | BadQuality)]
        self._held: dict[int, float] = {}

    def read(self, true: Mapping[str, Value], now: float) -> dict[str, Value | None]:
        """Readings by path; None where the sensor gives no value. Scan counters are left out."""
        gauss = self._rng.gauss
        readings: dict[str, Value | None] = {}
        for tag in TAGS:
            value = true.get(tag.path)
            if value is None:
                continue
            if tag.type is ValueType.FLOAT and not tag.writable:
                value = _limited(tag, float(value) + (gauss(0.0, tag.noise) if tag.noise else 0.0))
            readings[tag.path] = value
        for number, fault in enumerate(self._faults):
            if fault.active(now):
                readings[fault.signal] = self._bent(number, fault, readings[fault.signal], now)
            else:
                self._held.pop(number, None)
        return readings

    def _bent(
        self, number: int, fault: Drift | Spike | Stuck | BadQuality, value: Value | None, now: float
    ) -> Value | None:
        if isinstance(fault, BadQuality) or not isinstance(value, int | float):
            return None
        if isinstance(fault, Stuck):
            return self._held.setdefault(number, value)
        change = fault.change if isinstance(fault, Spike) else fault.per_minute * (now - fault.at_seconds) / 60.0
        return _limited(fault.tag, value + change)


class Due:
    """Hands out each fault of a kind once, when its time comes."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        timed = [fault for fault in faults if isinstance(fault, ServerStall | ServerDeath | LocalChange)]
        self._waiting = sorted(timed, key=lambda fault: fault.at_seconds, reverse=True)

    def take(self, now: float) -> list[ServerStall | ServerDeath | LocalChange]:
        """What became due since the last call, oldest first."""
        due = []
        while self._waiting and self._waiting[-1].at_seconds <= now:
            due.append(self._waiting.pop())
        return due


def _limited(tag: Tag, value: float) -> float:
    """Within what the gauge can show, at its resolution."""
    if tag.low is not None and value < tag.low:
        value = tag.low
    if tag.high is not None and value > tag.high:
        value = tag.high
    return round(value, tag.decimals)

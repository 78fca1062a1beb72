"""Identified dynamics in state space, in plain Python: the daemon reads and checks them without a numeric library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Matrix: TypeAlias = tuple[tuple[float, ...], ...]

MOST_STATES = 40
LONGEST_DELAY = 2000
"""In periods: more would make the controller's matrices too large."""
WHOLE = 1e-9
"""By this share a multiple of the period may be off."""
DOUBLINGS = 24
DIED_OUT = 1e-9
"""What is left of the states after 2^24 periods."""
SAME_GAIN = 1e-6
"""Share of the largest gain of an output by which a stated gain may differ."""


@dataclass(frozen=True, slots=True)
class Dynamics:
    """x+ = A x + B u, y = C x at a fixed period; input j acts `delays[j]` periods late. `a`, `b`, `c` are rows.

    `settling_seconds`: when the slowest step response has come within 2 %.
    """

    period_seconds: float
    settling_seconds: float
    delays: tuple[int, ...]
    a: Matrix
    b: Matrix
    c: Matrix

    def fits(self, period_seconds: float) -> bool:
        """Whether it can be worked with at this period: at a whole multiple of its own, or at its own."""
        share = period_seconds / self.period_seconds
        return round(share) >= 1 and abs(share - round(share)) <= WHOLE * share


def parsed(content: dict[str, Any]) -> Dynamics:
    """From JSON. Raises ValueError, KeyError and TypeError."""
    delays = content["delays"]
    if not all(isinstance(delay, int) for delay in delays):
        raise ValueError(f"delays must be whole periods, got {delays}")
    return Dynamics(
        period_seconds=float(content["period_seconds"]),
        settling_seconds=float(content["settling_seconds"]),
        delays=tuple(delays),
        **{name: tuple(tuple(map(float, row)) for row in content[name]) for name in ("a", "b", "c")},
    )


def dynamics_faults(dynamics: Dynamics, gains: Sequence[Sequence[float]]) -> list[str]:
    """What is wrong: shapes, numbers, a model that is not stable, or one whose gains are not the stated ones."""
    states, inputs, outputs = len(dynamics.a), len(gains[0]), len(gains)
    shapes = ((dynamics.a, states, states), (dynamics.b, states, inputs), (dynamics.c, outputs, states))
    if not 1 <= states <= MOST_STATES:
        return [f"there must be 1 to {MOST_STATES} states, got {states}"]
    if any(len(rows) != height or any(len(row) != width for row in rows) for rows, height, width in shapes):
        return [f"a, b and c must fit {states} states, {inputs} inputs and {outputs} outputs"]
    if len(dynamics.delays) != inputs or not all(0 <= delay <= LONGEST_DELAY for delay in dynamics.delays):
        return [f"delays must be {inputs} numbers within 0..{LONGEST_DELAY} periods, got {dynamics.delays}"]
    numbers = [value for rows, _, _ in shapes for row in rows for value in row]
    times = (dynamics.period_seconds, dynamics.settling_seconds)
    if not all(map(math.isfinite, (*numbers, *times))) or min(times) <= 0.0:
        return ["every number must be finite, and times above 0"]
    total = _sum_of_powers(dynamics.a)
    if total is None:
        return ["the dynamics are not stable: the process may integrate"]
    return _gain_faults(_product(_product(dynamics.c, total), dynamics.b), gains)


def _gain_faults(found: Sequence[Sequence[float]], stated: Sequence[Sequence[float]]) -> list[str]:
    faults = []
    for i, (row, wanted) in enumerate(zip(found, stated, strict=True)):
        allowed = SAME_GAIN * max(map(abs, wanted))
        for j, (gain, named) in enumerate(zip(row, wanted, strict=True)):
            if not abs(gain - named) <= allowed:
                faults.append(f"channel {i},{j}: the gain is stated as {named:g}, the dynamics have {gain:g}")
    return faults


def _sum_of_powers(a: Matrix) -> list[list[float]] | None:
    """I + A + A^2 + ... by doubling; None when the powers do not die out."""
    size = range(len(a))
    total = [[float(i == j) for j in size] for i in size]
    power: Sequence[Sequence[float]] = a
    for _ in range(DOUBLINGS):
        added = _product(power, total)
        total = [[total[i][j] + added[i][j] for j in size] for i in size]
        power = _product(power, power)
        if not all(map(math.isfinite, (value for row in power for value in row))):
            return None
    return total if all(abs(value) <= DIED_OUT for row in power for value in row) else None


def _product(left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]) -> list[list[float]]:
    columns = list(zip(*right, strict=True))
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in left]

"""What a gateway lost, doubled and delayed: the numbers that a source offered against those that a receiver holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.contestant import Value
from bench.report import percentile

GUARD_MILLISECONDS = 1000
"""What was offered in the last second before a kill may still have been on its way: publishing, commits."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What broke. Times in ms UTC; `away` is when nobody read the source, as far as the drill had it in hand."""

    returned_at: int
    away: tuple[int, int] | None = None

    @property
    def fresh_from(self) -> int:
        """The first data after the return is offered then or later."""
        return self.away[1] if self.away else 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """One receiver in one drill. `blind` are values that came while nobody read the source, until it was read again."""

    offered: int
    held: int
    lost: int
    blind: int
    duplicated: int
    first_data_seconds: float | None
    latencies: Sequence[float]

    @property
    def p50_milliseconds(self) -> float:
        return percentile(self.latencies, 0.5)

    @property
    def p99_milliseconds(self) -> float:
        return percentile(self.latencies, 0.99)


def judge(
    offered: Mapping[int, int], counters: int, values: Sequence[Value], disturbance: Disturbance | None = None
) -> Judgement:
    """Compares the numbers of the window, with the time (ms UTC) when each was offered, with what was received."""
    held: list[dict[int, float]] = [{} for _ in range(counters)]
    duplicated = 0
    for counter, number, at in values:
        if number in offered:
            duplicated += number in held[counter]
            held[counter].setdefault(number, at)
    missing = sum(len(offered) - len(one) for one in held)
    blind = 0 if disturbance is None else sum(_blind(offered, one, disturbance) for one in held)
    return Judgement(
        offered=len(offered) * counters,
        held=len(offered) * counters - missing,
        lost=missing - blind,
        blind=blind,
        duplicated=duplicated,
        first_data_seconds=None if disturbance is None else _first_data_seconds(offered, values, disturbance),
        latencies=[at - offered[number] for one in held for number, at in one.items()],
    )


def _blind(offered: Mapping[int, int], held: Mapping[int, float], disturbance: Disturbance) -> int:
    """Of one counter: from the last second before nobody read until the first value that was read again."""
    if disturbance.away is None:
        return 0
    start, back = disturbance.away[0] - GUARD_MILLISECONDS, disturbance.away[1]
    end = min((offered[number] for number in held if offered[number] >= back), default=float("inf"))
    return sum(start <= time < end and number not in held for number, time in offered.items())


def _first_data_seconds(offered: Mapping[int, int], values: Sequence[Value], disturbance: Disturbance) -> float:
    """From the return to the first value; of the source since then where the source or the reader was away."""
    after = (
        value.at
        for value in values
        if value.at >= disturbance.returned_at and offered.get(value.number, 0) >= disturbance.fresh_from
    )
    first = min(after, default=float("inf"))
    return (first - disturbance.returned_at) / 1000.0

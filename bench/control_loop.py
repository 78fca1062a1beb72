"""A controller and a plant with the gate between them, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.control_plants import Case, Input, Mismatch, Plant
from edged.types import Proposal, Quality, Refused, Seal
from edged_control.gate import HOLD, Applied, Gate, Mode, Observed, PlantView, number, remember
from edged_control.limits.envelope import EffectiveLimits

SOURCE = "pid"
"""The gate knows the controllers of a loop by name; all of them are clamped alike."""
TOLERANCE = 1e-6
STEP_SPAN, LOAD_SPAN, RETURN_SPAN, UNLOAD_SPAN, END_SPAN = 1.0, 8.0, 14.0, 20.0, 26.0
"""Set-point step, load step, set-point back, load gone, end; in natural units of time of the case."""
STAGGER_SPANS = 3.0
"""By so much the second output's step and the second input's load come later than the first's."""


class Controller(Protocol):
    """What is compared."""

    def propose(self, set_points: Sequence[float], measured: Sequence[float], applied: Sequence[float]) -> list[float]:
        """The inputs that it wants in the coming period."""
        ...


class Controlled(Protocol):
    """A plant under control, its inputs where they were applied last and the loads that nobody sees."""

    applied: list[float]
    loads: list[float]

    def __init__(self, case: Case, mismatch: Mismatch, seed: int) -> None: ...

    def run(self) -> None:
        """One control period with the applied inputs held."""
        ...

    def true(self) -> list[float]:
        """The outputs as they are."""
        ...

    def measured(self) -> list[float]:
        """The outputs as the gauges show them."""
        ...


@dataclass
class Trace:
    """One run, a row per control period."""

    period: float
    set_points: list[list[float]] = field(default_factory=list)
    true: list[list[float]] = field(default_factory=list)
    applied: list[list[float]] = field(default_factory=list)
    solve_seconds: list[float] = field(default_factory=list)
    clipped: int = 0
    refused: int = 0


class GatedInput:
    """One input behind the real gate, as a loop in AUTO would keep it."""

    def __init__(self, entry: Input, period: float) -> None:
        limits = EffectiveLimits(
            entry.signal, entry.unit, entry.low, entry.high, entry.rate_per_second, entry.approval_threshold
        )
        self._gate = Gate({entry.signal: limits}, Seal())
        self._entry, self._period = entry, period
        self._history: tuple[Applied, ...] = ()
        self._credit_since = 0.0

    def judge(self, wish: float, present: float, now: float, trace: Trace) -> float:
        """What is applied after the gate has seen the wish."""
        proposal = Proposal(SOURCE, self._entry.signal, wish, 0, now + self._period)
        seen = Observed(present, Quality.GOOD, now)
        view = PlantView(
            mode=Mode.AUTOMATIC,
            advisory=False,
            lease_held=True,
            recordable=True,
            unacknowledged=False,
            permissives=(),
            process_value=seen,
            frozen=False,
            readback=seen,
            expected=present,
            credit_since=self._credit_since,
            history=self._history,
            baseline=self._entry.start,
            grant=None,
            period_seconds=self._period,
            tolerance=TOLERANCE,
            deadband=0.0,
        )
        verdict = self._gate.judge(proposal, view, now)
        if isinstance(verdict, Refused):
            trace.refused += verdict is not HOLD
            return present
        value = number(verdict.value)
        assert value is not None
        trace.clipped += value != wish
        self._history = remember(self._history, Applied(value, now), self._entry.rate_per_second)
        self._credit_since = now
        return value


def run(
    case: Case, mismatch: Mismatch, controller: Controller, seed: int, make_plant: type[Controlled] = Plant
) -> Trace:
    """The script of set-point and load steps on one plant with one seed."""
    plant, trace = make_plant(case, mismatch, seed), Trace(case.period)
    gates = [GatedInput(entry, case.period) for entry in case.inputs]
    for n in range(round(END_SPAN * case.span / case.period)):
        now = (n + 1) * case.period
        plant.run()
        set_points, plant.loads = script(case, now / case.span)
        true, measured, applied = plant.true(), plant.measured(), list(plant.applied)
        start = time.perf_counter()
        wishes = controller.propose(set_points, measured, applied)
        trace.solve_seconds.append(time.perf_counter() - start)
        plant.applied = [
            gate.judge(wish, present, now, trace) for gate, wish, present in zip(gates, wishes, applied, strict=True)
        ]
        trace.set_points.append(set_points)
        trace.true.append(true)
        trace.applied.append(list(plant.applied))
    return trace


def script(case: Case, spans: float) -> tuple[list[float], list[float]]:
    """Set-points and loads at a time in natural units."""
    set_points = [
        output.start + (step if STEP_SPAN <= spans - i * STAGGER_SPANS < RETURN_SPAN else 0.0)
        for i, (output, step) in enumerate(zip(case.outputs, case.steps, strict=True))
    ]
    loads = [load if LOAD_SPAN <= spans - j * STAGGER_SPANS < UNLOAD_SPAN else 0.0 for j, load in enumerate(case.loads)]
    return set_points, loads

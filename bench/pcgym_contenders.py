"""Who is compared with pc-gym's oracle: controllers that know set-point and measured concentration alone."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bench.pcgym_plant import Plant, Task
from bench.pcgym_reactor import Observer, State, advanced
from edged_control.identification.identify import IdentificationReport, identify
from edged_control.identification.recording import Recording
from edged_control.mpc.disturbances import DisturbanceTuning
from edged_control.mpc.horizon import Horizon, OutputLimits, Problem
from edged_control.mpc.linear import Fault, InputLimits, Mpc, MpcTuning
from edged_control.process_model.linear import Channel, Port, ProcessModel
from edged_control.process_model.state_space import Array

COOLANT = Port("reactor/coolant_temperature", "K")
CONCENTRATION = Port("reactor/concentration", "mol/l")
SECONDS_PER_MINUTE = 60.0
HORIZON_PERIODS = 8
PASSES = 3
"""Times that a plan is made good at the way that it goes (sequential quadratic programming)."""
TEST_STEPS, TEST_HOLD = 400, 6
TEST_COOLANT = (296.0, 301.5)
"""The step test moves the coolant at random within this range, and holds it for some periods."""


class Contender(Protocol):
    """A controller of one input."""

    def propose(self, set_point: float, concentration: float, applied: float) -> float:
        """The coolant temperature for the coming period; `applied` was held in the last one."""
        ...


class LinearMpc:
    """The product's MPC on a linear model; limits and rates as the task has them."""

    def __init__(self, task: Task, model: ProcessModel) -> None:
        period = SECONDS_PER_MINUTE * task.period_minutes
        low, high = task.coolant
        tuning = MpcTuning(
            period_seconds=period,
            horizon_seconds=HORIZON_PERIODS * period,
            error_scales=(1.0,),
            move_seconds=(0.0,),
            reference_seconds=(0.0,),
            disturbances=(DisturbanceTuning(2.0 * period, 0.5 * period),),
        )
        self._mpc = Mpc(model, tuning, [InputLimits(low, high, (high - low) / period)])
        self._period = period

    def propose(self, set_point: float, concentration: float, applied: float) -> float:
        """The plan's first move; what is applied already when there is none."""
        plan = self._mpc.update([set_point], [concentration], [applied], self._period)
        return applied if isinstance(plan, Fault) else plan.inputs[0]


class AdaptiveMpc:
    """The product's quadratic program on the reactor's equations, linearised anew along each plan."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._observer = Observer(task.period_minutes)
        period = SECONDS_PER_MINUTE * task.period_minutes
        model = ProcessModel((COOLANT,), (CONCENTRATION,), ((Channel(1.0),),))
        self._horizon = Horizon(model, period, HORIZON_PERIODS * period)
        ends = np.cumsum(self._horizon.lengths)
        ahead = np.arange(1, HORIZON_PERIODS + 1)[:, None]
        self._moves = np.clip(ahead - (ends - self._horizon.lengths), 0, self._horizon.lengths).astype(np.float64)

    def propose(self, set_point: float, concentration: float, applied: float) -> float:
        """The first move of a plan from the estimated state; what is applied already when there is none."""
        state = self._observer.follow(concentration, applied)
        low, high = self._task.coolant
        way = np.full(HORIZON_PERIODS, applied)
        for _ in range(PASSES):
            ahead, turned = self._linearised(state, way)
            free = (ahead + turned @ (applied - way))[self._horizon.points - 1, None]
            ramps = (turned @ self._moves)[self._horizon.points - 1][:, None, :, None]
            gains = np.abs(turned[-1]).sum(keepdims=True)[:, None]
            problem = Problem(self._horizon, ramps, gains, [1.0], [0.0], [OutputLimits()])
            room = (np.array([low - applied]), np.array([high - applied]))
            answer = problem.solve(set_point - free, free, np.array([high - low]), room)
            if answer.value is None:
                return applied
            way = np.clip(applied + self._moves @ answer.value[:, 0], low, high)
        return float(way[0])

    def _linearised(self, state: State, way: Array) -> tuple[Array, Array]:
        """Concentrations along a way of the coolant, and `[k, m]`: how that after k + 1 periods answers to step m."""
        seconds = self._task.period_minutes
        size = len(way)

        def concentrations(coolant: Array) -> Array:
            at, found = state, []
            for value in coolant:
                at = advanced(at, float(value), seconds)
                found.append(at.concentration)
            return np.array(found)

        here = concentrations(way)
        return here, np.column_stack([(concentrations(way + 1e-3 * unit) - here) / 1e-3 for unit in np.eye(size)])


def step_test(plant: Plant, task: Task, seed: int = 1) -> Recording:
    """A recording of the reference plant, its coolant moved at random."""
    rng = np.random.default_rng(seed)
    longer = task._replace(set_points=task.set_points[:1] * TEST_STEPS)
    seen, coolant = plant.reset(longer), float(np.mean(TEST_COOLANT))
    inputs, outputs = np.zeros((TEST_STEPS, 1)), np.zeros((TEST_STEPS, 1))
    for k in range(TEST_STEPS):
        if k % TEST_HOLD == 0:
            coolant = float(rng.uniform(*TEST_COOLANT))
        inputs[k], outputs[k] = coolant, seen
        seen = plant.step(coolant)
    return Recording(SECONDS_PER_MINUTE * task.period_minutes, (COOLANT,), (CONCENTRATION,), inputs, outputs)


def identified(plant: Plant, task: Task) -> IdentificationReport:
    """What `edged mpc identify` makes of the step test."""
    return identify(step_test(plant, task), "step test")

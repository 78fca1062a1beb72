"""Linear model predictive control: a condensed quadratic program over ramps of the inputs, offset-free, with limits.

Between the block starts an input changes at a constant slope, so that a rate limit is a plain bound and long blocks
lose nothing of it. Outputs are compared with their set-points at points that lie closer together at the start.
Everything is worked out relative to the last applied inputs, which are always those that were read back at the plant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edged_control.mpc.disturbances import Disturbances, DisturbanceTuning, Observer, at_outputs, seen_after
from edged_control.mpc.estimator import Estimate, Estimator
from edged_control.mpc.horizon import Horizon, OutputLimits, Problem
from edged_control.mpc.loads import Load, at_inputs
from edged_control.process_model.linear import ProcessModel
from edged_control.process_model.state_space import Array, discretise

LONGEST_PAUSE_PERIODS = 10.0
"""After a longer pause nothing is known of the inputs in between, and the estimate starts anew."""


@dataclass(frozen=True, slots=True)
class InputLimits:
    """The envelope of one input, in its unit."""

    low: float
    high: float
    rate_per_second: float


@dataclass(frozen=True, slots=True)
class MpcTuning:
    """What an engineer chooses.

    `error_scales` are errors of the outputs that hurt alike, `move_seconds` for each input how slowly it is to move
    (the time over which a step is spread where nothing presses), `reference_seconds` for each output the time constant
    in which it is brought to its set-point (0: as fast as the moves allow). Disturbances are looked for at the outputs;
    where there are `loads`, one for each input, at the inputs, against `noises` of outputs.
    """

    period_seconds: float
    horizon_seconds: float
    error_scales: tuple[float, ...]
    move_seconds: tuple[float, ...]
    reference_seconds: tuple[float, ...]
    disturbances: tuple[DisturbanceTuning, ...]
    loads: tuple[Load, ...] = ()
    noises: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """Which inputs a plan may move, all others stay where they are, and which outputs' errors count. Empty: all."""

    free: tuple[bool, ...] = ()
    count: tuple[bool, ...] = ()


EVERYTHING = Part()


class Plan(NamedTuple):
    """What is to be applied now, and the way it was thought to go on: inputs and outputs at `seconds` ahead."""

    inputs: tuple[float, ...]
    seconds: Array
    outputs_ahead: Array
    block_seconds: Array
    inputs_ahead: Array


class Fault(NamedTuple):
    """Why there is no plan: nothing of it may be written."""

    reason: str


class Mpc:
    """Call `update` in every period, `track` where no plan is needed.

    Deterministic: the same calls give the same numbers.
    """

    assumed = ""
    """It knows one model alone."""

    def __init__(
        self,
        model: ProcessModel,
        tuning: MpcTuning,
        limits: Sequence[InputLimits],
        output_limits: Sequence[OutputLimits] = (),
    ) -> None:
        system = discretise(model, tuning.period_seconds)
        self._tuning = tuning
        self._low = np.array([limit.low for limit in limits])
        self._high = np.array([limit.high for limit in limits])
        self._step = np.array([limit.rate_per_second for limit in limits]) * tuning.period_seconds
        disturbances, observer = _disturbances(model, tuning)
        self._estimator = Estimator(system, observer, len(model.outputs))
        self._horizon = Horizon(model, tuning.period_seconds, tuning.horizon_seconds)
        points = self._horizon.points
        responses = system.step_responses(int(points[-1]))
        self._held = responses[points]
        self._free = seen_after(system.a, system.c, points)
        self._ramps = self._horizon.ramps(responses)
        self._disturbed = disturbances.after(points)
        self._gains = np.array([[channel.gain for channel in row] for row in model.channels])
        self._bands = tuple(output_limits) or tuple(OutputLimits() for _ in model.outputs)
        everything = (tuple(range(len(model.inputs))), tuple(range(len(model.outputs))))
        self._problem = self._problem_of(*everything)
        self._problems = {everything: self._problem}
        self._origin: tuple[Array, Array] | None = None
        self.began = False
        """Whether the estimate began anew in the last call: it took the plant for one that stands still."""

    @property
    def innovation(self) -> Array:
        """By how much the last measurements differed from what was predicted one period before, in output units."""
        return self._estimator.innovation

    @property
    def evidence(self) -> float:
        """How well they were foreseen where loads are looked for: the logarithm of their probability density."""
        return self._estimator.evidence

    def reset(self) -> None:
        """Forgets the plant: the next measurement starts anew, as after a restart."""
        self._origin = None
        self._estimator.reset()
        self.drop_warm_start()

    def drop_warm_start(self) -> None:
        """The next solve starts from nothing."""
        self._problem.solver.drop_warm_start()

    def try_out(self) -> None:
        """The first solve is slower than all others: it happens before anybody waits for one."""
        outputs = [0.0] * len(self._tuning.error_scales)
        self.update(outputs, outputs, [float(value) for value in (self._low + self._high) / 2.0], 0.0)
        self.reset()

    def track(self, outputs: Sequence[float], applied: Sequence[float], seconds: float) -> None:
        """Follows the plant: `applied` was read back and held in the `seconds` since the last call.

        Unknown inputs or a long pause make the estimate start anew; unknown outputs are waited out.
        """
        measured, held = _numbers(outputs), _numbers(applied)
        pause = seconds / self._tuning.period_seconds
        if not (0.0 <= pause <= LONGEST_PAUSE_PERIODS and np.isfinite(held).all()):
            self._origin, pause = None, 0.0
            self._estimator.reset()
        self.began = self._origin is None
        if self._origin is None:
            if not (np.isfinite(held).all() and np.isfinite(measured).all()):
                return
            self._origin = (held, measured)
        applied_from, measured_from = self._origin
        self._estimator.follow(measured - measured_from, held - applied_from, round(pause))

    def update(
        self,
        set_points: Sequence[float],
        outputs: Sequence[float],
        applied: Sequence[float],
        seconds: float,
        part: Part = EVERYTHING,
    ) -> Plan | Fault:
        """The plan from here. `applied` was read back and held in the `seconds` since the last call.

        An output that does not count may be NaN: it is waited out.
        """
        self.track(outputs, applied, seconds)
        return self.plan(set_points, outputs, applied, seconds, part)

    def plan(
        self,
        set_points: Sequence[float],
        outputs: Sequence[float],
        applied: Sequence[float],
        seconds: float,
        part: Part = EVERYTHING,
    ) -> Plan | Fault:
        """What `update` answers, once the plant has been followed to here."""
        wanted, measured, held = _numbers(set_points), _numbers(outputs), _numbers(applied)
        free, count = _chosen(part.free, len(held)), _chosen(part.count, len(measured))
        estimate = self._estimator.estimate
        needed = (wanted, measured[list(count)], held)
        if not all(np.isfinite(numbers).all() for numbers in needed) or not math.isfinite(seconds):
            return Fault("an input is not a finite number")
        if any(not self._low[j] <= held[j] <= self._high[j] for j in free):
            return Fault("an applied input is outside its limits: a person must bring it in")
        if not free or not count:
            return Fault("no input may be moved, or no output counts")
        if estimate is None or self._origin is None:
            return Fault("nothing is known of the plant yet")
        self._choose(free, count)
        return self._planned(wanted, held, estimate, list(free), list(count))

    def _choose(self, free: tuple[int, ...], count: tuple[int, ...]) -> None:
        """Takes the problem of these inputs and outputs; what another left behind is no start for it."""
        problem = self._problems.get((free, count))
        if problem is None:
            problem = self._problems[free, count] = self._problem_of(free, count)
        if problem is not self._problem:
            problem.solver.drop_warm_start()
        self._problem = problem

    def _problem_of(self, free: tuple[int, ...], count: tuple[int, ...]) -> Problem:
        tuning = self._tuning
        return Problem(
            self._horizon,
            self._ramps[:, count][..., free],
            self._gains[np.ix_(count, free)],
            [tuning.error_scales[i] for i in count],
            [tuning.move_seconds[j] for j in free],
            [self._bands[i] for i in count],
        )

    def _planned(
        self, wanted: Array, applied: Array, estimate: Estimate, free: list[int], count: list[int]
    ) -> Plan | Fault:
        assert self._origin is not None
        applied_from, measured_from = self._origin
        ahead = measured_from + self._free @ estimate.state + self._held @ (applied - applied_from)
        ahead += self._disturbed @ estimate.disturbance
        missing = self._horizon.reference(wanted, ahead, self._tuning.reference_seconds) - ahead
        room = ((self._low - applied)[free], (self._high - applied)[free])
        answer = self._problem.solve(missing[:, count], ahead[:, count], self._step[free], room)
        if answer.value is None:
            return Fault(answer.fault)
        lengths, period = self._horizon.lengths, self._tuning.period_seconds
        slopes, inputs = np.zeros((len(lengths), len(applied))), np.tile(applied, (len(lengths), 1))
        slopes[:, free] = answer.value
        inputs[:, free] += np.cumsum(answer.value * lengths[:, None], axis=0)
        inputs[:, free] = np.clip(inputs[:, free], self._low[free], self._high[free])
        first = applied.copy()
        first[free] = np.clip(applied[free] + answer.value[0], self._low[free], self._high[free])
        return Plan(
            inputs=tuple(map(float, first)),
            seconds=self._horizon.points * period,
            outputs_ahead=ahead + np.einsum("pibj,bj->pi", self._ramps, slopes),
            block_seconds=np.cumsum(lengths) * period,
            inputs_ahead=inputs,
        )


def _disturbances(model: ProcessModel, tuning: MpcTuning) -> tuple[Disturbances, Observer]:
    if tuning.loads:
        return at_inputs(model, tuning.loads, tuning.noises, tuning.period_seconds)
    return at_outputs(tuning.disturbances, tuning.period_seconds)


def _chosen(marks: tuple[bool, ...], size: int) -> tuple[int, ...]:
    return tuple(at for at in range(size) if not marks or marks[at])


def _numbers(values: Sequence[float]) -> Array:
    return np.array(values, dtype=np.float64)

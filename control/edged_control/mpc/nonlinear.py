"""Nonlinear model predictive control of a furnace: the physics in the plan, and the linear MPC's way to no offset.

The physics runs on the applied set-points alone. What the gauge shows beside it is taken for an integrating disturbance
(`estimator`), and the plan (`furnace_plan`) aims beside the set-point by that much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edged.controller_settings import NonlinearMpcSettings
from edged_control.mpc.disturbances import DisturbanceTuning, at_outputs
from edged_control.mpc.estimator import Estimate, Estimator
from edged_control.mpc.furnace_model import PLAN_STEPS, furnace_of
from edged_control.mpc.furnace_plan import FurnacePlan
from edged_control.mpc.furnace_process import LUMPED, THROAT, FurnaceProcess
from edged_control.mpc.linear import EVERYTHING, LONGEST_PAUSE_PERIODS, Fault, InputLimits, Part, Plan
from edged_control.process_model.linear import UnusableModel
from edged_control.process_model.state_space import Array


class NonlinearMpc:
    """Called like `mpc.Mpc`. Deterministic as long as no time limit ends a solve."""

    assumed = ""
    """It knows one model alone."""

    def __init__(
        self, settings: NonlinearMpcSettings, limits: InputLimits, period_seconds: float, processor_seconds: float
    ) -> None:
        self._settings, self._limits, self._period = settings, limits, period_seconds
        dead_periods = round(settings.furnace.throat_dead_time_seconds / period_seconds)
        tuning = DisturbanceTuning(settings.disturbance_lag_seconds, settings.disturbance_settling_seconds)
        self._process = FurnaceProcess(furnace_of(settings.furnace), period_seconds, dead_periods)
        disturbances, observer = at_outputs((tuning,), period_seconds)
        self._estimator = Estimator(self._process, observer, 1)
        step_periods = max(1, round(settings.horizon_seconds / (PLAN_STEPS * period_seconds)))
        self._points: Array = dead_periods + step_periods * np.arange(PLAN_STEPS + 1, dtype=np.float64)
        self._disturbed = disturbances.after(self._points)[:, 0]
        self._step = step_periods * period_seconds
        self._plan = FurnacePlan(settings, limits, self._step, processor_seconds)
        self.began = False
        """Whether the estimate began anew in the last call: it took the plant for one that stands still."""

    @property
    def innovation(self) -> Array:
        """By how much the last measurement differed from what was predicted one period before, K."""
        return self._estimator.innovation

    def reset(self) -> None:
        """Forgets the plant: the next measurement starts anew, as after a restart."""
        self._estimator.reset()
        self._plan.drop_warm_start()

    def drop_warm_start(self) -> None:
        """The next solve starts from nothing."""
        self._plan.drop_warm_start()

    def try_out(self) -> None:
        """The first solve is slower than all others: it happens before anybody waits for one. Raises UnusableModel."""
        middle = (self._limits.low + self._limits.high) / 2.0
        (output,) = self._process.outputs(self._process.steady(np.array([middle])))
        found = self.update([output], [output], [middle], 0.0)
        if isinstance(found, Fault):
            raise UnusableModel(f"no plan for a furnace that stands at {middle:g} degC: {found.reason}")
        self.reset()

    def update(
        self,
        set_points: Sequence[float],
        outputs: Sequence[float],
        applied: Sequence[float],
        seconds: float,
        part: Part = EVERYTHING,
    ) -> Plan | Fault:
        """The plan from here. `applied` was read back and held in the `seconds` since the last call."""
        (wanted,), (measured,), (held,) = set_points, outputs, applied
        estimate = self._follow(measured, held, seconds)
        if not all(map(math.isfinite, (wanted, measured, held, seconds))):
            return Fault("an input is not a finite number")
        if not self._limits.low <= held <= self._limits.high:
            return Fault("an applied input is outside its limits: a person must bring it in")
        if not all((*part.free, *part.count)):
            return Fault("no input may be moved, or no output counts")
        if estimate is None:
            return Fault("nothing is known of the plant yet")
        return self._planned(wanted, held, estimate)

    def _follow(self, measured: float, applied: float, seconds: float) -> Estimate | None:
        """The estimate now. Unknown inputs or a long pause make it start anew; unknown outputs are waited out."""
        pause = seconds / self._period
        if not (0.0 <= pause <= LONGEST_PAUSE_PERIODS and math.isfinite(applied)):
            self._estimator.reset()
            pause = 0.0
        self.began = self._estimator.estimate is None
        if self.began and not (math.isfinite(applied) and math.isfinite(measured)):
            return None
        shown = measured if math.isfinite(measured) else math.nan
        return self._estimator.follow(np.array([shown]), np.array([applied]), round(pause))

    def _planned(self, wanted: float, applied: float, estimate: Estimate) -> Plan | Fault:
        beside = self._disturbed @ estimate.disturbance
        lumps = estimate.state[:LUMPED]
        missing = wanted - (lumps[THROAT] + beside[0])
        passed = np.arange(1, PLAN_STEPS + 2) * self._step
        lag = self._settings.reference_seconds
        way = wanted - (missing * np.exp(-passed / lag) if lag > 0.0 else 0.0)
        course = self._plan.solve(lumps, applied, way - beside)
        if isinstance(course, Fault):
            return course
        first = applied + course.slope * self._period
        return Plan(
            inputs=(min(max(first, self._limits.low), self._limits.high),),
            seconds=np.asarray(self._points * self._period, dtype=np.float64),
            outputs_ahead=(course.throat + beside)[:, None],
            block_seconds=np.asarray(np.arange(1, PLAN_STEPS + 1) * self._step, dtype=np.float64),
            inputs_ahead=course.set_points[1:, None],
        )

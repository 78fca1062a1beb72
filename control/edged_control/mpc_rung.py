"""The MPC of one loop as a rung: asks its solver in every cycle, believes only what fits, and doubts its own model."""

from __future__ import annotations

import math

from edged_control.limits import EffectiveLimits
from edged_control.model_watch import ModelWatch
from edged_control.rung import Moment, Wish
from edged_control.solver import Solver
from edged_control.solver_messages import Answer, InputRange, Question
from edged_control.status import ControlMeters

MPC = "mpc"
ROUNDING = 1e-9
"""By so much of the range an answer may miss a limit."""


class MpcRung:
    """It solves also while somebody else moves the output: that it can is known before it leads."""

    name = MPC

    def __init__(
        self,
        solver: Solver,
        watch: ModelWatch,
        limits: EffectiveLimits,
        period_seconds: float,
        *,
        tolerance: float,
        model_hash: str,
        meters: ControlMeters,
    ) -> None:
        self.model_hash = model_hash
        self._solver = solver
        self._watch = watch
        self._limits = limits
        self._period = period_seconds
        self._tolerance = tolerance
        self._meters = meters
        self._number = 0
        self._asked = -math.inf
        self._knew = False
        self._wish: float | None = None
        self._proposed: float | None = None

    async def look(self, moment: Moment) -> str:
        """Asks the solver. A start from the last solution is allowed only where that was applied."""
        self._number += 1
        seconds = moment.now - self._asked if math.isfinite(self._asked) else 0.0
        self._asked, self._wish = moment.now, None
        answer = await self._solver.ask(
            Question(
                number=self._number,
                set_points=(moment.set_point,),
                outputs=(moment.process_value,),
                applied=(moment.applied,),
                seconds=seconds,
                fresh=self._proposed is None or abs(self._proposed - moment.applied) > self._tolerance,
            )
        )
        self._proposed = None
        fault = answer.fault or self._unfit(answer, moment) or self._forgetful(answer)
        if fault:
            self._meters.unsolved.inc()
            return fault
        self._meters.solve_seconds.observe(answer.solve_seconds)
        if moment.automatic:
            self._watch.note(answer.errors[0], seconds)
        self._wish = answer.inputs[0]
        return self._watch.fault

    def propose(self, moment: Moment) -> Wish:
        """What the solver answered in this cycle."""
        del moment
        self._proposed = self._wish
        return Wish(self._wish) if self._wish is not None else Wish(None, "the solver was not asked")

    def track(self, moment: Moment) -> None:
        """Nothing is left to do: the question has told where the output is."""
        del moment

    def trust(self) -> None:
        """An engineer says that the model fits."""
        self._watch.trust()

    def adopt(self, limits: EffectiveLimits) -> None:
        """The solver is set up anew and follows the plant before it leads; answers by the old limits are judged too."""
        self._limits = limits
        self._solver.limit((input_range(limits),))

    def _forgetful(self, answer: Answer) -> str:
        """A solver that knew the plant and now begins anew has to follow it for a while before it leads."""
        knew, self._knew = self._knew, True
        return "the solver begins anew, it has to follow the plant first" if knew and answer.began else ""

    def _unfit(self, answer: Answer, moment: Moment) -> str:
        """Why an answer that claims success is none: its shape, the limits, or more than one period's move."""
        if answer.number != self._number:
            return "the solver answered another question"
        if len(answer.inputs) != 1 or len(answer.errors) != 1:
            return f"the solver answered {len(answer.inputs)} values, expected 1"
        value, limits = answer.inputs[0], self._limits
        slack = ROUNDING * (limits.high - limits.low)
        if not limits.low - slack <= value <= limits.high + slack:
            return f"the solver answered {value:g}, which is outside the limits"
        if abs(value - moment.applied) > limits.rate_per_second * self._period + slack:
            return f"the solver answered {value:g}, further from {moment.applied:g} than the rate allows"
        return ""


def input_range(limits: EffectiveLimits) -> InputRange:
    """The limits as a solver is told them."""
    return InputRange(low=limits.low, high=limits.high, rate_per_second=limits.rate_per_second)

"""What a solver's process works with: the controller that a setup describes, and its answers."""

from __future__ import annotations

import math
import time

from edged_control.model import decoded
from edged_control.mpc import InputLimits, Mpc, Part, Plan
from edged_control.mpc_settings import build
from edged_control.solver_messages import Answer, Question, Setup


class Workbench:
    """One controller, set up from a message. Raises EdgedError where it can't be built."""

    def __init__(self, setup: Setup) -> None:
        artefact = decoded(setup.artefact.encode(), "the artefact")
        limits = [InputLimits(limit.low, limit.high, limit.rate_per_second) for limit in setup.limits]
        self.model_hash = artefact.hash
        self._mpc: Mpc = build(setup.settings, artefact.model, limits, setup.period_seconds, artefact.residuals)
        self._try_out(limits, len(artefact.model.outputs))

    def answer(self, question: Question) -> Answer:
        """The plan's first inputs, or why there is no plan."""
        if question.fresh:
            self._mpc.drop_warm_start()
        began = time.perf_counter()
        outputs = [math.nan if output is None else output for output in question.outputs]
        part = Part(question.free, question.count)
        plan = self._mpc.update(question.set_points, outputs, question.applied, question.seconds, part)
        seconds = time.perf_counter() - began
        told = Answer(
            number=question.number,
            errors=tuple(map(float, self._mpc.innovation)),
            solve_seconds=seconds,
            began=self._mpc.began,
        )
        changes = {"inputs": plan.inputs} if isinstance(plan, Plan) else {"fault": plan.reason}
        return told.model_copy(update=changes)

    def forget(self) -> None:
        """The next question is the first of a new process."""
        self._mpc.reset()

    def _try_out(self, limits: list[InputLimits], outputs: int) -> None:
        """The first solve is slower than all others: it happens before anybody waits for one."""
        middle = [(limit.low + limit.high) / 2.0 for limit in limits]
        self._mpc.update([0.0] * outputs, [0.0] * outputs, middle, 0.0)
        self._mpc.reset()

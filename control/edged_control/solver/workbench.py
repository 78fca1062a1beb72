"""What a solver's process works with: the controller that a setup describes, and its answers."""

from __future__ import annotations

import math
import time

from edged.controller_settings import MpcSettings
from edged_control.mpc.furnace_model import furnace_hash
from edged_control.mpc.linear import InputLimits, Mpc, Part, Plan
from edged_control.mpc.multiple import MultipleModelMpc
from edged_control.mpc.nonlinear import NonlinearMpc
from edged_control.mpc.settings import build
from edged_control.process_model.linear import decoded
from edged_control.solver.messages import Answer, Question, Setup

PROCESSOR_SHARE = 0.4
"""Of the deadline, for each of two attempts: the rest is for the way to the process and back."""


class Workbench:
    """One controller, set up from a message. Raises EdgedError where it can't be built."""

    def __init__(self, setup: Setup) -> None:
        limits = [InputLimits(limit.low, limit.high, limit.rate_per_second) for limit in setup.limits]
        self._mpc: Mpc | MultipleModelMpc | NonlinearMpc
        if isinstance(setup.settings, MpcSettings):
            artefact = decoded(setup.artefact.encode(), "the artefact")
            self.model_hash = artefact.hash
            self._mpc = build(setup.settings, artefact.model, limits, setup.period_seconds, artefact.residuals)
        else:
            seconds = PROCESSOR_SHARE * setup.deadline_seconds
            self.model_hash = furnace_hash(setup.settings.furnace)
            self._mpc = NonlinearMpc(setup.settings, limits[0], setup.period_seconds, seconds)
        self._mpc.try_out()

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
            assumed=self._mpc.assumed,
        )
        changes = {"inputs": plan.inputs} if isinstance(plan, Plan) else {"fault": plan.reason}
        return told.model_copy(update=changes)

    def forget(self) -> None:
        """The next question is the first of a new process."""
        self._mpc.reset()

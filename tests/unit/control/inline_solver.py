"""A solver without a process: the real workbench answers at once, and a test may spoil what it says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from edged.settings import LoopSettings
from edged_control.ladder.controllers import SolverFactory
from edged_control.mpc.settings import proposed
from edged_control.process_model.linear import Artefact, Channel, Port, ProcessModel
from edged_control.solver.messages import Answer, InputRange, Question, Setup
from edged_control.solver.workbench import Workbench
from tests.unit.control.rig import LOOP, MakeRig, Rig
from tests.unit.control.simulated_plc import BELT, DELAY_SECONDS, LAG_SECONDS, NOMINAL_PRODUCT, THICKNESS

START_SPEED = 150.0
GAIN = -NOMINAL_PRODUCT / START_SPEED**2
"""Of the simulated ribbon around its start, mm per m/min."""


class InlineSolver:
    """Answers inside the call, and remembers what it was asked."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._workbench: Workbench | None = None
        self.questions: list[Question] = []
        self.spoil: Callable[[Answer], Answer] | None = None

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def ask(self, question: Question) -> Answer:
        self.questions.append(question)
        if self._workbench is None:
            self._workbench = _workbench(self.setup.model_dump_json())
            self._workbench._mpc.reset()
        answer = self._workbench.answer(question)
        return answer if self.spoil is None else self.spoil(answer)

    def limit(self, limits: Sequence[InputRange]) -> None:
        self.setup = self.setup.model_copy(update={"limits": tuple(limits)})
        self.restart()

    def restart(self) -> None:
        """A new process knows nothing of the old one."""
        self._workbench = None


@lru_cache(maxsize=64)
def _workbench(setup: str) -> Workbench:
    """Building one takes long; one that was reset knows nothing of those before it."""
    return Workbench(Setup.model_validate_json(setup))


def artefact(gain: float = GAIN, residual: float = 0.01, dead_time: float = DELAY_SECONDS) -> Artefact:
    """What an identification of the simulated ribbon finds, or should have found."""
    channel = Channel(gain, dead_time, LAG_SECONDS)
    model = ProcessModel((Port(BELT, "m/min"),), (Port(THICKNESS, "mm"),), ((channel,),))
    return Artefact(model, 1.0, (95.0,), (93.0,), (residual,), "step test", "0" * 64)


def mpc_loop(loop: LoopSettings, found: Artefact, **changes: object) -> LoopSettings:
    """The loop under MPC, with the rig's PID as its fallback; `changes` are those of the MPC's input."""
    settings = proposed(found.model, Path("belt.json"), [1.0], 1.0)
    inputs = tuple(entry.model_copy(update=changes) for entry in settings.inputs)
    settings = settings.model_copy(update={"inputs": inputs, "fallback": LOOP.controller})
    return loop.model_copy(update={"controller": settings})


def solver_factory(solvers: list[InlineSolver]) -> SolverFactory:
    """Builds solvers, and keeps them where a test finds them."""

    def build(_: str, setup: Setup, __: str) -> InlineSolver:
        solvers.append(InlineSolver(setup))
        return solvers[-1]

    return build


def mpc_rig(make_rig: MakeRig, found: Artefact | None = None, **changes: object) -> tuple[Rig, InlineSolver]:
    """A rig whose loop runs under MPC, and the solver of its first daemon; `changes` are those of the MPC's input."""
    found = found or artefact()
    solvers: list[InlineSolver] = []
    loop = mpc_loop(LOOP, found, **changes)
    rig = make_rig(loop=loop, artefact=found, build_solver=solver_factory(solvers), solvers=solvers)
    return rig, solvers[0]


def answered(**changes: object) -> Callable[[Answer], Answer]:
    """Spoils an answer by these changes."""
    return lambda answer: answer.model_copy(update=changes)


BAD_ANSWERS = {
    "fault": answered(fault="no plan keeps all limits"),
    "zero": answered(inputs=(0.0,)),
    "not a number": answered(inputs=(math.nan,)),
    "infinite": answered(inputs=(math.inf,)),
    "too long": answered(inputs=(150.0, 150.0)),
    "empty": answered(inputs=()),
    "no error told": answered(errors=()),
    "too far": answered(inputs=(170.0,)),
    "outside the limits": answered(inputs=(201.0,)),
    "another question": answered(number=0),
}

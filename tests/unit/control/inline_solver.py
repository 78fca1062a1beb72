"""A solver without a process: the real workbench answers at once, and a test may spoil what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from edged_control.model import Artefact, Channel, Port, ProcessModel
from edged_control.mpc_settings import proposed
from edged_control.solver_messages import Answer, Question, Setup
from edged_control.workbench import Workbench
from tests.unit.control.rig import LOOP, MakeRig, Rig
from tests.unit.control.simulated_plc import BELT, DELAY_SECONDS, LAG_SECONDS, NOMINAL_PRODUCT, THICKNESS

START_SPEED = 150.0
GAIN = -NOMINAL_PRODUCT / START_SPEED**2
"""Of the simulated ribbon around its start, mm per m/min."""


class InlineSolver:
    """Answers inside the call, and remembers what it was asked."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._workbench = Workbench(setup)
        self.questions: list[Question] = []
        self.spoil: Callable[[Answer], Answer] | None = None

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def ask(self, question: Question) -> Answer:
        self.questions.append(question)
        answer = self._workbench.answer(question)
        return answer if self.spoil is None else self.spoil(answer)

    def restart(self) -> None:
        """A new process knows nothing of the old one."""
        self._workbench = Workbench(self._setup)


def artefact(gain: float = GAIN, residual: float = 0.01) -> Artefact:
    """What an identification of the simulated ribbon finds, or should have found."""
    channel = Channel(gain, DELAY_SECONDS, LAG_SECONDS)
    model = ProcessModel((Port(BELT, "m/min"),), (Port(THICKNESS, "mm"),), ((channel,),))
    return Artefact(model, 1.0, (95.0,), (93.0,), (residual,), "step test", "0" * 64)


def mpc_rig(make_rig: MakeRig, found: Artefact | None = None) -> tuple[Rig, InlineSolver]:
    """A rig whose loop runs under MPC, with the rig's PID as its fallback."""
    found = found or artefact()
    settings = proposed(found.model, Path("belt.json"), [1.0], 1.0).model_copy(update={"fallback": LOOP.controller})
    solvers: list[InlineSolver] = []

    def build(_: str, setup: Setup, __: str) -> InlineSolver:
        solvers.append(InlineSolver(setup))
        return solvers[-1]

    rig = make_rig(loop=LOOP.model_copy(update={"controller": settings}), artefact=found, build_solver=build)
    return rig, solvers[0]

"""A solver without a process, for replays: nobody waits for it, and its libraries are loaded when it is first asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edged.errors import MissingLibrary
from edged_control.solver.messages import Answer, InputRange, Question, Setup

if TYPE_CHECKING:
    from edged_control.solver.workbench import Workbench


class InlineSolver:
    """Answers inside the call. The same questions from the first on give the same answers as those of a process."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._workbench: Workbench | None = None

    async def run(self) -> None:
        await asyncio.Event().wait()

    def limit(self, limits: Sequence[InputRange]) -> None:
        """Set up anew, with these limits."""
        self._setup, self._workbench = self._setup.model_copy(update={"limits": tuple(limits)}), None

    async def ask(self, question: Question) -> Answer:
        """Raises MissingLibrary."""
        if self._workbench is None:
            self._workbench = _workbench(self._setup)
        return self._workbench.answer(question)

    def forget(self) -> None:
        """What comes next is asked of a process that has only now been started."""
        if self._workbench is not None:
            self._workbench.forget()


def _workbench(setup: Setup) -> Workbench:
    try:
        from edged_control.solver.workbench import Workbench
    except ImportError as fault:
        raise MissingLibrary(fault.name or "numpy", "control") from fault
    return Workbench(setup)

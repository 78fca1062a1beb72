"""A solver as the daemon sees it: asked once in a period, it answers in time or counts as unable, and never blocks."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from edged.clock import Clock
from edged.log import get_logger
from edged.supervise import HEALTHY_AFTER_SECONDS, Backoff
from edged_control.solver.messages import (
    LENGTH,
    Answer,
    Garbled,
    InputRange,
    Question,
    Ready,
    Setup,
    body_bytes,
    framed,
    read_message,
)

COMMAND = (sys.executable, "-P", "-m", "edged_control.solver.worker")
START_SECONDS = 30.0
"""Importing the numeric libraries takes half a second, with do-mpc two; on a loaded box it is ten times that."""
KILLED_AFTER_QUESTIONS = 3
"""One that owes an answer for so many periods is taken for stuck."""
FIRST_DELAY_SECONDS, DELAY_CAP_SECONDS = 0.5, 30.0
ENDED = "the solver ended"
TOO_LATE = "no answer within"
BUSY = "the solver has not answered yet"
"""It was not asked: an answer is owed."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

log = get_logger("control")


class Solver(Protocol):
    """Whoever answers questions; `run` keeps it alive until it is cancelled."""

    async def run(self) -> None: ...

    async def ask(self, question: Question) -> Answer:
        """The answer, within a hard deadline; one with a fault when there is none in time."""
        ...

    def limit(self, limits: Sequence[InputRange]) -> None:
        """Other limits of its inputs from now on: it begins anew."""
        ...


class SolverProcess:
    """A process of its own: killed when it is stuck or talks nonsense, and started again with back-off."""

    def __init__(
        self, name: str, setup: Setup, model_hash: str, clock: Clock, command: Sequence[str] = COMMAND
    ) -> None:
        self._name = name
        self._setup = setup
        self._model_hash = model_hash
        self._clock = clock
        self._command = command
        self.deadline_seconds = setup.deadline_seconds
        self._child: Process | None = None
        self._process: Process | None = None
        self._fault = "the solver is not started"
        self._owed: tuple[int, asyncio.Future[Answer]] | None = None
        self._unanswered = 0

    @property
    def pid(self) -> int | None:
        """Of the process that is ready to solve; None while there is none."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keeps a process up until cancelled."""
        backoff = Backoff(FIRST_DELAY_SECONDS, DELAY_CAP_SECONDS)
        while True:
            self._fault, began = "the solver starts", self._clock.monotonic()
            self._fault = await self._live()
            log.warning("solver_ended", loop=self._name, reason=self._fault)
            if self._clock.monotonic() - began >= HEALTHY_AFTER_SECONDS:
                backoff.reset()
            await self._clock.sleep(backoff.next())

    async def ask(self, question: Question) -> Answer:
        """The answer, or a fault after the deadline; while an answer is owed nothing more is asked."""
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            return Answer(number=question.number, fault=self._fault)
        if self._owed is not None:
            self._unanswered += 1
            if self._unanswered >= KILLED_AFTER_QUESTIONS:
                self._kill(process)
            return Answer(number=question.number, fault=BUSY)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._owed = (question.number, future)
        process.stdin.write(framed(question))
        try:
            async with asyncio.timeout(self.deadline_seconds):
                return await future
        except TimeoutError:
            self._unanswered += 1
            return Answer(number=question.number, fault=f"{TOO_LATE} {self.deadline_seconds:g} s")

    def limit(self, limits: Sequence[InputRange]) -> None:
        """The process is replaced by one that was set up with these limits."""
        self._setup = self._setup.model_copy(update={"limits": tuple(limits)})
        if self._child is not None:
            self._kill(self._child)

    async def _live(self) -> str:
        """One life of the process; why it ended."""
        environment = {**os.environ, **ONE_THREAD}
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, env=environment, start_new_session=True
            )
        except OSError as fault:
            return f"the solver can't be started: {fault.strerror}"
        self._child = process
        try:
            reason = await self._converse(process)
        finally:
            self._child = self._process = None
            self._settle(ENDED)
            self._kill(process)
            await process.wait()
        return f"{reason} with status {process.returncode}" if reason == ENDED else reason

    async def _converse(self, process: Process) -> str:
        assert process.stdin is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                process.stdin.write(framed(self._setup))
                ready = read_message(Ready, await _read(process))
            if ready.fault or ready.model_hash != self._model_hash:
                return f"the solver refuses: {ready.fault or 'it uses another model'}"
            self._process = process
            log.info("solver_ready", loop=self._name, pid=process.pid)
            while True:
                self._take(read_message(Answer, await _read(process)))
        except TimeoutError:
            return f"the solver was not ready within {START_SECONDS:g} s"
        except Garbled as fault:
            return f"the solver sent {fault}"
        except (asyncio.IncompleteReadError, OSError):
            return ENDED

    def _take(self, answer: Answer) -> None:
        """What it owed; anything else it may keep. Raises Garbled."""
        if self._owed is None or self._owed[0] != answer.number:
            raise Garbled(f"an answer to question {answer.number}, which nobody asked")
        self._settle("", answer)

    def _settle(self, fault: str, answer: Answer | None = None) -> None:
        owed, self._owed, self._unanswered = self._owed, None, 0
        if owed is not None and not owed[1].done():
            owed[1].set_result(answer or Answer(number=owed[0], fault=fault))

    def _kill(self, process: Process) -> None:
        with suppress(ProcessLookupError):
            process.kill()


async def _read(process: Process) -> bytes:
    assert process.stdout is not None
    head = await process.stdout.readexactly(LENGTH.size)
    return await process.stdout.readexactly(body_bytes(head))

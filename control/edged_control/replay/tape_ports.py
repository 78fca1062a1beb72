"""What stands for the outside in a replay: each asks the tape."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edged.types import Command, Event, Sample
from edged_control.flight.boundary import MONOTONIC, WALL, Boundary, Crossing, Turns
from edged_control.flight.records import Step, answer_of, decision_rows, question_of, question_row
from edged_control.replay.inline_solver import InlineSolver
from edged_control.solver.messages import Answer, InputRange, Question
from edged_control.solver.process import TOO_LATE, Solver

if TYPE_CHECKING:
    from edged_control.replay.tape import Tape


class TapedClock(Boundary):
    """The recorded clock."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def now(self) -> int:
        return int(self._tape.time(WALL))

    def monotonic(self) -> float:
        return float(self._tape.time(MONOTONIC))

    async def sleep(self, seconds: float) -> None:
        await self._tape.cross(Crossing.SLEEP, lambda _: True, lambda: None)


class TapedPlant(Boundary):
    """Recorded reads; recorded writes, or those of the replay."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        def fits(step: Step) -> bool:
            return list(step.told) == list(signals)

        samples: Sequence[Sample] = await self._tape.cross(
            Crossing.POLL, fits, lambda: self._tape.what_if.read(signals)
        )
        return samples

    async def write(self, command: Command) -> None:
        told = (command.signal, command.value, command.origin)
        play = self._tape.current()
        if play is not None:
            play.commands.append(told)

        def write() -> None:
            self._tape.what_if.write(command.signal, command.value)

        await self._tape.cross(Crossing.WRITE, lambda step: tuple(step.told) == told, write)


class TapedRoad(Boundary):
    """Everything can be recorded that could be then."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    async def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> None:
        rows, play = decision_rows(events), self._tape.current()
        if rows and play is not None:
            play.decisions += rows
            await self._tape.cross(Crossing.RECORD, lambda _: True, lambda: None)


class TapedTurns(Boundary):
    """Turns in the recorded order."""

    def __init__(self, tape: Tape, inner: Turns) -> None:
        self._tape = tape
        self._inner = inner

    async def __aenter__(self) -> None:
        await self._tape.cross(Crossing.TURN, lambda _: True, lambda: None)
        await self._inner.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._inner.__aexit__(kind, fault, trace)


class TapedSolver(Boundary):
    """The recorded answer to the same question; a real solver is asked where question or tuning is another.

    One that knows nothing of the plant yet, where the recorded one did, is not believed in that cycle.
    """

    def __init__(self, tape: Tape, inner: Solver) -> None:
        self._tape = tape
        self._inner = inner

    async def run(self) -> None:
        raise AssertionError("a replay starts no solver")

    def limit(self, limits: Sequence[InputRange]) -> None:
        self._inner.limit(limits)

    async def ask(self, question: Question) -> Answer:
        play, told = self._tape.current(), question_row(question)
        step = play.expected() if play is not None else None
        is_same = step is not None and step.crossing == Crossing.SOLVE and _equal(step.told, told)
        recorded: Answer | None = await self._tape.cross(Crossing.SOLVE, lambda _: True, lambda: None)
        if recorded is None or step is None:
            return await self._inner.ask(question)
        asks = _came_to_a_process(recorded) and (self._tape.solve or not is_same)
        answer = await self._asked(question, recorded) if asks else None
        begins_here = answer is not None and answer.began and not recorded.began and is_same
        if answer is not None and not begins_here and not _had_no_process(recorded):
            return answer
        is_fitting = recorded.number == step.told[0]
        return recorded.model_copy(update={"number": question.number}) if is_fitting else recorded

    async def follow(self, step: Step) -> None:
        """Asks again what was asked of a process, so that the solver knows the plant as that one did."""
        recorded = answer_of(step.crossing, step.answer)
        if isinstance(recorded, Answer) and _came_to_a_process(recorded):
            await self._asked(question_of(step.told), recorded)

    async def _asked(self, question: Question, recorded: Answer | None) -> Answer:
        if recorded is not None and recorded.began and isinstance(self._inner, InlineSolver):
            self._inner.forget()
        return await self._inner.ask(question)


def _came_to_a_process(answer: Answer) -> bool:
    """Also where what it said came too late."""
    return not _had_no_process(answer) or answer.fault.startswith(TOO_LATE)


def _had_no_process(answer: Answer) -> bool:
    """A process that was not there or late; one that found no plan has taken its time for it."""
    return bool(answer.fault) and not answer.solve_seconds


def _equal(told: Sequence[Any], now: Sequence[Any]) -> bool:
    """Whether two questions ask the same, whatever their numbers."""
    return [list(one) if isinstance(one, tuple) else one for one in now[1:]] == list(told[1:])

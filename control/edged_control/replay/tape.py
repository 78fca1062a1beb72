"""A flight that answers from a recording. Whoever drives it says which deed is next and which answer has arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from edged.clock import Clock
from edged.ports import Plant, Road
from edged.types import Sample
from edged_control.approval import NotApproved
from edged_control.flight.boundary import MONOTONIC, NEVER, WALL, Always, Crossing, Deed, Ended, Flight, Turns
from edged_control.flight.records import Record, Step, answer_of, outcome_row
from edged_control.limits.live import LimitsPush
from edged_control.replay.tape_ports import TapedClock, TapedPlant, TapedRoad, TapedSolver, TapedTurns
from edged_control.replay.what_if import WhatIf
from edged_control.solver.process import Solver

P = ParamSpec("P")
T = TypeVar("T")
_ABSENT: Any = object()


class Play:
    """One recorded deed as it is replayed. `off` tells that it asks for something else than it did then."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.position = 0
        self.off = False
        self.decisions: list[tuple[Any, ...]] = []
        self.commands: list[tuple[str, float, str]] = []
        self.outcome: list[Any] | None = None
        self.failure = ""
        self.waiting: asyncio.Future[Any] | None = None
        self.task: asyncio.Task[Any] | None = None
        self._asked: dict[str, int] = {}

    def reading(self, name: str) -> Any:
        """The next recorded answer to a question that is answered at once; the last one again where there are no more.

        `_ABSENT` where there was none.
        """
        answers = self.record.steps[self.position].readings.get(name)
        if not answers:
            return _ABSENT
        at = self._asked.get(name, 0)
        self._asked[name] = at + 1
        return answers[min(at, len(answers) - 1)]

    def expected(self) -> Step | None:
        """The answer that comes next, or its end."""
        following = self.position + 1
        return self.record.steps[following] if following < len(self.record.steps) and not self.off else None

    def go_on(self) -> None:
        """The answer that was expected has arrived."""
        self.position += 1
        self._asked.clear()


class Tape(Flight):
    """Deeds one by one: `next` is the one that begins now."""

    def __init__(self, built: Record, what_if: WhatIf, *, solve: bool) -> None:
        self.what_if = what_if
        self.solve = solve
        self.apart = False
        """Whether anything has come out differently so far."""
        self.next: Play | None = None
        self.solvers: list[TapedSolver] = []
        """In the order in which control was built with them."""
        self._last: dict[str, Any] = {MONOTONIC: 0.0, WALL: built.wall}
        self._files: dict[Path, bytes] = {}
        self._current: ContextVar[Play | None] = ContextVar("play", default=None)
        self._building: Play | None = Play(built)

    def clock(self, inner: Clock | None = None) -> Clock:
        return TapedClock(self)

    def plant(self, inner: Plant | None = None) -> Plant:
        return TapedPlant(self)

    def road(self, inner: Road | None = None) -> Road:
        return cast(Road, TapedRoad(self))

    def solver(self, inner: Solver) -> Solver:
        self.solvers.append(TapedSolver(self, inner))
        return self.solvers[-1]

    def turns(self, inner: Turns) -> Turns:
        return TapedTurns(self, inner)

    def asked(self, name: str, function: Callable[P, T], usual: Always = NEVER) -> Callable[P, T]:
        def ask(*arguments: P.args, **named: P.kwargs) -> T:
            del named
            answer = self._answered(name, arguments, usual)
            if isinstance(answer, BaseException):
                raise answer
            return cast(T, answer)

        return ask

    def attach(self, control: object) -> None:
        self._building = None

    @contextmanager
    def deed(self, kind: Deed, target: str, told: Any = None) -> Iterator[Ended]:
        play = None if self._current.get() else self.next
        if play is None:
            yield _ignore
            return
        self.next = None
        token = self._current.set(play)

        def ended(outcome: object) -> None:
            play.outcome = outcome_row(kind, outcome)

        try:
            yield ended
            play.outcome = play.outcome or []
        finally:
            self._current.reset(token)

    def time(self, name: str) -> Any:
        """A reading of a clock; where the recording has none it stands still."""
        play = self._current.get() or self._building
        reading = _ABSENT if play is None else play.reading(name)
        if reading is not _ABSENT:
            self._last[name] = reading
        return self._last[name]

    async def cross(self, crossing: Crossing, fits: Callable[[Step], bool], otherwise: Callable[[], Any]) -> Any:
        """The recorded answer, when it is its turn; at once `otherwise` where the recording has another question."""
        play = self._current.get()
        step = play.expected() if play is not None else None
        if play is not None and step is not None and step.crossing == Crossing.END and play.record.outcome is None:
            await asyncio.Event().wait()  # there it was cut off, and so it is here
        if play is None or step is None or step.crossing != crossing or not fits(step):
            if play is not None:
                play.off = True
            return otherwise()
        play.waiting = asyncio.get_running_loop().create_future()
        answer = await play.waiting
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def arrive(self, play: Play, position: int) -> None:
        """The answer of one step has arrived; whoever waits for it goes on, and nobody does who is off."""
        step, waiting = play.record.steps[position], play.waiting
        if step.crossing == Crossing.END:
            return
        replayed = waiting is not None and play.position + 1 == position
        answer = answer_of(step.crossing, step.answer)
        if step.crossing == Crossing.POLL and isinstance(answer, list):
            self.what_if.recorded_poll(answer)
            answer = self.what_if.shown(answer)
        elif step.crossing == Crossing.WRITE:
            self.what_if.recorded_write(step.told[0], step.told[1], replayed=replayed)
        if waiting is None or waiting.done() or not replayed:
            play.off = True
            return
        play.waiting = None
        play.go_on()
        if isinstance(answer, asyncio.CancelledError):
            waiting.cancel()
        else:
            waiting.set_result(answer)

    def current(self) -> Play | None:
        """The deed that is going on."""
        return self._current.get()

    def _answered(self, name: str, arguments: Sequence[Any], usual: Always) -> Any:
        play = self._current.get() or self._building
        answer = _ABSENT if play is None else play.reading(name)
        if name == "read":
            return self._read(answer, arguments[0])
        if name == "latest":
            return None if answer is _ABSENT or answer is None else Sample(*cast(Sequence[Any], answer))
        if name in ("approval", "push") and answer is _ABSENT:
            return NotApproved("the recording has nothing signed here")
        if name == "push" and not isinstance(answer, BaseException):
            limits, *rest = cast(Sequence[Any], answer)
            return LimitsPush(tuple(limits), *rest)
        if name == "replace" and not isinstance(answer, BaseException):
            self._files[arguments[0]] = str(arguments[1]).encode()
        return usual.value if answer is _ABSENT else answer

    def _read(self, answer: Any, path: Path) -> Any:
        """What the file held then, or what the replay has put there once anything has come out differently."""
        if path in self._files and (self.apart or answer is _ABSENT):
            return self._files[path]
        return FileNotFoundError(str(path)) if answer is _ABSENT else answer


def _ignore(outcome: object) -> None:
    del outcome

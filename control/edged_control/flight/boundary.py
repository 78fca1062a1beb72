"""The boundary of control: everything that comes in passes through a flight, and so can be recorded and replayed.

`Flight` lets everything through and keeps nothing; `flight_recorder` keeps it, `tape` answers from what was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from enum import StrEnum
from typing import Any, ParamSpec, TypeAlias, TypeVar

from edged.clock import Clock
from edged.ports import Plant, Road
from edged_control.solver.process import Solver

P = ParamSpec("P")
T = TypeVar("T")


class Deed(StrEnum):
    """What can be set off in control. Each runs from its beginning to its end with answers from outside only."""

    BUILD = "build"
    CYCLE = "cycle"
    ORDER = "order"
    WISH = "wish"
    MODE = "mode"
    LOOK = "look"
    CLOSE = "close"


class Crossing(StrEnum):
    """Where control waits for something outside, or for its turn; the last is the end of a deed."""

    POLL = "poll"
    WRITE = "write"
    RECORD = "record"
    SOLVE = "solve"
    SLEEP = "sleep"
    TURN = "turn"
    END = "end"


MONOTONIC, WALL = "monotonic", "wall"
"""Readings of the clock, asked for like anything else that answers at once."""


class Always:
    """An answer that goes without saying."""

    def __init__(self, value: object) -> None:
        self.value = value


NEVER = Always(object())
"""No answer goes without saying."""

Turns: TypeAlias = AbstractAsyncContextManager[None, bool | None]
"""A lock."""
Ended: TypeAlias = Callable[[object], None]
"""Tells what came of a deed."""


class Boundary:
    """Marks what stands for something outside: it is no state of control."""


class Flight:
    """Wraps each way in. Ask for every wrapper once, while control is built, then `attach` what was built."""

    def clock(self, inner: Clock) -> Clock:
        """Readings of time, and waits on it."""
        return inner

    def plant(self, inner: Plant) -> Plant:
        """Reads and writes."""
        return inner

    def road(self, inner: Road) -> Road:
        """Whether a decision could be recorded."""
        return inner

    def solver(self, inner: Solver) -> Solver:
        """Answers of a solver."""
        return inner

    def turns(self, inner: Turns) -> Turns:
        """Whose turn it is, where tasks wait for each other."""
        return inner

    def asked(self, name: str, function: Callable[P, T], usual: Always = NEVER) -> Callable[P, T]:
        """A function that answers at once, by what is outside; the `usual` answer goes without saying."""
        del name, usual
        return function

    def attach(self, control: object) -> None:
        """What was built; from now on deeds alone count."""

    @contextmanager
    def deed(self, kind: Deed, target: str, told: Any = None) -> Iterator[Ended]:
        """Something that is set off for `target`, by what it is `told`. A deed within another is part of it."""
        del kind, target, told
        yield _ignore


def _ignore(outcome: object) -> None:
    del outcome

"""Keeps what comes into control, deed by deed. Nothing here waits for a disk: records go to a shelf in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

from edged.clock import Clock
from edged.log import get_logger
from edged.ports import Plant, Road
from edged_control.flight.boundary import NEVER, Always, Crossing, Deed, Ended, Flight, Turns
from edged_control.flight.records import (
    RECORDABLE,
    UNTELLABLE,
    Record,
    Step,
    outcome_row,
    packed,
)
from edged_control.flight.state import State, changed, packed_state, state_of
from edged_control.flight.taps import ClockTap, PlantTap, RoadTap, SolverTap, TurnsTap
from edged_control.solver.process import Solver

P = ParamSpec("P")
T = TypeVar("T")
KEY_FRAME_SECONDS = 300.0
"""A replay begins at the last key-frame before its range: so much is replayed too many at worst."""

log = get_logger("flight")


class Parcel(NamedTuple):
    """One record ready to be kept; a key-frame bears the serial of the deed that comes next. `wall` in ns UTC."""

    is_key_frame: bool
    serial: int
    wall: int
    body: bytes


class Shelf(Protocol):
    """Where parcels go. `wants_key_frame` tells that something was lost since the last one."""

    wants_key_frame: bool

    def put(self, parcel: Parcel) -> None:
        """Takes it at once and never fails."""
        ...


class FlightRecorder(Flight):
    """One for each control that is built. Building it is a deed of its own, which ends when it is attached."""

    def __init__(self, shelf: Shelf, clock: Clock) -> None:
        self._shelf = shelf
        self._time = clock
        self._order = itertools.count()
        self._serials = itertools.count()
        self._usual: dict[str, object] = {}
        self._control: object = None
        self._built = b""
        self._first: State = {}
        self._key_frame_due = 0.0
        self._open: set[int] = set()
        self._current: ContextVar[Record | None] = ContextVar("deed", default=None)
        self._building: Record | None = self._begin(Deed.BUILD, "", None)

    def clock(self, inner: Clock) -> Clock:
        return ClockTap(self, inner)

    def plant(self, inner: Plant) -> Plant:
        return PlantTap(self, inner)

    def road(self, inner: Road) -> Road:
        return RoadTap(self, inner)

    def solver(self, inner: Solver) -> Solver:
        return SolverTap(self, inner)

    def turns(self, inner: Turns) -> Turns:
        return TurnsTap(self, inner)

    def asked(self, name: str, function: Callable[P, T], usual: Always = NEVER) -> Callable[P, T]:
        self._usual[name] = usual.value

        def ask(*arguments: P.args, **named: P.kwargs) -> T:
            try:
                answer = function(*arguments, **named)
            except RECORDABLE as fault:
                self.note(name, fault)
                raise
            self.note(name, answer)
            return answer

        return ask

    def attach(self, control: object) -> None:
        assert self._building is not None
        self._control, self._first = control, state_of(control)
        self._key_frame_due = self._time.monotonic() + KEY_FRAME_SECONDS
        self._end(self._building)
        self._building = None

    @contextmanager
    def deed(self, kind: Deed, target: str, told: Any = None) -> Iterator[Ended]:
        if self._current.get() is not None:
            yield _ignore
            return
        record = self._begin(kind, target, told)
        token = self._current.set(record)

        def ended(outcome: object) -> None:
            record.outcome = outcome_row(kind, outcome)

        try:
            yield ended
            record.outcome = record.outcome or []
        finally:
            self._current.reset(token)
            self._end(record)

    def note(self, name: str, answer: Any) -> None:
        """An answer that came at once."""
        record = self._current.get() or self._building
        if record is not None:
            record.steps[-1].readings.setdefault(name, []).append(answer)

    def crossed(self, crossing: Crossing, told: Any, answer: Any) -> None:
        """An answer that was waited for."""
        record = self._current.get()
        if record is not None:
            record.steps.append(Step(next(self._order), crossing, told, answer, {}))

    def _begin(self, kind: Deed, target: str, told: Any) -> Record:
        order = next(self._order)
        self._open.add(order)
        record = Record(0, kind, target, told, self._time.now())
        record.steps.append(Step(order, "", None, None, {}))
        return record

    def _end(self, record: Record) -> None:
        """What can't be told is missing, and the next deed is followed by a key-frame."""
        self._open.discard(record.order)
        record.steps.append(Step(next(self._order), Crossing.END, None, None, {}))
        record.serial = next(self._serials)
        record.low = min(self._open, default=next(self._order))
        for step in record.steps:
            self._leave_out_the_usual(step.readings)
        try:
            body = packed(record)
        except UNTELLABLE as fault:
            log.warning("flight_record_lost", deed=record.kind, target=record.target, reason=str(fault))
            self._shelf.wants_key_frame = True
            return
        self._built = self._built or body
        self._shelf.put(Parcel(is_key_frame=False, serial=record.serial, wall=record.wall, body=body))
        if not self._open and self._control is not None:
            self._keep_state()

    def _leave_out_the_usual(self, readings: dict[str, list[Any]]) -> None:
        for name in [name for name, found in readings.items() if name in self._usual]:
            usual = self._usual[name]
            if all(answer is usual for answer in readings[name]):
                del readings[name]

    def _keep_state(self) -> None:
        """A key-frame, when it is time and nothing is going on."""
        now = self._time.monotonic()
        if now < self._key_frame_due and not self._shelf.wants_key_frame:
            return
        self._key_frame_due, self._shelf.wants_key_frame = now + KEY_FRAME_SECONDS, False
        serial = next(self._serials)
        try:
            body = packed_state(serial, self._built, changed(self._first, state_of(self._control)))
        except UNTELLABLE as fault:
            log.warning("flight_key_frame", reason=str(fault))
            return
        self._shelf.put(Parcel(is_key_frame=True, serial=serial, wall=self._time.now(), body=body))


def _ignore(outcome: object) -> None:
    del outcome

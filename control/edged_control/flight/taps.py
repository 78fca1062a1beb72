"""What listens at each way into control: whatever passes is told to a recorder, and goes on unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

from edged.clock import Clock
from edged.ports import Plant, Road
from edged.types import Command, Event, Sample
from edged_control.flight.boundary import MONOTONIC, WALL, Boundary, Crossing, Turns
from edged_control.flight.records import RECORDABLE, answer_row, decision_rows, question_row
from edged_control.solver.messages import Answer, InputRange, Question
from edged_control.solver.process import Solver


class Listener(Protocol):
    """The recorder."""

    def note(self, name: str, answer: Any) -> None:
        """An answer that came at once."""
        ...

    def crossed(self, crossing: Crossing, told: Any, answer: Any) -> None:
        """An answer that was waited for."""
        ...


class ClockTap(Boundary):
    """Readings, and waits."""

    def __init__(self, flight: Listener, inner: Clock) -> None:
        self._flight = flight
        self._inner = inner

    def now(self) -> int:
        time = self._inner.now()
        self._flight.note(WALL, time)
        return time

    def monotonic(self) -> float:
        time = self._inner.monotonic()
        self._flight.note(MONOTONIC, time)
        return time

    async def sleep(self, seconds: float) -> None:
        try:
            await self._inner.sleep(seconds)
        except RECORDABLE as fault:
            self._flight.crossed(Crossing.SLEEP, None, fault)
            raise
        self._flight.crossed(Crossing.SLEEP, None, None)


class PlantTap(Boundary):
    """Reads and writes."""

    def __init__(self, flight: Listener, inner: Plant) -> None:
        self._flight = flight
        self._inner = inner

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        try:
            samples = await self._inner.poll(signals)
        except RECORDABLE as fault:
            self._flight.crossed(Crossing.POLL, signals, fault)
            raise
        self._flight.crossed(Crossing.POLL, signals, samples)
        return samples

    async def write(self, command: Command) -> None:
        told = (command.signal, command.value, command.origin)
        try:
            await self._inner.write(command)
        except RECORDABLE as fault:
            self._flight.crossed(Crossing.WRITE, told, fault)
            raise
        self._flight.crossed(Crossing.WRITE, told, None)


class RoadTap(Boundary):
    """Decisions alone count: that an operator's order is recorded changes nothing any more."""

    def __init__(self, flight: Listener, inner: Road) -> None:
        self._flight = flight
        self._inner = inner
        self.publish = inner.publish
        self.marks = inner.marks
        self.last_seen = inner.last_seen

    async def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> None:
        told = decision_rows(events)
        try:
            await self._inner.record(events, source, marks)
        except RECORDABLE as fault:
            if told:
                self._flight.crossed(Crossing.RECORD, told, fault)
            raise
        if told:
            self._flight.crossed(Crossing.RECORD, told, None)


class TurnsTap(Boundary):
    """Whose turn it was."""

    def __init__(self, flight: Listener, inner: Turns) -> None:
        self._flight = flight
        self._inner = inner

    async def __aenter__(self) -> None:
        await self._inner.__aenter__()
        self._flight.crossed(Crossing.TURN, None, None)

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._inner.__aexit__(kind, fault, trace)


class SolverTap(Boundary):
    """Questions and answers."""

    def __init__(self, flight: Listener, inner: Solver) -> None:
        self._flight = flight
        self._inner = inner

    async def run(self) -> None:
        await self._inner.run()

    def limit(self, limits: Sequence[InputRange]) -> None:
        self._inner.limit(limits)

    async def ask(self, question: Question) -> Answer:
        told = question_row(question)
        try:
            answer = await self._inner.ask(question)
        except RECORDABLE as fault:
            self._flight.crossed(Crossing.SOLVE, told, fault)
            raise
        self._flight.crossed(Crossing.SOLVE, told, answer_row(answer))
        return answer

"""The loops of one MPC meet once in a period, so that one question to the solver answers them all.

Each loop runs its own cycle. The first that arrives waits for the others, far less than a period, and asks for all. A
loop that does not control takes part with what it knows: its input stays at its readback, its output does not count.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edged_control.gate import PROCESS_VALUE_AGE_PERIODS
from edged_control.limits.envelope import EffectiveLimits
from edged_control.solver.messages import Answer, InputRange, Question
from edged_control.solver.process import BUSY, Solver
from edged_control.status import ControlMeters

MEETING_PERIODS, LONGEST_MEETING_SECONDS = 0.1, 0.5
"""So long the first waits for the others; the solver's deadline comes after it."""
ROUND_PERIODS = 0.5
"""Who comes later than this after the first belongs to the next period."""
ROUNDING = 1e-9
"""By so much of the range an answer may miss a limit."""
LATE = "the loop came too late for the question of all loops of its MPC"
DESERTED = "the loop that asks for all was stopped"


class Place(NamedTuple):
    """Which input and output of the model are a loop's own, and the limits of that input."""

    input: int
    output: int
    limits: EffectiveLimits


class Arrival(NamedTuple):
    """What a loop brings at the monotonic `time`: `controls` where the MPC may move its output.

    `fresh` where its last wish was not applied: what the last solve left behind is no start then.
    """

    time: float
    set_point: float
    process_value: float
    applied: float
    controls: bool
    fresh: bool


class Known(NamedTuple):
    """The last readback of a loop's output."""

    time: float
    applied: float


@dataclass
class Round:
    """One meeting."""

    opened: float
    arrived: dict[str, Arrival] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    full: asyncio.Event = field(default_factory=asyncio.Event)
    asked: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Answer = field(default_factory=lambda: Answer(number=0, fault=DESERTED))


class RoundTable:
    """Shared by the rungs of the loops in `places`, by their names."""

    def __init__(
        self, solver: Solver, places: Mapping[str, Place], period_seconds: float, meters: ControlMeters
    ) -> None:
        self.places = places
        self._solver = solver
        self._period = period_seconds
        self._meters = meters
        self._patience = min(MEETING_PERIODS * period_seconds, LONGEST_MEETING_SECONDS)
        self._round: Round | None = None
        self._known: dict[str, Known] = {}
        self._number = 0
        self._last = -math.inf

    async def ask(self, name: str, arrival: Arrival) -> Answer:
        """The answer for all, judged; with a fault when there is none. It waits no longer than two deadlines."""
        self._known[name] = Known(arrival.time, arrival.applied)
        this = self._meet(name, arrival.time)
        if this.asked:
            return Answer(number=self._number, fault=LATE)
        is_first = not this.arrived
        this.arrived[name] = arrival
        self._count(this)
        if not is_first:
            await this.answered.wait()
            return this.answer
        try:
            await self._gather(this)
            this.asked = True
            this.answer = await self._put(this, arrival.time)
        finally:
            this.asked = True
            this.answered.set()
        return this.answer

    def miss(self, name: str, present: float | None, now: float) -> None:
        """A loop can't take part in this period: nobody waits for it. `present` is its readback, None if unknown."""
        if present is not None:
            self._known[name] = Known(now, present)
        this = self._meet(name, now)
        this.absent.add(name)
        self._count(this)

    def adopt(self, name: str, limits: EffectiveLimits) -> None:
        """Other limits of one input: the solver is set up anew, and answers by the old limits are judged by these."""
        self.places = {**self.places, name: self.places[name]._replace(limits=limits)}
        self.limit_solver()

    def limit_solver(self) -> None:
        """Sets the solver up anew with the limits of the places."""
        self._solver.limit(input_ranges(self.places))

    def _meet(self, name: str, now: float) -> Round:
        this = self._round
        if this is None or name in this.arrived or name in this.absent or now - this.opened >= self._soon():
            this = self._round = Round(now)
        return this

    def _soon(self) -> float:
        return ROUND_PERIODS * self._period

    def _count(self, this: Round) -> None:
        if len(this.arrived) + len(this.absent) == len(self.places):
            this.full.set()

    async def _gather(self, this: Round) -> None:
        if this.full.is_set():
            return
        try:
            async with asyncio.timeout(self._patience):
                await this.full.wait()
        except TimeoutError:
            return  # whoever is not there is taken to hold its output

    async def _put(self, this: Round, now: float) -> Answer:
        """One question for all that are there, and its answer, judged."""
        unknown = [name for name in self.places if name not in this.arrived and not self._is_known(name, now)]
        if unknown:
            return Answer(number=self._number, fault=f"nothing fresh is known of the output of {', '.join(unknown)}")
        self._number += 1
        seconds = now - self._last if math.isfinite(self._last) else 0.0
        question = self._question(this, seconds)
        answer = await self._solver.ask(question)
        if answer.fault != BUSY:
            self._last = now
        fault = answer.fault or self._unfit(answer, question)
        if fault:
            self._meters.unsolved.inc()
            return Answer(number=answer.number, fault=fault)
        self._meters.solve_seconds.observe(answer.solve_seconds)
        return answer

    def _is_known(self, name: str, now: float) -> bool:
        known = self._known.get(name)
        return known is not None and now - known.time <= PROCESS_VALUE_AGE_PERIODS * self._period

    def _question(self, this: Round, seconds: float) -> Question:
        """Where no loop controls, all that are there are planned for: that the solver can is known before it leads."""
        leading = {name for name, arrival in this.arrived.items() if arrival.controls} or set(this.arrived)
        by_input = sorted(self.places, key=lambda name: self.places[name].input)
        by_output = sorted(self.places, key=lambda name: self.places[name].output)
        arrivals = [this.arrived.get(name) for name in by_output]
        return Question(
            number=self._number,
            set_points=tuple(0.0 if arrival is None else arrival.set_point for arrival in arrivals),
            outputs=tuple(None if arrival is None else arrival.process_value for arrival in arrivals),
            applied=tuple(self._known[name].applied for name in by_input),
            seconds=seconds,
            fresh=any(this.arrived[name].fresh for name in leading),
            free=tuple(name in leading for name in by_input),
            count=tuple(name in leading for name in by_output),
        )

    def _unfit(self, answer: Answer, question: Question) -> str:
        """Why an answer that claims success is none: its shape, the limits, or more than one period's move."""
        size = len(self.places)
        if answer.number != question.number:
            return "the solver answered another question"
        if len(answer.inputs) != size or len(answer.errors) != size:
            return f"the solver answered {len(answer.inputs)} values, expected {size}"
        for place in self.places.values():
            value, applied, limits = answer.inputs[place.input], question.applied[place.input], place.limits
            if not question.free[place.input]:
                continue
            slack = ROUNDING * (limits.high - limits.low)
            if not limits.low - slack <= value <= limits.high + slack:
                return f"the solver answered {value:g}, which is outside the limits"
            if abs(value - applied) > limits.rate_per_second * self._period + slack:
                return f"the solver answered {value:g}, further from {applied:g} than the rate allows"
        return ""


def input_ranges(places: Mapping[str, Place]) -> tuple[InputRange, ...]:
    """The limits as a solver is told them, in the order of its inputs."""
    ordered = [place.limits for place in sorted(places.values(), key=lambda place: place.input)]
    return tuple(InputRange(low=own.low, high=own.high, rate_per_second=own.rate_per_second) for own in ordered)

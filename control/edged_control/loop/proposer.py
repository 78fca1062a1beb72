"""Who wishes what inside a loop: the ladder of controllers in AUTO, in MAN the walk to where a person wants it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from edged.log import get_logger
from edged.settings import LoopSettings
from edged.types import Priority, Proposal
from edged_control.arbiter import arbitrate
from edged_control.gate import PROCESS_VALUE_AGE_PERIODS, Mode, credit_cap
from edged_control.ladder.ladder import Ladder
from edged_control.ladder.rung import Moment, Rung
from edged_control.limits.envelope import EffectiveLimits
from edged_control.loop.scan import Seen, good_number
from edged_control.surroundings import FALLBACK_ALARM, Surroundings

WALK = "walk"
CONTROLLER_PRIORITY = 0
PERSON_PRIORITY = 100
GRACE_CYCLES = 2
"""After a start a solver may be ready so much later than the loop: that is no alarm."""

log = get_logger("control")


class Wanted(NamedTuple):
    """What the loop wants to write, if anything, or the fault for which no controller can tell."""

    proposal: Proposal | None
    fault: str = ""


class Proposer:
    """Keeps every rung tracking in every cycle in which it does not lead, so that every transfer is bumpless."""

    def __init__(self, settings: LoopSettings, signal: str, rungs: Sequence[Rung], around: Surroundings) -> None:
        self._settings = settings
        self._signal = signal
        self._clock = around.clock
        self._alarms = around.alarms
        self._rungs = tuple(rungs)
        self._ladder = Ladder([rung.name for rung in rungs], settings.good_cycles)
        self._grace = GRACE_CYCLES + settings.good_cycles
        self._last = -math.inf
        self._walk: Proposal | None = None

    @property
    def rung(self) -> str:
        """The rung that leads, or would lead in AUTO."""
        return self._ladder.leader

    @property
    def rung_reason(self) -> str:
        """Why it is not the configured one; empty when it is."""
        return self._ladder.reason

    @property
    def assumed(self) -> str:
        """How the model of the rung that leads differs from the identified one; empty where it does not."""
        return self._leading.assumed

    def take(self, wish: Proposal, target: float) -> None:
        """A person's wish that the gate let through."""
        self._walk = replace(wish, value=target)
        log.info("wish_accepted", loop=self._settings.name, source=wish.source, value=target, identity=wish.identity)

    def drop(self) -> None:
        """Nobody's wish is walked to any more."""
        self._walk = None

    def adopt(self, limits: EffectiveLimits) -> None:
        """Other limits of the output. A walk to where they don't reach ends: it would stop somewhere else."""
        for rung in self._rungs:
            rung.adopt(limits)
        if self._walk is not None and not limits.low <= self._walk.value <= limits.high:
            self._walk = None

    def expired(self, now: float) -> Proposal | None:
        """The wish that is walked to, if its time is over."""
        return None if self._walk is None or now < self._walk.expires else self._walk

    def trust(self) -> None:
        """An engineer says that the controllers are good to use."""
        for rung in self._rungs:
            rung.trust()

    def miss(self, present: float | None = None) -> None:
        """In this cycle nothing can be controlled; `present` is where the output is, if that is known."""
        for rung in self._rungs:
            rung.miss(present, self._clock.monotonic())

    async def propose(self, mode: Mode, set_point: float, seen: Seen) -> Wanted:
        """What to write in this cycle. Without a good process value and readback there is nothing to want."""
        process_value, present = good_number(seen.process_value), seen.present()
        if process_value is None or present is None:
            self.miss(present)
            return Wanted(None)
        now = self._clock.monotonic()
        seconds, self._last = min(now - self._last, credit_cap(self._settings.period_seconds)), now
        automatic = mode is Mode.AUTOMATIC
        moment = Moment(set_point, process_value, present, now, seconds, automatic)
        leader = await self._climb(moment)
        for rung in self._rungs:
            if rung is not leader or not automatic:
                rung.track(moment)
        if automatic:
            return self._led(leader, moment)
        if self._walk is None or mode is not Mode.MANUAL:
            return Wanted(None)
        if abs(self._walk.value - present) <= self._settings.readback_tolerance:
            log.info("wish_fulfilled", loop=self._settings.name, source=self._walk.source, value=self._walk.value)
            self._walk = None
            return Wanted(None)
        return Wanted(arbitrate([self.proposal(WALK, self._walk.value)], self._clock.monotonic()))

    def proposal(self, source: str, value: float) -> Proposal:
        """A proposal for this cycle; it lives as long as the process value that it comes from may be used."""
        priority = PERSON_PRIORITY if source == WALK else CONTROLLER_PRIORITY
        expires = self._clock.monotonic() + PROCESS_VALUE_AGE_PERIODS * self._settings.period_seconds
        return Proposal(source, self._signal, value, priority, expires)

    def name(self, mode: Mode) -> str:
        """Who moves the output, for records and status."""
        if mode is Mode.AUTOMATIC:
            return self._ladder.leader
        return f"{WALK} {self._walk.who}" if self._walk else "hold"

    def model_hash(self, mode: Mode) -> str:
        """Of the model by which the output is moved; empty where none is used."""
        if mode is not Mode.AUTOMATIC:
            return ""
        return self._leading.model_hash

    @property
    def _leading(self) -> Rung:
        return next(rung for rung in self._rungs if rung.name == self._ladder.leader)

    async def _climb(self, moment: Moment) -> Rung | None:
        """Asks every rung how it is and lets the ladder choose; None when none can lead."""
        faults = [await rung.look(moment) for rung in self._rungs]
        before = self._ladder.leader
        position = self._ladder.step(faults)
        if self._ladder.leader != before:
            told = {"loop": self._settings.name, "rung": self._ladder.leader, "before": before}
            log.info("loop_rung", **told, reason=self._ladder.reason)
        self._tell(automatic=moment.automatic)
        return None if position is None else self._rungs[position]

    def _tell(self, *, automatic: bool) -> None:
        """An alarm stands while a lower rung than the configured one moves the output."""
        if not self._ladder.fallen:
            self._grace = 0
            self._alarms.clear_alarm(FALLBACK_ALARM, self._settings.name)
        elif automatic and self._grace > 0:
            self._grace -= 1
        elif automatic:
            message = f"{self._ladder.leader} controls instead of {self._rungs[0].name}: {self._ladder.reason}"
            self._alarms.raise_alarm(FALLBACK_ALARM, self._settings.name, Priority.MEDIUM, message)

    def _led(self, leader: Rung | None, moment: Moment) -> Wanted:
        if leader is None:
            return Wanted(None, self._ladder.reason)
        wish = leader.propose(moment)
        if wish.value is None:
            return Wanted(None, wish.fault)
        return Wanted(arbitrate([self.proposal(leader.name, wish.value)], self._clock.monotonic()))

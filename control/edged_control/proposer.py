"""Who wishes what inside a loop: the controller in AUTO, in MAN the walk to a value that a person asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from edged.clock import Clock
from edged.log import get_logger
from edged.settings import LoopSettings
from edged.types import Proposal
from edged_control.arbiter import arbitrate
from edged_control.gate import PROCESS_VALUE_AGE_PERIODS, Mode, credit_cap
from edged_control.limits import EffectiveLimits
from edged_control.pid import Pid, PidTuning
from edged_control.scan import Seen, good_number

PID = "pid"
WALK = "walk"
CONTROLLER_PRIORITY = 0
PERSON_PRIORITY = 100

log = get_logger("control")


class Wanted(NamedTuple):
    """What the loop wants to write, if anything, or the fault for which its controller can't tell."""

    proposal: Proposal | None
    fault: str = ""


class Proposer:
    """Keeps the controller tracking in every cycle that it does not control, so that every transfer is bumpless."""

    def __init__(self, settings: LoopSettings, signal: str, limits: EffectiveLimits, clock: Clock) -> None:
        self._settings = settings
        self._signal = signal
        self._clock = clock
        self._pid = Pid(_tuning(settings, limits))
        self._last = -math.inf
        self._walk: Proposal | None = None

    def take(self, wish: Proposal, target: float) -> None:
        """A person's wish that the gate let through."""
        self._walk = replace(wish, value=target)
        log.info("wish_accepted", loop=self._settings.name, source=wish.source, value=target, identity=wish.identity)

    def drop(self) -> None:
        """Nobody's wish is walked to any more."""
        self._walk = None

    def expired(self, now: float) -> Proposal | None:
        """The wish that is walked to, if its time is over."""
        return None if self._walk is None or now < self._walk.expires else self._walk

    def propose(self, mode: Mode, set_point: float, seen: Seen) -> Wanted:
        """What to write in this cycle. Without a good process value and readback there is nothing to want."""
        process_value, present = good_number(seen.process_value), seen.present()
        if process_value is None or present is None:
            return Wanted(None)
        now = self._clock.monotonic()
        seconds, self._last = min(now - self._last, credit_cap(self._settings.period_seconds)), now
        if mode is Mode.AUTOMATIC:
            output = self._pid.update(set_point, process_value, present, seconds)
            if output.value is None:
                return Wanted(None, output.fault)
            return Wanted(arbitrate([self.proposal(PID, output.value)], now))
        self._pid.track(process_value, seconds)
        if self._walk is None or mode is not Mode.MANUAL:
            return Wanted(None)
        if abs(self._walk.value - present) <= self._settings.readback_tolerance:
            log.info("wish_fulfilled", loop=self._settings.name, source=self._walk.source, value=self._walk.value)
            self._walk = None
            return Wanted(None)
        return Wanted(arbitrate([self.proposal(WALK, self._walk.value)], now))

    def proposal(self, source: str, value: float) -> Proposal:
        """A proposal for this cycle; it lives as long as the process value that it comes from may be used."""
        priority = CONTROLLER_PRIORITY if source == PID else PERSON_PRIORITY
        expires = self._clock.monotonic() + PROCESS_VALUE_AGE_PERIODS * self._settings.period_seconds
        return Proposal(source, self._signal, value, priority, expires)

    def name(self, mode: Mode) -> str:
        """Who moves the output, for records and status."""
        if mode is Mode.AUTOMATIC:
            return PID
        return f"{WALK} {self._walk.source} {self._walk.identity}".strip() if self._walk else "hold"


def _tuning(settings: LoopSettings, limits: EffectiveLimits) -> PidTuning:
    controller = settings.controller
    return PidTuning(
        gain=controller.gain,
        integral_seconds=controller.integral_seconds,
        derivative_seconds=controller.derivative_seconds,
        filter_seconds=controller.filter_seconds,
        low=limits.low,
        high=limits.high,
        step=limits.rate_per_second * credit_cap(settings.period_seconds),
        slack=max(settings.output_deadband, settings.readback_tolerance),
    )

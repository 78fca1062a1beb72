"""What waits for an approval, and the alarm that says so."""

from __future__ import annotations

from edged.types import Priority, Verdict, Waits
from edged_control.status import Waiting
from edged_control.surroundings import APPROVAL_ALARM, Surroundings

QUIET_SECONDS = 60.0
"""A controller at the edge of what is approved asks off and on: it waits until it has not asked for so long."""


class WaitingRoom:
    """Holds what one loop waits for."""

    def __init__(self, loop: str, unit: str, around: Surroundings) -> None:
        self._loop = loop
        self._unit = unit
        self._around = around
        self._clock = around.clock
        self._quiet_since = 0.0
        self.waiting: Waiting | None = None

    def note(self, who: str = "", verdict: Verdict | None = None) -> bool:
        """What came of a cycle's proposal, if there was one; True when it has only now begun to wait."""
        now = self._clock.monotonic()
        if not isinstance(verdict, Waits):
            if self.waiting is not None and now - self._quiet_since >= QUIET_SECONDS:
                self.clear()
            return False
        self._quiet_since = now
        began = self.waiting is None
        since = self._clock.now() if self.waiting is None else self.waiting.since
        self.waiting = Waiting(who, verdict.value, verdict.reason, since)
        message = f"{who} waits to move to {verdict.value:g} {self._unit}: {verdict.reason}"
        self._around.alarms.raise_alarm(APPROVAL_ALARM, self._loop, Priority.MEDIUM, message)
        return began

    def clear(self) -> None:
        """Nothing waits any more."""
        self.waiting = None
        self._around.alarms.clear_alarm(APPROVAL_ALARM, self._loop)

"""When to read: every poll group on its own grid of due times, without drift and without pile-up."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor


@dataclass(slots=True)
class Due:
    """The grid of one group, in monotonic seconds."""

    period: float
    next: float
    overruns: int = 0

    def advance(self, now: float) -> int:
        """Moves to the first grid point after `now`; returns how many were missed, and counts them."""
        self.next += self.period
        missed = 0
        if self.next <= now:
            missed = floor((now - self.next) / self.period) + 1
            self.next += missed * self.period
            self.overruns += missed
        return missed

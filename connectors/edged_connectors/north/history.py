"""How fast the backlog may leave."""

from __future__ import annotations


class Pace:
    """A bucket of values that refills with time. It may be overdrawn by one batch; the debt is paid before the next."""

    def __init__(self, values_per_second: float, burst_seconds: float, now: float) -> None:
        self._rate = values_per_second
        self._cap = values_per_second * burst_seconds
        self._level = self._cap
        self._then = now

    def open(self, now: float) -> bool:
        """Whether something may be sent now (monotonic seconds)."""
        self._level = min(self._cap, self._level + (now - self._then) * self._rate)
        self._then = now
        return self._level > 0

    def spend(self, values: int) -> None:
        """Notes what was sent."""
        self._level -= values

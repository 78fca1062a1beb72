"""Building blocks of every process: first-order lag and transport delay, advanced by fixed steps."""

from __future__ import annotations

import math
from collections import deque


class Lag:
    """First-order lag, tau dy/dt = u - y, exact for an input that is constant over the step."""

    def __init__(self, seconds: float, step_seconds: float, initial: float) -> None:
        self._share = 1.0 - math.exp(-step_seconds / seconds) if seconds > 0 else 1.0
        self.value = initial

    def step(self, target: float) -> float:
        """Advances one step towards the target and returns the new value."""
        self.value += (target - self.value) * self._share
        return self.value


class Delay:
    """Transport delay: what goes in comes out unchanged a fixed time later."""

    def __init__(self, seconds: float, step_seconds: float, initial: float) -> None:
        self._line = deque([initial] * round(seconds / step_seconds))
        self.value = initial

    def step(self, entering: float) -> float:
        """Advances one step and returns what leaves."""
        self._line.append(entering)
        self.value = self._line.popleft()
        return self.value


class DelayedLag:
    """First order plus dead time: a delay followed by a lag."""

    def __init__(self, delay_seconds: float, lag_seconds: float, step_seconds: float, initial: float) -> None:
        self._delay = Delay(delay_seconds, step_seconds, initial)
        self._lag = Lag(lag_seconds, step_seconds, initial)
        self.value = initial

    def step(self, entering: float) -> float:
        """Advances one step and returns what leaves."""
        self.value = self._lag.step(self._delay.step(entering))
        return self.value

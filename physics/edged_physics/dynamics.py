"""Building blocks of every process: first-order lag and transport delay, advanced by fixed steps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

State = TypeVar("State", bound=tuple[Any, ...])


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


def runge_kutta(slope: Callable[[State], State], state: State, seconds: float) -> State:
    """One step of classical Runge-Kutta (4th order) for a named tuple of numbers whose time derivatives are `slope`."""
    first = slope(state)
    second = slope(_moved(state, first, seconds / 2))
    third = slope(_moved(state, second, seconds / 2))
    fourth = slope(_moved(state, third, seconds))
    rows = zip(state, first, second, third, fourth, strict=True)
    return _like(state, [x + seconds / 6 * (a + 2 * b + 2 * c + d) for x, a, b, c, d in rows])


def _moved(state: State, by: State, seconds: float) -> State:
    return _like(state, [x + rate * seconds for x, rate in zip(state, by, strict=True)])


def _like(state: State, values: list[float]) -> State:
    kind: Any = type(state)
    made: State = kind(*values)
    return made

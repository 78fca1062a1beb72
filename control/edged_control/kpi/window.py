"""A window of a loop's cycles, in columns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Cycle(NamedTuple):
    """One cycle with a good process value and readback; time in monotonic seconds.

    `low` and `high` are the limits of the output in force. `clipped`: the gate did not let the wish through as it was.
    `fell_back`: another controller than the configured one.
    """

    time: float
    set_point: float
    process_value: float
    output: float
    low: float
    high: float
    automatic: bool
    clipped: bool
    fell_back: bool


@dataclass(frozen=True, slots=True)
class LoopWindow:
    """Columns of one length, in order of time; each is told at `Cycle`."""

    period_seconds: float
    time: Floats
    set_point: Floats
    process_value: Floats
    output: Floats
    low: Floats
    high: Floats
    automatic: Flags
    clipped: Flags
    fell_back: Flags

    @classmethod
    def of(cls, cycles: Iterable[Cycle], period_seconds: float) -> LoopWindow:
        """Turns cycles into columns."""
        rows = tuple(cycles)
        return cls(
            period_seconds,
            time=np.array([row.time for row in rows], np.float64),
            set_point=np.array([row.set_point for row in rows], np.float64),
            process_value=np.array([row.process_value for row in rows], np.float64),
            output=np.array([row.output for row in rows], np.float64),
            low=np.array([row.low for row in rows], np.float64),
            high=np.array([row.high for row in rows], np.float64),
            automatic=np.array([row.automatic for row in rows], np.bool_),
            clipped=np.array([row.clipped for row in rows], np.bool_),
            fell_back=np.array([row.fell_back for row in rows], np.bool_),
        )

    @property
    def error(self) -> Floats:
        """Set-point minus process value."""
        return self.set_point - self.process_value

    @property
    def hours(self) -> float:
        """Its length."""
        return len(self.time) * self.period_seconds / 3600.0

    def in_automatic(self) -> LoopWindow:
        """The cycles in which the controller moved the output."""
        keep = self.automatic
        return replace(
            self,
            time=self.time[keep],
            set_point=self.set_point[keep],
            process_value=self.process_value[keep],
            output=self.output[keep],
            low=self.low[keep],
            high=self.high[keep],
            automatic=self.automatic[keep],
            clipped=self.clipped[keep],
            fell_back=self.fell_back[keep],
        )


class WindowRecorder:
    """Keeps the newest cycles of one loop; older ones are forgotten."""

    def __init__(self, window_seconds: float, period_seconds: float) -> None:
        self._cycles: deque[Cycle] = deque(maxlen=max(1, round(window_seconds / period_seconds)))
        self._period = period_seconds

    def note(self, cycle: Cycle) -> None:
        """One cycle more."""
        self._cycles.append(cycle)

    def window(self) -> LoopWindow:
        """What it holds now."""
        return LoopWindow.of(self._cycles, self._period)

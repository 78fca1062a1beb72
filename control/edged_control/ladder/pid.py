"""Our PID: ISA form on a filtered measurement, kept from winding up by tracking what the plant really applied."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

NOT_FINITE = "an input or the result is not a finite number"


@dataclass(frozen=True, slots=True)
class PidTuning:
    """`gain` in output per process unit, negative when the output lowers the process value; times in seconds.

    `step` is the largest move from the applied value in one update. `slack` is how far the applied value may stay
    behind the output without a limit being the cause: the deadband of whoever writes it.
    """

    gain: float
    integral_seconds: float
    derivative_seconds: float
    filter_seconds: float
    low: float
    high: float
    step: float = math.inf
    slack: float = 0.0
    set_point_rate_per_second: float = math.inf


class PidOutput(NamedTuple):
    """The proposed output, or None and the fault for which there is none."""

    value: float | None
    fault: str = ""


class _Terms(NamedTuple):
    """The parts of the last output: direct (proportional and derivative) and integral."""

    direct: float
    integral: float


class Pid:
    """u = K (e - Td dy/dt) + K/Ti * integral of e, with e = r - y and y filtered to the first order.

    Form after Astrom and Hagglund, Advanced PID Control (2006). Before each update the integral is put where it must
    have been for the last output to lie within the slack of the applied value: nothing winds up behind a limit, whoever
    set it, and every transfer is bumpless.
    """

    def __init__(self, tuning: PidTuning) -> None:
        self._tuning = tuning
        self._measured: float | None = None
        self._set_point: float | None = None
        self._terms: _Terms | None = None

    @property
    def set_point(self) -> float | None:
        """Where the ramp has brought the set-point; None while tracking."""
        return self._set_point

    def limit(self, low: float, high: float, step: float) -> None:
        """Other limits from the next update on; its integral follows what is applied, as behind any limit."""
        self._tuning = replace(self._tuning, low=low, high=high, step=step)

    def track(self, process_value: float, seconds: float) -> None:
        """Follows the process while somebody else moves the output; the next update starts from what is applied."""
        self._set_point = self._terms = None
        if math.isfinite(process_value) and math.isfinite(seconds):
            measured, _ = self._filter(process_value, seconds)
            self._measured = measured if math.isfinite(measured) else None

    def update(self, set_point: float, process_value: float, applied: float, seconds: float) -> PidOutput:
        """The next output, `seconds` after the last call. A fault leaves the state as it was."""
        tuning = self._tuning
        if not all(map(math.isfinite, (set_point, process_value, applied, seconds))):
            return PidOutput(None, NOT_FINITE)
        measured, slope = self._filter(process_value, seconds)
        target = self._ramp(set_point, measured, seconds)
        error = target - measured
        direct = tuning.gain * (error - tuning.derivative_seconds * slope)
        integral = self._tracked(applied, direct) + tuning.gain * error * max(seconds, 0.0) / tuning.integral_seconds
        wanted = direct + integral
        if not (math.isfinite(wanted) and math.isfinite(direct)):
            return PidOutput(None, NOT_FINITE)
        self._measured, self._set_point, self._terms = measured, target, _Terms(direct, integral)
        near = min(max(wanted, applied - tuning.step), applied + tuning.step)
        return PidOutput(min(max(near, tuning.low), tuning.high))

    def _filter(self, process_value: float, seconds: float) -> tuple[float, float]:
        """The filtered process value and its slope per second."""
        if self._measured is None:
            return process_value, 0.0
        if seconds <= 0.0:
            return self._measured, 0.0
        measured = self._measured + (process_value - self._measured) * seconds / (self._tuning.filter_seconds + seconds)
        return measured, (measured - self._measured) / seconds

    def _ramp(self, set_point: float, measured: float, seconds: float) -> float:
        """The set-point on its way; it starts at the process value."""
        rate = self._tuning.set_point_rate_per_second
        if math.isinf(rate):
            return set_point
        start = measured if self._set_point is None else self._set_point
        move = rate * max(seconds, 0.0)
        return min(max(set_point, start - move), start + move)

    def _tracked(self, applied: float, direct: float) -> float:
        """The integral with which the last output would have been what the plant applied."""
        if self._terms is None:
            return applied - direct
        last = self._terms.direct + self._terms.integral
        slack = self._tuning.slack
        return min(max(last, applied - slack), applied + slack) - self._terms.direct

"""What the plant does that the model does not say: one integrating disturbance per output, so that no offset stays.

The lags and dead times of the model run on the applied inputs alone. What the measurement shows beyond them is taken
for a disturbance d that walks at random and reaches the output through a lag (0: at once, as in DMC; the lag of the
process: as if it came in with the input): w+ = p w + (1 - p) d, d+ = d + noise, y = C x + w + noise. Its Kalman gain
is constant.
Form after Maeder, Borrelli and Morari, Linear offset-free model predictive control (Automatica 2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edged_control.calm import Calm, Watcher
from edged_control.state_space import Array, StateSpace

DOUBLINGS = 30
BISECTIONS = 50
SMALLEST_WALK, GREATEST_WALK = 1e-14, 1e6
"""Variances of the disturbance's step per sample, in measurement variances."""


@dataclass(frozen=True, slots=True)
class DisturbanceTuning:
    """Of one output: through which lag the disturbance comes, and in how many seconds its estimate has caught up.

    With `calm` that holds only while something shows.
    """

    lag_seconds: float
    settling_seconds: float
    calm: Calm | None = None


class Estimate(NamedTuple):
    """The state of the model, the disturbance at each output now, and where it is heading."""

    state: Array
    present: Array
    final: Array


class Estimator:
    """Follows the plant from measurements and applied inputs, in units relative to the first of them."""

    def __init__(self, system: StateSpace, tunings: tuple[DisturbanceTuning, ...], period_seconds: float) -> None:
        self._system = system
        self._keep = np.array([_decay(tuning.lag_seconds, period_seconds) for tuning in tunings])
        self._gains = np.array(
            [
                _kalman_gain(keep, math.exp(-period_seconds / tuning.settling_seconds))
                for keep, tuning in zip(self._keep, tunings, strict=True)
            ]
        )
        self._watchers = [
            None
            if tuning.calm is None
            else Watcher(tuning.calm, _resting(keep, tuning.calm, period_seconds), period_seconds)
            for keep, tuning in zip(self._keep, tunings, strict=True)
        ]
        self._estimate: Estimate | None = None
        self._inputs: Array | None = None
        self.innovation = np.zeros(len(tunings))

    @property
    def estimate(self) -> Estimate | None:
        """The last estimate; None before the first measurement."""
        return self._estimate

    def reset(self) -> None:
        """Forgets everything; the next measurement is taken for a plant that stands still."""
        self._estimate = self._inputs = None
        for watcher in self._watchers:
            if watcher is not None:
                watcher.reset()

    def follow(self, measured: Array, applied: Array, periods: int) -> Estimate:
        """The estimate `periods` samples after the last, during which `applied` was held. NaN measurements are skipped.

        With no estimate to start from, the plant is taken to stand still.
        """
        if self._estimate is None:
            surplus = np.nan_to_num(measured - self._system.c @ self._system.steady(applied))
            self._estimate = Estimate(self._system.steady(applied), surplus, surplus)
            self.innovation = np.zeros_like(surplus)
            return self._estimate
        state, present, final = self._estimate
        for _ in range(periods):
            state = self._system.a @ state + self._system.b @ applied
            present = self._keep * present + (1.0 - self._keep) * final
        if periods:
            self.innovation = np.nan_to_num(measured - self._system.c @ state - present)
            gains = self._present_gains()
            present = present + gains[:, 0] * self.innovation
            final = final + gains[:, 1] * self.innovation
        self._estimate = Estimate(state, present, final)
        return self._estimate

    def _present_gains(self) -> Array:
        gains = self._gains.copy()
        for i, watcher in enumerate(self._watchers):
            if watcher is not None:
                gains[i] = watcher.gain(float(self.innovation[i]), self._gains[i])
        return gains

    def disturbance_after(self, steps: Array) -> tuple[Array, Array]:
        """How much of `present` and of `final` is in each output so many samples ahead, `[step, output]`."""
        kept = self._keep[None, :] ** steps[:, None]
        return kept, 1.0 - kept


def _resting(keep: float, calm: Calm, period_seconds: float) -> Array:
    return _kalman_gain(keep, math.exp(-period_seconds / calm.settling_seconds))


def _decay(lag_seconds: float, period_seconds: float) -> float:
    return float(np.exp(-period_seconds / lag_seconds)) if lag_seconds > 0.0 else 0.0


def _kalman_gain(keep: float, pole: float) -> Array:
    """Stationary gain for (w, d), with so much noise on d that the slowest pole of the estimate is `pole`."""
    low, high = math.log(SMALLEST_WALK), math.log(GREATEST_WALK)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _slowest(keep, _gain(keep, math.exp(middle))) > pole else (low, middle)
    return _gain(keep, math.exp(high))


def _gain(keep: float, walk: float) -> Array:
    """Stationary Kalman gain, by the doubling algorithm (Anderson 1978)."""
    transition = np.array([[keep, 1.0 - keep], [0.0, 1.0]])
    power, seen, covariance = transition.T, np.diag([1.0, 0.0]), np.diag([0.0, walk])
    for _ in range(DOUBLINGS):
        shared = np.linalg.inv(np.eye(2) + seen @ covariance)
        covariance, seen, power = (
            covariance + power.T @ covariance @ shared @ power,
            seen + power @ shared @ seen @ power.T,
            power @ shared @ power,
        )
    return np.asarray(covariance[:, 0] / (covariance[0, 0] + 1.0), dtype=np.float64)


def _slowest(keep: float, gain: Array) -> float:
    """The largest pole of the estimate's error: of (I - gain C) A."""
    transition = np.array([[keep, 1.0 - keep], [0.0, 1.0]])
    left = transition - np.outer(gain, transition[0])
    return float(np.abs(np.linalg.eigvals(left)).max())

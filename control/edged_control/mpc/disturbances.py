"""What the plant does that the model does not say, as a linear system whose state is estimated: no offset stays.

At the outputs, one for each: d walks at random and reaches the output through a lag (0: at once, as in DMC). At the
inputs: `loads`. Form after Maeder, Borrelli and Morari, Linear offset-free model predictive control (Automatica 2009).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edged_control.process_model.state_space import Array

DOUBLINGS = 30
BISECTIONS = 50
SMALLEST_WALK, GREATEST_WALK = 1e-14, 1e6
"""Variances of the disturbance's step per sample, in measurement variances."""


@dataclass(frozen=True, slots=True)
class DisturbanceTuning:
    """Of one output: through which lag the disturbance comes, and in how many seconds its estimate has caught up."""

    lag_seconds: float
    settling_seconds: float


@dataclass(frozen=True, slots=True)
class Disturbances:
    """z+ = a z, seen in the outputs as c z; `rest` is the z that stands still and shows as one unit in each output."""

    a: Array
    c: Array
    rest: Array

    def after(self, steps: Array) -> Array:
        """`[step, output, state]`: what z will have become in the outputs so many samples ahead."""
        return seen_after(self.a, self.c, steps)


class Observer(Protocol):
    """Follows the state of the disturbances by what the gauges show beside the model."""

    @property
    def state(self) -> Array:
        """z as it is known now."""
        ...

    @property
    def evidence(self) -> float:
        """How well the last surplus was foreseen: the logarithm of its probability density; 0 where none is told."""
        ...

    def begin(self, surplus: Array) -> None:
        """The plant stands still, and its outputs lie by `surplus` above what the model says."""
        ...

    def advance(self) -> None:
        """One sample later."""
        ...

    def correct(self, surplus: Array) -> Array:
        """The surplus now; NaN where an output is not known. By how much it differs from what was foreseen, else 0."""
        ...


class SteadyObserver:
    """An observer with a constant gain from outputs to states."""

    evidence = 0.0

    def __init__(self, disturbances: Disturbances, gain: Array) -> None:
        self._known = disturbances
        self._gain = gain
        self.state = np.zeros(len(disturbances.a))

    def begin(self, surplus: Array) -> None:
        self.state = self._known.rest @ surplus

    def advance(self) -> None:
        self.state = self._known.a @ self.state

    def correct(self, surplus: Array) -> Array:
        innovation = np.nan_to_num(surplus - self._known.c @ self.state)
        self.state = self.state + self._gain @ innovation
        return innovation


def at_outputs(tunings: Sequence[DisturbanceTuning], period_seconds: float) -> tuple[Disturbances, SteadyObserver]:
    """w+ = p w + (1 - p) d, d+ = d + noise, y = w + noise, for each output by itself."""
    size = len(tunings)
    a, c = np.zeros((2 * size, 2 * size)), np.zeros((size, 2 * size))
    gain, rest = np.zeros((2 * size, size)), np.zeros((2 * size, size))
    for i, tuning in enumerate(tunings):
        keep, own = _decay(tuning.lag_seconds, period_seconds), slice(2 * i, 2 * i + 2)
        a[own, own] = _lagged(keep)
        c[i, 2 * i] = 1.0
        gain[own, i] = _settled_gain(keep, math.exp(-period_seconds / tuning.settling_seconds))
        rest[own, i] = 1.0
    known = Disturbances(a, c, rest)
    return known, SteadyObserver(known, gain)


def seen_after(a: Array, c: Array, steps: Array) -> Array:
    """`[step, output, state]`: c a^n for each number of samples, which rise."""
    seen, at, found = c, 0, []
    for step in steps:
        for _ in range(int(step) - at):
            seen = seen @ a
        at = int(step)
        found.append(seen)
    return np.stack(found)


def stationary_covariance(a: Array, c: Array, noise: Array) -> Array:
    """Of the prediction, for measurements of unit variance, by the doubling algorithm (Anderson 1978)."""
    unit = np.eye(len(a))
    power, seen, covariance = a.T, c.T @ c, noise
    for _ in range(DOUBLINGS):
        shared = np.linalg.inv(unit + seen @ covariance)
        covariance, seen, power = (
            covariance + power.T @ covariance @ shared @ power,
            seen + power @ shared @ seen @ power.T,
            power @ shared @ power,
        )
    return covariance


def kalman_gain(covariance: Array, c: Array) -> Array:
    """Of measurements of unit variance, from the covariance of the prediction."""
    return np.asarray(covariance @ c.T @ np.linalg.inv(c @ covariance @ c.T + np.eye(len(c))), dtype=np.float64)


def _decay(lag_seconds: float, period_seconds: float) -> float:
    return float(np.exp(-period_seconds / lag_seconds)) if lag_seconds > 0.0 else 0.0


def _lagged(keep: float) -> Array:
    return np.array([[keep, 1.0 - keep], [0.0, 1.0]])


def _settled_gain(keep: float, pole: float) -> Array:
    """Stationary gain for (w, d), with so much noise on d that the slowest pole of the estimate is `pole`."""
    low, high = math.log(SMALLEST_WALK), math.log(GREATEST_WALK)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _slowest(keep, _gain(keep, math.exp(middle))) > pole else (low, middle)
    return _gain(keep, math.exp(high))


def _gain(keep: float, walk: float) -> Array:
    c = np.array([[1.0, 0.0]])
    return kalman_gain(stationary_covariance(_lagged(keep), c, np.diag([0.0, walk])), c)[:, 0]


def _slowest(keep: float, gain: Array) -> float:
    """The largest pole of the estimate's error: of (I - gain C) A."""
    transition = _lagged(keep)
    return float(np.abs(np.linalg.eigvals(transition - np.outer(gain, transition[0]))).max())

"""What the plant does that the model does not say, as a linear system whose state is estimated: no offset stays.

Two forms. At the outputs, one for each: d walks at random and reaches the output through a lag (0: at once, as in DMC).
At the inputs, one for each: a load walks at random and reaches the outputs as the input does, but for dead times; then
one cause that shows in several outputs is seen once, and foreseen on its way through the lags. Gains are constant.
Form after Maeder, Borrelli and Morari, Linear offset-free model predictive control (Automatica 2009).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edged_control.process_model.linear import ProcessModel, UnusableModel
from edged_control.process_model.state_space import Array, held_lags

DOUBLINGS = 30
BISECTIONS = 50
SMALLEST_WALK, GREATEST_WALK = 1e-14, 1e6
"""Variances of the disturbance's step per sample, in measurement variances."""
SECONDS_PER_HOUR = 3600.0
LARGEST_CONDITION = 1e6


@dataclass(frozen=True, slots=True)
class DisturbanceTuning:
    """Of one output: through which lag the disturbance comes, and in how many seconds its estimate has caught up."""

    lag_seconds: float
    settling_seconds: float


@dataclass(frozen=True, slots=True)
class Disturbances:
    """z+ = a z, seen in the outputs as c z; `gain` corrects z by a prediction's error.

    `rest` is the z that stands still and shows as one unit in each output: the start.
    """

    a: Array
    c: Array
    gain: Array
    rest: Array

    def after(self, steps: Array) -> Array:
        """`[step, output, state]`: what z will have become in the outputs so many samples ahead."""
        return np.stack([self.c @ np.linalg.matrix_power(self.a, int(n)) for n in steps])


def at_outputs(tunings: Sequence[DisturbanceTuning], period_seconds: float) -> Disturbances:
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
    return Disturbances(a, c, gain, rest)


def at_inputs(
    model: ProcessModel, loads: Sequence[float], noises: Sequence[float], period_seconds: float
) -> Disturbances:
    """`loads` are how far each input's load walks in an hour, `noises` the deviations of the outputs' gauges.

    Raises UnusableModel where the loads can't be told from the outputs, and for a state space: loads come through lags.
    """
    if model.dynamics is not None:
        raise UnusableModel("loads of the inputs are not looked for with a state space: leave load_per_hour out")
    gains = np.array([[channel.gain for channel in row] for row in model.channels])
    scaled = gains * np.array(loads) / np.array(noises)[:, None]
    if gains.shape[0] != gains.shape[1] or np.linalg.cond(scaled) > LARGEST_CONDITION:
        raise UnusableModel("loads of the inputs can't be told from the outputs: leave load_per_hour out")
    inputs = len(loads)
    a, walks, parts = np.eye(inputs), np.zeros((inputs, inputs)), []
    np.fill_diagonal(walks, np.square(loads) * period_seconds / SECONDS_PER_HOUR)
    for i, row in enumerate(model.channels):
        for j, channel in enumerate(row):
            if channel.gain:
                parts.append((i, j, channel.gain, *held_lags(channel, period_seconds)))
    size = inputs + sum(len(column) for *_, column in parts)
    whole, c, still = np.zeros((size, size)), np.zeros((len(gains), size)), np.zeros((size, inputs))
    whole[:inputs, :inputs], still[:inputs] = a, np.eye(inputs)
    at = inputs
    for i, j, path_gain, moved, column in parts:
        own = slice(at, at + len(column))
        whole[own, own], whole[own, j] = moved, column
        c[i, own.stop - 1], still[own, j] = path_gain, 1.0
        at = own.stop
    noise = np.zeros((size, size))
    noise[:inputs, :inputs] = walks
    gain = stationary_gain(whole, c / np.array(noises)[:, None], noise) / np.array(noises)
    return Disturbances(whole, c, gain, still @ np.linalg.inv(gains))


def stationary_gain(a: Array, c: Array, noise: Array) -> Array:
    """Kalman's gain for measurements of unit variance, by the doubling algorithm (Anderson 1978)."""
    unit = np.eye(len(a))
    power, seen, covariance = a.T, c.T @ c, noise
    for _ in range(DOUBLINGS):
        shared = np.linalg.inv(unit + seen @ covariance)
        covariance, seen, power = (
            covariance + power.T @ covariance @ shared @ power,
            seen + power @ shared @ seen @ power.T,
            power @ shared @ power,
        )
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
    return stationary_gain(_lagged(keep), np.array([[1.0, 0.0]]), np.diag([0.0, walk]))[:, 0]


def _slowest(keep: float, gain: Array) -> float:
    """The largest pole of the estimate's error: of (I - gain C) A."""
    transition = _lagged(keep)
    return float(np.abs(np.linalg.eigvals(transition - np.outer(gain, transition[0]))).max())

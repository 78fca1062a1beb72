"""Whether anything but noise shows in the innovations of an estimate: it may rest until then."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edged_control.state_space import Array

WAKE = 1.5
"""Deviations of noise between an estimate at rest and one awake."""


@dataclass(frozen=True, slots=True)
class Calm:
    """How an estimate rests while measurements show nothing but noise (adaptive Kalman gain; Mehra 1972).

    `settling_seconds` holds then. The innovations, smoothed over `smoothing_seconds`, are held against what noise alone
    would leave of them: up to `threshold` of its deviations the estimate rests, from WAKE more on it is awake. `noise`
    is the standard deviation of an innovation, in the output's unit.
    """

    settling_seconds: float
    smoothing_seconds: float
    threshold: float
    noise: float


class Watcher:
    """Tells from the innovations of one output whether something shows beside noise."""

    def __init__(self, calm: Calm, calm_gain: Array, period_seconds: float) -> None:
        self._calm_gain = calm_gain
        self._share = min(1.0, period_seconds / calm.smoothing_seconds)
        self._deviation = calm.noise * math.sqrt(self._share / (2.0 - self._share))
        self._threshold = calm.threshold
        self._smoothed = 0.0

    def reset(self) -> None:
        """Nothing has shown yet."""
        self._smoothed = 0.0

    def gain(self, innovation: float, awake_gain: Array) -> Array:
        """Between the gain at rest and the one awake, after this innovation."""
        self._smoothed += self._share * (innovation - self._smoothed)
        beyond = abs(self._smoothed) / self._deviation - self._threshold
        awake = min(max(beyond / WAKE, 0.0), 1.0)
        return np.asarray(self._calm_gain + awake * (awake_gain - self._calm_gain), dtype=np.float64)

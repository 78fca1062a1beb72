"""Loads that nobody measures, looked for at the inputs: each reaches the outputs as its input does, but for dead times.

One cause that shows in several outputs is seen once, and foreseen on its way through the lags. Loads walk at random;
where some may also come all at once, filters that expect that run beside the one that does not, and their estimates
are weighed by how well each foresaw (interacting multiple models: Blom and Bar-Shalom, IEEE Trans. AC 33, 1988).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edged_control.mpc.disturbances import Disturbances, kalman_gain, stationary_covariance
from edged_control.process_model.linear import ProcessModel, UnusableModel
from edged_control.process_model.state_space import Array, held_lags

SECONDS_PER_HOUR = 3600.0
LARGEST_CONDITION = 1e6
PERIODS_BETWEEN_JUMPS = 1000.0
"""On average; of each load that jumps at all."""
JUMP_PERIODS = 10.0
"""For so long, on average, a load that jumps may go on doing so."""
GREATEST_ERROR = 1e3
"""Of a forecast, in deviations of a gauge's noise; one that is greater counts as this one."""
BELIEVED_DEVIATIONS = 4.0
"""Whoever expects jumps believes no further from its forecast than this: one wild value is none (Huber)."""
SMALLEST_WEIGHT = 1e-12


@dataclass(frozen=True, slots=True)
class Load:
    """Of one input, in its unit: how far its load walks in an hour, and about how far it may jump; 0: it never does."""

    per_hour: float
    jump: float = 0.0


def at_inputs(
    model: ProcessModel, loads: Sequence[Load], noises: Sequence[float], period_seconds: float
) -> tuple[Disturbances, LoadObserver]:
    """One load for every input; `noises` are the deviations of the outputs' gauges.

    Raises UnusableModel where the loads can't be told from the outputs, and for a state space: loads come through lags.
    """
    if model.dynamics is not None:
        raise UnusableModel("loads of the inputs are not looked for with a state space: leave load_per_hour out")
    gains = np.array([[channel.gain for channel in row] for row in model.channels])
    scaled = gains * np.array([load.per_hour for load in loads]) / np.array(noises)[:, None]
    if gains.shape[0] != gains.shape[1] or np.linalg.cond(scaled) > LARGEST_CONDITION:
        raise UnusableModel("loads of the inputs can't be told from the outputs: leave load_per_hour out")
    inputs = len(loads)
    parts = [
        (i, j, channel.gain, *held_lags(channel, period_seconds))
        for i, row in enumerate(model.channels)
        for j, channel in enumerate(row)
        if channel.gain
    ]
    size = inputs + sum(len(column) for *_, column in parts)
    a, c, still = np.eye(size), np.zeros((len(gains), size)), np.zeros((size, inputs))
    still[:inputs] = np.eye(inputs)
    at = inputs
    for i, j, path_gain, moved, column in parts:
        own = slice(at, at + len(column))
        a[own, own], a[own, j] = moved, column
        c[i, own.stop - 1], still[own, j] = path_gain, 1.0
        at = own.stop
    known = Disturbances(a, c, still @ np.linalg.inv(gains))
    return known, LoadObserver(known, _walks(loads, size, period_seconds), noises)


class LoadObserver:
    """Kalman filters that differ in how far they expect the loads to walk; the first of `walks` is the usual one."""

    def __init__(self, disturbances: Disturbances, walks: Array, noises: Sequence[float]) -> None:
        self._known = disturbances
        self._walks = walks
        self._noises = np.array(noises)
        self._scaled = disturbances.c / self._noises[:, None]
        self._changes = _changes(len(walks))
        predicted = stationary_covariance(disturbances.a, self._scaled, walks[0])
        self._first = predicted - kalman_gain(predicted, self._scaled) @ self._scaled @ predicted
        self.evidence = 0.0
        self.begin(np.zeros(len(disturbances.c)))

    @property
    def state(self) -> Array:
        """Of all filters, by their weights."""
        return np.asarray(self._weights @ self._states, dtype=np.float64)

    def begin(self, surplus: Array) -> None:
        count = len(self._walks)
        self._states = np.tile(self._known.rest @ surplus, (count, 1))
        self._covariances = np.tile(self._first, (count, 1, 1))
        self._weights = np.eye(count)[0]

    def advance(self) -> None:
        a, before = self._known.a, self._weights
        self._weights = before @ self._changes
        came = self._changes * before[:, None] / self._weights
        mixed = came.T @ self._states
        apart = self._states[:, None] - mixed
        spread = np.einsum("fk,fij->kij", came, self._covariances)
        spread += np.einsum("fk,fki,fkj->kij", came, apart, apart)
        self._states = mixed @ a.T
        self._covariances = a @ spread @ a.T + self._walks

    def correct(self, surplus: Array) -> Array:
        known = np.isfinite(surplus)
        innovation = np.nan_to_num(surplus - self._known.c @ self.state)
        seen = self._scaled[known]
        wrong = surplus[known] / self._noises[known] - self._states @ seen.T
        wrong = np.clip(wrong, -GREATEST_ERROR, GREATEST_ERROR)
        expected = seen @ self._covariances @ seen.T + np.eye(len(seen))
        inverse = np.linalg.inv(expected)
        gain = self._covariances @ seen.T @ inverse
        apart = np.sqrt(np.einsum("ki,kij,kj->k", wrong, inverse, wrong))
        near = np.minimum(apart, BELIEVED_DEVIATIONS)
        believed = BELIEVED_DEVIATIONS / np.maximum(apart, BELIEVED_DEVIATIONS)
        believed[0] = 1.0
        self._states = self._states + np.einsum("k,kij,kj->ki", believed, gain, wrong)
        left = self._covariances - gain @ seen @ self._covariances
        self._covariances = (left + left.transpose(0, 2, 1)) / 2.0
        self._weigh(near * (2.0 * apart - near) + np.linalg.slogdet(expected)[1])
        return innovation

    def _weigh(self, surprises: Array) -> None:
        """Bayes' rule; a surprise is twice the negative logarithm of a density."""
        best = surprises.min()
        likely = self._weights * np.exp((best - surprises) / 2.0)
        self.evidence = math.log(likely.sum()) - best / 2.0
        self._weights = np.maximum(likely / likely.sum(), SMALLEST_WEIGHT)
        self._weights /= self._weights.sum()


def _walks(loads: Sequence[Load], size: int, period_seconds: float) -> Array:
    """`[filter, state, state]`: covariance of a step per sample, of the usual filter and then of one for each jump."""
    usual = np.zeros(size)
    usual[: len(loads)] = [load.per_hour**2 * period_seconds / SECONDS_PER_HOUR for load in loads]
    walks = [usual]
    for at, load in enumerate(loads):
        if load.jump:
            walks.append(usual + np.eye(size)[at] * load.jump**2 / JUMP_PERIODS)
    return np.stack([np.diag(walk) for walk in walks])


def _changes(count: int) -> Array:
    """`[from, to]`: how probable it is from one sample to the next that another filter is the right one."""
    changes = np.eye(count)
    changes[0, 1:] = 1.0 / PERIODS_BETWEEN_JUMPS
    changes[1:, 0] = 1.0 / JUMP_PERIODS
    np.fill_diagonal(changes, 0.0)
    np.fill_diagonal(changes, 1.0 - changes.sum(axis=1))
    return changes

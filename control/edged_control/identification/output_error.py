"""Least squares for dead times and lags: one output against the recorded inputs, on numpy alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edged_control.identification.least_squares import minimised, slopes
from edged_control.identification.long_arx import UNFILTERED, filtered
from edged_control.process_model.linear import Channel
from edged_control.process_model.state_space import Array

Spectrum: TypeAlias = NDArray[np.complex128]

DEAD_TIMES, LAGS = 13, 9
"""Points of the coarse grid."""
SWEEPS = 2
LEAST_DIFFERENT = 1.001
"""Lags closer to each other than this factor count as equal."""


@dataclass(frozen=True, slots=True)
class Solution:
    """The best channels of one structure, and how sure they are. `criterion` is the Bayesian one: lower is better."""

    channels: tuple[Channel, ...]
    gain_errors: tuple[float, ...]
    criterion: float
    correlation: float


class OutputError:
    """One output with the inputs that may move it. Times in seconds.

    `whitening` is the filter through which the fit sees both sides: with one that makes the residual white, gains stay
    true where a controller moves the inputs by what the output shows (prediction error method; Ljung 1999, 13.4).
    """

    def __init__(
        self,
        period: float,
        inputs: Array,
        output: Array,
        longest_dead_time: float,
        longest_lag: float,
        smallest_lag: float,
        whitening: Array = UNFILTERED,
    ) -> None:
        self._period, self._raw, self._whitening = period, output, whitening
        self._output = filtered(output, whitening)
        self._time: Array = np.arange(len(output), dtype=np.float64) * period
        self._size = 2 * len(output)
        moves = np.diff(inputs, axis=0, prepend=inputs[:1])
        self._moves: list[Spectrum] = [np.fft.rfft(column, self._size) for column in moves.T]
        self._bounds = (longest_dead_time, smallest_lag, longest_lag)

    def fit(self, *, second_lags: bool) -> Solution:
        """The best channels with one lag each, or with two."""
        shapes = self._refined(self._coarse(second_lags), second_lags)
        columns = self._columns(shapes)
        weights, residual = self._weights(columns)
        variance = float(residual @ residual) / max(len(residual) - columns.shape[1] - shapes.size, 1)
        correlation = lag_one(residual)
        jacobian = np.column_stack([columns, self._slopes(shapes, second_lags)])
        spread = np.linalg.pinv(jacobian.T @ jacobian) * variance * (1.0 + correlation) / (1.0 - correlation)
        channels = tuple(
            Channel(float(weight), *map(float, shape)) for weight, shape in zip(weights, shapes, strict=False)
        )
        count, used = len(residual), columns.shape[1] + shapes.shape[0] * (3 if second_lags else 2)
        return Solution(
            channels=channels,
            gain_errors=tuple(float(math.sqrt(max(spread[j, j], 0.0))) for j in range(len(channels))),
            criterion=count * math.log(max(variance, 1e-300)) + used * math.log(count),
            correlation=correlation,
        )

    def answer(self, channels: tuple[Channel, ...]) -> Array:
        """What the inputs do to the output by such channels, from rest at the first sample."""
        shapes = [(channel.dead_time_seconds, channel.lag_seconds, channel.second_lag_seconds) for channel in channels]
        gains = np.array([channel.gain for channel in channels])
        return np.asarray(self._driven(np.array(shapes)) @ gains, dtype=np.float64)

    def residual(self, solution: Solution) -> Array:
        """What is left of the output, unfiltered, offset and fading past taken out."""
        left = self._raw - self.answer(solution.channels)
        past = self._past(max(channel.lag_seconds for channel in solution.channels))
        return np.asarray(left - past @ np.linalg.lstsq(past, left, rcond=None)[0], dtype=np.float64)

    def _coarse(self, second_lags: bool) -> Array:
        """One input after the other on a grid, the others held, twice round."""
        longest, smallest, slowest = self._bounds
        share = 0.5 if second_lags else 0.0
        grid = [
            (dead, lag, share * lag)
            for dead, lag in product(np.linspace(0.0, longest, DEAD_TIMES), np.geomspace(smallest, slowest, LAGS))
        ]
        shapes = np.array([grid[len(grid) // 3]] * len(self._moves))
        for _ in range(SWEEPS if len(self._moves) > 1 else 1):
            for j in range(len(shapes)):
                tried = []
                for shape in grid:
                    shapes[j] = shape
                    residual = self._weights(self._columns(shapes))[1]
                    tried.append(float(residual @ residual))
                shapes[j] = grid[int(np.argmin(tried))]
        return shapes

    def _refined(self, shapes: Array, second_lags: bool) -> Array:
        """Levenberg and Marquardt on dead times and lags; the gains follow (variable projection)."""
        return minimised(
            shapes,
            len(shapes) * (3 if second_lags else 2),
            lambda at, step: self._moved(at, step, second_lags),
            lambda at: self._weights(self._columns(at))[1],
        )

    def _moved(self, shapes: Array, step: Array, second_lags: bool) -> Array:
        """Shapes after a step: dead times move by periods, lags by factors, all within the search."""
        longest, smallest, slowest = self._bounds
        moved = shapes.copy()
        steps = step.reshape(len(shapes), -1)
        moved[:, 0] = np.clip(shapes[:, 0] + self._period * steps[:, 0], 0.0, longest)
        moved[:, 1] = np.clip(shapes[:, 1] * np.exp(np.clip(steps[:, 1], -1.0, 1.0)), smallest, slowest)
        if second_lags:
            moved[:, 2] = np.clip(shapes[:, 2] * np.exp(np.clip(steps[:, 2], -1.0, 1.0)), smallest / 10.0, slowest)
        return moved

    def _slopes(self, shapes: Array, second_lags: bool) -> Array:
        """Change of the driven output per step of each dead time and lag."""
        weights = self._weights(self._columns(shapes))[0]
        return slopes(
            shapes,
            len(shapes) * (3 if second_lags else 2),
            lambda at, step: self._moved(at, step, second_lags),
            lambda at: np.asarray(self._columns(at) @ weights, dtype=np.float64),
        )

    def _weights(self, columns: Array) -> tuple[Array, Array]:
        """Gains, offset and size of the fading past that fit best, and the residual."""
        weights = np.asarray(np.linalg.lstsq(columns, self._output, rcond=None)[0], dtype=np.float64)
        return weights, self._output - columns @ weights

    def _columns(self, shapes: Array) -> Array:
        return filtered(np.column_stack([self._driven(shapes), self._past(shapes[:, 1].max())]), self._whitening)

    def _past(self, lag: float) -> Array:
        """An offset, and what fades of the time before the record."""
        return np.column_stack([np.ones(len(self._time)), np.exp(-self._time / lag)])

    def _driven(self, shapes: Array) -> Array:
        """The answer to each input with a gain of 1: its moves, each followed by the step response."""
        answers = []
        for moves, (dead_time, lag, second_lag) in zip(self._moves, shapes.tolist(), strict=True):
            response = np.fft.rfft(_step_response(self._time, dead_time, lag, second_lag), self._size)
            answers.append(np.fft.irfft(moves * response, self._size))
        return np.column_stack(answers)[: len(self._time)]


def _step_response(time: Array, dead_time: float, lag: float, second_lag: float) -> Array:
    """Of 1 / ((t1 s + 1)(t2 s + 1)) behind a dead time."""
    passed = np.maximum(time - dead_time, 0.0)
    slow, fast = max(lag, second_lag), min(lag, second_lag)
    if fast <= 0.0:
        return np.asarray(1.0 - np.exp(-passed / slow), dtype=np.float64)
    slow = max(slow, fast * LEAST_DIFFERENT)
    mixed = (slow * np.exp(-passed / slow) - fast * np.exp(-passed / fast)) / (slow - fast)
    return np.asarray(1.0 - mixed, dtype=np.float64)


def lag_one(residual: Array) -> float:
    """Correlation from sample to sample, 0 to 0.99."""
    power = float(residual @ residual)
    return min(max(float(residual[1:] @ residual[:-1]) / power, 0.0), 0.99) if power > 0.0 else 0.0

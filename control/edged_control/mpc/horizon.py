"""How far ahead a predictive controller looks, where it compares, and the quadratic program that it solves there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edged_control.mpc.qp import Answer, Solver
from edged_control.process_model.linear import ProcessModel
from edged_control.process_model.state_space import Array

POINTS = 30
BLOCKS = 8
SMALLEST_MOVE_PERIODS = 0.02
"""Moves cost at least as much as if they were to be spread over so many periods: it keeps the problem convex."""
SOFT_LIMIT_COST = 1e4
"""Cost of the square of an output's excess over its soft limits, against that of its error."""


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """A band that an output may leave only where nothing else is left, in its unit."""

    low: float = -math.inf
    high: float = math.inf


class Horizon:
    """`points` in samples ahead at which outputs are compared, and `lengths` of the blocks of constant slope."""

    def __init__(self, model: ProcessModel, period_seconds: float, horizon_seconds: float) -> None:
        self.period_seconds = period_seconds
        delays = [
            min(channel.dead_time_seconds for channel in row if channel.gain) / period_seconds for row in model.channels
        ]
        first = math.floor(min(delays))
        reach = max(2, round(horizon_seconds / period_seconds) - first)
        self.points = first + _spaced(reach, POINTS)
        self.weights = np.diff(self.points, prepend=first) / (self.points[-1] - first)
        self.lengths = np.diff(_spaced(reach, BLOCKS), prepend=0)
        self._starts = np.searchsorted(self.points, delays, side="right")

    def ramps(self, responses: Array) -> Array:
        """`[point, output, block, input]`: the output's answer to a slope of 1 per sample within the block."""
        risen = np.cumsum(responses, axis=0)
        ends = np.cumsum(self.lengths)
        since_start = np.maximum(self.points[:, None] - (ends - self.lengths)[None, :], 0)
        since_end = np.maximum(self.points[:, None] - ends[None, :], 0)
        return np.moveaxis(risen[since_start] - risen[since_end], 1, 2)

    def reference(self, wanted: Array, ahead: Array, reference_seconds: Sequence[float]) -> Array:
        """`[point, output]`: the way to the set-points, from where an output will be when it can first be moved."""
        way = np.tile(wanted, (len(self.points), 1))
        for i, seconds in enumerate(reference_seconds):
            start = min(int(self._starts[i]), len(self.points) - 1)
            if seconds > 0.0:
                passed = np.maximum(self.points - self.points[start] + 1, 0) * self.period_seconds
                way[:, i] -= (wanted[i] - ahead[start, i]) * np.exp(-passed / seconds)
        return way


class Problem:
    """The condensed program: the slopes of every input in every block, and one slack for each output with a band."""

    def __init__(
        self,
        horizon: Horizon,
        ramps: Array,
        gains: Array,
        error_scales: Sequence[float],
        move_seconds: Sequence[float],
        bands: Sequence[OutputLimits],
    ) -> None:
        points, outputs, blocks, inputs = ramps.shape
        self._shape = (blocks, inputs)
        self._scales = np.array(error_scales)
        self._unit = 1.0 / np.abs(gains / self._scales[:, None]).max(axis=0)
        self._ramps = (ramps * self._unit / self._scales[None, :, None, None]).reshape(points * outputs, -1)
        self._weights = np.repeat(horizon.weights, outputs)
        spread = np.maximum(np.array(move_seconds) / horizon.period_seconds, SMALLEST_MOVE_PERIODS)
        moves = np.outer(horizon.lengths, spread**2).ravel() / horizon.points[-1]
        self._banded = [i for i, band in enumerate(bands) if math.isfinite(band.low) or math.isfinite(band.high)]
        self._bands = tuple(bands)
        cost = self._ramps.T @ (self._weights[:, None] * self._ramps) + np.diag(moves)
        slack = SOFT_LIMIT_COST * np.eye(len(self._banded))
        empty = np.zeros((len(cost), len(slack)))
        self.solver = Solver(np.block([[cost, empty], [empty.T, slack]]), self._rows(horizon, outputs))

    def solve(self, missing: Array, ahead: Array, steps: Array, room: tuple[Array, Array]) -> Answer:
        """Slopes `[block, input]` per sample that make good what is `missing` to the reference at each point.

        `steps` bounds their size, `room` the sum of all moves; `ahead` is where the outputs go by themselves.
        """
        blocks = self._shape[0]
        linear = -self._ramps.T @ (self._weights * (missing / self._scales).ravel())
        step = np.tile(steps / self._unit, blocks)
        low, high = (np.tile(span / self._unit, blocks) for span in room)
        free = np.full(len(self._banded), np.inf)
        below, above = self._band_bounds(ahead)
        answer = self.solver.solve(
            np.concatenate([linear, np.zeros(len(free))]),
            np.concatenate([-step, np.zeros(len(free)), low, below]),
            np.concatenate([step, free, high, above]),
        )
        if answer.value is None:
            return answer
        return Answer(answer.value[: len(linear)].reshape(self._shape) * self._unit)

    def _rows(self, horizon: Horizon, outputs: int) -> Array:
        """Constraint rows: the sum of all moves after each block, then each banded output at each point, both ways."""
        blocks, inputs = self._shape
        sums = np.kron(np.tril(np.ones((blocks, blocks))) * horizon.lengths, np.eye(inputs))
        parts = [np.hstack([sums, np.zeros((len(sums), len(self._banded)))])]
        for at, i in enumerate(self._banded):
            answer = self._ramps[i::outputs]
            slack = np.zeros((len(answer), len(self._banded)))
            slack[:, at] = 1.0
            parts += [np.hstack([answer, slack]), np.hstack([answer, -slack])]
        return np.vstack(parts)

    def _band_bounds(self, ahead: Array) -> tuple[Array, Array]:
        below: list[Array] = [np.zeros(0)]
        above: list[Array] = [np.zeros(0)]
        unbound = np.full(len(ahead), np.inf)
        for i in self._banded:
            below += [(self._bands[i].low - ahead[:, i]) / self._scales[i], -unbound]
            above += [unbound, (self._bands[i].high - ahead[:, i]) / self._scales[i]]
        return np.concatenate(below), np.concatenate(above)


def _spaced(reach: int, count: int) -> Array:
    """Up to `count` whole numbers from 1 to `reach`, ever further apart."""
    return np.unique(np.rint(np.geomspace(1, reach, count)).astype(np.int64))

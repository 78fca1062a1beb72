"""A process model in discrete time, as the matrices that simulate and predict it. Inputs are held between samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edged_control.process_model.dynamics import Dynamics
from edged_control.process_model.linear import Channel, ProcessModel, UnusableModel, sound

Array: TypeAlias = NDArray[np.float64]

TAYLOR_TERMS = 12
ALIGNED = 1e-9
"""A dead time within this share of a whole number of periods is that number."""


@dataclass(frozen=True, slots=True)
class StateSpace:
    """x+ = A x + B u, y = C x; y is sampled before u is chosen. Units are those of the model.

    The states are those of the process (of every channel its lags), then the past values of every input as far back as
    a dead time reaches.
    """

    a: Array
    b: Array
    c: Array

    def steady(self, inputs: Array) -> Array:
        """The state in which the inputs have stood for ever."""
        return np.asarray(np.linalg.solve(np.eye(len(self.a)) - self.a, self.b @ inputs), dtype=np.float64)

    def advance(self, state: Array, inputs: Array) -> Array:
        """The state one sample later."""
        return self.a @ state + self.b @ inputs

    def outputs(self, state: Array) -> Array:
        """What the gauges show of a state."""
        return self.c @ state

    def step_responses(self, steps: int) -> Array:
        """`[n, i, j]`: output i, n samples after input j went from 0 to 1, for n = 0..steps."""
        state = np.zeros_like(self.b)
        responses = np.zeros((steps + 1, len(self.c), self.b.shape[1]))
        for n in range(1, steps + 1):
            state = self.a @ state + self.b
            responses[n] = self.c @ state
        return responses


def discretise(model: ProcessModel, period_seconds: float) -> StateSpace:
    """The exact model at the sampling instants, dead times between two samples included. Raises UnusableModel."""
    sound(model)
    if model.dynamics is not None:
        return _resampled(model.dynamics, period_seconds)
    taps = {
        (i, j): _taps(channel, period_seconds)
        for i, row in enumerate(model.channels)
        for j, channel in enumerate(row)
        if channel.gain
    }
    reach = [max((tap.reach for (_, j), tap in taps.items() if j == at), default=0) for at in range(len(model.inputs))]
    lags = sum(len(tap.a) for tap in taps.values())
    starts = [lags + sum(reach[:at]) for at in range(len(reach))]
    size = lags + sum(reach)
    a, b, c = np.zeros((size, size)), np.zeros((size, len(reach))), np.zeros((len(model.outputs), size))
    for j, (start, length) in enumerate(zip(starts, reach, strict=True)):
        if length:
            b[start, j] = 1.0
            a[range(start + 1, start + length), range(start, start + length - 1)] = 1.0
    at = 0
    for (i, j), tap in taps.items():
        own = slice(at, at + len(tap.a))
        a[own, own] = tap.a
        for age, column in ((tap.periods, tap.late), (tap.periods + 1, tap.early)):
            if age == 0:
                b[own, j] += column
            elif age <= reach[j]:
                a[own, starts[j] + age - 1] += column
        c[i, own.stop - 1] = model.channels[i][j].gain
        at = own.stop
    return StateSpace(a, b, c)


def _resampled(dynamics: Dynamics, period_seconds: float) -> StateSpace:
    """Several periods of the model in one, during which the inputs are held: exact, delays included."""
    if not dynamics.fits(period_seconds):
        own = f"{dynamics.period_seconds:g} s"
        raise UnusableModel(f"the period must be a multiple of the model's {own}, got {period_seconds:g} s")
    count = round(period_seconds / dynamics.period_seconds)
    own_a, own_b, own_c = np.array(dynamics.a), np.array(dynamics.b), np.array(dynamics.c)
    reach = [-(-delay // count) for delay in dynamics.delays]
    states = len(own_a)
    size = states + sum(reach)
    a, b, c = np.zeros((size, size)), np.zeros((size, len(reach))), np.zeros((len(own_c), size))
    a[:states, :states], c[:, :states] = np.linalg.matrix_power(own_a, count), own_c
    start = states
    for j, (delay, length) in enumerate(zip(dynamics.delays, reach, strict=True)):
        if length:
            b[start, j] = 1.0
            a[range(start + 1, start + length), range(start, start + length - 1)] = 1.0
        for step in range(count):
            column = np.linalg.matrix_power(own_a, count - 1 - step) @ own_b[:, j]
            age = max(0, -((step - delay) // count))
            if age:
                a[:states, start + age - 1] += column
            else:
                b[:states, j] += column
        start += length
    return StateSpace(a, b, c)


@dataclass(frozen=True, slots=True)
class _Taps:
    """One channel: its lags, and what the inputs of `periods` and `periods + 1` samples ago do to them."""

    a: Array
    periods: int
    late: Array
    early: Array

    @property
    def reach(self) -> int:
        """How many past values of the input are needed."""
        return self.periods + (1 if self.early.any() else 0)


def _taps(channel: Channel, period: float) -> _Taps:
    """The dead time is `periods` whole samples and a rest, during which the input before that one still acts."""
    whole = math.floor(channel.dead_time_seconds / period + ALIGNED)
    rest = max(channel.dead_time_seconds - whole * period, 0.0)
    if rest < ALIGNED * period:
        rest = 0.0
    until_end, _ = held_lags(channel, period)
    rest_end, late = held_lags(channel, period - rest)
    _, started = held_lags(channel, rest)
    return _Taps(until_end, whole, late, rest_end @ started)


def held_lags(channel: Channel, seconds: float) -> tuple[Array, Array]:
    """Transition and input vectors of the unit-gain lags of a channel over a time in which the input is held."""
    if channel.second_lag_seconds > 0.0:
        first, second = 1.0 / channel.lag_seconds, 1.0 / channel.second_lag_seconds
        rates = np.array([[-first, 0.0, first], [second, -second, 0.0], [0.0, 0.0, 0.0]])
    else:
        rates = np.array([[-1.0, 1.0], [0.0, 0.0]]) / channel.lag_seconds
    moved = _exponential(rates * seconds)
    return moved[:-1, :-1], moved[:-1, -1]


def _exponential(matrix: Array) -> Array:
    """The matrix exponential by scaling and squaring of a Taylor series (Moler and Van Loan 2003, method 3)."""
    squarings = max(0, math.ceil(math.log2(max(float(np.abs(matrix).sum(axis=1).max()), 1e-300))) + 1)
    scaled = matrix / 2.0**squarings
    term = total = np.eye(len(matrix))
    for n in range(1, TAYLOR_TERMS + 1):
        term = term @ scaled / n
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total

"""Least squares for the poles that all paths of a process share: some inputs against some outputs, on numpy alone.

Given the poles, the output is linear in everything else: the share of each pole in each path, an offset, and what fades
of the time before the record. So only the poles are searched (separable least squares; Golub and Pereyra 1973).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edged_control.identification.least_squares import minimised, slopes
from edged_control.identification.long_arx import filtered
from edged_control.identification.output_error import lag_one
from edged_control.process_model.dynamics import Dynamics
from edged_control.process_model.state_space import Array

FASTEST_PERIODS = 0.3
"""The shortest time constant that is looked for."""
LARGEST_ANGLE = 3.0
"""Of a pair of poles, in radians per period: beyond that they swing from sample to sample."""
CONVERGED = 1e-6
REAL = 1e-9
"""A pole with a smaller imaginary part is real."""
SETTLED = 0.02
SETTLING_TIME_CONSTANTS = 12.0


@dataclass(frozen=True, slots=True)
class Poles:
    """Stable poles of a discrete system, as logarithms that a search can move.

    `real` of time constants in periods; `pairs` rows of time constant and angle per period.
    """

    real: Array
    pairs: Array

    @property
    def order(self) -> int:
        """How many there are."""
        return len(self.real) + 2 * len(self.pairs)

    @property
    def slowest(self) -> float:
        """The longest time constant in periods."""
        return float(np.exp(np.concatenate([self.real, self.pairs[:, 0]]).max()))

    def moved(self, step: Array, longest: float) -> Poles:
        """After a step of each logarithm, none by more than 1; time constants stay within the search."""
        step = np.clip(step, -1.0, 1.0)
        low, high = math.log(FASTEST_PERIODS), math.log(longest)
        real = np.clip(self.real + step[: len(self.real)], low, high)
        pairs = self.pairs + step[len(self.real) :].reshape(-1, 2)
        pairs = np.column_stack([np.clip(pairs[:, 0], low, high), np.minimum(pairs[:, 1], math.log(LARGEST_ANGLE))])
        return Poles(real, pairs)

    def blocks(self) -> tuple[Array, Array]:
        """`a`, block diagonal, and `b` of the modes; a real mode has a gain of 1."""
        a, b = np.zeros((self.order, self.order)), np.zeros(self.order)
        for at, decay in enumerate(np.exp(-np.exp(-self.real))):
            a[at, at], b[at] = decay, 1.0 - decay
        for n, (time_constant, angle) in enumerate(np.exp(self.pairs)):
            at, decay = len(self.real) + 2 * n, math.exp(-1.0 / time_constant)
            cosine, sine = decay * math.cos(angle), decay * math.sin(angle)
            a[at : at + 2, at : at + 2] = [[cosine, -sine], [sine, cosine]]
            b[at] = math.hypot(1.0 - cosine, sine)
        return a, b


def poles_of(matrix: Array, longest: float) -> Poles:
    """The poles of a transition matrix, those that cannot be searched moved to where they can."""
    values = np.linalg.eigvals(matrix)
    sizes = np.clip(np.abs(values), math.exp(-1.0 / FASTEST_PERIODS), math.exp(-1.0 / longest))
    times, angles = -1.0 / np.log(sizes), np.angle(values)
    lone, upper = np.abs(values.imag) < REAL, values.imag >= REAL
    pairs = np.column_stack([np.log(times[upper]), np.log(np.minimum(angles[upper], LARGEST_ANGLE))])
    found = Poles(np.log(times[lone]), pairs)
    return found.moved(np.zeros(len(found.real) + 2 * len(found.pairs)), longest)


@dataclass(frozen=True, slots=True)
class Fit:
    """The best poles of one order, the share of each mode `[mode of input, output]`, and how sure the gains are.

    `criterion` is the Bayesian one: lower is better.
    """

    poles: Poles
    delays: tuple[int, ...]
    shares: Array
    gain_errors: Array
    criterion: float


class ModalError:
    """Outputs against inputs at a constant period; `whitening` holds for each output the filter that the fit sees."""

    def __init__(self, inputs: Array, outputs: Array, whitening: Sequence[Array], longest: float) -> None:
        self._inputs = inputs - inputs[0]
        self._raw = outputs
        self._whitening = whitening
        self._wanted = [filtered(column, one) for column, one in zip(outputs.T, whitening, strict=True)]
        self._scales = [1.0 / max(float(wanted.std()), 1e-300) for wanted in self._wanted]
        self._longest = longest
        self._size = 2 * len(inputs)

    def fit(self, start: Poles, delays: Sequence[int]) -> Fit:
        """The best poles near a start, for given delays."""
        count = len(start.real) + 2 * len(start.pairs)
        value = partial(self._misfit, delays=delays)
        moved = partial(_moved, start, self._longest)
        found = minimised(np.zeros(count), count, moved, lambda at: value(_at(start, at)), converged=CONVERGED)
        poles = _at(start, found)
        shares, residuals = self._solved(poles, delays)
        parameters = poles.order + len(residuals) * (len(shares) + 1)
        criterion = sum(len(one) * math.log(max(float(one @ one) / len(one), 1e-300)) for one in residuals)
        return Fit(
            poles=poles,
            delays=tuple(delays),
            shares=shares[: self._inputs.shape[1] * poles.order],
            gain_errors=self._gain_errors(poles, delays, shares, residuals),
            criterion=criterion + parameters * math.log(len(residuals[0])),
        )

    def answer(self, fit: Fit, inputs: Array) -> Array:
        """What the inputs do to the outputs, from rest at the first sample."""
        return np.asarray(_driven(fit.poles, fit.delays, inputs - inputs[0]) @ fit.shares, dtype=np.float64)

    def residual(self, fit: Fit) -> Array:
        """What is left of the outputs, unfiltered, offset and fading past taken out."""
        left = self._raw - self.answer(fit, self._inputs)
        past = _past(fit.poles, len(left))
        return np.asarray(left - past @ np.linalg.lstsq(past, left, rcond=None)[0], dtype=np.float64)

    def _misfit(self, poles: Poles, delays: Sequence[int]) -> Array:
        residuals = self._solved(poles, delays)[1]
        return np.concatenate([one * scale for one, scale in zip(residuals, self._scales, strict=True)])

    def _solved(self, poles: Poles, delays: Sequence[int]) -> tuple[Array, list[Array]]:
        """Shares `[column, output]` that fit best, and what is left of each filtered output."""
        columns = self._columns(poles, delays)
        shares, residuals = [], []
        for wanted, whitening in zip(self._wanted, self._whitening, strict=True):
            seen = filtered(columns, whitening)
            weights = np.linalg.lstsq(seen, wanted, rcond=1e-10)[0]
            shares.append(weights)
            residuals.append(wanted - seen @ weights)
        return np.column_stack(shares), residuals

    def _columns(self, poles: Poles, delays: Sequence[int]) -> Array:
        return np.column_stack([_driven(poles, delays, self._inputs), _past(poles, len(self._inputs))])

    def _gain_errors(self, poles: Poles, delays: Sequence[int], shares: Array, residuals: Sequence[Array]) -> Array:
        """Standard errors `[output, input]`, the doubt about the poles included (delta method)."""
        count, modes = len(poles.real) + 2 * len(poles.pairs), poles.order
        turn = partial(slopes, np.zeros(count), count, partial(_moved, poles, self._longest))
        columns = self._columns(poles, delays)
        errors = np.zeros((shares.shape[1], len(delays)))
        for i, (residual, whitening) in enumerate(zip(residuals, self._whitening, strict=True)):
            turned = turn(partial(self._shown, poles, delays, shares[:, i]))
            jacobian = filtered(np.column_stack([columns, turned]), whitening)
            variance = float(residual @ residual) / max(len(residual) - jacobian.shape[1], 1)
            kept = lag_one(residual)
            spread = np.linalg.pinv(jacobian.T @ jacobian, hermitian=True) * variance * (1.0 + kept) / (1.0 - kept)
            for j in range(len(delays)):
                own = slice(j * modes, (j + 1) * modes)
                gradient = np.zeros(len(spread))
                gradient[own] = _dc(poles)
                gradient[columns.shape[1] :] = turn(partial(_gain, poles, shares[own, i]))
                errors[i, j] = math.sqrt(max(float(gradient @ spread @ gradient), 0.0))
        return errors

    def _shown(self, poles: Poles, delays: Sequence[int], weights: Array, at: Array) -> Array:
        return np.asarray(self._columns(_at(poles, at), delays) @ weights, dtype=np.float64)


def dynamics_of(fit: Fit, period_seconds: float) -> Dynamics:
    """The fit as matrices: the modes once for every input."""
    mode_a, mode_b = fit.poles.blocks()
    inputs = len(fit.delays)
    a, b = np.kron(np.eye(inputs), mode_a), np.kron(np.eye(inputs), mode_b[:, None])
    return Dynamics(
        period_seconds=period_seconds,
        settling_seconds=period_seconds * _settling(fit),
        delays=fit.delays,
        a=tuple(tuple(map(float, row)) for row in a),
        b=tuple(tuple(map(float, row)) for row in b),
        c=tuple(tuple(map(float, row)) for row in fit.shares.T),
    )


def step_responses(fit: Fit) -> Array:
    """`[k, i, j]`: output i, k samples after input j went from 0 to 1, until all of it is over."""
    count = math.ceil(SETTLING_TIME_CONSTANTS * fit.poles.slowest) + max(fit.delays) + 2
    answers = []
    for j in range(len(fit.delays)):
        inputs = np.zeros((count, len(fit.delays)))
        inputs[:, j] = 1.0
        answers.append(_driven(fit.poles, fit.delays, inputs) @ fit.shares)
    return np.stack(answers, axis=2)


def gains(fit: Fit) -> Array:
    """`[i, j]`: by how much output i moves in the end for a move of 1 of input j."""
    modes = fit.poles.order
    return np.column_stack([_dc(fit.poles) @ fit.shares[j * modes : (j + 1) * modes] for j in range(len(fit.delays))])


def _settling(fit: Fit) -> float:
    responses, final = step_responses(fit), gains(fit)
    outside = np.abs(responses - final) > SETTLED * np.abs(final)
    return float(max(np.flatnonzero(outside.any(axis=(1, 2)))[-1] + 1, 1))


def _dc(poles: Poles) -> Array:
    a, b = poles.blocks()
    return np.asarray(np.linalg.solve(np.eye(len(a)) - a, b), dtype=np.float64)


def _gain(poles: Poles, weights: Array, at: Array) -> Array:
    return np.atleast_1d(_dc(_at(poles, at)) @ weights)


def _at(start: Poles, steps: Array) -> Poles:
    pairs = steps[len(start.real) :].reshape(-1, 2)
    return Poles(start.real + steps[: len(start.real)], start.pairs + pairs)


def _moved(start: Poles, longest: float, at: Array, step: Array) -> Array:
    here = _at(start, at)
    there = here.moved(step, longest)
    return np.concatenate([there.real - start.real, (there.pairs - start.pairs).ravel()])


def _driven(poles: Poles, delays: Sequence[int], inputs: Array) -> Array:
    """`[k, mode of input]`: every mode driven by every input behind its delay."""
    count, (a, b) = len(inputs), poles.blocks()
    responses = np.zeros((count, len(b)))
    lone = len(poles.real)
    if lone:
        powers = np.diag(a)[:lone][None, :] ** np.arange(count - 1)[:, None]
        responses[1:, :lone] = powers * b[:lone]
    for at in range(lone, len(b), 2):
        turned = complex(a[at, at], a[at + 1, at]) ** np.arange(count - 1)
        responses[1:, at], responses[1:, at + 1] = b[at] * turned.real, b[at] * turned.imag
    size = 2 * count
    spectra = np.fft.rfft(responses, size, axis=0)
    answers = []
    for j, delay in enumerate(delays):
        late = np.concatenate([np.zeros(min(delay, count)), inputs[: max(count - delay, 0), j]])
        answers.append(np.fft.irfft(spectra * np.fft.rfft(late, size)[:, None], size, axis=0)[:count])
    return np.column_stack(answers)


def _past(poles: Poles, count: int) -> Array:
    """What fades of the time before the record, and an offset."""
    time = np.arange(count)
    columns = [np.exp(-time[:, None] / np.exp(poles.real))]
    for time_constant, angle in np.exp(poles.pairs):
        fading = np.exp(-time / time_constant)
        columns.append(np.column_stack([fading * np.cos(angle * time), fading * np.sin(angle * time)]))
    return np.column_stack([*columns, np.ones(count)])

"""A long ARX model of one output: it whitens what the inputs leave unexplained, and starts the search for poles.

y(k) = sum of a_l y(k-l) + sum of b_jl u_j(k-l) + offset + e(k). Long enough, it is unbiased also where a controller
moves the inputs (Ljung, System Identification, 1999, 13.4; Zhu, Multivariable System Identification, 2001, chapter 6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edged_control.process_model.state_space import Array

ORDERS = (4, 8, 16, 32, 64)
SAMPLES_PER_PARAMETER = 4
UNFILTERED = np.ones(1)
FEEDBACK_LAGS = 12
INPUT_ORDER = 8
RARE = 3.29
"""Standard deviations that chance exceeds once in a thousand."""


@dataclass(frozen=True, slots=True)
class LongArx:
    """`outputs[l]` is a_(l+1), `inputs[l, j]` is b_j(l+1) with its standard error; `innovations` are the last e(k)."""

    outputs: Array
    inputs: Array
    input_errors: Array
    innovations: Array

    @property
    def whitening(self) -> Array:
        """The filter that turns what the inputs do not explain into white noise."""
        return np.concatenate([[1.0], -self.outputs])

    def impulse_responses(self, steps: int) -> Array:
        """`[k, j]`: the output k samples after input j was 1 for one sample."""
        order = len(self.outputs)
        answers = np.zeros((steps + 1 + order, self.inputs.shape[1]))
        for k in range(order + 1, steps + 1 + order):
            answers[k] = self.outputs @ answers[k - order : k][::-1]
            if k - order <= order:
                answers[k] += self.inputs[k - order - 1]
        return answers[order:]


def long_arx(inputs: Array, output: Array) -> LongArx:
    """Of the orders that the samples can carry the one with the lowest information criterion (Akaike 1974)."""
    most = len(output) // (SAMPLES_PER_PARAMETER * (inputs.shape[1] + 1))
    fits = [_fit(inputs, output, order) for order in ORDERS if order <= max(most, ORDERS[0])]
    return min(fits, key=lambda fit: _criterion(fit, len(output)))


def filtered(columns: Array, whitening: Array) -> Array:
    """Each column through the filter; the samples before it is full are left out."""
    if len(whitening) == 1:
        return columns
    windows = np.lib.stride_tricks.sliding_window_view(columns, len(whitening), axis=0)
    return np.asarray(windows @ whitening[::-1], dtype=np.float64)


def own_part(inputs: Array, outputs: Array, at: int) -> float:
    """Share of an input's variance that neither its past nor the outputs so far explain: what a controller added."""
    explaining = np.column_stack(
        [_past(inputs[:, [at]], INPUT_ORDER), outputs[INPUT_ORDER:], _past(outputs, INPUT_ORDER)]
    )
    left = _left(explaining, inputs[INPUT_ORDER:, at])
    return float(left.var() / max(inputs[:, at].var(), 1e-300))


def follows(values: Array, innovations: Array) -> bool:
    """Whether an input moves by what the output showed: its own news against innovations now and before."""
    news = _left(_past(values[:, None], INPUT_ORDER), values[INPUT_ORDER:])
    count = min(len(news), len(innovations))
    moved, shown = news[-count:] - news[-count:].mean(), innovations[-count:]
    power = math.sqrt(float(moved @ moved) * float(shown @ shown))
    if power <= 0.0:
        return False
    found = [float(moved[lag:] @ shown[: count - lag]) / power for lag in range(FEEDBACK_LAGS)]
    return count * sum(one * one for one in found) > chi_square_limit(FEEDBACK_LAGS)


def chi_square_limit(degrees: int) -> float:
    """What chance exceeds once in a thousand (Wilson and Hilferty 1931; one-sided, so at 3.09 deviations)."""
    spread = 2.0 / (9.0 * degrees)
    return degrees * float((1.0 - spread + 3.09 * math.sqrt(spread)) ** 3)


def _fit(inputs: Array, output: Array, order: int) -> LongArx:
    columns = np.column_stack([_past(output[:, None], order), _past(inputs, order), np.ones(len(output) - order)])
    wanted = output[order:]
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    columns = columns / scale
    weights = np.asarray(np.linalg.lstsq(columns, wanted, rcond=None)[0], dtype=np.float64)
    innovations = wanted - columns @ weights
    variance = float(innovations @ innovations) / max(len(wanted) - columns.shape[1], 1)
    spread = np.diag(np.linalg.pinv(columns.T @ columns, hermitian=True))
    errors, weights = np.sqrt(variance * np.maximum(spread, 0.0)) / scale, weights / scale
    count = inputs.shape[1]
    shape, lags = (order, count), slice(order, order + order * count)
    return LongArx(weights[:order], weights[lags].reshape(shape), errors[lags].reshape(shape), innovations)


def _criterion(fit: LongArx, samples: int) -> float:
    skipped = samples - ORDERS[-1] if samples > 2 * ORDERS[-1] else len(fit.innovations)
    judged = fit.innovations[-skipped:]
    return skipped * math.log(max(float(judged @ judged) / skipped, 1e-300)) + 2.0 * (
        fit.inputs.size + len(fit.outputs)
    )


def _past(values: Array, order: int) -> Array:
    """Columns of the values 1..order samples ago, for every sample from `order` on; all columns of one lag together."""
    count = len(values)
    return np.column_stack([values[order - lag : count - lag] for lag in range(1, order + 1)])


def _left(columns: Array, wanted: Array) -> Array:
    columns = np.column_stack([columns, np.ones(len(wanted))])
    return np.asarray(wanted - columns @ np.linalg.lstsq(columns, wanted, rcond=None)[0], dtype=np.float64)

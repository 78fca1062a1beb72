"""State-space models from recordings: poles from a realisation of long ARX models, then refined by least squares.

The impulse responses of the ARX models fill a Hankel matrix, whose singular vectors give a transition matrix of each
order (Ho and Kalman 1966; Juang and Pappa 1985). Its poles are where `modal` starts. Delays and order are those with
the lowest Bayesian information criterion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edged_control.identification.long_arx import LongArx
from edged_control.identification.modal import Fit, ModalError, gains, poles_of, step_responses
from edged_control.process_model.linear import Channel
from edged_control.process_model.state_space import Array

MOST_ORDER = 6
HANKEL = 60
"""Block rows and columns of the Hankel matrix."""
SEEN = 4.0
"""A coefficient of so many standard errors shows that the input acts."""
EARLIER, LATER = 3, 2
"""How far around the first sign of an input its delay is looked for, in periods."""
BEGUN = 0.05
"""Of a channel's dead time, as it is summed up: before it the output has moved by this share of the gain at most."""
PATIENCE = 2
"""So many orders without a better criterion end the search."""
PRICE = 2.0
"""A further pole must lower the criterion by more than this."""


@dataclass(frozen=True, slots=True)
class Realised:
    """A state-space model with what its fit left over. `gain_errors[i][j]` are standard errors."""

    fit: Fit
    problem: ModalError

    def channels(self, period_seconds: float) -> tuple[tuple[Channel, ...], ...]:
        """Gain, dead time and lag that sum each path up."""
        responses, final = step_responses(self.fit), gains(self.fit)
        return tuple(
            tuple(_summed_up(responses[:, i, j], float(gain), period_seconds) for j, gain in enumerate(row))
            for i, row in enumerate(final)
        )


def realise(
    inputs: Array, outputs: Array, models: Sequence[LongArx], whitening: Sequence[Array], longest: float
) -> Realised:
    """The best state-space model; `longest` is the longest time constant that is looked for, in periods."""
    problem = ModalError(inputs, outputs, whitening, longest)
    delays = [_first_sign(models, j) for j in range(inputs.shape[1])]
    block = min(HANKEL, len(inputs) // 8)
    responses = np.stack([model.impulse_responses(2 * block + max(delays)) for model in models], axis=1)
    fits: list[Fit] = []
    for order in range(1, MOST_ORDER + 1):
        matrix = _transition(responses, delays, block, order, outputs.std(axis=0), inputs.std(axis=0))
        fits.append(problem.fit(poles_of(matrix, longest), delays))
        best = min(fits, key=lambda fit: fit.criterion + PRICE * fit.poles.order)
        if order - best.poles.order >= PATIENCE:
            break
    return Realised(_delayed(problem, best), problem)


def _delayed(problem: ModalError, fit: Fit) -> Fit:
    """The same order with the best delays around the ones that it has."""
    for j in range(len(fit.delays)):
        around = range(max(0, fit.delays[j] - EARLIER), fit.delays[j] + LATER + 1)
        tried = [problem.fit(fit.poles, _replaced(fit.delays, j, delay)) for delay in around if delay != fit.delays[j]]
        fit = min([fit, *tried], key=lambda one: one.criterion)
    return fit


def _replaced(delays: Sequence[int], at: int, delay: int) -> tuple[int, ...]:
    return tuple(delay if n == at else old for n, old in enumerate(delays))


def _first_sign(models: Sequence[LongArx], at: int) -> int:
    """After how many periods an input first shows in an output, beyond the one that every input takes."""
    signs = [
        int(np.argmax(clear)) if (clear := np.abs(one.inputs[:, at]) > SEEN * one.input_errors[:, at]).any() else 0
        for one in models
    ]
    return min(signs)


def _transition(responses: Array, delays: Sequence[int], block: int, order: int, high: Array, wide: Array) -> Array:
    """The transition matrix of so many states whose impulse responses come closest, outputs and inputs scaled alike."""
    scaled = (
        np.stack([responses[delay : delay + 2 * block + 1, :, j] * wide[j] for j, delay in enumerate(delays)], axis=2)
        / np.maximum(high, 1e-300)[None, :, None]
    )
    rows = [np.hstack([scaled[r + c + 1] for c in range(block)]) for r in range(block)]
    left, values, _ = np.linalg.svd(np.vstack(rows), full_matrices=False)
    observed = left[:, :order] * np.sqrt(values[:order])
    outputs = responses.shape[1]
    return np.asarray(np.linalg.lstsq(observed[:-outputs], observed[outputs:], rcond=None)[0], dtype=np.float64)


def _summed_up(response: Array, gain: float, period_seconds: float) -> Channel:
    """Dead time until it begins, and the lag with the same area above the response."""
    begun = np.abs(response) > BEGUN * abs(gain)
    dead_time = max(int(np.argmax(begun)) - 1, 0) if begun.any() else 0
    area = float((1.0 - response[1:] / gain).sum()) + 0.5 if gain else 0.0
    lag = max(area - dead_time, 0.5)
    return Channel(gain, dead_time * period_seconds, lag * period_seconds)

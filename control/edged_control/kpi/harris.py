"""Harris index: the variance that the best feedback could reach, over the variance that is there.

From routine data alone: an autoregressive model of the error gives the first coefficients of its impulse response;
those within the dead time are what no controller can take away (Harris, Can. J. Chem. Eng. 67, 1989; Desborough and
Harris, Can. J. Chem. Eng. 70, 1992). The dead time is rarely known, so the index is told for a range of them, and it
ranks no loops: a tight loop can score above a healthy one.
"""

from __future__ import annotations

import numpy as np

from edged_control.kpi.window import Floats

MODEL_ORDER = 20
RIDGE = 1e-9
"""Of the variance; keeps a pure swing solvable."""


def harris_indices(error: Floats, delays: tuple[int, ...]) -> tuple[float, ...]:
    """One index between 0 and 1 for each dead time in samples (at least 1); 1 is minimum variance."""
    centred = error - error.mean()
    variance = float(centred.var())
    if variance == 0.0:
        return (1.0,) * len(delays)
    coefficients, noise = _autoregression(centred)
    response = _impulse_response(coefficients, max(delays))
    return tuple(min(1.0, noise * float((response[:delay] ** 2).sum()) / variance) for delay in delays)


def _autoregression(centred: Floats) -> tuple[Floats, float]:
    """Yule and Walker: y[k] = a1 y[k-1] + ... + e; the coefficients and the variance of e."""
    order = min(MODEL_ORDER, len(centred) // 10)
    moments = np.array([centred[lag:] @ centred[: len(centred) - lag] for lag in range(order + 1)]) / len(centred)
    distance = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    coefficients = np.asarray(np.linalg.solve(moments[distance] + RIDGE * moments[0] * np.eye(order), moments[1:]))
    return coefficients, max(0.0, float(moments[0] - coefficients @ moments[1:]))


def _impulse_response(coefficients: Floats, length: int) -> Floats:
    response = np.zeros(length)
    response[0] = 1.0
    for k in range(1, length):
        reach = min(k, len(coefficients))
        response[k] = coefficients[:reach] @ response[k - reach : k][::-1]
    return response

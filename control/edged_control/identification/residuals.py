"""What a residual says about a model: whether it is white, and whether an input is still to be seen in it."""

from __future__ import annotations

import math

import numpy as np

from edged_control.identification.long_arx import RARE, chi_square_limit
from edged_control.process_model.state_space import Array

LAGS = 20


def unwhiteness(residual: Array) -> float:
    """The test of Ljung and Box (1978) over 20 lags, as a share of what chance exceeds once in a thousand."""
    count, correlations = len(residual), _correlation(residual, residual)[1:]
    shares = correlations**2 / (count - np.arange(1, len(correlations) + 1))
    return float(count * (count + 2) * shares.sum() / chi_square_limit(len(correlations)))


def left_over(residual: Array, values: Array) -> float:
    """The largest correlation of a residual with an input before it, as a share of its limit for chance.

    The limit allows for a residual and an input that are not white (Ljung, System Identification, 1999, 16.6).
    """
    own, other = _correlation(residual, residual), _correlation(values, values)
    spread = math.sqrt(max(1.0 + 2.0 * float(own[1:] @ other[1:]), 1.0) / len(residual))
    return float(np.abs(_correlation(residual, values)[1:]).max()) / (RARE * spread)


def _correlation(later: Array, earlier: Array) -> Array:
    """`[lag]`: of `later` with `earlier` so many samples before, from 0 on."""
    later, earlier = later - later.mean(), earlier - earlier.mean()
    power = math.sqrt(float(later @ later) * float(earlier @ earlier))
    count = len(later)
    sums = [float(later[lag:] @ earlier[: count - lag]) for lag in range(LAGS + 1)]
    return np.array(sums) / power if power > 0.0 else np.zeros(LAGS + 1)

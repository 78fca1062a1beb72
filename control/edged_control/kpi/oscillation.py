"""Whether a loop swings: regularity of the zero crossings of its autocorrelation, and how slowly that decays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edged_control.kpi.window import Floats

REGULAR = 1.0
SLOW_DECAY = 0.5
CROSSINGS = 11
FEWEST_CROSSINGS = 5


class Oscillation(NamedTuple):
    """`regularity` above 1 means a regular period (Thornhill, Huang and Zhang, J. Process Control 13, 2003).

    `decay_ratio` above 0.5 means that it does not die away (Miao and Seborg, Control Eng. Practice 7, 1999).
    """

    regularity: float
    decay_ratio: float
    period_seconds: float | None

    @property
    def found(self) -> bool:
        """Both say so."""
        return self.regularity > REGULAR and self.decay_ratio > SLOW_DECAY


def oscillation(error: Floats, period_seconds: float) -> Oscillation:
    """Judges the error of at least a few periods."""
    correlation = autocorrelation(error)
    crossings = _zero_crossings(correlation)[:CROSSINGS]
    regularity, period = 0.0, None
    if len(crossings) >= FEWEST_CROSSINGS:
        periods = 2.0 * np.diff(crossings) * period_seconds
        period, spread = float(periods.mean()), float(periods.std())
        regularity = float("inf") if spread == 0.0 else period / (3.0 * spread)
    ratio = decay_ratio(correlation, crossings)
    return Oscillation(regularity, ratio, period if regularity > REGULAR else None)


def autocorrelation(values: Floats) -> Floats:
    """For lags from 0 to half the length, by FFT; 1 at lag 0, all 0 for constant values."""
    centred = values - values.mean()
    size = 2 * len(centred)
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    raw = np.fft.irfft(spectrum, size)[: len(centred) // 2]
    return raw / raw[0] if raw[0] > 0.0 else np.zeros_like(raw)


def decay_ratio(correlation: Floats, crossings: Floats) -> float:
    """How deep the second swing of the autocorrelation is beside the first; 0 where there is none."""
    if len(crossings) < 3:
        return 0.0
    first, second, third = (int(np.ceil(crossing)) for crossing in crossings[:3])
    end = int(np.ceil(crossings[3])) if len(crossings) > 3 else len(correlation)
    low = first + int(np.argmin(correlation[first:second]))
    high = second + int(np.argmax(correlation[second:third]))
    if third >= end:
        return 0.0
    next_low = third + int(np.argmin(correlation[third:end]))
    above = correlation[high] - np.interp(high, (low, next_low), (correlation[low], correlation[next_low]))
    below = np.interp(low, (0, high), (correlation[0], correlation[high])) - correlation[low]
    return float(above / below) if below > 0.0 else 0.0


def _zero_crossings(correlation: Floats) -> Floats:
    """Lags at which the sign changes, between the samples."""
    signs = np.signbit(correlation)
    at = np.flatnonzero(signs[1:] != signs[:-1])
    left, right = correlation[at], correlation[at + 1]
    return at + left / (left - right)

"""Whether a sticking valve makes a loop swing; three methods that look at different things and vote.

All are for self-regulating processes under a controller with integral action, on the cycles of a swinging loop.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from edged_control.kpi.window import Floats

STICTION_INDEX, NO_STICTION_INDEX = 0.6, 0.4
FEWEST_HALF_PERIODS = 4
SHORTEST_HALF_PERIOD = 6
ODD_LAG, ODD_HEIGHT = 2.0 / 3.0, 1.0 / 3.0
EVEN_LAG = 1.0 / 3.0
EVEN_HEIGHT = (2.0 - 3.0**0.5) / (2.0 + 3.0**0.5)
"""Phase shifts of 60 and 30 degrees from that of a linear loop, as lags and heights of the cross-correlation."""
SEGMENT = 64
FEWEST_SEGMENTS = 16
LONGEST_PERIOD = SEGMENT / 2.0
NON_LINEAR = 0.01
BY_CHANCE = 0.05
"""A Gaussian signal may show such a peak in one of twenty windows: 2 K times it is chi-squared of two degrees."""
SMALLEST_POWER_SHARE = 1e-4


class Finding(StrEnum):
    """What one method says."""

    STICTION = "stiction"
    NONE = "no stiction"
    UNDECIDED = "undecided"


class Stiction(NamedTuple):
    """The three votes; `curve_index` is above 0.6 for triangles (stiction), below 0.4 for sinusoids."""

    cross_correlation: Finding
    curve_fit: Finding
    curve_index: float
    bicoherence: Finding

    @property
    def found(self) -> bool:
        """At least two of three say so."""
        return (self.cross_correlation, self.curve_fit, self.bicoherence).count(Finding.STICTION) >= 2


def stiction(output: Floats, process_value: Floats, error: Floats, period: float) -> Stiction:
    """All three methods on one window that swings with a period in samples."""
    index = curve_index(output)
    coupled = bicoherence(error) if period <= LONGEST_PERIOD else Finding.UNDECIDED
    return Stiction(cross_correlation(output, process_value), _by_index(index), index, coupled)


def cross_correlation(output: Floats, process_value: Floats) -> Finding:
    """Odd about lag 0: the valve sticks; even: something else swings (Horch, Control Eng. Practice 7, 1999)."""
    u, y = output - output.mean(), process_value - process_value.mean()
    scale = float(np.sqrt((u @ u) * (y @ y)))
    if scale == 0.0:
        return Finding.UNDECIDED
    size = 2 * len(u)
    raw = np.fft.irfft(np.conj(np.fft.rfft(u, size)) * np.fft.rfft(y, size), size) / scale
    reach = len(u) // 2
    right, left = raw[: reach + 1], np.concatenate((raw[:1], raw[: -reach - 1 : -1]))
    to_right, to_left = _first_crossing(right), _first_crossing(left)
    if to_right is None or to_left is None:
        return Finding.UNDECIDED
    at_zero = abs(float(raw[0]))
    lobe = np.concatenate((right[: int(to_right) + 1], left[: int(to_left) + 1]))
    best = float(np.max(np.abs(lobe)))
    lag = abs(to_left - to_right) / (to_left + to_right)
    height = abs(at_zero - best) / (at_zero + best)
    if lag > ODD_LAG and height > ODD_HEIGHT:
        return Finding.STICTION
    return Finding.NONE if lag < EVEN_LAG and height < EVEN_HEIGHT else Finding.UNDECIDED


def curve_index(output: Floats) -> float:
    """Error of a sinusoid over that of sinusoid and triangle, fitted to each half period (He et al., IECR 46, 2007).

    0.5 where there are too few half periods to tell.
    """
    centred = output - output.mean()
    signs = np.signbit(centred)
    at = np.flatnonzero(signs[1:] != signs[:-1]) + 1
    halves = [centred[start:end] for start, end in pairwise(at) if end - start >= SHORTEST_HALF_PERIOD]
    if len(halves) < FEWEST_HALF_PERIODS:
        return 0.5
    sinusoid = sum(_sinusoid_error(half) for half in halves)
    triangle = sum(_triangle_error(half) for half in halves)
    both = sinusoid + triangle
    return float(sinusoid / both) if both > 0.0 else 0.5


def bicoherence(error: Floats) -> Finding:
    """Waves coupled in phase betray a non-linear valve (Choudhury, Shah and Thornhill, Automatica 40, 2004)."""
    segments = np.lib.stride_tricks.sliding_window_view(error - error.mean(), SEGMENT)[:: SEGMENT // 2]
    if len(segments) < FEWEST_SEGMENTS:
        return Finding.UNDECIDED
    spectra = np.fft.rfft((segments - segments.mean(axis=1, keepdims=True)) * np.hanning(SEGMENT), axis=1)
    squared = _squared_bicoherence(spectra)
    if squared.size == 0:
        return Finding.UNDECIDED
    by_chance = -np.log(BY_CHANCE / squared.size) / len(segments)
    non_linear = float(squared.max() - (squared.mean() + 2.0 * squared.std()))
    return Finding.STICTION if float(squared.max()) > by_chance and non_linear > NON_LINEAR else Finding.NONE


def _squared_bicoherence(spectra: np.ndarray[tuple[int, ...], np.dtype[np.complex128]]) -> Floats:
    """Over the pairs of frequencies that carry any power, each pair once."""
    power = np.mean(np.abs(spectra) ** 2, axis=0)
    strong = np.flatnonzero(power > SMALLEST_POWER_SHARE * power.max())
    quarter = [(a, b) for a in strong for b in strong if 0 < b <= a and a + b < spectra.shape[1]]
    found = []
    for a, b in quarter:
        pair, third = spectra[:, a] * spectra[:, b], spectra[:, a + b]
        scale = float(np.mean(np.abs(pair) ** 2) * np.mean(np.abs(third) ** 2))
        if scale > 0.0:
            found.append(abs(complex(np.mean(pair * np.conj(third)))) ** 2 / scale)
    return np.array(found)


def _by_index(index: float) -> Finding:
    if index >= STICTION_INDEX:
        return Finding.STICTION
    return Finding.NONE if index <= NO_STICTION_INDEX else Finding.UNDECIDED


def _first_crossing(side: Floats) -> float | None:
    """The lag at which one side of the cross-correlation first changes its sign."""
    signs = np.signbit(side)
    at = np.flatnonzero(signs[1:] != signs[:-1])
    if len(at) == 0:
        return None
    left, right = side[at[0]], side[at[0] + 1]
    return float(at[0] + left / (left - right))


def _sinusoid_error(half: Floats) -> float:
    wave = np.sin(np.pi * (np.arange(len(half)) + 0.5) / len(half))
    return float(np.sum((half - wave * (wave @ half) / (wave @ wave)) ** 2))


def _triangle_error(half: Floats) -> float:
    """The best of the triangles whose top is at each inner sample: two straight lines through the ends."""
    place = (np.arange(len(half)) + 0.5) / len(half)
    best = float("inf")
    for top in place[1:-1]:
        wave = np.minimum(place / top, (1.0 - place) / (1.0 - top))
        best = min(best, float(np.sum((half - wave * (wave @ half) / (wave @ wave)) ** 2)))
    return best

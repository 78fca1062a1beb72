"""Error integrals, movement of the output and answers to set-point steps."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from edged_control.kpi.window import Floats, LoopWindow

SETTLED_SHARE = 0.05
"""A step has settled when the error stays within this share of it."""
SMALLEST_STEP_SIGMAS = 3.0


class Movement(NamedTuple):
    """Times in seconds; integrals in the process value's unit, travel in the output's.

    `integral_time_error` counts the time from the last change of the set-point. Settling and overshoot (percent of the
    step) are the mean over the window's set-point steps, None where there was none.
    """

    integral_absolute_error: float
    integral_squared_error: float
    integral_time_error: float
    error_variance: float
    output_variation: float
    reversals_per_hour: float
    travel_per_hour: float
    crossings_per_hour: float
    settling_seconds: float | None
    overshoot_percent: float | None


def movement(window: LoopWindow) -> Movement:
    """Figures of a window that passed the data gates."""
    error, period, hours = window.error, window.period_seconds, window.hours
    moves = np.diff(window.output)
    travel = float(np.abs(moves).sum())
    answers = [_answer(window, start, end) for start, end in _steps(window)]
    steps = [answer for answer in answers if answer is not None]
    return Movement(
        integral_absolute_error=float(np.abs(error).sum() * period),
        integral_squared_error=float((error**2).sum() * period),
        integral_time_error=float((np.abs(error) * _since_change(window.set_point, period)).sum() * period),
        error_variance=float(error.var()),
        output_variation=travel,
        reversals_per_hour=_sign_changes(moves) / hours,
        travel_per_hour=travel / hours,
        crossings_per_hour=_sign_changes(error) / hours,
        settling_seconds=float(np.mean([settling for settling, _ in steps])) if steps else None,
        overshoot_percent=float(np.mean([overshoot for _, overshoot in steps])) if steps else None,
    )


def _sign_changes(values: Floats) -> int:
    """Changes of sign; zeros are passed over."""
    signs = np.sign(values)
    signs = signs[signs != 0.0]
    return int(np.count_nonzero(np.diff(signs)))


def _since_change(set_point: Floats, period: float) -> Floats:
    """Seconds since the last change of the set-point, or since the window's begin."""
    index = np.arange(len(set_point))
    changed = np.concatenate(([True], np.diff(set_point) != 0.0))
    last_change = np.maximum.accumulate(np.where(changed, index, 0))
    return np.asarray((index - last_change) * period, np.float64)


def _steps(window: LoopWindow) -> list[tuple[int, int]]:
    """First cycle and end of each stretch after a change of the set-point."""
    starts = [int(at) + 1 for at in np.flatnonzero(np.diff(window.set_point))]
    return list(pairwise([*starts, len(window.set_point)]))


def _answer(window: LoopWindow, start: int, end: int) -> tuple[float, float] | None:
    """Settling time (s) and overshoot (%) of one step; None for one that noise hides or that did not settle."""
    step = window.set_point[start] - window.set_point[start - 1]
    error = window.error[start:end]
    tail = error[-max(1, len(error) // 4) :]
    if abs(step) < SMALLEST_STEP_SIGMAS * float(tail.std()):
        return None
    outside = np.flatnonzero(np.abs(error) > max(SETTLED_SHARE * abs(step), 2.0 * float(tail.std())))
    settled = int(outside[-1]) + 1 if len(outside) else 0
    if settled == len(error):
        return None
    beyond = float(np.max(-np.sign(step) * error, initial=0.0))
    return settled * window.period_seconds, 100.0 * beyond / abs(step)

"""Whether a window says anything about its loop: judged before any figure is made of it."""

from __future__ import annotations

import numpy as np

from edged_control.kpi.window import Floats, LoopWindow

FEWEST_CYCLES = 100
FEWEST_LEVELS = 20
LARGEST_SATURATED_SHARE = 0.05
LARGEST_MOVING_SHARE = 0.5
EDGE_SHARE = 0.001
"""So near to a limit, as a share of the range, an output counts as saturated."""


def saturated_share(window: LoopWindow) -> float:
    """Share of the cycles with the output at one of the limits that were in force then."""
    edge = EDGE_SHARE * (window.high - window.low)
    return float(np.mean((window.output <= window.low + edge) | (window.output >= window.high - edge)))


def data_faults(window: LoopWindow) -> tuple[str, ...]:
    """Why the window can't be judged, empty when it can: its cycles are those in AUTO."""
    if len(window.time) < FEWEST_CYCLES:
        return (f"only {len(window.time)} cycles in AUTO, at least {FEWEST_CYCLES} are needed",)
    faults = []
    flat, still = np.ptp(window.process_value) == 0.0, np.ptp(window.output) == 0.0
    if flat and not still:
        faults.append("the process value stands still although the output moves")
    if still:
        faults.append("the output stands still")
    levels = len(np.unique(window.process_value))
    if not flat and levels < FEWEST_LEVELS:
        faults.append(f"the process value has only {levels} levels: its resolution hides what the loop does")
    saturated = saturated_share(window)
    if saturated > LARGEST_SATURATED_SHARE:
        faults.append(f"the output is at a limit for {saturated:.0%} of the time")
    moving = _moving_share(window.set_point)
    if moving > LARGEST_MOVING_SHARE:
        faults.append(f"the set-point moves for {moving:.0%} of the time")
    return tuple(faults)


def _moving_share(set_point: Floats) -> float:
    return float(np.mean(np.diff(set_point) != 0.0))

"""The least error of the last output that any controller can leave: what nobody can foresee over the dead time.

Minimum variance (Harris 1989): a controller that knows the plant exactly, and how its loads wander, still has to tell
them from the gauges' noise, and acts only after the dead time. Its error is what a Kalman filter can't predict.
"""

from __future__ import annotations

import math

import numpy as np

from bench.control_loop import END_SPAN
from bench.control_plants import WANDER_SHARE, Case
from edged_control.process_model.linear import Channel
from edged_control.process_model.state_space import Array, held_lags

STEP_SECONDS = 1.0
PERIODS_TO_REST = 3000
MEAN_OF_NORMAL = math.sqrt(2.0 / math.pi)
"""Mean of the absolute value of a normal number of deviation 1."""


def least_error(case: Case) -> float:
    """Integral of the absolute error over the script of one run, expected; of its steps only what the dead time costs.

    Lower than what can be reached: rates, lags of the own path and the furnace's load step are left out.
    """
    last = len(case.outputs) - 1
    own = case.paths[last][last]
    steps = abs(case.steps[last]) + abs(case.loads[last] * own.gain)
    return wandering_error(case) * END_SPAN * case.span + 2.0 * steps * own.dead_time


def wandering_error(case: Case) -> float:
    """Mean absolute error while nothing but the wandering loads moves the plant."""
    last = len(case.outputs) - 1
    moved, noise, seen = _loads(case)
    gauges = np.diag([output.noise**2 for output in case.outputs])
    steps = round(case.period / STEP_SECONDS)
    covariance = noise.copy()
    for _ in range(PERIODS_TO_REST):
        for _ in range(steps):
            covariance = moved @ covariance @ moved.T + noise
        gain = covariance @ seen.T @ np.linalg.inv(seen @ covariance @ seen.T + gauges)
        covariance = covariance - gain @ seen @ covariance
    first = round(case.paths[last][last].dead_time / STEP_SECONDS)
    deviations = []
    for step in range(first + steps):
        if step >= first:
            deviations.append(math.sqrt((seen @ covariance @ seen.T)[last, last]))
        covariance = moved @ covariance @ moved.T + noise
    return MEAN_OF_NORMAL * float(np.mean(deviations))


def _loads(case: Case) -> tuple[Array, Array, Array]:
    """x+ = moved x + noise: the loads, then the lags of every path; what of it is seen in the outputs."""
    inputs, outputs = len(case.inputs), len(case.outputs)
    paths = [(i, j, path) for i, row in enumerate(case.paths) for j, path in enumerate(row) if path.gain]
    size = inputs + 2 * len(paths)
    moved, noise, seen = np.zeros((size, size)), np.zeros((size, size)), np.zeros((outputs, size))
    keep = math.exp(-STEP_SECONDS / case.span)
    for j, load in enumerate(case.loads):
        moved[j, j], noise[j, j] = keep, (WANDER_SHARE * load) ** 2 * (1.0 - keep**2)
    for at, (i, j, path) in enumerate(paths):
        own = slice(inputs + 2 * at, inputs + 2 * at + 2)
        moved[own, own], moved[own, j] = held_lags(Channel(path.gain, 0.0, path.lag, path.second_lag), STEP_SECONDS)
        seen[i, own.stop - 1] = path.gain
    return moved, noise, seen

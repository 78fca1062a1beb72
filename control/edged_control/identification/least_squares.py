"""Levenberg and Marquardt with difference quotients: for a few parameters and a residual that costs little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edged_control.process_model.state_space import Array

ITERATIONS = 40
FIRST_DAMPING, DAMPING_FACTOR, GREATEST_DAMPING = 1e-2, 4.0, 1e8
DIFFERENCE = 1e-3


def slopes(at: Array, count: int, moved: Callable[[Array, Array], Array], value: Callable[[Array], Array]) -> Array:
    """`[element, step]`: how `value` changes with each of `count` steps from `at`."""
    here = value(at)
    return np.column_stack([(value(moved(at, step)) - here) / DIFFERENCE for step in DIFFERENCE * np.eye(count)])


def minimised(
    at: Array,
    count: int,
    moved: Callable[[Array, Array], Array],
    value: Callable[[Array], Array],
    *,
    converged: float = 1e-9,
) -> Array:
    """Where the sum of squares of `value` is least, near `at`; `moved` takes `count` steps and keeps the bounds.

    It ends where a step gains less than the share `converged`.
    """
    residual, damping = value(at), FIRST_DAMPING
    for _ in range(ITERATIONS):
        jacobian = slopes(at, count, moved, value)
        normal, pull = jacobian.T @ jacobian, jacobian.T @ residual
        scale = np.diag(np.maximum(np.diag(normal), 1e-30))
        step = np.asarray(np.linalg.solve(normal + damping * scale, -pull), dtype=np.float64)
        tried = moved(at, step)
        following = value(tried)
        gained = 1.0 - float(following @ following) / max(float(residual @ residual), 1e-300)
        if gained > 0.0:
            at, residual, damping = tried, following, damping / DAMPING_FACTOR
            if gained < converged:
                break
        else:
            damping *= DAMPING_FACTOR
            if damping > GREATEST_DAMPING:
                break
    return at

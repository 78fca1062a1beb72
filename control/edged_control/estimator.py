"""Where the plant is: the state of the model, run on the applied inputs, and the disturbances that explain the rest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edged_control.disturbances import Disturbances
from edged_control.state_space import Array, StateSpace


class Estimate(NamedTuple):
    """The state of the model and that of the disturbances."""

    state: Array
    disturbance: Array


class Estimator:
    """Follows the plant from measurements and applied inputs, in units relative to the first of them."""

    def __init__(self, system: StateSpace, disturbances: Disturbances) -> None:
        self._system = system
        self._disturbances = disturbances
        self._estimate: Estimate | None = None
        self.innovation = np.zeros(len(disturbances.c))

    @property
    def estimate(self) -> Estimate | None:
        """The last estimate; None before the first measurement."""
        return self._estimate

    def reset(self) -> None:
        """Forgets everything; the next measurement is taken for a plant that stands still."""
        self._estimate = None

    def follow(self, measured: Array, applied: Array, periods: int) -> Estimate:
        """The estimate `periods` samples after the last, during which `applied` was held. NaN measurements are skipped.

        With no estimate to start from, the plant is taken to stand still.
        """
        system, known = self._system, self._disturbances
        if self._estimate is None:
            steady = system.steady(applied)
            surplus = np.nan_to_num(measured - system.c @ steady)
            self._estimate = Estimate(steady, known.rest @ surplus)
            self.innovation = np.zeros_like(surplus)
            return self._estimate
        state, disturbance = self._estimate
        for _ in range(periods):
            state = system.a @ state + system.b @ applied
            disturbance = known.a @ disturbance
        if periods:
            self.innovation = np.nan_to_num(measured - system.c @ state - known.c @ disturbance)
            disturbance = disturbance + known.gain @ self.innovation
        self._estimate = Estimate(state, disturbance)
        return self._estimate

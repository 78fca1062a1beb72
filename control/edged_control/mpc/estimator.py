"""Where the plant is: the state of the model, run on the applied inputs, and the disturbances that explain the rest."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from edged_control.mpc.disturbances import Disturbances
from edged_control.process_model.state_space import Array


class Process(Protocol):
    """The model of a plant whose inputs are held between samples, as the estimate runs it."""

    def steady(self, inputs: Array) -> Array:
        """The state in which the inputs have stood for ever."""
        ...

    def advance(self, state: Array, inputs: Array) -> Array:
        """The state one sample later."""
        ...

    def outputs(self, state: Array) -> Array:
        """What the gauges would show of a state, with nothing beside the model."""
        ...


class Estimate(NamedTuple):
    """The state of the model and that of the disturbances."""

    state: Array
    disturbance: Array


class Estimator:
    """Follows the plant from measurements and applied inputs, in the units of its process."""

    def __init__(self, process: Process, disturbances: Disturbances) -> None:
        self._process = process
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
        process, known = self._process, self._disturbances
        if self._estimate is None:
            steady = process.steady(applied)
            surplus = np.nan_to_num(measured - process.outputs(steady))
            self._estimate = Estimate(steady, known.rest @ surplus)
            self.innovation = np.zeros_like(surplus)
            return self._estimate
        state, disturbance = self._estimate
        for _ in range(periods):
            state = process.advance(state, applied)
            disturbance = known.a @ disturbance
        if periods:
            self.innovation = np.nan_to_num(measured - process.outputs(state) - known.c @ disturbance)
            disturbance = disturbance + known.gain @ self.innovation
        self._estimate = Estimate(state, disturbance)
        return self._estimate

"""Where the plant is: the state of the model, run on the applied inputs, and the disturbances that explain the rest."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from edged_control.mpc.disturbances import Observer
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

    def __init__(self, process: Process, observer: Observer, outputs: int) -> None:
        self._process = process
        self._observer = observer
        self._estimate: Estimate | None = None
        self.innovation = np.zeros(outputs)
        self.evidence = 0.0
        """How well the last measurement was foreseen, as its observer tells it; 0 where nothing was to foresee."""

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
        process, observer = self._process, self._observer
        self.evidence = 0.0
        if self._estimate is None:
            state = process.steady(applied)
            observer.begin(np.nan_to_num(measured - process.outputs(state)))
            self.innovation = np.zeros_like(self.innovation)
        else:
            state = self._estimate.state
            for _ in range(periods):
                state = process.advance(state, applied)
                observer.advance()
            if periods:
                self.innovation = observer.correct(measured - process.outputs(state))
                self.evidence = observer.evidence
        self._estimate = Estimate(state, observer.state)
        return self._estimate

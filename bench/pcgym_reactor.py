"""The reactor of pc-gym's CSTR from its published equations, as a controller may know it, and an estimate of its state.

dCa/dt = q/V (Caf - Ca) - r, dT/dt = q/V (Ti - T) + H r / (rho C) + UA (Tc - T) / (rho C V), r = k0 exp(-E/T) Ca, in
minutes, kelvin, mol/l (Hedengren, apmonitor.com, "Stirred reactor"; the numbers are pc-gym's).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edged_control.process_model.state_space import Array

FLOW_PER_VOLUME = 1.0
FEED_CONCENTRATION, FEED_TEMPERATURE = 1.0, 350.0
REACTION_PER_MINUTE, ACTIVATION_KELVIN = 7.2e10, 8750.0
HEAT_KELVIN_LITRES = 5e4 / (1000.0 * 0.239)
COOLING_PER_MINUTE = 5e4 / (1000.0 * 0.239 * 100.0)
SUBSTEPS = 8
DIFFERENCES = (1e-5, 1e-2)
"""Of concentration and temperature, for the derivatives."""
MODEL_DEVIATIONS, GAUGE_DEVIATION, FIRST_DEVIATIONS = (1e-5, 0.05), 1e-4, (1e-4, 5.0)
"""Of the state per period, of the gauge, and of what is known at first."""


class State(NamedTuple):
    """Concentration in mol/l and temperature in K."""

    concentration: float
    temperature: float


def advanced(state: State, coolant: float, minutes: float) -> State:
    """The state after so many minutes of held coolant (Runge and Kutta, fourth order)."""
    step = minutes / SUBSTEPS
    for _ in range(SUBSTEPS):
        first = _slope(state, coolant)
        second = _slope(_moved(state, first, step / 2.0), coolant)
        third = _slope(_moved(state, second, step / 2.0), coolant)
        fourth = _slope(_moved(state, third, step), coolant)
        mean = State(
            *((a + 2.0 * b + 2.0 * c + d) / 6.0 for a, b, c, d in zip(first, second, third, fourth, strict=True))
        )
        state = _moved(state, mean, step)
    return state


class Observer:
    """An extended Kalman filter: the temperature is never measured, it shows in how the concentration moves."""

    def __init__(self, period_minutes: float) -> None:
        self._period = period_minutes
        self._state: State | None = None
        self._spread: Array = np.diag(np.square(FIRST_DEVIATIONS))

    def follow(self, concentration: float, coolant: float) -> State:
        """The state now, `coolant` held since the last call; at first, one at which the concentration stands still."""
        if self._state is None:
            predicted = State(concentration, standing_temperature(concentration))
        else:
            predicted = advanced(self._state, coolant, self._period)
            turned = self._jacobian(self._state, coolant)
            self._spread = turned @ self._spread @ turned.T + np.diag(np.square(MODEL_DEVIATIONS))
        gain = self._spread[:, 0] / (self._spread[0, 0] + GAUGE_DEVIATION**2)
        self._spread = self._spread - np.outer(gain, self._spread[0])
        self._state = State(*(np.array(predicted) + gain * (concentration - predicted.concentration)))
        return self._state

    def _jacobian(self, state: State, coolant: float) -> Array:
        columns = []
        for at, difference in enumerate(DIFFERENCES):
            sides = [
                advanced(
                    State(*(value + sign * difference * (n == at) for n, value in enumerate(state))),
                    coolant,
                    self._period,
                )
                for sign in (1.0, -1.0)
            ]
            columns.append((np.array(sides[0]) - np.array(sides[1])) / (2.0 * difference))
        return np.column_stack(columns)


def standing_temperature(concentration: float) -> float:
    """The temperature in K at which as much reacts as flows in."""
    rate = FLOW_PER_VOLUME * (FEED_CONCENTRATION - concentration) / concentration
    return ACTIVATION_KELVIN / math.log(REACTION_PER_MINUTE / rate)


def _slope(state: State, coolant: float) -> State:
    rate = REACTION_PER_MINUTE * math.exp(-ACTIVATION_KELVIN / state.temperature) * state.concentration
    return State(
        FLOW_PER_VOLUME * (FEED_CONCENTRATION - state.concentration) - rate,
        FLOW_PER_VOLUME * (FEED_TEMPERATURE - state.temperature)
        + HEAT_KELVIN_LITRES * rate
        + COOLING_PER_MINUTE * (coolant - state.temperature),
    )


def _moved(state: State, slope: State, minutes: float) -> State:
    return State(state.concentration + minutes * slope.concentration, state.temperature + minutes * slope.temperature)

"""A furnace whose PLC holds the crown temperature, as whoever sets its set-point sees it: glass leaves at the throat.

Only plain arithmetic stands in `slope`, so that it takes symbols of an optimiser as well as numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from edged_physics.dynamics import runge_kutta
from edged_physics.furnace import Furnace, FurnaceInputs, FurnaceState, steady_melt, steady_power
from edged_physics.furnace import slope as furnace_slope

LARGEST_STEP_SHARE = 0.5
"""Of the fastest lag: well within what Runge-Kutta's method bears (2.8)."""


@dataclass(frozen=True, slots=True)
class CrownControl:
    """The furnace at work. Power in W, temperatures in degC, flows in kg/s."""

    furnace: Furnace
    pull_rate: float
    ambient: float
    controller_gain: float
    """W/K of the PLC's PI controller, which takes the crown temperature."""
    controller_integral_seconds: float
    burner_lag_seconds: float
    throat_lag_seconds: float
    throat_drop: float
    """K that the glass loses between melt and throat."""


class CrownState(NamedTuple):
    """Crown, melt and throat in degC, the PLC's integral and the released heat in W."""

    crown: float
    melt: float
    throat: float
    integral: float
    power: float


def slope(plant: CrownControl, set_point: float, state: CrownState) -> CrownState:
    """Time derivatives of every state under a crown set-point in degC."""
    crown, melt, throat, integral, power = state
    push = plant.controller_gain * (set_point - crown)
    lumps = furnace_slope(plant.furnace, FurnaceState(crown, melt), _inputs(plant, power))
    return CrownState(
        lumps.crown,
        lumps.melt,
        (melt - plant.throat_drop - throat) / plant.throat_lag_seconds,
        push / plant.controller_integral_seconds,
        (integral + push - power) / plant.burner_lag_seconds,
    )


def advance(plant: CrownControl, set_point: float, state: CrownState, seconds: float) -> CrownState:
    """The state after some time under one set-point, in equal steps of Runge-Kutta."""
    longest = LARGEST_STEP_SHARE * min(plant.burner_lag_seconds, plant.throat_lag_seconds)
    steps = math.ceil(seconds / longest)
    for _ in range(steps):
        state = runge_kutta(partial(slope, plant, set_point), state, seconds / steps)
    return state


def steady(plant: CrownControl, set_point: float) -> CrownState:
    """The state in which a set-point has been held for ever."""
    melt = steady_melt(plant.furnace, set_point, _inputs(plant, 0.0))
    power = steady_power(plant.furnace, FurnaceState(set_point, melt), plant.ambient)
    return CrownState(set_point, melt, melt - plant.throat_drop, power, power)


def _inputs(plant: CrownControl, power: float) -> FurnaceInputs:
    return FurnaceInputs(power=power, batch_rate=plant.pull_rate, ambient=plant.ambient)

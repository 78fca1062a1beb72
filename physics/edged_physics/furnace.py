"""A melting furnace as two lumps, crown and melt, coupled by radiation. Temperatures in degC, power in W."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from edged_physics.constants import HEAT_CAPACITY, KELVIN_AT_ZERO_CELSIUS, MELTING_HEAT, STEFAN_BOLTZMANN
from edged_physics.dynamics import runge_kutta

LOWEST_CELSIUS = 20.0
HIGHEST_CELSIUS = 2500.0
BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class Furnace:
    """Size and losses; the defaults melt 8 kg/s at 1530 degC with about 36 MW."""

    crown_heat_capacity: float = 1.0e8
    """J/K of lining and combustion space."""
    melt_mass_kg: float = 250_000.0
    radiating_area: float = 207.0
    """m2 of melt surface."""
    emissivity: float = 0.7
    burner_efficiency: float = 0.65
    """Share of the released heat that stays in the furnace; the rest leaves with the flue gas."""
    crown_loss: float = 2650.0
    """W/K through the crown and the walls."""
    melt_loss: float = 1100.0
    """W/K through the bottom."""

    @property
    def radiation_factor(self) -> float:
        """eps sigma A, W/K4."""
        return self.emissivity * STEFAN_BOLTZMANN * self.radiating_area


class FurnaceState(NamedTuple):
    """Mean temperatures of the two lumps, degC."""

    crown: float
    melt: float


class FurnaceInputs(NamedTuple):
    """What acts on the furnace: released heat (W), charged batch (kg/s), its extra heat need (J/kg), ambient (degC)."""

    power: float
    batch_rate: float
    batch_heat: float = 0.0
    ambient: float = 25.0


def radiation(furnace: Furnace, crown: float, melt: float) -> float:
    """Net heat from crown to melt, W: eps sigma A (Tc^4 - Tm^4)."""
    crown_kelvin, melt_kelvin = crown + KELVIN_AT_ZERO_CELSIUS, melt + KELVIN_AT_ZERO_CELSIUS
    return furnace.radiation_factor * (crown_kelvin**4 - melt_kelvin**4)


def slope(furnace: Furnace, state: FurnaceState, inputs: FurnaceInputs) -> FurnaceState:
    """Time derivatives, K/s: both heat balances divided by their heat capacities."""
    exchanged = radiation(furnace, state.crown, state.melt)
    crown_watts = (
        furnace.burner_efficiency * inputs.power - exchanged - furnace.crown_loss * (state.crown - inputs.ambient)
    )
    melt_watts = exchanged - _batch_watts(state.melt, inputs) - furnace.melt_loss * (state.melt - inputs.ambient)
    return FurnaceState(crown_watts / furnace.crown_heat_capacity, melt_watts / (furnace.melt_mass_kg * HEAT_CAPACITY))


def step(furnace: Furnace, state: FurnaceState, inputs: FurnaceInputs, seconds: float) -> FurnaceState:
    """One step of classical Runge-Kutta (4th order)."""
    return runge_kutta(lambda at: slope(furnace, at, inputs), state, seconds)


def steady_melt(furnace: Furnace, crown: float, inputs: FurnaceInputs) -> float:
    """The melt temperature that a crown temperature holds in balance, degC; `inputs.power` does not matter."""
    low, high = LOWEST_CELSIUS, HIGHEST_CELSIUS
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if slope(furnace, FurnaceState(crown, middle), inputs).melt > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def steady_power(furnace: Furnace, state: FurnaceState, ambient: float) -> float:
    """The released heat that holds the crown temperature, W."""
    needed = radiation(furnace, state.crown, state.melt) + furnace.crown_loss * (state.crown - ambient)
    return needed / furnace.burner_efficiency


def residence_seconds(furnace: Furnace, pull_rate: float) -> float:
    """Mean residence time of the glass, s, from the pull rate in kg/s."""
    return furnace.melt_mass_kg / pull_rate


def _batch_watts(melt: float, inputs: FurnaceInputs) -> float:
    return inputs.batch_rate * (HEAT_CAPACITY * (melt - inputs.ambient) + MELTING_HEAT + inputs.batch_heat)

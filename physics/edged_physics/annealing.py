"""Annealing in the lehr: cooling rate, residual stress, structural relaxation. Temperatures in degC."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edged_physics.constants import (
    EXPANSION_PER_KELVIN,
    KELVIN_AT_ZERO_CELSIUS,
    POISSON_RATIO,
    THERMAL_DIFFUSIVITY,
    YOUNG_MODULUS_PA,
)
from edged_physics.viscosity import relaxation_seconds

MILLIMETRES_PER_METRE = 1000.0
PASCALS_PER_MEGAPASCAL = 1e6

STRUCTURAL_SHARE = 0.4
"""Share of residual stress that comes from structural relaxation (Gardon and Narayanaswamy 1970)."""

NON_LINEARITY = 0.5
"""Narayanaswamy's x: how far the relaxation time follows the temperature rather than the structure."""

ACTIVATION_KELVIN = 77_000.0
"""Activation energy over the gas constant in the transition range, about 640 kJ/mol."""


def cooling_rate(upper: float, lower: float, distance: float, belt_speed: float) -> float:
    """Cooling in degC/min between two points of the lehr `distance` metres apart, at a belt speed in m/min."""
    return (upper - lower) / (distance / belt_speed)


def temperature_difference(rate: float, thickness: float) -> float:
    """Difference between mid-plane and surface, K, of a plate (mm) that cools at `rate` (K/s): R d^2 / (8 a)."""
    return rate * (thickness / MILLIMETRES_PER_METRE) ** 2 / (8.0 * THERMAL_DIFFUSIVITY)


def midplane_tension(rate: float, thickness: float) -> float:
    """Residual tension in the mid-plane, MPa: E alpha dT / (3 (1 - nu)); `rate` in K/s, `thickness` in mm."""
    strain = EXPANSION_PER_KELVIN * temperature_difference(rate, thickness)
    return YOUNG_MODULUS_PA * strain / (3.0 * (1.0 - POISSON_RATIO)) / PASCALS_PER_MEGAPASCAL


def surface_compression(rate: float, thickness: float) -> float:
    """Residual compression at the surface, MPa: twice the tension in the mid-plane (parabolic profile)."""
    return 2.0 * midplane_tension(rate, thickness)


def structural_tension(rate: float, thickness: float) -> float:
    """The part of the mid-plane tension that structural relaxation brings, MPa; plain Maxwell misses it."""
    return STRUCTURAL_SHARE * midplane_tension(rate, thickness)


def structural_seconds(celsius: float, fictive: float) -> float:
    """Relaxation time of the structure, s (Tool-Narayanaswamy): Maxwell's at T = Tf, split by `NON_LINEARITY`."""
    inverse = 1.0 / (celsius + KELVIN_AT_ZERO_CELSIUS) - 1.0 / (fictive + KELVIN_AT_ZERO_CELSIUS)
    return relaxation_seconds(fictive) * math.exp(NON_LINEARITY * ACTIVATION_KELVIN * inverse)


def fictive_step(celsius: float, fictive: float, seconds: float) -> float:
    """The fictive temperature after a step at constant temperature, degC: exact for dTf/dt = (T - Tf) / tau."""
    return celsius + (fictive - celsius) * math.exp(-seconds / structural_seconds(celsius, fictive))


def fictive_temperature(profile: Sequence[float], step_seconds: float) -> float:
    """The fictive temperature that a plate keeps after cooling along a profile, starting in equilibrium, degC."""
    fictive = profile[0]
    for celsius in profile:
        fictive = fictive_step(celsius, fictive, step_seconds)
    return fictive

"""Viscosity of soda-lime float glass. Temperatures in degC, viscosity in Pa.s."""

from __future__ import annotations

import math

from edged_physics.constants import SHEAR_MODULUS_PA

VFT_A = -2.9224
"""log10 of the viscosity (Pa.s) at infinite temperature; Vogel-Fulcher-Tammann through published float isokoms."""

VFT_B_CELSIUS = 4789.2
VFT_T0_CELSIUS = 218.1

LITTLETON_LOG10 = 6.6
ANNEALING_LOG10 = 12.0
STRAIN_LOG10 = 13.5

LITTLETON_CELSIUS = 721.0
"""Softening point: the glass gives way under its own weight."""

ANNEALING_CELSIUS = 539.0
"""Stress relaxes within minutes."""

STRAIN_CELSIUS = 510.0
"""Below it, stress stays for good."""


def log10_viscosity(celsius: float) -> float:
    """log10 of the viscosity in Pa.s, by Vogel-Fulcher-Tammann; valid above the glass transition, T > T0."""
    return VFT_A + VFT_B_CELSIUS / (celsius - VFT_T0_CELSIUS)


def viscosity(celsius: float) -> float:
    """Viscosity in Pa.s."""
    return math.pow(10.0, log10_viscosity(celsius))


def temperature_of(log10_pascal_seconds: float) -> float:
    """The temperature in degC at which the glass has that viscosity: the inverse of `log10_viscosity`."""
    return VFT_T0_CELSIUS + VFT_B_CELSIUS / (log10_pascal_seconds - VFT_A)


def sensitivity(celsius: float) -> float:
    """Relative change of the viscosity per kelvin, d(ln eta)/dT; negative."""
    return -math.log(10.0) * VFT_B_CELSIUS / (celsius - VFT_T0_CELSIUS) ** 2


def relaxation_seconds(celsius: float) -> float:
    """Maxwell's relaxation time eta / G."""
    return viscosity(celsius) / SHEAR_MODULUS_PA

"""Properties of soda-lime float glass and constants of nature, in SI units unless the name says otherwise."""

from __future__ import annotations

KELVIN_AT_ZERO_CELSIUS = 273.15
STEFAN_BOLTZMANN = 5.670374419e-8
"""W/(m2 K4), CODATA 2018."""

DENSITY = 2500.0
"""kg/m3."""

YOUNG_MODULUS_PA = 72e9
SHEAR_MODULUS_PA = 30e9
POISSON_RATIO = 0.22
EXPANSION_PER_KELVIN = 9e-6
THERMAL_DIFFUSIVITY = 4.4e-7
"""m2/s, in the annealing range."""

HEAT_CAPACITY = 1250.0
"""J/(kg K), mean between room and melting temperature."""

MELTING_HEAT = 0.5e6
"""J/kg, reaction and melting of the batch (Conradt, in: Handbook of glass technology; 0.45-0.6 MJ/kg with cullet)."""

"""From the settings of a furnace to its model: the physics, its hash, and the form in which an estimator runs it."""

from __future__ import annotations

import hashlib
import json

from edged.controller_settings import FurnaceSettings
from edged_physics.crown_control import CrownControl
from edged_physics.furnace import Furnace

MODEL_FORMAT = "edged-furnace-model-1"
PLAN_STEPS = 24
"""Of a plan; each is a whole number of control periods."""
NONLINEAR_LIBRARIES, NONLINEAR_EXTRA = ("do_mpc", "casadi", "numpy"), "control-nonlinear"
"""What the process of a nonlinear solver imports, and the extra that brings it."""


def furnace_hash(settings: FurnaceSettings) -> str:
    """SHA-256 over everything that the model is made of."""
    content = {"format": MODEL_FORMAT, **settings.model_dump()}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def furnace_of(settings: FurnaceSettings) -> CrownControl:
    """The physics that the settings describe."""
    return CrownControl(
        furnace=Furnace(
            crown_heat_capacity=settings.crown_heat_capacity_joules_per_kelvin,
            melt_mass_kg=settings.melt_mass_kilograms,
            radiating_area=settings.melt_area_square_metres,
            emissivity=settings.emissivity,
            burner_efficiency=settings.burner_efficiency,
            crown_loss=settings.crown_loss_watts_per_kelvin,
            melt_loss=settings.melt_loss_watts_per_kelvin,
        ),
        pull_rate=settings.pull_rate_kilograms_per_second,
        ambient=settings.ambient_celsius,
        controller_gain=settings.controller_gain_watts_per_kelvin,
        controller_integral_seconds=settings.controller_integral_seconds,
        burner_lag_seconds=settings.burner_lag_seconds,
        throat_lag_seconds=settings.throat_lag_seconds,
        throat_drop=settings.throat_drop_kelvin,
    )

"""A furnace under a nonlinear MPC: what its controller is told."""

from __future__ import annotations

from bench.furnace_plant import INPUT, PERIOD_SECONDS, SETTINGS
from edged_control.mpc.linear import InputLimits

__all__ = ["FURNACE", "LIMITS", "PERIOD_SECONDS", "RATE_PER_SECOND", "SETTINGS"]

RATE_PER_SECOND = INPUT.rate_per_second
LIMITS = InputLimits(INPUT.low, INPUT.high, RATE_PER_SECOND)
FURNACE = SETTINGS.furnace

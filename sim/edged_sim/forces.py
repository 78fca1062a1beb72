"""Disturbances that a scenario applies to the plant on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Target(StrEnum):
    """What a disturbance acts on, and the unit of its `amount`."""

    PULL_RATE = "pull_rate"
    """kg/s of glass drawn."""
    BURNER_POWER = "burner_power"
    """kW of released heat, hidden from the furnace controller."""
    FURNACE_SETPOINT = "furnace_setpoint"
    """K on the set-point, as a wrong recipe would."""
    BATCH_MOISTURE = "batch_moisture"
    """J/kg of extra heat that wet batch takes."""
    AMBIENT_TEMPERATURE = "ambient_temperature"
    """K around the furnace."""
    BELT_SPEED = "belt_speed"
    """m/min of slip between drive and belt."""
    MOULD_TEMPERATURE = "mould_temperature"
    """K lost or gained in the moulds."""
    FORMING_PRESSURE = "forming_pressure"
    """MPa."""
    PRESSURE_OSCILLATION = "pressure_oscillation"
    """MPa amplitude of a worn valve's hunting."""
    COOLING_FANS = "cooling_fans"
    """% of fan speed."""


@dataclass(frozen=True, slots=True)
class Force:
    """How one quantity is bent: value * factor + amount."""

    factor: float = 1.0
    amount: float = 0.0


NO_FORCE = Force()


@dataclass(slots=True)
class Forces:
    """The forces that act now."""

    active: dict[Target, Force] = field(default_factory=dict)

    def on(self, target: Target, value: float) -> float:
        """The value as the disturbance leaves it."""
        force = self.active.get(target, NO_FORCE)
        return value * force.factor + force.amount

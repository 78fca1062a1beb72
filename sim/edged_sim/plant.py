"""The simulated glass line on its own virtual clock: sections coupled, deterministic by seed.

The plant is not the controllers' model: it wanders, wears, delays and lags in ways that no model is told of.
"""

from __future__ import annotations

import random

from edged.types import Value
from edged_physics.defects import Conditions
from edged_sim.forces import Forces
from edged_sim.inspection import Inspection, Unit
from edged_sim.lehr import Lehr
from edged_sim.melting import GlassFlow, Melting
from edged_sim.shaping import Shaping

STEP_SECONDS = 0.1
"""Every section advances by this fixed step."""


class Plant:
    """Furnace, forming, lehr and inspection machine. Same seed, same steps, same writes: same values."""

    def __init__(self, seed: int, unit_prefix: str = "A-", flow: GlassFlow = GlassFlow.METERED) -> None:
        self.forces = Forces()
        self.seconds = 0.0
        rng = random.Random(seed)  # noqa: S311 - repeatable noise, not a secret
        self.melting = Melting(rng, STEP_SECONDS, flow)
        self.shaping = Shaping(rng, STEP_SECONDS, self.melting.throat, flow)
        self.lehr = Lehr(rng, STEP_SECONDS, self.shaping.belt_speed)
        self.inspection = Inspection(rng, STEP_SECONDS, self.conditions(), unit_prefix)
        self._owed = 0.0

    def advance(self, seconds: float) -> list[Unit]:
        """Advances by whole steps; a remainder waits for the next call. Returns the units judged meanwhile."""
        self._owed += seconds
        units = []
        while self._owed >= STEP_SECONDS - 1e-9:
            self._owed -= STEP_SECONDS
            unit = self._step()
            if unit is not None:
                units.append(unit)
        return units

    def conditions(self) -> Conditions:
        """What the glass goes through now."""
        return Conditions(
            self.melting.temperature,
            self.shaping.belt_speed,
            self.shaping.mould_temperature,
            self.shaping.pressure_variation,
            self.lehr.cooling_rate,
        )

    def readings(self) -> dict[str, Value]:
        """True values by path below the line, without the scan counters, which belong to the Modbus face."""
        return {
            **self.melting.readings(),
            **self.shaping.readings(),
            **self.lehr.readings(),
            **self.inspection.readings(),
        }

    def write(self, path: str, value: Value) -> None:
        """Takes a set-point, the heartbeat or a switch. Raises KeyError for what nobody can write."""
        section, attribute = _WRITABLE[path]
        setattr(getattr(self, section), attribute, value)

    def _step(self) -> Unit | None:
        self.seconds += STEP_SECONDS
        forces = self.forces
        self.melting.step(forces)
        self.shaping.step(forces, self.melting.pull_rate, self.melting.throat)
        self.lehr.step(forces, self.shaping.belt_speed, self.shaping.thickness)
        return self.inspection.step(self.conditions(), self.shaping.thickness)


_WRITABLE = {
    "furnace/temperature_setpoint": ("melting", "setpoint"),
    "forming/belt_speed_setpoint": ("shaping", "belt_setpoint"),
    "forming/mould_temperature_setpoint": ("shaping", "mould_setpoint"),
    "forming/forming_pressure_setpoint": ("shaping", "pressure_setpoint"),
    "forming/heartbeat": ("shaping", "heartbeat"),
    "forming/remote_mode": ("shaping", "remote_mode"),
    "forming/permissive": ("shaping", "permissive"),
    "forming/running": ("shaping", "running"),
}

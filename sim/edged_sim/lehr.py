"""The annealing lehr of the simulated line: eight zones, two fans, a belt geared down from the forming belt."""

from __future__ import annotations

import random

from edged.types import Value
from edged_physics import annealing as physics
from edged_physics.dynamics import DelayedLag, Lag
from edged_sim.forces import Forces, Target
from edged_sim.wander import Wander

ZONE_CELSIUS = (575.0, 545.0, 535.0, 525.0, 515.0, 430.0, 300.0, 170.0)
"""Zones 2 to 5 hold the annealing range, 545 to 515 degC."""
FAN_EFFECT_KELVIN = (0.0, 0.0, -0.13, -0.27, -0.40, -0.60, -0.60, -0.50)
"""K per % of fan speed."""
ZONE_LAG_SECONDS = 60.0
FAN_DELAY_SECONDS = 120.0
FAN_LAG_SECONDS = 45.0
FAN_PERCENT = 50.0
BELT_GEAR = 1.0 / 25.0
"""Cut plates stand side by side in the lehr, so its belt runs at a twenty-fifth of the forming belt."""
BELT_LAG_SECONDS = 2.0
SLOWEST_BELT = 0.5
RANGE_LENGTH_M = 36.0
"""From the middle of zone 2 to the middle of zone 5."""
EXIT_CELSIUS = 75.0
EXIT_PER_KELVIN = 0.4
SECONDS_PER_MINUTE = 60.0


class Lehr:
    """Zones follow fans and ambient; the cooling rate follows zones and belt."""

    def __init__(self, rng: random.Random, step_seconds: float, belt_speed: float) -> None:
        self.thickness = 4.0
        self._belt = Lag(BELT_LAG_SECONDS, step_seconds, belt_speed * BELT_GEAR)
        self._fans = [Wander(rng, 0.6, 200.0, step_seconds) for _ in range(2)]
        self._fan_speeds = [FAN_PERCENT, FAN_PERCENT]
        self._draught = DelayedLag(FAN_DELAY_SECONDS, FAN_LAG_SECONDS, step_seconds, FAN_PERCENT)
        self._zones = [Lag(ZONE_LAG_SECONDS, step_seconds, celsius) for celsius in ZONE_CELSIUS]
        self._wander = [Wander(rng, 0.5, 300.0, step_seconds) for _ in ZONE_CELSIUS]

    @property
    def cooling_rate(self) -> float:
        """Through the annealing range, degC/min."""
        return physics.cooling_rate(
            self._zones[1].value, self._zones[4].value, RANGE_LENGTH_M, max(self._belt.value, SLOWEST_BELT)
        )

    def step(self, forces: Forces, belt_speed: float, thickness: float) -> None:
        """Advances one plant step; `belt_speed` of the forming belt in m/min."""
        self.thickness = thickness
        self._belt.step(belt_speed * BELT_GEAR)
        fan = forces.on(Target.COOLING_FANS, FAN_PERCENT)
        self._fan_speeds = [min(max(fan + wander.step(), 0.0), 100.0) for wander in self._fans]
        draught = self._draught.step(sum(self._fan_speeds) / len(self._fan_speeds))
        for zone, celsius, effect, wander in zip(
            self._zones, ZONE_CELSIUS, FAN_EFFECT_KELVIN, self._wander, strict=True
        ):
            zone.step(celsius + effect * (draught - FAN_PERCENT) + wander.step())

    def readings(self) -> dict[str, Value]:
        """True values by path below the line."""
        rate = self.cooling_rate
        values: dict[str, Value] = {
            f"annealing/zone_{number}_temperature": zone.value for number, zone in enumerate(self._zones, start=1)
        }
        values |= {
            "annealing/cooling_rate": rate,
            "annealing/fan_1_speed": self._fan_speeds[0],
            "annealing/fan_2_speed": self._fan_speeds[1],
            "annealing/residual_stress": physics.midplane_tension(rate / SECONDS_PER_MINUTE, self.thickness),
            "annealing/exit_temperature": EXIT_CELSIUS + EXIT_PER_KELVIN * (self._zones[-1].value - ZONE_CELSIUS[-1]),
            "annealing/belt_speed": self._belt.value,
        }
        return values

"""The furnace of the simulated line: crown and melt, its controller, batch charger and gauges."""

from __future__ import annotations

import random
from enum import StrEnum

from edged.types import Value
from edged_physics import furnace as physics
from edged_physics.dynamics import Lag
from edged_physics.viscosity import viscosity
from edged_sim.forces import Forces, Target
from edged_sim.wander import Wander

FURNACE = physics.Furnace()
SETPOINT_CELSIUS = 1530.0
PULL_RATE = 8.0
"""kg/s; 4.0 mm at 150 m/min and 320 mm width."""
AMBIENT_CELSIUS = 25.0
POWER_LIMIT_WATTS = 50e6
MELT_LEVEL_MM = 1200.0

SLOW_STEP_SECONDS = 1.0
THERMOCOUPLE_LAG_SECONDS = 20.0
THROAT_LAG_SECONDS = 900.0
THROAT_DROP_KELVIN = 250.0
BURNER_LAG_SECONDS = 60.0

CONTROLLER_GAIN = 0.8e6
"""W/K."""
CONTROLLER_INTEGRAL_SECONDS = 900.0

FUEL_HEAT_KWH_PER_M3 = 10.0
AIR_PER_FUEL = 9.5
OXYGEN_IN_AIR = 20.95
OXYGEN_PERCENT = 2.2
FURNACE_PRESSURE_KPA = 15.0
MELT_AREA_M2 = 100.0
CHARGER_GAIN = 0.02
"""kg/s per mm of level."""
GLASS_DENSITY_AT_MELT = 2350.0
"""kg/m3 at 1400 degC."""
ZONE_OFFSETS_KELVIN = (-45.0, -18.0, 8.0, 24.0, 12.0, -22.0)
WATTS_PER_KILOWATT = 1000.0
MILLIMETRES_PER_METRE = 1000.0


class GlassFlow(StrEnum):
    """How much glass is drawn: what is metered, or what its viscosity lets through the gap (flow ~ 1 / viscosity)."""

    METERED = "metered"
    BY_VISCOSITY = "by_viscosity"


class Melting:
    """Furnace with its controller; begins in balance at the set-point."""

    def __init__(
        self,
        rng: random.Random,
        step_seconds: float,
        flow: GlassFlow = GlassFlow.METERED,
        furnace: physics.Furnace = FURNACE,
    ) -> None:
        self.setpoint = SETPOINT_CELSIUS
        self._flow = flow
        self.pull_rate = PULL_RATE
        self._furnace = furnace
        inputs = physics.FurnaceInputs(0.0, PULL_RATE, 0.0, AMBIENT_CELSIUS)
        self._state = physics.FurnaceState(
            SETPOINT_CELSIUS, physics.steady_melt(self._furnace, SETPOINT_CELSIUS, inputs)
        )
        self._integral = physics.steady_power(self._furnace, self._state, AMBIENT_CELSIUS)
        self._burner = Lag(BURNER_LAG_SECONDS, SLOW_STEP_SECONDS, self._integral)
        self._thermocouple = Lag(THERMOCOUPLE_LAG_SECONDS, SLOW_STEP_SECONDS, SETPOINT_CELSIUS)
        self._throat = Lag(THROAT_LAG_SECONDS, SLOW_STEP_SECONDS, self._state.melt)
        self._usual_viscosity = viscosity(self.throat)
        self._batch_rate = PULL_RATE
        self._level = MELT_LEVEL_MM
        self._pull_wander = Wander(rng, 0.002, 240.0, step_seconds)
        self._ambient = Wander(rng, 2.0, 3600.0, SLOW_STEP_SECONDS)
        self._heat_value = Wander(rng, 0.004, 900.0, SLOW_STEP_SECONDS)
        self._moisture = Wander(rng, 15e3, 1800.0, SLOW_STEP_SECONDS)
        self._oxygen = Wander(rng, 0.15, 120.0, SLOW_STEP_SECONDS)
        self._pressure = Wander(rng, 0.3, 30.0, SLOW_STEP_SECONDS)
        self._zones = [Wander(rng, 1.5, 300.0, SLOW_STEP_SECONDS) for _ in ZONE_OFFSETS_KELVIN]
        self._since_slow = 0.0
        self._step_seconds = step_seconds

    @property
    def temperature(self) -> float:
        """What the control thermocouple feels, degC."""
        return self._thermocouple.value

    @property
    def throat(self) -> float:
        """Temperature of the glass that leaves, degC."""
        return self._throat.value - THROAT_DROP_KELVIN

    def step(self, forces: Forces) -> None:
        """Advances one plant step; the slow heat balance moves once a second."""
        self.pull_rate = forces.on(Target.PULL_RATE, PULL_RATE * self._ease() * (1.0 + self._pull_wander.step()))
        self._since_slow += self._step_seconds
        if self._since_slow >= SLOW_STEP_SECONDS - self._step_seconds / 2:
            self._since_slow = 0.0
            self._slow_step(forces)

    def _ease(self) -> float:
        """How much more easily the glass flows than usual."""
        if self._flow is GlassFlow.METERED:
            return 1.0
        return self._usual_viscosity / viscosity(self.throat)

    def readings(self) -> dict[str, Value]:
        """True values by path below the line."""
        crown, melt = self._state
        fuel = self._burner.value / WATTS_PER_KILOWATT / FUEL_HEAT_KWH_PER_M3
        oxygen = OXYGEN_PERCENT + self._oxygen.value
        values: dict[str, Value] = {
            "furnace/temperature": self._thermocouple.value,
            "furnace/crown_temperature": crown,
            "furnace/melt_temperature": melt,
            "furnace/throat_temperature": self.throat,
        }
        for number, (offset, wander) in enumerate(zip(ZONE_OFFSETS_KELVIN, self._zones, strict=True), start=1):
            values[f"furnace/zone_{number}_temperature"] = crown + offset + wander.value
        values |= {
            "furnace/pressure": FURNACE_PRESSURE_KPA + self._pressure.value,
            "furnace/melt_level": self._level,
            "furnace/fuel_flow": fuel,
            "furnace/air_flow": fuel * AIR_PER_FUEL * OXYGEN_IN_AIR / (OXYGEN_IN_AIR - oxygen),
            "furnace/oxygen": oxygen,
            "furnace/power": self._burner.value / WATTS_PER_KILOWATT,
            "furnace/batch_rate": self._batch_rate,
            "furnace/pull_rate": self.pull_rate,
            "furnace/viscosity": viscosity(self.throat),
            "furnace/temperature_setpoint": self.setpoint,
        }
        return values

    def _slow_step(self, forces: Forces) -> None:
        power = self._burner.step(self._control(forces)) * (1.0 + self._heat_value.step())
        inputs = physics.FurnaceInputs(
            forces.on(Target.BURNER_POWER, power / WATTS_PER_KILOWATT) * WATTS_PER_KILOWATT,
            self._batch_rate,
            forces.on(Target.BATCH_MOISTURE, self._moisture.step()),
            forces.on(Target.AMBIENT_TEMPERATURE, AMBIENT_CELSIUS + self._ambient.step()),
        )
        self._state = physics.step(self._furnace, self._state, inputs, SLOW_STEP_SECONDS)
        self._thermocouple.step(self._state.crown)
        self._throat.step(self._state.melt)
        self._charge()
        for wander in (self._oxygen, self._pressure, *self._zones):
            wander.step()

    def _control(self, forces: Forces) -> float:
        """PI control of the crown, W; the integral stands still while the burners are at their limit."""
        error = forces.on(Target.FURNACE_SETPOINT, self.setpoint) - self._thermocouple.value
        wanted = self._integral + CONTROLLER_GAIN * error
        power = min(max(wanted, 0.0), POWER_LIMIT_WATTS)
        if power == wanted:
            self._integral += CONTROLLER_GAIN * error * SLOW_STEP_SECONDS / CONTROLLER_INTEGRAL_SECONDS
        return power

    def _charge(self) -> None:
        self._batch_rate = max(0.0, self.pull_rate + CHARGER_GAIN * (MELT_LEVEL_MM - self._level))
        volume_rate = (self._batch_rate - self.pull_rate) / GLASS_DENSITY_AT_MELT
        self._level += volume_rate / MELT_AREA_M2 * MILLIMETRES_PER_METRE * SLOW_STEP_SECONDS

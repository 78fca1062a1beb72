"""The forming section of the simulated line: belt drive, ribbon, moulds and forming pressure."""

from __future__ import annotations

import math
import random
from collections import deque

from edged.types import Value
from edged_physics import forming as physics
from edged_physics.dynamics import Delay, DelayedLag, Lag
from edged_sim.forces import Forces, Target
from edged_sim.melting import GlassFlow
from edged_sim.wander import Wander

BELT_SPEED = 150.0
"""m/min."""
BELT_LIMIT = 200.0
SLOWEST_RIBBON = 10.0
"""m/min; below it no ribbon is drawn and the gauge keeps its last profile."""
DRIVE_LAG_SECONDS = 0.8
RIBBON_WIDTH_MM = 320.0
THICKNESS_MM = 4.0

MOULD_CELSIUS = 420.0
MOULD_DELAY_SECONDS = 120.0
MOULD_LAG_SECONDS = 600.0
MOULD_OFFSETS_KELVIN = (-3.0, 1.5, 4.0, -2.5)

FORMING_PRESSURE_MPA = 40.0
PRESSURE_LAG_SECONDS = 1.0
PRESSURE_PER_SPEED = 0.05
"""MPa per m/min: a faster belt pulls the glass harder through the gap."""
BELT_TO_PRESSURE_SECONDS = 7.0
OSCILLATION_SECONDS = 8.0
VARIATION_WINDOW_SECONDS = 60

GLASS_DROP_KELVIN = 90.0
GLASS_LAG_SECONDS = 60.0
RPM_PER_SPEED = 12.0
IDLE_CURRENT_A = 55.0
CURRENT_PER_SPEED = 0.42
VIBRATION_MM_S = 1.8
VIBRATION_PER_SPEED = 0.006
WEAR_PER_HOUR = 0.01
"""mm/s of vibration per hour of running."""
COOLING_AIR_M3_H = 12_000.0
COOLING_AIR_PER_KELVIN = 15.0
SECONDS_PER_HOUR = 3600.0
SAMPLE_SECONDS = 1.0


class Shaping:
    """Belt, ribbon, moulds and press; begins in balance at 4.0 mm."""

    def __init__(
        self, rng: random.Random, step_seconds: float, throat: float, flow: GlassFlow = GlassFlow.METERED
    ) -> None:
        self._flow = flow
        self.belt_setpoint = BELT_SPEED
        self.mould_setpoint = MOULD_CELSIUS
        self.pressure_setpoint = FORMING_PRESSURE_MPA
        self.heartbeat = 0
        self.remote_mode = True
        self.permissive = True
        self.running = True
        self.belt_speed = BELT_SPEED
        self.pressure = FORMING_PRESSURE_MPA
        self._seconds = 0.0
        self._step_seconds = step_seconds
        self._drive = Lag(DRIVE_LAG_SECONDS, step_seconds, BELT_SPEED)
        self._ribbon = DelayedLag(
            physics.TRANSPORT_DELAY_SECONDS, physics.THICKNESS_LAG_SECONDS, step_seconds, THICKNESS_MM
        )
        self._mould = DelayedLag(MOULD_DELAY_SECONDS, MOULD_LAG_SECONDS, step_seconds, MOULD_CELSIUS)
        self._press = Lag(PRESSURE_LAG_SECONDS, step_seconds, FORMING_PRESSURE_MPA)
        self._belt_to_press = Delay(BELT_TO_PRESSURE_SECONDS, step_seconds, BELT_SPEED)
        self._glass = Lag(GLASS_LAG_SECONDS, step_seconds, throat - GLASS_DROP_KELVIN)
        self._belt_wander = Wander(rng, 0.06, 20.0, step_seconds)
        self._width = Wander(rng, 0.4, 90.0, step_seconds)
        self._wedge = Wander(rng, 0.015, 180.0, step_seconds)
        self._bow = Wander(rng, 0.01, 240.0, step_seconds)
        self._pressure_wander = Wander(rng, 0.8, 6.0, step_seconds)
        self._mould_wander = Wander(rng, 1.5, 400.0, step_seconds)
        self._pressures: deque[float] = deque([FORMING_PRESSURE_MPA], maxlen=VARIATION_WINDOW_SECONDS)
        self._since_sample = 0.0

    @property
    def thickness(self) -> float:
        """Mean thickness at the gauge, mm."""
        return self._ribbon.value

    @property
    def mould_temperature(self) -> float:
        """Mean of the moulds, degC."""
        return self._mould.value + self._mould_wander.value

    @property
    def pressure_variation(self) -> float:
        """Highest less lowest forming pressure of the last minute, MPa."""
        return max(self._pressures) - min(self._pressures)

    def step(self, forces: Forces, pull_rate: float, throat: float) -> None:
        """Advances one plant step with the glass that comes from the furnace."""
        self._seconds += self._step_seconds
        wanted = min(max(self.belt_setpoint, 0.0), BELT_LIMIT) if self.running else 0.0
        driven = self._drive.step(wanted)
        self.belt_speed = max(0.0, forces.on(Target.BELT_SPEED, driven + self._belt_wander.step()))
        self._width.step()
        if self.belt_speed > SLOWEST_RIBBON:
            self._ribbon.step(physics.thickness(pull_rate, self.belt_speed, RIBBON_WIDTH_MM + self._width.value))
        self._wedge.step()
        self._bow.step()
        self._mould.step(forces.on(Target.MOULD_TEMPERATURE, self.mould_setpoint))
        self._mould_wander.step()
        self._glass.step(throat - self._drop())
        self._step_pressure(forces)

    def readings(self) -> dict[str, Value]:
        """True values by path below the line."""
        thickness, speed = self.thickness, self.belt_speed
        mould = self.mould_temperature
        values: dict[str, Value] = {
            "forming/belt_speed": speed,
            "forming/thickness": thickness,
            "forming/thickness_left": thickness - self._wedge.value,
            "forming/thickness_center": thickness + self._bow.value,
            "forming/thickness_right": thickness + self._wedge.value,
            "forming/mould_temperature": mould,
        }
        for number, offset in enumerate(MOULD_OFFSETS_KELVIN, start=1):
            values[f"forming/mould_{number}_temperature"] = mould + offset
        wear = WEAR_PER_HOUR * self._seconds / SECONDS_PER_HOUR
        values |= {
            "forming/forming_pressure": self.pressure,
            "forming/glass_temperature": self._glass.value,
            "forming/ribbon_width": RIBBON_WIDTH_MM + self._width.value,
            "forming/motor_current": IDLE_CURRENT_A + CURRENT_PER_SPEED * speed if speed > 0 else 0.0,
            "forming/motor_speed": speed * RPM_PER_SPEED,
            "forming/vibration": (VIBRATION_MM_S + wear + VIBRATION_PER_SPEED * speed) if speed > 0 else 0.0,
            "forming/cooling_air_flow": COOLING_AIR_M3_H + COOLING_AIR_PER_KELVIN * (mould - MOULD_CELSIUS),
            "forming/belt_speed_setpoint": self.belt_setpoint,
            "forming/mould_temperature_setpoint": self.mould_setpoint,
            "forming/forming_pressure_setpoint": self.pressure_setpoint,
            "forming/heartbeat": self.heartbeat,
            "forming/remote_mode": self.remote_mode,
            "forming/permissive": self.permissive,
            "forming/running": self.running,
        }
        return values

    def _drop(self) -> float:
        """By how much the glass cools on its way here, K: in proportion to the time that it takes."""
        if self._flow is GlassFlow.METERED:
            return GLASS_DROP_KELVIN
        return GLASS_DROP_KELVIN * BELT_SPEED / max(self.belt_speed, SLOWEST_RIBBON)

    def _step_pressure(self, forces: Forces) -> None:
        coupling = PRESSURE_PER_SPEED * (self._belt_to_press.step(self.belt_speed) - BELT_SPEED)
        swing = forces.on(Target.PRESSURE_OSCILLATION, 0.0) * math.sin(math.tau * self._seconds / OSCILLATION_SECONDS)
        held = self._press.step(self.pressure_setpoint) + coupling + self._pressure_wander.step() + swing
        self.pressure = max(0.0, forces.on(Target.FORMING_PRESSURE, held))
        self._since_sample += self._step_seconds
        if self._since_sample >= SAMPLE_SECONDS - self._step_seconds / 2:
            self._since_sample = 0.0
            self._pressures.append(self.pressure)

"""The simulated furnace as a plant for controllers: its crown set-point moves the glass at the throat, hours later."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from bench.control_plants import FURNACE_INPUT as CROWN
from bench.control_plants import SCORED, Case, Mismatch, Output, Path
from edged.controller_settings import FurnaceSettings, NonlinearMpcSettings, PidSettings
from edged_physics.dynamics import Delay
from edged_physics.furnace import Furnace
from edged_sim.forces import Force, Forces, Target
from edged_sim.melting import FURNACE, SETPOINT_CELSIUS, SLOW_STEP_SECONDS, Melting

PERIOD_SECONDS = 60.0
NOISE_KELVIN = 0.3
DEAD_TIME_SECONDS = 600.0
STEP_KELVIN, LOAD_KELVIN = 20.0, 5.0
THROAT = "line/furnace/throat_temperature"
SETTINGS = NonlinearMpcSettings(
    kind="nonlinear_mpc",
    furnace=FurnaceSettings(
        crown_heat_capacity_joules_per_kelvin=1.0e8,
        melt_mass_kilograms=250_000.0,
        melt_area_square_metres=207.0,
        emissivity=0.7,
        burner_efficiency=0.65,
        crown_loss_watts_per_kelvin=2650.0,
        melt_loss_watts_per_kelvin=1100.0,
        pull_rate_kilograms_per_second=8.0,
        controller_gain_watts_per_kelvin=0.8e6,
        controller_integral_seconds=900.0,
        burner_lag_seconds=60.0,
        power_limit_watts=50e6,
        throat_lag_seconds=900.0,
        throat_dead_time_seconds=DEAD_TIME_SECONDS,
        throat_drop_kelvin=250.0,
    ),
    residual_kelvin=NOISE_KELVIN,
    horizon_seconds=10_800.0,
    move_seconds=400.0,
    reference_seconds=1400.0,
    disturbance_lag_seconds=1300.0,
    disturbance_settling_seconds=700.0,
    fallback=PidSettings(gain=0.8, integral_seconds=1950.0, filter_seconds=300.0),
)
"""What a controller knows of it: not the gauges' lags, the charger, the wandering heat value, moisture and ambient."""


@dataclass(frozen=True, slots=True)
class FurnaceMismatch(Mismatch):
    """How the furnace differs from what is known of it; `lags` is the heat that crown and melt take."""

    emissivity: float = 1.0

    def furnace(self) -> Furnace:
        """The furnace as it really is."""
        return replace(
            FURNACE,
            crown_heat_capacity=self.lags * FURNACE.crown_heat_capacity,
            melt_mass_kg=self.lags * FURNACE.melt_mass_kg,
            emissivity=self.emissivity * FURNACE.emissivity,
        )


MISMATCHES = (
    *(FurnaceMismatch(one.name, one.gain, one.dead_time, one.lags) for one in SCORED),
    FurnaceMismatch("emissivity -30 %", emissivity=0.7),
)


class FurnacePlant:
    """Behaves like `control_plants.Plant`. A load is K on the set-point that nobody sees."""

    def __init__(self, case: Case, mismatch: Mismatch, seed: int) -> None:
        assert isinstance(mismatch, FurnaceMismatch)
        self._rng, self._gain = random.Random(seed), mismatch.gain
        self._noise, self._seconds = case.outputs[0].noise, round(case.period / SLOW_STEP_SECONDS)
        self._melting = Melting(self._rng, SLOW_STEP_SECONDS, furnace=mismatch.furnace())
        self._start = self._melting.throat
        self._shift = case.outputs[0].start - self._start
        self._delay = Delay(mismatch.dead_time * DEAD_TIME_SECONDS, SLOW_STEP_SECONDS, self._start)
        self._forces = Forces()
        self.loads = [0.0]

    @property
    def applied(self) -> list[float]:
        """The set-point of the crown, as it is read back."""
        return [self._melting.setpoint]

    @applied.setter
    def applied(self, inputs: list[float]) -> None:
        (self._melting.setpoint,) = inputs

    def run(self) -> None:
        """One control period with the applied set-point held."""
        self._forces.active[Target.FURNACE_SETPOINT] = Force(amount=self.loads[0])
        for _ in range(self._seconds):
            self._melting.step(self._forces)
            self._delay.step(self._melting.throat)

    def true(self) -> list[float]:
        """The glass as it is, degC; every furnace begins at the same temperature."""
        return [self._start + self._shift + self._gain * (self._delay.value - self._start)]

    def measured(self) -> list[float]:
        """The glass as the gauge shows it."""
        return [self.true()[0] + self._rng.gauss(0.0, self._noise)]


def throat_celsius() -> float:
    """Where the glass of the nominal furnace stands at first."""
    return Melting(random.Random(0), SLOW_STEP_SECONDS).throat


def case_of(path: Path) -> Case:
    """The comparison on this furnace, for controllers that know it as `path`."""
    return Case("throat", PERIOD_SECONDS, (INPUT,), (OUTPUT,), ((path,),), (STEP_KELVIN,), (LOAD_KELVIN,))


OUTPUT = Output(THROAT, "degC", throat_celsius(), NOISE_KELVIN, 5.0, 5.0)
INPUT = replace(CROWN, start=SETPOINT_CELSIUS)

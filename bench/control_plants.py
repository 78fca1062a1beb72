"""The plants that controllers are compared on, simulated apart from every model that a controller knows."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Path:
    """From one input to one output: K e^(-theta s) / ((t1 s + 1)(t2 s + 1)), times in seconds."""

    gain: float
    dead_time: float
    lag: float
    second_lag: float

    @property
    def span(self) -> float:
        """Dead time and lags together: the natural unit of time."""
        return self.dead_time + self.lag + self.second_lag


@dataclass(frozen=True, slots=True)
class Mismatch:
    """How the plant differs from what the controllers were tuned for, as factors."""

    name: str
    gain: float = 1.0
    dead_time: float = 1.0
    lags: float = 1.0

    def of(self, path: Path) -> Path:
        """The path as it really is."""
        return Path(
            path.gain * self.gain, path.dead_time * self.dead_time, path.lag * self.lags, path.second_lag * self.lags
        )


@dataclass(frozen=True, slots=True)
class Input:
    """A manipulated input with the gate's limits, and where it stands at first."""

    signal: str
    unit: str
    low: float
    high: float
    rate_per_second: float
    approval_threshold: float
    start: float


@dataclass(frozen=True, slots=True)
class Output:
    """A controlled output: where it stands at first, its gauge's noise, the band around the set-point that the
    product must stay in, and an error that hurts as much as `scale` of any other output."""

    signal: str
    unit: str
    start: float
    noise: float
    band: float
    scale: float


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: `paths[i][j]` as the controllers know it. `steps` of set-points, `loads` at the inputs.

    `substeps` are steps of the simulated plant in one control period.
    """

    name: str
    period: float
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    paths: tuple[tuple[Path, ...], ...]
    steps: tuple[float, ...]
    loads: tuple[float, ...]
    substeps: int = 4

    @property
    def span(self) -> float:
        """The natural unit of time of the slowest path, seconds."""
        return max(path.span for row in self.paths for path in row if path.gain)


NOMINAL = Mismatch("nominal")
SCORED = (
    NOMINAL,
    Mismatch("gain +30 %", gain=1.3),
    Mismatch("gain -30 %", gain=0.7),
    Mismatch("dead time +50 %", dead_time=1.5),
    Mismatch("lags +30 %", lags=1.3),
)
BEYOND = (
    NOMINAL,
    Mismatch("gain +60 %", gain=1.6),
    Mismatch("gain -50 %", gain=0.5),
    Mismatch("dead time +80 %", dead_time=1.8),
    Mismatch("dead time -30 %", dead_time=0.7),
)
"""Further from the model than any controller is tuned for."""
TUNED_ON = (
    Mismatch("gain +20 %, lags -15 %", gain=1.2, lags=0.85),
    Mismatch("gain -20 %, dead time +10 %", gain=0.8, dead_time=1.1),
    Mismatch("gain +10 %, dead time +40 %", gain=1.1, dead_time=1.4),
    Mismatch("dead time -20 %, lags +20 %", dead_time=0.8, lags=1.2),
)
"""No plant of this set is scored, and its noise comes from other seeds."""


class Plant:
    """Outputs answer to the held inputs and to hidden loads, which enter behind the dead time and wander a little."""

    def __init__(self, case: Case, mismatch: Mismatch, seed: int) -> None:
        self._case = case
        self._rng = random.Random(seed)
        self._step = case.period / case.substeps
        self._paths = [[mismatch.of(path) for path in row] for row in case.paths]
        self._lines = [[self._line(path, j) for j, path in enumerate(row)] for row in self._paths]
        self._states = [[[0.0, 0.0] for _ in row] for row in case.paths]
        self._wander = [0.0 for _ in case.inputs]
        self.applied = [entry.start for entry in case.inputs]
        self.loads = [0.0 for _ in case.inputs]

    def run(self) -> None:
        """One control period with the applied inputs held."""
        for _ in range(self._case.substeps):
            for i, row in enumerate(self._paths):
                for j, path in enumerate(row):
                    if path.gain:
                        self._advance(path, i, j)
        pull = self._case.period / self._case.span
        for j, load in enumerate(self._case.loads):
            push = WANDER_SHARE * abs(load) * math.sqrt(2.0 * pull)
            self._wander[j] += -pull * self._wander[j] + push * self._rng.gauss(0.0, 1.0)

    def true(self) -> list[float]:
        """The outputs as they are."""
        return [
            output.start + sum(path.gain * state[1] for path, state in zip(row, states, strict=True))
            for output, row, states in zip(self._case.outputs, self._paths, self._states, strict=True)
        ]

    def measured(self) -> list[float]:
        """The outputs as the gauges show them."""
        return [
            value + self._rng.gauss(0.0, output.noise)
            for value, output in zip(self.true(), self._case.outputs, strict=True)
        ]

    def _line(self, path: Path, at: int) -> deque[float]:
        length = round(path.dead_time / self._step)
        return deque([self._case.inputs[at].start] * (length + 1), maxlen=length + 1)

    def _advance(self, path: Path, i: int, j: int) -> None:
        line, state = self._lines[i][j], self._states[i][j]
        line.append(self.applied[j])
        pushed = line[0] - self._case.inputs[j].start + self.loads[j] + self._wander[j]
        state[0] += (pushed - state[0]) * -math.expm1(-self._step / path.lag)
        state[1] += (state[0] - state[1]) * -math.expm1(-self._step / path.second_lag)


WANDER_SHARE = 0.1
"""Standard deviation of the wandering load, as a share of the load step."""

FURNACE_INPUT = Input("line/furnace/temperature_setpoint", "degC", 1200.0, 1700.0, 50.0 / 3600.0, 100.0, 1500.0)
BELT_INPUT = Input("line/forming/belt_speed_setpoint", "m/min", 50.0, 200.0, 20.0 / 60.0, 50.0, 100.0)

SINGLES = (
    Case(
        "furnace",
        60.0,
        (FURNACE_INPUT,),
        (Output("line/furnace/temperature", "degC", 1500.0, 0.4, 5.0, 5.0),),
        ((Path(1.0, 1200.0, 480.0, 360.0),),),
        (10.0,),
        (5.0,),
    ),
    Case(
        "mould",
        30.0,
        (Input("line/forming/mould_temperature_setpoint", "degC", 200.0, 600.0, 30.0 / 3600.0, 80.0, 400.0),),
        (Output("line/forming/mould_temperature", "degC", 400.0, 0.3, 3.0, 3.0),),
        ((Path(1.0, 720.0, 180.0, 120.0),),),
        (5.0,),
        (2.5,),
    ),
    Case(
        "lehr",
        10.0,
        (Input("line/annealing/temperature_setpoint", "degC", 400.0, 650.0, 5.0 / 60.0, 80.0, 550.0),),
        (Output("line/annealing/temperature", "degC", 550.0, 0.3, 3.0, 3.0),),
        ((Path(1.0, 180.0, 30.0, 30.0),),),
        (5.0,),
        (2.5,),
    ),
    Case(
        "belt",
        1.0,
        (BELT_INPUT,),
        (Output("line/forming/thickness", "mm", 4.0, 0.008, 0.1, 0.1),),
        ((Path(-0.04, 7.0, 1.0, 1.0),),),
        (0.1,),
        (1.25,),
    ),
    Case(
        "pressure",
        0.5,
        (Input("line/forming/forming_pressure_setpoint", "MPa", 0.0, 100.0, 15.0 / 60.0, 30.0, 50.0),),
        (Output("line/forming/forming_pressure", "MPa", 50.0, 0.05, 1.0, 1.0),),
        ((Path(1.0, 2.0, 3.0, 0.5),),),
        (2.0,),
        (1.0,),
    ),
)


COUPLED = Case(
    "glass",
    10.0,
    (FURNACE_INPUT, BELT_INPUT),
    (
        Output("line/forming/glass_temperature", "degC", 1050.0, 0.5, 5.0, 5.0),
        Output("line/forming/thickness", "mm", 4.0, 0.008, 0.1, 0.02),
    ),
    (
        (Path(0.8, 1200.0, 480.0, 360.0), Path(0.3, 20.0, 30.0, 10.0)),
        (Path(0.045, 1210.0, 480.0, 360.0), Path(-0.04, 7.0, 1.0, 1.0)),
    ),
    (5.0, 0.05),
    (3.0, 1.25),
    substeps=10,
)
"""Hotter glass flows faster (1.4 %/K) and so leaves thicker; a faster belt leaves it less time to cool."""

COLD_END = replace(
    COUPLED,
    name="cold-end",
    period=20.0,
    outputs=(COUPLED.outputs[0], replace(COUPLED.outputs[1], signal="line/inspection/thickness")),
    paths=(
        COUPLED.paths[0],
        (Path(0.045, 1293.0, 480.0, 360.0), Path(-0.04, 90.0, 1.0, 1.0)),
    ),
    substeps=20,
)
"""The same line, its thickness known only behind the lehr: 150 m at 100 m/min."""


CHANGEOVER = replace(COLD_END, name="changeover", steps=(20.0, 0.05), loads=(12.0, 1.25))
"""The same line, hotter glass for another product, and four times the load of the furnace."""


def mirrored(case: Case) -> Case:
    """The case with every step and load the other way: for tuning, so that not even the scripts are the same."""
    return replace(case, steps=tuple(-step for step in case.steps), loads=tuple(-load for load in case.loads))

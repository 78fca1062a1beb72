"""Scenario files: seed, pace and the faults that happen, typed, with faults of the file named by line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from edged.document import read_document
from edged.errors import ConfigError
from edged.faults import Faults, did_you_mean, got, report
from edged.settings import Finite, Seconds, Section
from edged.types import ValueType
from edged_sim.forces import Target
from edged_sim.melting import GlassFlow
from edged_sim.tags import BY_PATH, Encoding, Face, Table, Tag

FARTHEST_REGISTER = 65_535


def _known_signal(path: object) -> object:
    if path not in BY_PATH:
        raise ValueError(f"the simulated line has no such signal, {got(path)}{did_you_mean(path, BY_PATH)}")
    return path


SignalPath = Annotated[str, BeforeValidator(_known_signal)]
Start = Annotated[float, Field(ge=0, allow_inf_nan=False, description="seconds after the first tick")]


class _Timed(Section):
    at_seconds: Start

    def begins(self) -> float:
        """Seconds after the first tick."""
        return self.at_seconds


class _Lasting(_Timed):
    seconds: Seconds | None = Field(default=None, description="how long; until the end when not given")

    def active(self, now: float) -> bool:
        """Whether it acts at `now` seconds after the first tick."""
        return self.at_seconds <= now and (self.seconds is None or now < self.at_seconds + self.seconds)


class _SensorFault(_Lasting):
    signal: SignalPath

    @property
    def tag(self) -> Tag:
        """The signal's row in the table."""
        return BY_PATH[self.signal]


class _AnalogFault(_SensorFault):
    @model_validator(mode="after")
    def _analog(self) -> _AnalogFault:
        if self.tag.type is not ValueType.FLOAT or self.tag.writable:
            raise ValueError(f"{self.signal} is not a measurement, only measurements can do this")
        return self


class Drift(_AnalogFault):
    """A sensor that walks away; back at once when its time is over."""

    kind: Literal["drift"]
    per_minute: Finite = Field(description="in the signal's unit per minute")


class Spike(_AnalogFault):
    """A disturbance on the wire: the reading is off by `change` while it lasts."""

    kind: Literal["spike"]
    change: Finite = Field(description="in the signal's unit")
    seconds: Seconds | None = 0.5


class Stuck(_AnalogFault):
    """A sensor that repeats its last reading."""

    kind: Literal["stuck"]


class BadQuality(_SensorFault):
    """No value: bad status (OPC UA), null and status ERROR (MQTT), NaN (Modbus float32)."""

    kind: Literal["bad_quality"]

    @model_validator(mode="after")
    def _expressible(self) -> BadQuality:
        if self.tag.writable:
            raise ValueError(f"{self.signal} is a set-point, it always has a value")
        register = self.tag.register
        if register is not None and register.encoding is not Encoding.FLOAT32:
            raise ValueError(
                f"{self.signal} is {register.encoding} on the wire, which cannot say bad; use modbus_exception"
            )
        return self


class ServerStall(_Timed):
    """The face's process is stopped (SIGSTOP) and goes on after `seconds`."""

    kind: Literal["server_stall"]
    face: Face
    seconds: Seconds


class ServerDeath(_Timed):
    """The face's process is killed (SIGKILL) and started again after `seconds`."""

    kind: Literal["server_death"]
    face: Face
    seconds: Seconds


class Disturbance(_Lasting):
    """A force on the plant itself, by percent or by amount, risen over `ramp_seconds`."""

    kind: Literal["disturbance"]
    target: Target
    percent: Finite | None = None
    amount: Finite | None = Field(default=None, description="in the unit of the target")
    ramp_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _one_way(self) -> Disturbance:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("name exactly one of percent, amount")
        if self.percent is not None and self.target in _ZERO_BASED:
            raise ValueError(f"{self.target} has no base value to take a percentage of; give an amount")
        return self

    def share(self, now: float) -> float:
        """How much of it acts, 0..1."""
        if not self.active(now):
            return 0.0
        return min(1.0, (now - self.at_seconds) / self.ramp_seconds) if self.ramp_seconds else 1.0


_ZERO_BASED = frozenset({Target.PRESSURE_OSCILLATION, Target.BATCH_MOISTURE})


class ModbusException(_Lasting):
    """Requests that touch these registers are answered with an exception."""

    kind: Literal["modbus_exception"]
    table: Table
    first: Annotated[int, Field(ge=0, le=FARTHEST_REGISTER)]
    last: Annotated[int, Field(ge=0, le=FARTHEST_REGISTER)]
    code: Annotated[int, Field(ge=1, le=11)] = 4

    @model_validator(mode="after")
    def _ordered(self) -> ModbusException:
        if self.first > self.last:
            raise ValueError(f"first must not be above last, got {self.first} and {self.last}")
        return self


class LateAnswers(_Lasting):
    """The Modbus face answers late."""

    kind: Literal["late_answers"]
    delay_milliseconds: Annotated[float, Field(gt=0, le=60_000)]


class LocalChange(_Timed):
    """Somebody at the panel changes a set-point or a switch."""

    kind: Literal["local_change"]
    signal: SignalPath
    value: Finite | bool

    @model_validator(mode="after")
    def _changeable(self) -> LocalChange:
        tag = BY_PATH[self.signal]
        if not (tag.writable or tag.type is ValueType.BOOL):
            raise ValueError(f"{self.signal} is neither a set-point nor a switch")
        if isinstance(self.value, bool) != (tag.type is ValueType.BOOL):
            raise ValueError(f"{self.signal} takes {tag.type} values, got {self.value!r}")
        return self


def _known_kind(fault: object) -> object:
    kind = fault.get("kind") if isinstance(fault, dict) else None
    if isinstance(fault, dict) and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, {got(kind)}{did_you_mean(kind, KINDS)}")
    return fault


KINDS = (
    "drift",
    "spike",
    "stuck",
    "bad_quality",
    "server_stall",
    "server_death",
    "disturbance",
    "modbus_exception",
    "late_answers",
    "local_change",
)

Fault: TypeAlias = Annotated[
    Drift
    | Spike
    | Stuck
    | BadQuality
    | ServerStall
    | ServerDeath
    | Disturbance
    | ModbusException
    | LateAnswers
    | LocalChange,
    Field(discriminator="kind"),
    BeforeValidator(_known_kind),
]


class Scenario(Section):
    """One run of the simulated line."""

    seed: int = 1
    sample_milliseconds: Annotated[
        int, Field(ge=10, le=60_000, description="every face offers its values so often")
    ] = 100
    speed: Annotated[float, Field(gt=0, le=1000, description="plant seconds per second")] = 1.0
    glass_flow: GlassFlow = Field(
        default=GlassFlow.METERED,
        description="by_viscosity: hot glass flows fast, and cools less before a fast belt: furnace and belt move both",
    )
    duration_seconds: Seconds | None = Field(default=None, description="end by itself after so long")
    faults: tuple[Fault, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """Reads a scenario file. Raises ConfigError with every fault of it."""
    faults = Faults()
    document = read_document(path, faults)
    if document is None:
        faults.raise_any()
        raise ConfigError([f"{path}:1: holds nothing"])
    try:
        scenario = Scenario.model_validate(document.data if document.data is not None else {})
    except ValidationError as error:
        report(error, Scenario, document, (), faults)
    faults.raise_any()
    return scenario

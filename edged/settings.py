"""What one configuration file can say, as typed models. `edged.config` reads files into them."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edged.controller_settings import ControllerSettings
from edged.section import NAME_PATTERN, PATH_PATTERN, Finite, Name, Seconds, Section, SignalName
from edged.types import Limits, Priority, ValueType

__all__ = ["NAME_PATTERN", "PATH_PATTERN", "Finite", "Name", "Seconds", "Section", "SignalName"]
"""The words of every section, beside the sections below."""


class Secret(Section):
    """Where a secret is kept; never the secret itself. Exactly one of the three."""

    file: Path | None = Field(default=None, description="a file readable by edged only (0600)")
    environment: str | None = Field(default=None, description="an environment variable")
    credential: str | None = Field(default=None, description="a systemd credential (LoadCredential=)")

    @model_validator(mode="after")
    def _exactly_one(self) -> Secret:
        if sum(place is not None for place in (self.file, self.environment, self.credential)) != 1:
            raise ValueError("name exactly one of file, environment, credential")
        return self

    def place(self) -> str:
        """Where the secret is looked for, for messages."""
        if self.environment is not None:
            return f"environment variable {self.environment}"
        return str(self._path())

    def read(self) -> str:
        """The secret without surrounding white space. Raises OSError or KeyError when it is not there."""
        if self.environment is not None:
            return os.environ[self.environment].strip()
        return self._path().read_text(encoding="utf-8").strip()

    def _path(self) -> Path:
        if self.file is not None:
            return self.file
        return Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/credentials/edged.service")) / str(self.credential)


class Tls(Section):
    """TLS towards a broker or the hub."""

    authority: Path | None = Field(default=None, description="CA certificates (PEM); the system's if not given")
    certificate: Path | None = Field(default=None, description="our certificate (PEM), for mutual TLS")
    key: Path | None = Field(default=None, description="our private key (PEM)")


class SignalSettings(Section):
    """One signal of a source. `address` is checked by the source's kind."""

    name: SignalName
    address: dict[str, Any] = Field(default_factory=dict)
    unit: str = Field(default="1", description="unit symbol, see docs/glossary.md; 1 when it has none")
    type: ValueType = ValueType.FLOAT
    low: Finite | None = None
    high: Finite | None = None
    deadband: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    writable: bool = False
    description: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> SignalSettings:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be below high, got low {self.low} and high {self.high}")
        return self


class SourceSettings(Section):
    """One device or server. `options` is checked by the kind."""

    kind: str
    options: dict[str, Any] = Field(default_factory=dict)
    signals: tuple[SignalSettings, ...] = ()
    signals_file: Path | None = Field(default=None, description="CSV tag list, relative to this file")
    silence_seconds: Seconds = Field(default=10.0, description="rebuild the connection after so long without life")


class HttpSettings(Section):
    """The daemon's own pages: /metrics, /healthz, /readyz, /status."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8470
    token: Secret | None = Field(default=None, description="bearer token; required beyond loopback")


class Synchronous(StrEnum):
    """How hard SQLite syncs: FULL survives a power cut, NORMAL survives a killed process."""

    FULL = "FULL"
    NORMAL = "NORMAL"


class OutboxSettings(Section):
    """The durable outbox."""

    synchronous: Synchronous = Synchronous.FULL
    commit_seconds: Seconds = 0.2
    commit_samples: Annotated[int, Field(gt=0)] = 1000
    cap_bytes: Annotated[int, Field(ge=1_000_000)] = 2_000_000_000
    cap_age_seconds: Seconds = 30 * 86_400.0
    sparkplug_cap_age_seconds: Seconds = Field(default=86_400.0, description="an absent host pins nothing for longer")
    ring_samples: Annotated[int, Field(gt=0)] = Field(default=200_000, description="held in memory while unwritable")


class HubSettings(Section):
    """The uplink to the hub."""

    url: str = "http://127.0.0.1:8480"
    secret: Secret
    tls: Tls | None = None
    process_period_seconds: Seconds = 1.0
    events_period_seconds: Seconds = 0.1
    backlog_batches_per_post: Annotated[int, Field(gt=0)] = 500
    timeout_seconds: Seconds = 15.0
    commands: bool = Field(
        default=False,
        description="take commands of the hub's engineers as proposals for the gate; off, each is refused",
    )


class BrokerSettings(Section):
    """One MQTT broker."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(gt=0, le=65535)] = 1883
    tls: Tls | None = None
    username: str | None = None
    password: Secret | None = None


class HostProfile(StrEnum):
    """Which quality codes the host understands."""

    SPEC = "spec"
    IGNITION = "ignition"


class HistoryOrder(StrEnum):
    """What leaves first after an outage."""

    LIVE_FIRST = "live_first"
    IN_ORDER = "in_order"


class SparkplugSettings(Section):
    """The Sparkplug B edge node. Group is the site, node the line, device the equipment."""

    brokers: Annotated[tuple[BrokerSettings, ...], Field(min_length=1)]
    primary_host: str | None = None
    profile: HostProfile = HostProfile.SPEC
    history_order: HistoryOrder = HistoryOrder.LIVE_FIRST
    keep_alive_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    publish_period_seconds: Seconds = 0.25
    history_samples_per_second: Annotated[int, Field(gt=0)] = 20_000
    commands: bool = Field(default=True, description="accept DCMD writes as proposals for the gate")


class LimitSettings(Section):
    """The envelope of one writable signal. Exactly one rate is given, in units per that time."""

    signal: SignalName
    unit: str
    low: Finite
    high: Finite
    rate_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    rate_per_minute: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    rate_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    approval_threshold: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _sound(self) -> LimitSettings:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got low {self.low} and high {self.high}")
        rates = (self.rate_per_second, self.rate_per_minute, self.rate_per_hour)
        if sum(rate is not None for rate in rates) != 1:
            raise ValueError("name exactly one of rate_per_second, rate_per_minute, rate_per_hour")
        return self

    def per_second(self) -> float:
        """The rate in units per second."""
        if self.rate_per_second is not None:
            return self.rate_per_second
        if self.rate_per_minute is not None:
            return self.rate_per_minute / 60.0
        assert self.rate_per_hour is not None
        return self.rate_per_hour / 3600.0

    def of(self, line: str) -> Limits:
        """The limits of the signal of that line."""
        return Limits(
            f"{line}/{self.signal}", self.low, self.high, self.per_second(), self.approval_threshold, self.unit
        )


class LimitsList(Section):
    """Limits and nothing else: the ceiling, or what is pushed to a running daemon."""

    limits: tuple[LimitSettings, ...]


class Condition(Section):
    """A Boolean signal and the value that it must have."""

    signal: SignalName
    equals: bool = True


class LoopSettings(Section):
    """One control loop from process value to verified readback."""

    name: Name
    process_value: SignalName
    output: SignalName
    readback: SignalName
    set_point: Finite
    grades: dict[str, Finite] = Field(default_factory=dict, description="the set-point of each grade; others hold")
    period_seconds: Seconds = 1.0
    readback_tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    output_deadband: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    good_cycles: Annotated[int, Field(ge=1)] = 5
    target_mode: Literal["manual", "automatic"] = "automatic"
    permissives: tuple[Condition, ...] = Field(default=(), description="remote mode, PLC permissive, interlocks")
    running: Condition | None = Field(default=None, description="says that this part of the line runs")
    frozen_seconds: Seconds | None = Field(
        default=None, description="no change of the process value for so long while the output moved: the loop holds"
    )
    heartbeat: SignalName | None = Field(default=None, description="integer signal, advanced after a verified cycle")
    controller: ControllerSettings


class LineStateSettings(Section):
    """How the plant tells what the line does. Loops move nothing while it is stopped or changes over."""

    running: Condition | None = Field(default=None, description="says that the line runs")
    changeover: Condition | None = Field(default=None, description="says that the line changes to another product")
    grade: SignalName | None = Field(default=None, description="text or number of the product that is made")


class LoopKpiSettings(Section):
    """How the loops are judged: figures of a sliding window, published as signals of an equipment of their own."""

    equipment: Name = "loops"
    window_seconds: Seconds = 3600.0
    every_seconds: Seconds = 60.0


class RollbackSettings(Section):
    """After a change of a set-point the defect rate is watched; when it rises too far the loop goes back."""

    defect_rate: SignalName = Field(description="share of defects in percent, read while the line runs")
    watch_seconds: Seconds = 1800.0
    rise: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(default=0.2, description="relative, 0.2 is 20 %")
    least_rate_percent: Annotated[float, Field(gt=0, le=100)] = Field(
        default=0.5, description="a rate below this counts as this: one defect more is no rise"
    )
    fewest_readings: Annotated[int, Field(ge=1)] = Field(default=30, description="before and after, to judge at all")


class FlightSettings(Section):
    """The flight recorder: keeps everything that came into control, for `edged replay`."""

    enabled: bool = True
    cap_bytes: Annotated[int, Field(ge=1_000_000)] = 200_000_000
    cap_age_seconds: Seconds = 14 * 86_400.0


class ControlSettings(Section):
    """Control of the line. A new line is advisory: everything runs and is recorded, nothing is written."""

    advisory: bool = True
    ceiling: Path = Field(description="root-owned limits file on the box, never pushed from outside")
    operators: Path | None = Field(default=None, description="who may operate loops here (edged control add-operator)")
    engineering_keys: Path | None = Field(default=None, description="public keys that approvals are signed with")
    limits: tuple[LimitSettings, ...] = ()
    line_state: LineStateSettings = LineStateSettings()
    loops: tuple[LoopSettings, ...] = ()
    rollback: RollbackSettings | None = Field(default=None, description="go back when a change makes more defects")
    kpis: LoopKpiSettings | None = Field(default=None, description="judge the loops and publish what is found")
    flight: FlightSettings = FlightSettings()


class ModelSettings(Section):
    """One model slot."""

    name: Name
    bundle: Path = Field(description="folder with model.onnx and manifest.json")
    output: SignalName = Field(description="the signal that carries the model's probability")
    period_seconds: Seconds = 1.0


class AlarmSettings(Section):
    """A threshold alarm with hysteresis and delays."""

    name: Name
    signal: SignalName
    priority: Priority
    above: Finite | None = None
    below: Finite | None = None
    deadband: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    on_delay_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    off_delay_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    message: str = ""

    @model_validator(mode="after")
    def _one_side(self) -> AlarmSettings:
        if (self.above is None) == (self.below is None):
            raise ValueError("name exactly one of above, below")
        return self


class LineSettings(Section):
    """One production line, one daemon, one file."""

    site: Name = Field(description="Sparkplug group")
    line: Name = Field(description="Sparkplug node, first part of every signal path")
    data_directory: Path = Field(description="outbox and state; under systemd use /var/lib/edged")
    skew_limit_seconds: Seconds = Field(default=3600.0, description="source times further off are UNCERTAIN")
    http: HttpSettings = HttpSettings()
    outbox: OutboxSettings = OutboxSettings()
    hub: HubSettings | None = None
    sparkplug: SparkplugSettings | None = None
    sources: dict[Name, SourceSettings]
    models: tuple[ModelSettings, ...] = ()
    alarms: tuple[AlarmSettings, ...] = ()
    control: ControlSettings | None = None

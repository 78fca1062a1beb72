"""A small sound line, kinds of source made for these tests, and the faults of a changed line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from edged.config import LineConfig, load
from edged.errors import ConfigError
from edged.ports import Connector
from edged.registry import ConnectorKind, SourceSetup
from edged.settings import Secret
from edged.types import Signal, ValueType

SOUND = """\
site: works
line: line_x
data_directory: data
hub:
  secret: { file: secret }
sources:
  plc:
    kind: device
    options:
      port: 502
      order: ABCD
    signals:
      - { name: oven/temperature, unit: degC, low: 0, high: 900, address: { register: 1 } }
      - { name: oven/setpoint, unit: degC, low: 0, high: 800, writable: true, address: { register: 2 } }
      - { name: oven/remote, type: bool, address: { register: 3 } }
      - { name: oven/heartbeat, type: int, writable: true, address: { register: 4 } }
      - { name: oven/state, type: string, address: { register: 5 } }
models:
  - { name: risk, bundle: bundle, output: oven/risk }
alarms:
  - { name: hot, signal: oven/temperature, above: 850, priority: HIGH }
control:
  ceiling: ceiling.yaml
  limits:
    - { signal: oven/setpoint, unit: degC, low: 100, high: 900, rate_per_minute: 30, approval_threshold: 50 }
  loops:
    - name: heat
      process_value: oven/temperature
      output: oven/setpoint
      readback: oven/setpoint
      set_point: 500
      period_seconds: 2
      permissives:
        - { signal: oven/remote }
      running: { signal: oven/remote }
      heartbeat: oven/heartbeat
      controller: { gain: 1, integral_seconds: 60 }
"""

CEILING = """\
limits:
  - { signal: oven/setpoint, unit: degC, low: 0, high: 700, rate_per_hour: 3600, approval_threshold: 60 }
"""


class Order(StrEnum):
    ABCD = "ABCD"
    CDAB = "CDAB"


class DeviceOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    port: int
    order: Order = Order.ABCD
    protocol: Literal["5", "3.1.1"] = "5"
    password: Secret | None = None
    trust: Path | None = None


class DeviceAddress(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int = Field(alias="register")
    scale: float = 1.0


def misfit(signal: Signal, address: BaseModel) -> str:
    assert isinstance(address, DeviceAddress)
    return "register 99 holds no text" if signal.type is ValueType.STRING and address.number == 99 else ""


def overload(options: BaseModel, signals: int) -> str:
    assert isinstance(options, DeviceOptions)
    return f"protocol 3.1.1 carries 4 signals, got {signals}" if options.protocol == "3.1.1" and signals > 4 else ""


def never_built(_: SourceSetup) -> Connector:
    raise AssertionError("loading a configuration builds nothing")


KINDS: Mapping[str, ConnectorKind] = {
    "device": ConnectorKind("device", DeviceOptions, DeviceAddress, never_built, misfit=misfit, overload=overload)
}

Change = tuple[str, str]


@pytest.fixture(scope="session")
def kinds() -> Mapping[str, ConnectorKind]:
    return KINDS


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes the sound line with some text replaced, and everything it points at."""

    def write(*changes: Change) -> Path:
        text = SOUND
        for old, new in changes:
            assert old in text, f"{old!r} is not in the sound line"
            text = text.replace(old, new, 1)
        path = tmp_path / "line.yaml"
        path.write_text(text, encoding="utf-8")
        (tmp_path / "ceiling.yaml").write_text(CEILING, encoding="utf-8")
        (tmp_path / "ceiling.yaml").chmod(0o644)
        (tmp_path / "bundle").mkdir(exist_ok=True)
        secret = tmp_path / "secret"
        secret.write_text("s3cret\n", encoding="utf-8")
        secret.chmod(0o600)
        return path

    return write


@pytest.fixture
def loaded(write: Callable[..., Path]) -> Callable[..., LineConfig]:
    """Loads the sound line with some text replaced."""

    def loaded(*changes: Change, environment: Mapping[str, str] | None = None, **options: bool) -> LineConfig:
        return load(write(*changes), environment or {}, kinds=KINDS, **options)

    return loaded


@pytest.fixture
def faults(loaded: Callable[..., LineConfig], tmp_path: Path) -> Callable[..., list[str]]:
    """The faults of the sound line with some text replaced, without the folder in front."""

    def faults(*changes: Change, environment: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            loaded(*changes, environment=environment)
        return [fault.replace(f"{tmp_path}/", "") for fault in raised.value.faults]

    return faults

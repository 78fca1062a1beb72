"""Linear process models: gain, dead time and lags from each input to each output, and the artefact they travel in."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edged.errors import EdgedError
from edged_control.process_model.dynamics import Dynamics, dynamics_faults, parsed

ARTEFACT_FORMAT, STATE_SPACE_FORMAT = "edged-process-model-1", "edged-process-model-2"
"""The second one has `dynamics` beside the channels; whoever knows the first alone refuses it."""
SETTLING_LAGS = 4.0
"""After so many time constants beyond the dead time a lag counts as settled (98 %)."""


class UnusableModel(EdgedError):
    """The process model cannot be used: identify it again with `edged mpc identify`, for the signals of this loop."""


@dataclass(frozen=True, slots=True)
class Port:
    """A signal at the border of a model, and the unit in which the model speaks of it."""

    signal: str
    unit: str


@dataclass(frozen=True, slots=True)
class Channel:
    """K e^(-theta s) / ((t1 s + 1)(t2 s + 1)): gain in output per input unit, times in seconds; t2 is 0 for one lag.

    A gain of 0 says that the input does not move the output.
    """

    gain: float
    dead_time_seconds: float = 0.0
    lag_seconds: float = 1.0
    second_lag_seconds: float = 0.0

    @property
    def settling_seconds(self) -> float:
        """When a step has done its work."""
        return self.dead_time_seconds + SETTLING_LAGS * (self.lag_seconds + self.second_lag_seconds)


@dataclass(frozen=True, slots=True)
class ProcessModel:
    """`channels[i][j]` leads from input j to output i.

    With `dynamics`, those are what is simulated, and the channels sum them up for the tuning rules: the same gains, and
    dead time and lag of about the same speed.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    channels: tuple[tuple[Channel, ...], ...]
    dynamics: Dynamics | None = None

    @property
    def settling_seconds(self) -> float:
        """When the slowest channel has settled."""
        settled = max(channel.settling_seconds for row in self.channels for channel in row if channel.gain)
        return settled if self.dynamics is None else max(settled, self.dynamics.settling_seconds)


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model with where it comes from: how well it fitted and what it was held against, in words and numbers.

    `residuals` is what each output showed beside the model, as a standard deviation in its unit; `period_seconds` lay
    between two samples of the recording: of anything faster the model knows nothing.
    """

    model: ProcessModel
    period_seconds: float
    fit_percent: tuple[float, ...]
    held_out_percent: tuple[float, ...]
    residuals: tuple[float, ...]
    source: str
    data_hash: str

    @property
    def hash(self) -> str:
        """SHA-256 over everything that the artefact says."""
        return hashlib.sha256(_canonical(self).encode()).hexdigest()


def faults_of(model: ProcessModel) -> list[str]:
    """Everything that is wrong with a model; empty when it can be used."""
    faults = []
    if len(model.channels) != len(model.outputs) or any(len(row) != len(model.inputs) for row in model.channels):
        return [f"channels must be {len(model.outputs)} rows of {len(model.inputs)}"]
    ports = [port.signal for port in (*model.inputs, *model.outputs)]
    if not model.inputs or not model.outputs or len(set(ports)) != len(ports):
        faults.append(f"inputs and outputs must be named, each once, got {', '.join(ports) or 'none'}")
    for i, row in enumerate(model.channels):
        for j, channel in enumerate(row):
            faults += [f"channel {i},{j}: {fault}" for fault in _channel_faults(channel)]
        if not any(channel.gain for channel in row):
            faults.append(f"output {i}: no input moves it")
    if model.dynamics is not None and not faults:
        faults = dynamics_faults(model.dynamics, [[channel.gain for channel in row] for row in model.channels])
    return faults


def sound(model: ProcessModel) -> ProcessModel:
    """The model, once it is known to be usable. Raises UnusableModel."""
    faults = faults_of(model)
    if faults:
        raise UnusableModel("; ".join(faults))
    return model


def encoded(artefact: Artefact) -> str:
    """The artefact as JSON with its hash. Raises UnusableModel."""
    sound(artefact.model)
    return json.dumps({**_plain(artefact), "hash": artefact.hash}, indent=2, ensure_ascii=False) + "\n"


def save(artefact: Artefact, path: Path) -> None:
    """Writes the artefact. Raises OSError and UnusableModel."""
    path.write_text(encoded(artefact), encoding="utf-8")


def load(path: Path, inputs: Sequence[Port] = (), outputs: Sequence[Port] = ()) -> Artefact:
    """Reads an artefact; ports that are given must be its ports, in order. Raises UnusableModel with the reason."""
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise UnusableModel(f"{path}: cannot be read: {fault.strerror}") from fault
    artefact = decoded(content, str(path))
    _compare(path, "inputs", inputs, artefact.model.inputs)
    _compare(path, "outputs", outputs, artefact.model.outputs)
    return artefact


def decoded(content: bytes, place: str) -> Artefact:
    """The artefact that these bytes are, whole and sound. Raises UnusableModel, which names the place."""
    try:
        artefact, claimed = _parse(json.loads(content.decode("utf-8")))
        actual = artefact.hash
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as fault:
        raise UnusableModel(f"{place}: cannot be read as a process model: {type(fault).__name__}: {fault}") from fault
    faults = faults_of(artefact.model) or _report_faults(artefact)
    if faults:
        raise UnusableModel(f"{place}: {'; '.join(faults)}")
    if claimed != actual:
        raise UnusableModel(f"{place}: its content does not have the hash that it states: it was changed or damaged")
    return artefact


def _report_faults(artefact: Artefact) -> list[str]:
    numbers = (artefact.period_seconds, *artefact.residuals)
    if len(artefact.residuals) != len(artefact.model.outputs):
        return [f"residuals must be {len(artefact.model.outputs)}, one for each output"]
    if not all(math.isfinite(number) and number > 0.0 for number in numbers):
        return [f"period and residuals must be above 0, got {numbers}"]
    return []


def _channel_faults(channel: Channel) -> list[str]:
    if not all(map(math.isfinite, asdict(channel).values())):
        return [f"every number must be finite, got {channel}"]
    faults = []
    if channel.dead_time_seconds < 0.0 or channel.second_lag_seconds < 0.0:
        faults.append(f"times must not be negative, got {channel}")
    if channel.lag_seconds <= 0.0:
        faults.append(f"the first lag must be above 0 s, got {channel.lag_seconds}")
    return faults


def _compare(path: Path, what: str, wanted: Collection[Port], found: Collection[Port]) -> None:
    if wanted and list(wanted) != list(found):
        raise UnusableModel(f"{path}: {what} must be {_named(wanted)}, the model has {_named(found)}")


def _named(ports: Collection[Port]) -> str:
    return ", ".join(f"{port.signal} [{port.unit}]" for port in ports)


def _plain(artefact: Artefact) -> dict[str, Any]:
    content = asdict(artefact)
    if artefact.model.dynamics is not None:
        return {"format": STATE_SPACE_FORMAT, **content}
    del content["model"]["dynamics"]
    return {"format": ARTEFACT_FORMAT, **content}


def _canonical(artefact: Artefact) -> str:
    return json.dumps(_plain(artefact), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _parse(content: Any) -> tuple[Artefact, str]:
    if content["format"] not in (ARTEFACT_FORMAT, STATE_SPACE_FORMAT):
        raise ValueError(f"the format must be {ARTEFACT_FORMAT} or {STATE_SPACE_FORMAT}, got {content['format']}")
    model = content["model"]
    dynamics = parsed(model["dynamics"]) if content["format"] == STATE_SPACE_FORMAT else None
    artefact = Artefact(
        model=ProcessModel(
            inputs=tuple(Port(**port) for port in model["inputs"]),
            outputs=tuple(Port(**port) for port in model["outputs"]),
            channels=tuple(tuple(_channel(channel) for channel in row) for row in model["channels"]),
            dynamics=dynamics,
        ),
        period_seconds=float(content["period_seconds"]),
        fit_percent=tuple(map(float, content["fit_percent"])),
        held_out_percent=tuple(map(float, content["held_out_percent"])),
        residuals=tuple(map(float, content["residuals"])),
        source=str(content["source"]),
        data_hash=str(content["data_hash"]),
    )
    return artefact, str(content["hash"])


def _channel(content: dict[str, Any]) -> Channel:
    return Channel(**{name: float(value) for name, value in content.items()})

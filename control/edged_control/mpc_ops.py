"""What `edged mpc` does: a model from a recording, and the configuration of a controller from a model."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from edged.controller_settings import MpcSettings
from edged.errors import ConfigError
from edged_control.identify import IdentificationReport, OutputReport, Recording, identify
from edged_control.model import Artefact, Port, load, save
from edged_control.mpc_settings import proposed, proposed_period
from edged_control.state_space import Array

UNEVEN_SHARE = 0.1
"""By so much of the period a sample may be early or late."""
ERROR_SCALE = 1.0
HEADER = re.compile(r"^(?P<signal>[^\[\]]+?)\s*(?:\[(?P<unit>[^\[\]]*)\])?$")


@dataclass(frozen=True, slots=True)
class Identified:
    """What is told of an identification, and where the artefact is; None when there is none."""

    text: str
    path: Path | None


def identify_file(data: Path, inputs: Sequence[str], outputs: Sequence[str], artefact: Path) -> Identified:
    """Identifies from a CSV file and writes the artefact, or nothing. Raises ConfigError for an unusable file."""
    report = identify(read_recording(data, inputs, outputs), source=data.name)
    if report.artefact is None:
        return Identified(report_text(report), None)
    save(report.artefact, artefact)
    return Identified(f"{report_text(report)}\nwritten: {artefact}, hash {report.artefact.hash}", artefact)


def read_recording(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Recording:
    """Reads CSV with columns `time` (seconds or ISO 8601) and `signal [unit]`. Raises ConfigError with each fault."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise ConfigError([f"{path}: cannot be read: {fault}"]) from fault
    if not rows:
        raise ConfigError([f"{path}: is empty"])
    ports, header = _ports(rows[0]), [cell.strip() for cell in rows[0]]
    unknown = [name for name in (*inputs, *outputs) if name not in ports]
    faults = [f"{path}:1: there is no column {name}, there are {', '.join(ports) or 'none'}" for name in unknown]
    if not header or header[0] != "time":
        faults.append(f"{path}:1: the first column must be time, got {header[0] if header else 'none'}")
    if faults:
        raise ConfigError(faults)
    columns = [list(ports).index(name) + 1 for name in (*inputs, *outputs)]
    times, values = _numbers(path, rows, columns)
    split = len(inputs)
    return Recording(
        period_seconds=_period(path, times),
        input_ports=tuple(Port(name, ports[name]) for name in inputs),
        output_ports=tuple(Port(name, ports[name]) for name in outputs),
        inputs=values[:, :split],
        outputs=values[:, split:],
    )


def report_text(report: IdentificationReport) -> str:
    """The report for people: every path, how well it fits, and why there is no artefact where there is none."""
    lines = [line for output in report.outputs for line in _output_lines(report.inputs, output)]
    lines += [f"refused: {fault}" for fault in report.faults]
    return "\n".join(lines)


def init_text(path: Path, loop: str) -> str:
    """The commented configuration of a loop's controller for the artefact at `path`. Raises UnusableModel."""
    artefact = load(path)
    period = max(proposed_period(artefact.model), artefact.period_seconds)
    settings = proposed(artefact.model, path, [ERROR_SCALE] * len(artefact.model.outputs), period)
    return "\n".join([*_head(artefact, loop, period), *_body(settings, artefact)]) + "\n"


def _ports(header: Sequence[str]) -> dict[str, str]:
    """Unit by signal, in the order of the columns after the first."""
    ports = {}
    for cell in header[1:]:
        match = HEADER.match(cell.strip())
        if match is not None:
            ports[match["signal"]] = match["unit"] or "1"
        else:
            ports[cell] = "1"
    return ports


def _numbers(path: Path, rows: Sequence[Sequence[str]], columns: Sequence[int]) -> tuple[Array, Array]:
    times, values, faults = [], [], []
    for line, row in enumerate(rows[1:], start=2):
        try:
            times.append(_time(row[0]))
            values.append([float(row[column]) for column in columns])
        except (ValueError, IndexError) as fault:
            faults.append(f"{path}:{line}: {fault}")
    if faults:
        raise ConfigError(faults)
    return np.array(times, dtype=np.float64), np.array(values, dtype=np.float64).reshape(len(times), len(columns))


def _time(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return datetime.fromisoformat(cell.strip()).timestamp()


def _period(path: Path, times: Array) -> float:
    steps = np.diff(times)
    period = float(np.median(steps)) if len(steps) else math.nan
    if not period > 0.0:
        raise ConfigError([f"{path}: time must rise from row to row"])
    uneven = np.flatnonzero(np.abs(steps - period) > UNEVEN_SHARE * period)
    if len(uneven):
        line, step = int(uneven[0]) + 3, float(steps[uneven[0]])
        raise ConfigError(
            [f"{path}:{line}: {step:.6g} s after the row before, all others {period:.6g} s: cut it there"]
        )
    return period


def _output_lines(inputs: Sequence[Port], output: OutputReport) -> list[str]:
    lines = [
        f"{output.port.signal} [{output.port.unit}]:",
        f"  explains {output.fit_percent:.1f} % where it was fitted, {output.held_out_percent:.1f} % where it was not",
        f"  residual {output.residual:.4g}, correlated {output.residual_correlation:.2f} from sample to sample",
    ]
    for port, channel, error in zip(inputs, output.channels, output.gain_errors, strict=True):
        times = f"dead time {channel.dead_time_seconds:.4g} s, lags {channel.lag_seconds:.4g} s"
        second = f" and {channel.second_lag_seconds:.4g} s" if channel.second_lag_seconds else ""
        lines.append(f"  from {port.signal} [{port.unit}]: gain {channel.gain:.4g} +- {error:.2g}, {times}{second}")
    return lines


def _head(artefact: Artefact, loop: str, period: float) -> list[str]:
    fits = ", ".join(f"{percent:.0f} %" for percent in artefact.held_out_percent)
    return [
        f"# Controller of the loop {loop}: linear MPC on a model from {artefact.source or 'an unnamed source'}.",
        f"# On data that it was not fitted to, the model explains {fits}.",
        f"# A loop period of {period:g} s suits it. Limits and rates are those of the gate.",
    ]


def _body(settings: MpcSettings, artefact: Artefact) -> list[str]:
    units = [port.unit for port in artefact.model.outputs]
    lines = [
        "controller:",
        "  kind: mpc",
        f"  model: {settings.model}",
        f"  horizon_seconds: {settings.horizon_seconds:g}      # how far it looks ahead",
        "  inputs:                  # in the order of the model",
    ]
    for entry in settings.inputs:
        lines += [
            f"    - signal: {entry.signal}",
            f"      move_seconds: {entry.move_seconds:g}      # more: calmer moves, slower answers",
        ]
    lines.append("  outputs:")
    for output, unit in zip(settings.outputs, units, strict=True):
        lines += [
            f"    - signal: {output.signal}",
            f"      error_scale: {output.error_scale:g}      # {unit}; half of it counts four times as much",
            f"      reference_seconds: {output.reference_seconds:g}      # more: gentler towards a new set-point",
            f"      disturbance_lag_seconds: {output.disturbance_lag_seconds:g}",
            f"      disturbance_settling_seconds: {output.disturbance_settling_seconds:g}  # more: calmer under noise",
            f"      # low: and high: keep the output in a band, in {unit}, where that is possible",
        ]
    pid = settings.fallback
    return [
        *lines,
        "  fallback:                # moves the output whenever the MPC can't",
        "    kind: pid",
        f"    gain: {pid.gain:g}",
        f"    integral_seconds: {pid.integral_seconds:g}",
        f"    filter_seconds: {pid.filter_seconds:g}",
    ]

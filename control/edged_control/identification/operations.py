"""What `edged mpc` does: a model from a recording, and the configuration of a controller from a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edged.controller_settings import MpcSettings, PidSettings
from edged_control.identification.identify import IdentificationReport, identify
from edged_control.identification.recording_file import read_recording
from edged_control.identification.structures import OutputReport, Structure
from edged_control.mpc.settings import proposed, proposed_period, proposed_pid
from edged_control.process_model.dynamics import Dynamics
from edged_control.process_model.linear import Artefact, Port, UnusableModel, load, save

ERROR_SCALE = 1.0


@dataclass(frozen=True, slots=True)
class Identified:
    """What is told of an identification, and where the artefact is; None when there is none."""

    text: str
    path: Path | None


def identify_file(
    data: Path, inputs: Sequence[str], outputs: Sequence[str], artefact: Path, structure: Structure = Structure.AUTO
) -> Identified:
    """Identifies from a CSV file and writes the artefact, or nothing. Raises ConfigError for an unusable file."""
    report = identify(read_recording(data, inputs, outputs), data.name, structure)
    if report.artefact is None:
        return Identified(report_text(report), None)
    save(report.artefact, artefact)
    return Identified(f"{report_text(report)}\nwritten: {artefact}, hash {report.artefact.hash}", artefact)


def report_text(report: IdentificationReport) -> str:
    """The report for people: every path, how well it fits, and why there is no artefact where there is none."""
    lines = [f"{port.signal} was moved by a controller: noise is allowed for" for port in report.led]
    lines += [line for output in report.outputs for line in _output_lines(report.inputs, output)]
    if report.artefact is not None and (dynamics := report.artefact.model.dynamics) is not None:
        lines.append(f"state space of {_states(dynamics)}")
    lines += [f"refused: {fault}" for fault in report.faults]
    return "\n".join(lines)


def init_text(path: Path, loops: Sequence[str]) -> str:
    """The commented configuration of the loops' controllers for the artefact at `path`. Raises UnusableModel.

    A loop for each output, in the model's order; it moves the input in the same place.
    """
    artefact = load(path)
    model, count = artefact.model, len(loops)
    if not count == len(model.inputs) == len(model.outputs):
        sizes = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        raise UnusableModel(f"{path}: a loop has one of each, the model has {sizes}, got --loop {', '.join(loops)}")
    period = max(proposed_period(model), artefact.period_seconds)
    if model.dynamics is not None:
        period = artefact.period_seconds * math.floor(period / artefact.period_seconds)
    scales = [ERROR_SCALE] if count == 1 else [float(f"{residual:.2g}") for residual in artefact.residuals]
    settings = proposed(model, path, scales, period)
    lines = [*_head(artefact, loops[0], period), *_body(settings, artefact)]
    for output, loop in enumerate(loops[1:], start=1):
        lines += [
            f"# Controller of the loop {loop}, of the same period: its part in that MPC.",
            "---",
            "controller:",
            "  kind: shared_mpc",
            f"  loop: {loops[0]}",
            *_fallback(proposed_pid(model, output, period)),
        ]
    return "\n".join(lines) + "\n"


def _output_lines(inputs: Sequence[Port], output: OutputReport) -> list[str]:
    lines = [
        f"{output.port.signal} [{output.port.unit}]:",
        f"  explains {output.fit_percent:.1f} % where it was fitted, {output.held_out_percent:.1f} % where it was not",
        (
            f"  residual {output.residual:.4g}, correlated {output.residual_correlation:.2f} from sample to sample,"
            f" {'white' if output.unwhiteness <= 1.0 else 'not white'} (Ljung-Box {output.unwhiteness:.2g} of chance)"
        ),
    ]
    lines += [
        f"  {port.signal} still shows in the residual ({share:.2g} of chance): the structure or the time is too short"
        for port, share in zip(inputs, output.left_over, strict=True)
        if share > 1.0
    ]
    for port, channel, error in zip(inputs, output.channels, output.gain_errors, strict=True):
        times = f"dead time {channel.dead_time_seconds:.4g} s, lags {channel.lag_seconds:.4g} s"
        second = f" and {channel.second_lag_seconds:.4g} s" if channel.second_lag_seconds else ""
        lines.append(f"  from {port.signal} [{port.unit}]: gain {channel.gain:.4g} +- {error:.2g}, {times}{second}")
    return lines


def _states(dynamics: Dynamics) -> str:
    delays = ", ".join(f"{delay * dynamics.period_seconds:g} s" for delay in dynamics.delays)
    return f"{len(dynamics.a)} states, delays of {delays}; dead times and lags above sum it up"


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
    for entry, port in zip(settings.inputs, artefact.model.inputs, strict=True):
        lines += [
            f"    - signal: {entry.signal}",
            f"      move_seconds: {entry.move_seconds:g}      # more: calmer moves, slower answers",
        ]
        if artefact.model.dynamics is None:
            lines += [
                f"      # load_per_hour: how far an unseen load of it walks, in {port.unit}, for all inputs or none;",
                "      # then also load_jump:, dead_time_factors: and gain_factors: how loads and plant may differ",
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
    return [*lines, *_fallback(settings.fallback)]


def _fallback(pid: PidSettings) -> list[str]:
    return [
        "  fallback:                # moves the output whenever the MPC can't",
        "    kind: pid",
        f"    gain: {pid.gain:g}",
        f"    integral_seconds: {pid.integral_seconds:g}",
        f"    filter_seconds: {pid.filter_seconds:g}",
    ]

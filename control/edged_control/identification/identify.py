"""Finds a process model in a recording of moves: gain, dead time and lags of every path, or the reasons why not.

Output error method: the recorded inputs alone are sent through the model, and what the outputs show beside that is the
residual. Gains, offset and the fading past are linear and solved for; dead times and lags (`output_error`) or shared
poles (`realisation`) are searched (Ljung, System Identification, 1999, chapter 10). Where a controller moves the
inputs, both sides pass a filter first that makes the residual white. The last part is held out and judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edged_control.identification.recording import Recording, recording_faults
from edged_control.identification.structures import (
    LONGEST_DEAD_TIME_SHARE,
    LONGEST_LAG_SHARE,
    Candidate,
    OutputReport,
    Structure,
    Workshop,
)
from edged_control.process_model.linear import Artefact, Port, ProcessModel

SMALLEST_FIT_PERCENT, SMALLEST_HELD_OUT_PERCENT = 60.0, 50.0
SMALLEST_LED_PERCENT, SMALLEST_LED_HELD_OUT_PERCENT = 30.0, 20.0
"""Where a controller moved the inputs: disturbances outweigh them, however well the model is known."""
GREATEST_MISANSWER, GREATEST_ANSWER_ERROR = 0.35, 0.2
"""There the held-out part must answer as strongly as the model says, and show that clearly."""
GREATEST_GAIN_ERROR = 0.2
"""Standard error of a gain, as a share of it."""
CLEARLY_LESS = 0.8
"""By this factor a state space must leave less unexplained of the held-out part, or dead times and lags are taken."""


@dataclass(frozen=True, slots=True)
class IdentificationReport:
    """What was found. Without faults there is an artefact; with any there is none.

    `led` are the inputs that a controller moved by what the outputs showed.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[OutputReport, ...] = ()
    faults: tuple[str, ...] = ()
    artefact: Artefact | None = field(default=None)
    structure: Structure = Structure.AUTO
    led: tuple[Port, ...] = ()


def identify(recording: Recording, source: str = "", structure: Structure = Structure.AUTO) -> IdentificationReport:
    """Fits every output to all inputs, tries the result on the held-out part and says what came of it."""
    faults = recording_faults(recording)
    if faults:
        return IdentificationReport(recording.input_ports, faults=tuple(faults))
    workshop = Workshop(recording)
    found = _chosen(recording, workshop, structure)
    faults = _faults(recording, found)
    return IdentificationReport(
        recording.input_ports,
        found.outputs,
        tuple(faults),
        None if faults else _artefact(recording, found, source),
        found.structure,
        workshop.led,
    )


def _chosen(recording: Recording, workshop: Workshop, structure: Structure) -> Candidate:
    """What was asked for; by itself a state space only where dead times and lags explain clearly less."""
    if structure is Structure.STATE_SPACE:
        return workshop.state_space()
    simple = workshop.lags(structure)
    if structure is not Structure.AUTO:
        return simple
    rich = workshop.state_space()
    refused, other = bool(_faults(recording, simple)), bool(_faults(recording, rich))
    if refused != other:
        return rich if refused else simple
    return rich if _unexplained(rich) < CLEARLY_LESS * _unexplained(simple) else simple


def _unexplained(candidate: Candidate) -> float:
    return sum(100.0 - output.held_out_percent for output in candidate.outputs)


def _faults(recording: Recording, candidate: Candidate) -> list[str]:
    faults = []
    for report in candidate.outputs:
        faults += _explanation_faults(report, candidate.led) + _channel_faults(recording, report)
    return faults


def _explanation_faults(report: OutputReport, led: bool) -> list[str]:
    name, faults = report.port.signal, []
    fit = SMALLEST_LED_PERCENT if led else SMALLEST_FIT_PERCENT
    held_out = SMALLEST_LED_HELD_OUT_PERCENT if led else SMALLEST_HELD_OUT_PERCENT
    if report.fit_percent < fit:
        faults.append(f"{name}: the model explains {report.fit_percent:.0f} %, needed {fit:.0f} %")
    if report.held_out_percent < held_out:
        found = report.held_out_percent
        faults.append(f"{name}: on the held-out part the model explains {found:.0f} %, needed {held_out:.0f} %")
    share, error = report.held_out_answer
    if led and error > GREATEST_ANSWER_ERROR:
        faults.append(f"{name}: the held-out part says too little (the answer is uncertain by {error:.2g}): more moves")
    elif led and abs(share - 1.0) > GREATEST_MISANSWER:
        faults.append(f"{name}: on the held-out part it answers {share:.2f} times as strongly as the model says")
    return faults


def _channel_faults(recording: Recording, report: OutputReport) -> list[str]:
    name, span = report.port.signal, recording.fitted * recording.period_seconds
    faults = []
    for port, channel, error in zip(recording.input_ports, report.channels, report.gain_errors, strict=True):
        path = f"{port.signal} to {name}"
        if channel.gain and error > GREATEST_GAIN_ERROR * abs(channel.gain):
            faults.append(f"{path}: the gain {channel.gain:.4g} is uncertain by {error:.4g}: make larger or more moves")
        if channel.dead_time_seconds >= 0.99 * LONGEST_DEAD_TIME_SHARE * span:
            faults.append(f"{path}: the dead time is at the end of the search: record for longer")
        if channel.lag_seconds >= 0.99 * LONGEST_LAG_SHARE * span:
            faults.append(f"{path}: the lag is at the end of the search: record for longer, the process may integrate")
    return faults


def _artefact(recording: Recording, found: Candidate, source: str) -> Artefact:
    channels = tuple(report.channels for report in found.outputs)
    return Artefact(
        model=ProcessModel(recording.input_ports, recording.output_ports, channels, found.dynamics),
        period_seconds=recording.period_seconds,
        fit_percent=tuple(report.fit_percent for report in found.outputs),
        held_out_percent=tuple(report.held_out_percent for report in found.outputs),
        residuals=tuple(report.residual for report in found.outputs),
        source=source,
        data_hash=recording.hash,
    )

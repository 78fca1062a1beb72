"""Finds a process model in a recording of moves: gain, dead time and lags of every path, or the reasons why not.

Output error method: the recorded inputs alone are sent through the model, and what the outputs show beside that is the
residual. Gains, offset and the fading past are linear and solved for; dead times and lags are searched, coarsely on a
grid and then by Levenberg and Marquardt (Ljung, System Identification, 1999, chapter 10). The last part of the record
is held out and judges the result.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edged_control.model import Artefact, Channel, Port, ProcessModel
from edged_control.output_error import OutputError, Solution
from edged_control.state_space import Array

FEWEST_SAMPLES = 100
FEWEST_MOVES = 4
HELD_OUT_SHARE = 0.3
SMALLEST_FIT_PERCENT = 60.0
SMALLEST_HELD_OUT_PERCENT = 50.0
GREATEST_GAIN_ERROR = 0.2
"""Standard error of a gain, as a share of it."""
LONGEST_DEAD_TIME_SHARE, LONGEST_LAG_SHARE = 0.2, 0.25
"""Of the part of the record that is fitted."""
SMALLEST_LAG_PERIODS = 0.5
ALIKE = 0.95
"""Inputs whose moves correlate more than this can't be told apart."""
MOVED_SHARE = 0.3
"""The held-out part must move an input by this share of what the fitted part does."""
SECOND_LAG_PRICE = 2.0
"""A second lag must lower the Bayesian information criterion by more than this."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Samples at a constant period: `inputs[k, j]` was held from sample k to k + 1, `outputs[k, i]` measured at k."""

    period_seconds: float
    input_ports: tuple[Port, ...]
    output_ports: tuple[Port, ...]
    inputs: Array
    outputs: Array

    @property
    def hash(self) -> str:
        """SHA-256 of the numbers."""
        return hashlib.sha256(self.inputs.tobytes() + self.outputs.tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class OutputReport:
    """How one output was fitted. Percentages: 100 is exact, 0 no better than a constant."""

    port: Port
    channels: tuple[Channel, ...]
    gain_errors: tuple[float, ...]
    fit_percent: float
    held_out_percent: float
    residual: float
    residual_correlation: float


@dataclass(frozen=True, slots=True)
class IdentificationReport:
    """What was found. Without faults there is an artefact; with any there is none."""

    inputs: tuple[Port, ...]
    outputs: tuple[OutputReport, ...] = ()
    faults: tuple[str, ...] = ()
    artefact: Artefact | None = field(default=None)


def identify(recording: Recording, source: str = "") -> IdentificationReport:
    """Fits every output to all inputs, tries the result on the held-out part and says what came of it."""
    faults = recording_faults(recording)
    if faults:
        return IdentificationReport(recording.input_ports, faults=tuple(faults))
    reports = [_fit_output(recording, i) for i in range(len(recording.output_ports))]
    for report in reports:
        faults += _report_faults(recording, report)
    artefact = None if faults else _artefact(recording, reports, source)
    return IdentificationReport(recording.input_ports, tuple(reports), tuple(faults), artefact)


def recording_faults(recording: Recording) -> list[str]:
    """Why nothing can be learnt from a recording; empty when it may be tried."""
    samples = len(recording.inputs)
    if not (np.isfinite(recording.inputs).all() and np.isfinite(recording.outputs).all()):
        return ["some values are not finite numbers: leave such stretches out of the recording"]
    if samples < FEWEST_SAMPLES or len(recording.outputs) != samples:
        return [f"at least {FEWEST_SAMPLES} samples are needed, got {min(samples, len(recording.outputs))}"]
    if not (math.isfinite(recording.period_seconds) and recording.period_seconds > 0.0):
        return [f"the period must be above 0 s, got {recording.period_seconds}"]
    fitted = _fitted_samples(recording)
    faults = []
    for port, values in zip(recording.input_ports, recording.inputs.T, strict=True):
        moves, span, held = np.count_nonzero(np.diff(values[:fitted])), np.ptp(values[:fitted]), np.ptp(values[fitted:])
        if moves < FEWEST_MOVES:
            faults.append(f"{port.signal} moves {moves} times in the fitted part, at least {FEWEST_MOVES} are needed")
        elif held < MOVED_SHARE * span:
            faults.append(f"{port.signal} hardly moves in the held-out part ({held:.4g} of {span:.4g} {port.unit})")
    for port, values in zip(recording.output_ports, recording.outputs.T, strict=True):
        if np.ptp(values[:fitted]) == 0.0 or np.ptp(values[fitted:]) == 0.0:
            faults.append(f"{port.signal} does not move")
    if not faults:
        faults += _alike(recording, fitted)
    return faults


def _alike(recording: Recording, fitted: int) -> list[str]:
    ports, correlation = recording.input_ports, np.atleast_2d(np.corrcoef(recording.inputs[:fitted].T))
    return [
        f"{ports[i].signal} and {ports[j].signal} move alike (correlation {correlation[i, j]:.2f}): move them apart"
        for i in range(len(ports))
        for j in range(i)
        if abs(correlation[i, j]) > ALIKE
    ]


def _fitted_samples(recording: Recording) -> int:
    return round(len(recording.inputs) * (1.0 - HELD_OUT_SHARE))


def _fit_output(recording: Recording, i: int) -> OutputReport:
    fitted = _fitted_samples(recording)
    period = recording.period_seconds
    problem = OutputError(
        period,
        recording.inputs[:fitted],
        recording.outputs[:fitted, i],
        longest_dead_time=LONGEST_DEAD_TIME_SHARE * fitted * period,
        longest_lag=LONGEST_LAG_SHARE * fitted * period,
        smallest_lag=SMALLEST_LAG_PERIODS * period,
    )
    one, two = problem.fit(second_lags=False), problem.fit(second_lags=True)
    best = two if two.criterion < one.criterion - SECOND_LAG_PRICE else one
    residual = problem.residual(best)
    return OutputReport(
        port=recording.output_ports[i],
        channels=best.channels,
        gain_errors=best.gain_errors,
        fit_percent=_percent(residual, recording.outputs[:fitted, i]),
        held_out_percent=_held_out(recording, i, best),
        residual=float(residual.std()),
        residual_correlation=best.correlation,
    )


def _held_out(recording: Recording, i: int, solution: Solution) -> float:
    """The fit where the model has not been; an offset is not its fault, the disturbance estimate takes it up."""
    fitted, period = _fitted_samples(recording), recording.period_seconds
    whole = OutputError(period, recording.inputs, recording.outputs[:, i], 0.0, 0.0, 0.0)
    residual = (recording.outputs[:, i] - whole.answer(solution.channels))[fitted:]
    return _percent(residual - residual.mean(), recording.outputs[fitted:, i])


def _percent(residual: Array, measured: Array) -> float:
    return float(100.0 * (1.0 - np.linalg.norm(residual) / np.linalg.norm(measured - measured.mean())))


def _report_faults(recording: Recording, report: OutputReport) -> list[str]:
    name, span = report.port.signal, _fitted_samples(recording) * recording.period_seconds
    faults = []
    if report.fit_percent < SMALLEST_FIT_PERCENT:
        faults.append(f"{name}: the model explains {report.fit_percent:.0f} %, needed {SMALLEST_FIT_PERCENT:.0f} %")
    if report.held_out_percent < SMALLEST_HELD_OUT_PERCENT:
        found, needed = report.held_out_percent, SMALLEST_HELD_OUT_PERCENT
        faults.append(f"{name}: on the held-out part the model explains {found:.0f} %, needed {needed:.0f} %")
    for port, channel, error in zip(recording.input_ports, report.channels, report.gain_errors, strict=True):
        path = f"{port.signal} to {name}"
        if channel.gain and error > GREATEST_GAIN_ERROR * abs(channel.gain):
            faults.append(f"{path}: the gain {channel.gain:.4g} is uncertain by {error:.4g}: make larger or more moves")
        if channel.dead_time_seconds >= 0.99 * LONGEST_DEAD_TIME_SHARE * span:
            faults.append(f"{path}: the dead time is at the end of the search: record for longer")
        if channel.lag_seconds >= 0.99 * LONGEST_LAG_SHARE * span:
            faults.append(f"{path}: the lag is at the end of the search: record for longer, the process may integrate")
    return faults


def _artefact(recording: Recording, reports: Sequence[OutputReport], source: str) -> Artefact:
    return Artefact(
        model=ProcessModel(recording.input_ports, recording.output_ports, tuple(report.channels for report in reports)),
        period_seconds=recording.period_seconds,
        fit_percent=tuple(report.fit_percent for report in reports),
        held_out_percent=tuple(report.held_out_percent for report in reports),
        residuals=tuple(report.residual for report in reports),
        source=source,
        data_hash=recording.hash,
    )

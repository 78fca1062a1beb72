"""A recording that a process model is to be learnt from, and why nothing can be learnt from it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from edged_control.identification.long_arx import own_part
from edged_control.process_model.linear import Port
from edged_control.process_model.state_space import Array

FEWEST_SAMPLES = 100
FEWEST_MOVES = 4
HELD_OUT_SHARE = 0.3
ALIKE = 0.95
"""Inputs whose moves correlate more than this can't be told apart."""
MOVED_SHARE = 0.3
"""The held-out part must move an input by this share of what the fitted part does."""
SMALLEST_OWN_PART = 1e-4
"""Of an input's variance: with less of its own it says nothing that its controller did not read off the output."""


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

    @property
    def fitted(self) -> int:
        """How many samples, from the first on, a model is fitted to; the others judge it."""
        return round(len(self.inputs) * (1.0 - HELD_OUT_SHARE))


def recording_faults(recording: Recording) -> list[str]:
    """Why nothing can be learnt from a recording; empty when it may be tried."""
    samples = len(recording.inputs)
    if not (np.isfinite(recording.inputs).all() and np.isfinite(recording.outputs).all()):
        return ["some values are not finite numbers: leave such stretches out of the recording"]
    if samples < FEWEST_SAMPLES or len(recording.outputs) != samples:
        return [f"at least {FEWEST_SAMPLES} samples are needed, got {min(samples, len(recording.outputs))}"]
    if not (math.isfinite(recording.period_seconds) and recording.period_seconds > 0.0):
        return [f"the period must be above 0 s, got {recording.period_seconds}"]
    fitted = recording.fitted
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
    return faults or [*_alike(recording), *_led(recording)]


def _alike(recording: Recording) -> list[str]:
    ports, correlation = recording.input_ports, np.atleast_2d(np.corrcoef(recording.inputs[: recording.fitted].T))
    return [
        f"{ports[i].signal} and {ports[j].signal} move alike (correlation {correlation[i, j]:.2f}): move them apart"
        for i in range(len(ports))
        for j in range(i)
        if abs(correlation[i, j]) > ALIKE
    ]


def _led(recording: Recording) -> list[str]:
    inputs, outputs = recording.inputs[: recording.fitted], recording.outputs[: recording.fitted]
    return [
        f"{port.signal} moves only as the outputs before say, a controller leads it:"
        " change its set-point now and then, or move it by hand"
        for j, port in enumerate(recording.input_ports)
        if own_part(inputs, outputs, j) < SMALLEST_OWN_PART
    ]

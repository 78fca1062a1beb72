"""The structures that a process model can have, and how each is fitted and tried on the held-out part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from edged_control.identification.long_arx import UNFILTERED, filtered, follows, long_arx
from edged_control.identification.modal import dynamics_of
from edged_control.identification.output_error import OutputError, lag_one
from edged_control.identification.realisation import realise
from edged_control.identification.recording import Recording
from edged_control.identification.residuals import left_over, unwhiteness
from edged_control.process_model.dynamics import Dynamics
from edged_control.process_model.linear import Channel, Port
from edged_control.process_model.state_space import Array

LONGEST_DEAD_TIME_SHARE, LONGEST_LAG_SHARE = 0.2, 0.25
"""Of the part of the record that is fitted."""
SMALLEST_LAG_PERIODS = 0.5
LED_DOUBT = 2.0
"""By so much gains are less certain than calculated where a controller moved the inputs: the noise is estimated too. On
simulated loops it was 1.2 to 2."""
SECOND_LAG_PRICE = 2.0
"""A second lag must lower the Bayesian information criterion by more than this."""


class Structure(StrEnum):
    """Dead time with one lag or with two for every path, or one state space for all of them."""

    AUTO = "auto"
    FOPDT = "fopdt"
    SOPDT = "sopdt"
    STATE_SPACE = "state-space"


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class OutputReport:
    """How one output was fitted. Percentages: 100 is exact, 0 no better than a constant; of changes in a led recording.

    `held_out_answer` is how strongly the output answered where the model was not fitted, 1 being what the model says.
    `unwhiteness` and, for each input, `left_over` are shares of what chance would show: above 1 something is left.
    """

    port: Port
    channels: tuple[Channel, ...]
    gain_errors: tuple[float, ...]
    fit_percent: float
    held_out_percent: float
    held_out_answer: Estimate
    residual: float
    residual_correlation: float
    unwhiteness: float
    left_over: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model of one structure."""

    structure: Structure
    outputs: tuple[OutputReport, ...]
    led: bool
    dynamics: Dynamics | None = None


class Workshop:
    """One recording, fitted as often as asked. `led` are the inputs that a controller moved by what outputs showed."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._inputs, self._outputs = recording.inputs[: recording.fitted], recording.outputs[: recording.fitted]
        self._models = [long_arx(self._inputs, column) for column in self._outputs.T]
        self.led = tuple(
            port
            for port, values in zip(recording.input_ports, self._inputs.T, strict=True)
            if any(follows(values, model.innovations) for model in self._models)
        )
        self._whitening = [model.whitening if self.led else UNFILTERED for model in self._models]

    def lags(self, structure: Structure) -> Candidate:
        """Dead times with one lag, with two, or for each output with what is worth its price."""
        reports = [self._lags_of(i, structure) for i in range(len(self._recording.output_ports))]
        return Candidate(structure, tuple(reports), bool(self.led))

    def state_space(self) -> Candidate:
        """One set of poles for all paths."""
        recording = self._recording
        longest = LONGEST_LAG_SHARE * recording.fitted
        found = realise(self._inputs, self._outputs, self._models, self._whitening, longest)
        channels, residuals = found.channels(recording.period_seconds), found.problem.residual(found.fit)
        beside = recording.outputs - found.problem.answer(found.fit, recording.inputs)
        reports = [
            self._report(i, row, tuple(map(float, found.fit.gain_errors[i])), residuals[:, i], beside[:, i])
            for i, row in enumerate(channels)
        ]
        dynamics = dynamics_of(found.fit, recording.period_seconds)
        return Candidate(Structure.STATE_SPACE, tuple(reports), bool(self.led), dynamics)

    def _lags_of(self, i: int, structure: Structure) -> OutputReport:
        fitted, period = self._recording.fitted, self._recording.period_seconds
        problem = OutputError(
            period,
            self._inputs,
            self._outputs[:, i],
            longest_dead_time=LONGEST_DEAD_TIME_SHARE * fitted * period,
            longest_lag=LONGEST_LAG_SHARE * fitted * period,
            smallest_lag=SMALLEST_LAG_PERIODS * period,
            whitening=self._whitening[i],
        )
        fits = [problem.fit(second_lags=two) for two in _second_lags(structure)]
        best = fits[-1] if fits[-1].criterion < fits[0].criterion - SECOND_LAG_PRICE else fits[0]
        whole = OutputError(period, self._recording.inputs, self._recording.outputs[:, i], 0.0, 0.0, 0.0)
        beside = self._recording.outputs[:, i] - whole.answer(best.channels)
        return self._report(i, best.channels, best.gain_errors, problem.residual(best), beside)

    def _report(
        self, i: int, channels: tuple[Channel, ...], gain_errors: tuple[float, ...], residual: Array, beside: Array
    ) -> OutputReport:
        """`residual` of the fitted part, `beside` of the whole: an offset there is not the model's fault."""
        fitted, measured, whitening = self._recording.fitted, self._recording.outputs[:, i], self._whitening[i]
        tested, span = filtered(residual, whitening), self._span(channels)
        return OutputReport(
            port=self._recording.output_ports[i],
            channels=channels,
            gain_errors=tuple(error * (LED_DOUBT if self.led else 1.0) for error in gain_errors),
            fit_percent=_percent(residual, measured[:fitted], span),
            held_out_percent=_percent(beside[fitted:], measured[fitted:], span),
            held_out_answer=_answer(*(filtered(one[fitted:], whitening) for one in (measured - beside, measured))),
            residual=float(residual.std()),
            residual_correlation=lag_one(residual),
            unwhiteness=unwhiteness(tested),
            left_over=tuple(left_over(tested, filtered(values, whitening)) for values in self._inputs.T),
        )

    def _span(self, channels: tuple[Channel, ...]) -> int:
        """Samples in which an output answers; 0 where no controller is at work.

        A controller's inputs are small beside what drifts: judged are changes over this time, not the drift.
        """
        if not self.led:
            return 0
        times = [one.dead_time_seconds + one.lag_seconds + one.second_lag_seconds for one in channels]
        return min(math.ceil(max(times) / self._recording.period_seconds), len(self._inputs) // 4)


def _second_lags(structure: Structure) -> Sequence[bool]:
    if structure is Structure.AUTO:
        return (False, True)
    return (structure is Structure.SOPDT,)


def _answer(said: Array, shown: Array) -> Estimate:
    """The factor between what the model says and what the output shows beside an offset, by least squares."""
    said, shown = said - said.mean(), shown - shown.mean()
    power = float(said @ said)
    if power <= 0.0:
        return Estimate(0.0, math.inf)
    share = float(said @ shown) / power
    left = shown - share * said
    kept = lag_one(left)
    return Estimate(share, math.sqrt(float(left @ left) / len(left) / power * (1.0 + kept) / (1.0 - kept)))


def _percent(residual: Array, measured: Array, span: int) -> float:
    """How much of the output, or of its changes over so many samples, is explained; an offset does not count."""
    left, whole = (one[span:] - one[: len(one) - span] if span else one - one.mean() for one in (residual, measured))
    return float(100.0 * (1.0 - np.linalg.norm(left) / np.linalg.norm(whole)))

"""Whether the model still fits: its one-step prediction errors against the noise that it was identified in.

Noise is as often above the prediction as below it. A model that does not fit is wrong to one side as long as the
output moves, so the smoothed error leaves the noise behind. A disturbance does that too, but not for long.
"""

from __future__ import annotations

from edged_control.process_model.linear import Artefact

SMOOTHING_PERIODS = 10.0
PATIENCE_PERIODS, PATIENCE_SETTLINGS = 30.0, 2.0
"""The longer of the two: a disturbance that came at once is over by then."""
LIMIT_NOISES = 1.5
MOST_TRIPS = 3
"""After so many the model comes back only when an engineer says so."""


class ModelWatch:
    """`error` is a prediction's, in the output's unit, `noise` the standard deviation that they should have."""

    def __init__(self, noise: float, period_seconds: float, patience_seconds: float) -> None:
        self._limit = LIMIT_NOISES * noise
        self._span = SMOOTHING_PERIODS * period_seconds
        self._patience = patience_seconds
        self._smoothed = 0.0
        self._wrong = 0.0
        self._right = 0.0
        self._trips = 0
        self.fault = ""
        """Why the model is not to be used; empty when it is."""

    def note(self, error: float, seconds: float) -> None:
        """One prediction and what came of it, `seconds` after the last."""
        share = min(seconds / self._span, 1.0)
        self._smoothed += share * (error - self._smoothed)
        is_wrong = abs(self._smoothed) > self._limit
        self._wrong = max(0.0, self._wrong + (seconds if is_wrong else -seconds))
        self._right = 0.0 if is_wrong else self._right + seconds
        if not self.fault and self._wrong >= self._patience:
            self._trips += 1
            self.fault = f"the model has been wrong by {abs(self._smoothed):.3g} for {self._patience:.3g} s"
            self.fault += ", more than its noise" if self._trips < MOST_TRIPS else ": an engineer must ask for AUTO"
        elif self.fault and self._trips < MOST_TRIPS and self._right >= self._patience * 2.0**self._trips:
            self._forgive()

    def trust(self) -> None:
        """An engineer says that the model fits."""
        self._trips = 0
        self._forgive()

    def _forgive(self) -> None:
        self.fault, self._wrong, self._right, self._smoothed = "", 0.0, 0.0, 0.0


def furnace_watch(residual_kelvin: float, horizon_seconds: float, period_seconds: float) -> ModelWatch:
    """The watch that fits a furnace, whose horizon says in which time it settles."""
    patience = max(PATIENCE_PERIODS * period_seconds, PATIENCE_SETTLINGS * horizon_seconds)
    return ModelWatch(residual_kelvin, period_seconds, patience)


def model_watch(artefact: Artefact, period_seconds: float, moved: int = 0, output: int = 0) -> ModelWatch:
    """The watch that fits one output of a model and the input that its loop moves."""
    settling = artefact.model.channels[output][moved].settling_seconds
    patience = max(PATIENCE_PERIODS * period_seconds, PATIENCE_SETTLINGS * settling)
    return ModelWatch(artefact.residuals[output], period_seconds, patience)

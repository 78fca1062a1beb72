"""Probability of a defect per unit and type, rising smoothly around the thresholds of the process knowledge (GLS25)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Defect(StrEnum):
    """Defect types that the process causes."""

    CRACK = "crack"
    BUBBLE = "bubble"
    CLOUDINESS = "cloudiness"
    DEFORMATION = "deformation"
    STRESS_FRACTURE = "stress_fracture"


class Conditions(NamedTuple):
    """What the unit went through."""

    furnace_temperature: float
    """degC."""
    belt_speed: float
    """m/min."""
    mould_temperature: float
    """degC."""
    pressure_variation: float
    """MPa, highest less lowest forming pressure of the last minute."""
    cooling_rate: float
    """degC/min through the annealing range."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause: beyond `threshold` (in the unit of its condition) the defect comes with up to `confidence`."""

    defect: Defect
    condition: str
    threshold: float
    width: float
    """From half to three quarters of the confidence takes about one width; negative when low values do harm."""
    confidence: float
    reason: str

    def probability(self, value: float) -> float:
        """Share of units that get the defect at this value, 0..confidence; half the confidence at the threshold."""
        exponent = (value - self.threshold) / self.width
        return self.confidence * _logistic(exponent)


CAUSES: tuple[Cause, ...] = (
    Cause(Defect.CRACK, "furnace_temperature", 1600.0, 6.0, 0.85, "thermal stress in cooling"),
    Cause(Defect.CLOUDINESS, "furnace_temperature", 1450.0, -6.0, 0.78, "incomplete melting"),
    Cause(Defect.DEFORMATION, "belt_speed", 180.0, 2.5, 0.82, "too little forming time"),
    Cause(Defect.STRESS_FRACTURE, "mould_temperature", 280.0, -8.0, 0.75, "rapid cooling in the mould"),
    Cause(Defect.BUBBLE, "pressure_variation", 15.0, 0.8, 0.88, "gas entrapment"),
    Cause(Defect.CRACK, "cooling_rate", 7.0, 0.2, 0.90, "thermal shock"),
)
"""Thresholds and confidences of GLS25; the widths are ours and keep normal operation below 0.2 % per cause."""

BACKGROUND = 0.0005
"""Share of units with a defect that no condition explains."""


def risks(conditions: Conditions) -> dict[Defect, float]:
    """Probability of each type for one unit; causes of one type act independently."""
    spared = dict.fromkeys(Defect, 1.0)
    for cause in CAUSES:
        spared[cause.defect] *= 1.0 - cause.probability(getattr(conditions, cause.condition))
    return {defect: 1.0 - share for defect, share in spared.items()}


def any_defect(conditions: Conditions) -> float:
    """Probability that a unit has at least one defect, background included."""
    spared = 1.0 - BACKGROUND
    for risk in risks(conditions).values():
        spared *= 1.0 - risk
    return 1.0 - spared


def _logistic(exponent: float) -> float:
    if exponent >= 0:
        return 1.0 / (1.0 + math.exp(-exponent))
    grown = math.exp(max(exponent, -700.0))
    return grown / (1.0 + grown)

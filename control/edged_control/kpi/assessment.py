"""A window of a loop, judged: every KPI, a score from 0 to 100, and the reasons for what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edged_control.kpi.data_gates import data_faults, saturated_share
from edged_control.kpi.harris import harris_indices
from edged_control.kpi.movement import Movement, movement
from edged_control.kpi.oscillation import Oscillation, oscillation
from edged_control.kpi.stiction import Stiction, stiction
from edged_control.kpi.window import LoopWindow

DELAYS = (1, 2, 3, 5, 8, 12)
"""Dead times in periods for which the Harris index is told."""
FULL_SCORE = 100.0
SERVICE_WEIGHT, SWING_WEIGHT, STICTION_WEIGHT = 40.0, 25.0, 10.0
VARIANCE_WEIGHT, SATURATION_WEIGHT, CLIP_WEIGHT, FALLBACK_WEIGHT = 15.0, 10.0, 10.0, 10.0
POOR_HARRIS, GOOD_HARRIS = 0.2, 0.7
FULL_CLIP_SHARE = 0.5
OVERSHOOT_WEIGHT, FULL_OVERSHOOT_PERCENT = 10.0, 50.0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why points are missing from a score."""

    points: float
    text: str


@dataclass(frozen=True, slots=True)
class LoopAssessment:
    """Shares are 0 to 1. Without a score the window could not be judged, and `faults` tell why."""

    cycles: int
    service_factor: float
    saturated_share: float
    clipped_share: float
    fallback_share: float
    faults: tuple[str, ...]
    movement: Movement | None = None
    harris: tuple[float, ...] = ()
    oscillation: Oscillation | None = None
    stiction: Stiction | None = None
    score: float | None = None
    reasons: tuple[Reason, ...] = ()


def assess(window: LoopWindow) -> LoopAssessment:
    """Service, clips and fallbacks over all cycles, everything else over those in AUTO."""
    cycles = len(window.time)
    if cycles == 0:
        return LoopAssessment(0, 0.0, 0.0, 0.0, 0.0, ("there were no cycles",))
    automatic = window.in_automatic()
    ran = len(automatic.time) > 0
    common = (
        cycles,
        float(window.automatic.mean()),
        saturated_share(automatic) if ran else 0.0,
        float(automatic.clipped.mean()) if ran else 0.0,
        float(automatic.fell_back.mean()) if ran else 0.0,
    )
    faults = data_faults(automatic)
    if faults:
        return LoopAssessment(*common, faults)
    swing = oscillation(automatic.error, window.period_seconds)
    sticks = None
    if swing.found and swing.period_seconds is not None:
        period = swing.period_seconds / window.period_seconds
        sticks = stiction(automatic.output, automatic.process_value, automatic.error, period)
    moves, indices = movement(automatic), harris_indices(automatic.error, DELAYS)
    judged = LoopAssessment(*common, (), moves, indices, swing, sticks)
    reasons = tuple(reason for reason in _reasons(judged) if reason.points >= 0.5)
    score = max(0.0, FULL_SCORE - sum(reason.points for reason in reasons))
    return LoopAssessment(*common, (), moves, indices, swing, sticks, round(score, 1), reasons)


def _reasons(judged: LoopAssessment) -> list[Reason]:
    """What is missing to a full score, each within its own weight."""
    assert judged.movement is not None
    assert judged.oscillation is not None
    swing, best = judged.oscillation, float(np.max(judged.harris))
    poor = np.clip((GOOD_HARRIS - best) / (GOOD_HARRIS - POOR_HARRIS), 0.0, 1.0)
    overshoot = judged.movement.overshoot_percent or 0.0
    clipped = min(1.0, judged.clipped_share / FULL_CLIP_SHARE)
    reasons = [
        Reason(SERVICE_WEIGHT * (1.0 - judged.service_factor), f"in AUTO for {judged.service_factor:.0%} of the time"),
        Reason(
            VARIANCE_WEIGHT * float(poor),
            f"even at a dead time of {DELAYS[-1]} periods only {best:.0%} of minimum variance",
        ),
        Reason(
            SATURATION_WEIGHT * judged.saturated_share,
            f"the output is at a limit for {judged.saturated_share:.0%} of the time",
        ),
        Reason(CLIP_WEIGHT * clipped, f"the gate clipped {judged.clipped_share:.0%} of the wishes"),
        Reason(FALLBACK_WEIGHT * judged.fallback_share, f"on its fallback for {judged.fallback_share:.0%} of the time"),
        Reason(
            OVERSHOOT_WEIGHT * min(1.0, overshoot / FULL_OVERSHOOT_PERCENT),
            f"set-point steps overshoot by {overshoot:.0f} %",
        ),
    ]
    if swing.found:
        assert swing.period_seconds is not None
        reasons.append(Reason(SWING_WEIGHT, f"swings with a period of {swing.period_seconds:.3g} s"))
    if judged.stiction is not None and judged.stiction.found:
        reasons.append(Reason(STICTION_WEIGHT, "the valve or drive seems to stick"))
    return reasons

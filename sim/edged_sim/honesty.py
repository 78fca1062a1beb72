"""Is a training file worth learning from? Neither a trivial rule nor hidden knowledge may solve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from edged_physics.defects import CAUSES
from edged_sim.shaping import FORMING_PRESSURE_MPA

RULE_LIMIT = 0.75
"""F1 that the best rule on last values must stay below: more, and the file is too easy."""

ORACLE_LIMIT = 0.98
"""F1 that the oracle must stay below: more, and nothing is left to chance."""

FEWEST_SPELLS = 20
"""Separate spells with a defect ahead that a judgement needs: one long episode alone makes any rule look good."""

SIGNAL_OF_CONDITION = {
    "furnace_temperature": "furnace/temperature",
    "belt_speed": "forming/belt_speed",
    "mould_temperature": "forming/mould_temperature",
    "pressure_variation": "forming/forming_pressure",
    "cooling_rate": "annealing/cooling_rate",
}

Numbers: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.bool_]


class Honesty(NamedTuple):
    """F1 of the best last-value rule, which rule that is, and F1 of the oracle; `accepted` is None when too short."""

    rule_f1: float
    rule: str
    oracle_f1: float
    oracle_threshold: float
    accepted: bool | None


def judge(columns: Mapping[str, Numbers], oracle: Numbers, labels: Labels) -> Honesty:
    """Tries every signal with every threshold both ways, and the process knowledge (GLS25) as one rule."""
    best, name = 0.0, "none"
    for path, values in [*columns.items(), ("GLS25 thresholds", severity(columns))]:
        for sign, direction in ((1.0, "above"), (-1.0, "below")):
            score, threshold = best_f1(sign * values, labels)
            if score > best:
                best, name = score, f"{path} {direction} {sign * threshold:.4g}"
    oracle_f1, oracle_threshold = best_f1(oracle, labels)
    enough = int(np.count_nonzero(labels[1:] & ~labels[:-1])) >= FEWEST_SPELLS
    accepted = best < RULE_LIMIT and oracle_f1 < ORACLE_LIMIT if enough else None
    return Honesty(best, name, oracle_f1, oracle_threshold, accepted)


def severity(columns: Mapping[str, Numbers]) -> Numbers:
    """How far the worst last value is beyond its threshold of GLS25, in that cause's widths."""
    worst = np.full(len(next(iter(columns.values()))), -np.inf)
    for cause in CAUSES:
        values = columns[SIGNAL_OF_CONDITION[cause.condition]]
        if cause.condition == "pressure_variation":
            values = 2.0 * np.abs(values - FORMING_PRESSURE_MPA)
        worst = np.maximum(worst, (values - cause.threshold) / cause.width)
    return worst


def best_f1(scores: Numbers, labels: Labels) -> tuple[float, float]:
    """The best F1 of any rule `score >= threshold`, and that threshold."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(labels[order])
    taken = np.arange(1, len(ranked) + 1)
    f1 = 2.0 * hits / (taken + hits[-1]) if len(hits) and hits[-1] else np.zeros(len(ranked))
    last_of_equal = np.append(ranked[1:] != ranked[:-1], True)
    f1 = np.where(last_of_equal, f1, 0.0)
    best = int(np.argmax(f1))
    return float(f1[best]), float(ranked[best])

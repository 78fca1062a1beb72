"""Defect probabilities at and around the thresholds of GLS25."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_physics.defects import BACKGROUND, CAUSES, Cause, Conditions, Defect, any_defect, risks

NORMAL = Conditions(1530.0, 150.0, 420.0, 4.0, 5.0)
BEYOND = {
    "furnace_temperature": {Defect.CRACK: 1640.0, Defect.CLOUDINESS: 1410.0},
    "belt_speed": {Defect.DEFORMATION: 195.0},
    "mould_temperature": {Defect.STRESS_FRACTURE: 230.0},
    "pressure_variation": {Defect.BUBBLE: 22.0},
    "cooling_rate": {Defect.CRACK: 8.5},
}


def test_normal_operation_is_nearly_free_of_defects() -> None:
    assert BACKGROUND <= any_defect(NORMAL) < BACKGROUND + 0.002


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: f"{cause.defect} by {cause.condition}")
def test_beyond_the_threshold_the_confidence_of_the_process_knowledge_is_reached(cause: Cause) -> None:
    conditions = NORMAL._replace(**{cause.condition: BEYOND[cause.condition][cause.defect]})
    assert risks(conditions)[cause.defect] == pytest.approx(cause.confidence, abs=0.01)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: f"{cause.defect} by {cause.condition}")
def test_at_the_threshold_it_is_half(cause: Cause) -> None:
    assert cause.probability(cause.threshold) == pytest.approx(cause.confidence / 2)


@given(st.sampled_from(CAUSES), st.floats(-1e6, 1e6), st.floats(0.0, 1e3))
def test_the_worse_the_condition_the_higher_the_risk(cause: Cause, value: float, further: float) -> None:
    worse = value + further if cause.width > 0 else value - further
    assert 0.0 <= cause.probability(value) <= cause.probability(worse) <= cause.confidence
    assert any_defect(NORMAL._replace(**{cause.condition: value})) <= 1.0


def test_the_published_confidences_are_kept() -> None:
    found = {(cause.defect.value, cause.condition): (cause.threshold, cause.confidence) for cause in CAUSES}
    assert found == {
        ("crack", "furnace_temperature"): (1600.0, 0.85),
        ("cloudiness", "furnace_temperature"): (1450.0, 0.78),
        ("deformation", "belt_speed"): (180.0, 0.82),
        ("stress_fracture", "mould_temperature"): (280.0, 0.75),
        ("bubble", "pressure_variation"): (15.0, 0.88),
        ("crack", "cooling_rate"): (7.0, 0.90),
    }

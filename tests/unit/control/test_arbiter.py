"""Higher priorities narrow, lower ones choose inside."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.types import Proposal
from edged_control.arbiter import arbitrate

NOW = 100.0


def wish(
    value: float, priority: int, low: float | None = None, high: float | None = None, expires: float = NOW + 1.0
) -> Proposal:
    return Proposal(f"source {priority}", "line_a/forming/belt", value, priority, expires, low, high)


def value_of(*proposals: Proposal) -> float:
    chosen = arbitrate(proposals, NOW)
    assert chosen is not None
    return chosen.value


def test_without_living_proposals_there_is_none() -> None:
    assert arbitrate([], NOW) is None
    assert arbitrate([wish(1.0, 0, expires=NOW)], NOW) is None
    assert arbitrate([wish(1.0, 0, expires=NOW - 1.0)], NOW) is None
    assert arbitrate([wish(1.0, 0, expires=math.nan)], NOW) is None


def test_one_proposal_keeps_to_its_own_bounds() -> None:
    assert value_of(wish(5.0, 0)) == 5.0
    assert value_of(wish(5.0, 0, low=6.0)) == 6.0
    assert value_of(wish(5.0, 0, high=4.0)) == 4.0


def test_the_lowest_priority_chooses_inside_the_bounds_of_the_higher_whatever_the_order() -> None:
    high, low = wish(50.0, 10, low=10.0, high=20.0), wish(30.0, 0)
    assert value_of(high, low) == value_of(low, high) == 20.0
    assert value_of(high, wish(5.0, 0)) == 10.0
    assert value_of(high, wish(15.0, 0)) == 15.0


def test_bounds_that_contradict_a_higher_priority_do_not_count() -> None:
    assert value_of(wish(0.0, 10, low=10.0, high=20.0), wish(50.0, 0, low=40.0, high=60.0)) == 20.0
    assert value_of(wish(0.0, 10, low=10.0, high=20.0), wish(15.0, 0, low=30.0, high=5.0)) == 15.0


def test_bounds_may_meet_in_one_point() -> None:
    assert value_of(wish(0.0, 10, high=20.0), wish(50.0, 5, low=20.0), wish(99.0, 0)) == 20.0
    assert value_of(wish(0.0, 10, high=20.0), wish(50.0, 5, low=20.0), wish(-99.0, 0)) == 20.0


def test_an_expired_higher_priority_no_longer_narrows() -> None:
    assert value_of(wish(0.0, 10, low=10.0, high=20.0, expires=NOW), wish(30.0, 0)) == 30.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_left_for_the_gate(value: float) -> None:
    chosen = arbitrate([wish(0.0, 10, low=10.0, high=20.0), wish(value, 0)], NOW)
    assert chosen is not None
    assert not math.isfinite(chosen.value)


def test_a_bound_that_is_no_number_narrows_nothing() -> None:
    assert value_of(wish(5.0, 0, low=math.nan, high=math.nan)) == 5.0


@given(
    st.lists(
        st.tuples(
            st.floats(-100, 100), st.integers(0, 3), st.none() | st.floats(-50, 50), st.none() | st.floats(-50, 50)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_nobody_leaves_the_sound_bounds_of_the_highest_priority(
    drawn: list[tuple[float, int, float | None, float | None]],
) -> None:
    proposals = [wish(value, priority, low, high) for value, priority, low, high in drawn]
    first = max(proposals, key=lambda proposal: proposal.priority)
    low = -math.inf if first.low is None else first.low
    high = math.inf if first.high is None else first.high
    value = value_of(*proposals)
    assert low > high or low <= value <= high

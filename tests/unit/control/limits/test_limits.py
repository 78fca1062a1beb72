"""The narrowest envelope counts, and a faulty one is never used."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from edged.errors import ConfigError
from edged.types import Limits, Signal
from edged_control.limits.envelope import EffectiveLimits, effective_limits, intersection, widened, within_range

PATH = "line_a/forming/pressure"
SIGNAL = Signal(PATH, "MPa", low=0.0, high=100.0, writable=True)
LIMITS = Limits(PATH, 10.0, 90.0, 0.25, 30.0, "MPa")


def test_the_narrowest_of_range_ceiling_and_limits_counts() -> None:
    signal = replace(SIGNAL, low=5.0, high=80.0)
    ceiling = replace(LIMITS, low=20.0, high=95.0, rate_per_second=0.1, approval_threshold=40.0)
    active = replace(LIMITS, low=10.0, high=85.0, rate_per_second=0.2, approval_threshold=30.0)
    found = effective_limits({PATH: signal}, [ceiling], [active])
    assert found == {PATH: EffectiveLimits(PATH, "MPa", 20.0, 80.0, 0.1, 30.0)}


@pytest.mark.parametrize(
    ("field", "widest", "narrow"),
    [("low", 0.0, 30.0), ("high", 99.0, 60.0), ("rate_per_second", 9.0, 0.01), ("approval_threshold", 99.0, 1.0)],
)
def test_each_number_is_narrowed_on_its_own(field: str, widest: float, narrow: float) -> None:
    changes: list[dict[str, Any]] = [{field: narrow}, {field: widest}]
    one, other = (replace(LIMITS, **change) for change in changes)
    for ceiling, active in ((one, other), (other, one)):
        assert getattr(effective_limits({PATH: SIGNAL}, [ceiling], [active])[PATH], field) == narrow


def test_a_range_without_bounds_narrows_nothing() -> None:
    found = effective_limits({PATH: replace(SIGNAL, low=None, high=None)}, [LIMITS], [LIMITS])
    assert (found[PATH].low, found[PATH].high) == (10.0, 90.0)


@pytest.mark.parametrize("which", ["ceiling", "limits"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": 90.0, "high": 10.0}, "low must be below high, got low 90.0 and high 10.0"),
        ({"low": 50.0, "high": 50.0}, "low must be below high"),
        ({"low": math.nan}, "must be finite"),
        ({"high": math.inf}, "must be finite"),
        ({"low": -math.inf}, "must be finite"),
        ({"rate_per_second": math.nan}, "must be finite"),
        ({"approval_threshold": math.inf}, "must be finite"),
        ({"rate_per_second": -0.25}, "the rate must be above 0, got -0.25 per second"),
        ({"rate_per_second": 0.0}, "the rate must be above 0"),
        ({"approval_threshold": 0.0}, "the approval threshold must be above 0, got 0.0"),
        ({"approval_threshold": -1.0}, "the approval threshold must be above 0"),
        ({"unit": "bar"}, "the unit must be 'MPa' like the signal's, got 'bar'"),
        ({"unit": "A"}, "the unit must be 'MPa' like the signal's, got 'A'"),
    ],
)
def test_a_faulty_entry_names_its_list_and_signal(which: str, changes: dict[str, Any], message: str) -> None:
    faulty = replace(LIMITS, **changes)
    ceiling, active = ([faulty], [LIMITS]) if which == "ceiling" else ([LIMITS], [faulty])
    with pytest.raises(ConfigError) as caught:
        effective_limits({PATH: SIGNAL}, ceiling, active)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(f"{which}: {PATH}: ")
    assert message in caught.value.faults[0]


@pytest.mark.parametrize(("low", "high"), [(math.nan, 100.0), (0.0, math.inf)])
def test_a_range_that_is_not_finite_is_a_fault(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="the signal's range must be finite"):
        effective_limits({PATH: replace(SIGNAL, low=low, high=high)}, [LIMITS], [LIMITS])


def test_an_equal_unit_is_the_same_unit() -> None:
    spelt = replace(LIMITS, unit="".join(["M", "Pa"]))
    assert effective_limits({PATH: SIGNAL}, [spelt], [spelt])[PATH].unit == "MPa"


def test_every_fault_is_told_at_once() -> None:
    faulty = replace(LIMITS, low=91.0, rate_per_second=-1.0, approval_threshold=-1.0, unit="bar")
    with pytest.raises(ConfigError) as caught:
        effective_limits({PATH: SIGNAL}, [faulty], [faulty])
    assert len(caught.value.faults) == 8


def test_a_signal_named_twice_is_a_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        effective_limits({PATH: SIGNAL}, [LIMITS, LIMITS], [LIMITS])
    assert caught.value.faults == [f"ceiling: {PATH}: named twice"]


def test_limits_beyond_the_range_leave_nothing() -> None:
    beyond = replace(LIMITS, low=100.0, high=120.0)
    with pytest.raises(ConfigError, match=r"nothing is left .* got 100.0..100.0"):
        effective_limits({PATH: SIGNAL}, [beyond], [beyond])
    further = replace(LIMITS, low=110.0, high=120.0)
    with pytest.raises(ConfigError, match=r"nothing is left .* got 110.0..100.0"):
        effective_limits({PATH: SIGNAL}, [further], [further])


def test_limits_without_a_ceiling_are_a_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        effective_limits({PATH: SIGNAL}, [], [LIMITS])
    assert caught.value.faults == [f"limits: {PATH}: the ceiling does not name it, so it could never be written"]


def test_limits_of_an_unknown_signal_are_a_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        effective_limits({}, [LIMITS], [LIMITS])
    assert caught.value.faults == [f"limits: {PATH}: there is no such signal"]


def test_a_ceiling_may_name_more_than_the_line_has() -> None:
    assert effective_limits({}, [LIMITS], []) == {}
    assert effective_limits({PATH: SIGNAL}, [LIMITS], []) == {}


def test_a_signal_that_is_not_writable_gets_no_limits() -> None:
    assert effective_limits({PATH: replace(SIGNAL, writable=False)}, [LIMITS], [LIMITS]) == {}


def test_nothing_that_is_tighter_or_equal_is_wider() -> None:
    assert widened(LIMITS, LIMITS) == ()
    tighter = replace(LIMITS, low=11.0, high=89.0, rate_per_second=0.2, approval_threshold=29.0)
    assert widened(LIMITS, tighter) == ()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("low", 9.0, "low 9 instead of 10"),
        ("high", 91.0, "high 91 instead of 90"),
        ("rate_per_second", 0.3, "rate 0.3 per second instead of 0.25"),
        ("approval_threshold", 31.0, "approval threshold 31 instead of 30"),
    ],
)
def test_each_number_that_allows_more_is_told_also_beside_tighter_ones(field: str, value: float, told: str) -> None:
    tighter = replace(LIMITS, low=20.0, high=80.0, rate_per_second=0.1, approval_threshold=10.0)
    changes: dict[str, Any] = {field: value}
    assert widened(LIMITS, replace(tighter, **changes)) == (told,)
    assert widened(LIMITS, replace(LIMITS, **changes)) == (told,)


def test_every_wider_number_is_told() -> None:
    wider = replace(LIMITS, low=5.0, high=95.0, rate_per_second=1.0, approval_threshold=40.0)
    assert len(widened(LIMITS, wider)) == 4


def test_where_there_were_no_limits_any_are_wider() -> None:
    assert widened(None, LIMITS) == ("had no limits before",)


@pytest.mark.parametrize(
    ("field", "wide", "narrow"),
    [("low", 5.0, 30.0), ("high", 99.0, 60.0), ("rate_per_second", 9.0, 0.01), ("approval_threshold", 99.0, 1.0)],
)
def test_an_intersection_allows_what_both_allow(field: str, wide: float, narrow: float) -> None:
    changes: list[dict[str, Any]] = [{field: narrow}, {field: wide}]
    one, other = (replace(LIMITS, **change) for change in changes)
    assert intersection(one, other) == intersection(other, one) == one


def test_an_intersection_is_about_the_same_signal_and_may_leave_nothing() -> None:
    one, other = replace(LIMITS, high=20.0), replace(LIMITS, low=30.0)
    assert intersection(one, other) == replace(LIMITS, low=30.0, high=20.0)


def test_what_lies_outside_the_range_is_taken_off_and_nothing_else() -> None:
    signal = replace(SIGNAL, low=20.0, high=80.0)
    assert within_range(signal, LIMITS) == replace(LIMITS, low=20.0, high=80.0)
    assert within_range(SIGNAL, LIMITS) == LIMITS
    assert within_range(replace(SIGNAL, low=None, high=80.0), LIMITS) == replace(LIMITS, high=80.0)
    assert within_range(replace(SIGNAL, low=20.0, high=None), LIMITS) == replace(LIMITS, low=20.0)

"""The PID on its own: what it computes, and that nothing winds it up, bumps it or poisons it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_control.ladder.pid import NOT_FINITE, Pid, PidTuning

TUNING = PidTuning(gain=2.0, integral_seconds=10.0, derivative_seconds=0.0, filter_seconds=0.0, low=0.0, high=100.0)
BAD = (math.nan, math.inf, -math.inf)


def tuned(**changes: float) -> Pid:
    fields = {name: getattr(TUNING, name) for name in TUNING.__dataclass_fields__}
    return Pid(PidTuning(**{**fields, **changes}))


def output(pid: Pid, set_point: float, process_value: float, applied: float, seconds: float = 1.0) -> float:
    found = pid.update(set_point, process_value, applied, seconds)
    assert found.value is not None, found.fault
    return found.value


def test_the_first_output_starts_from_what_is_applied() -> None:
    assert output(tuned(), 50.0, 50.0, 37.0) == 37.0
    assert output(tuned(), 60.0, 50.0, 37.0) == pytest.approx(37.0 + 2.0 * 10.0 * 1.0 / 10.0)


def test_proportional_and_integral_parts_are_those_of_the_isa_form() -> None:
    pid = tuned()
    applied = output(pid, 50.0, 50.0, 40.0)
    applied = output(pid, 50.0, 49.0, applied)
    assert applied == pytest.approx(40.0 + 2.0 * 1.0 + 2.0 * 1.0 / 10.0)
    applied = output(pid, 50.0, 49.0, applied)
    assert applied == pytest.approx(40.0 + 2.0 + 2 * 0.2)
    assert output(pid, 50.0, 50.0, applied, 2.0) == pytest.approx(40.0 + 0.4)


def test_a_negative_gain_moves_the_other_way() -> None:
    pid = tuned(gain=-2.0)
    applied = output(pid, 50.0, 50.0, 40.0)
    assert output(pid, 50.0, 49.0, applied) == pytest.approx(40.0 - 2.2)


def test_the_derivative_acts_on_the_process_value_and_not_on_the_set_point() -> None:
    pid = tuned(derivative_seconds=3.0, integral_seconds=1e12)
    applied = output(pid, 50.0, 50.0, 40.0)
    applied = output(pid, 55.0, 50.0, applied)
    assert applied == pytest.approx(40.0 + 2.0 * 5.0)
    assert output(pid, 55.0, 52.0, applied, 2.0) == pytest.approx(40.0 + 2.0 * 3.0 - 2.0 * 3.0 * 1.0)


def test_the_filter_smooths_the_process_value_to_the_first_order() -> None:
    pid = tuned(filter_seconds=3.0, integral_seconds=1e12)
    applied = output(pid, 50.0, 50.0, 40.0)
    assert output(pid, 50.0, 46.0, applied) == pytest.approx(40.0 + 2.0 * 4.0 * 1.0 / (3.0 + 1.0))


def test_nothing_winds_up_behind_a_downstream_clamp() -> None:
    pid = tuned()
    for _ in range(500):
        output(pid, 60.0, 50.0, 40.0)
    assert output(pid, 60.0, 61.0, 40.0) < 40.0, "it turns round in the first cycle after the error did"


def test_a_deadband_behind_the_output_does_not_eat_the_integral() -> None:
    pid = tuned(slack=0.5)
    outputs = [output(pid, 50.1, 50.0, 40.0) for _ in range(40)]
    assert outputs[0] == pytest.approx(40.02)
    assert max(outputs) == pytest.approx(40.5 + 0.02)


@pytest.mark.parametrize("applied", [10.0, 90.0])
def test_automatic_after_manual_is_bumpless(applied: float) -> None:
    pid = tuned()
    output(pid, 60.0, 50.0, 40.0)
    for _ in range(50):
        pid.track(52.0, 1.0)
    assert pid.set_point is None
    assert output(pid, 52.0, 52.0, applied) == applied


def test_the_filter_goes_on_while_tracking() -> None:
    pid = tuned(filter_seconds=1.0, integral_seconds=1e12)
    for _ in range(60):
        pid.track(52.0, 1.0)
    assert output(pid, 50.0, 52.0, 40.0) == pytest.approx(40.0)
    assert output(pid, 50.0, 52.0, 40.0) == pytest.approx(40.0)


def test_limits_and_step_bind_the_output() -> None:
    assert output(tuned(high=41.0), 90.0, 50.0, 40.0) == 41.0
    assert output(tuned(low=39.0), 0.0, 50.0, 40.0) == 39.0
    assert output(tuned(step=0.25), 90.0, 50.0, 40.0) == 40.25
    assert output(tuned(step=0.25), 0.0, 50.0, 40.0) == 39.75


def test_the_set_point_ramps_from_the_process_value() -> None:
    pid = tuned(set_point_rate_per_second=0.5)
    applied = output(pid, 60.0, 50.0, 40.0)
    assert pid.set_point == 50.5
    output(pid, 60.0, 50.0, applied, 2.0)
    assert pid.set_point == 51.5
    output(pid, 51.0, 50.0, applied, 2.0)
    assert pid.set_point == 51.0


def test_no_time_passed_changes_nothing() -> None:
    pid = tuned(filter_seconds=1.0)
    applied = output(pid, 50.0, 50.0, 40.0)
    assert output(pid, 50.0, 90.0, applied, 0.0) == 40.0
    assert output(pid, 50.0, 90.0, applied, -1.0) == 40.0


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", range(4))
def test_an_input_that_is_not_finite_is_a_fault_and_leaves_no_trace(bad: float, place: int) -> None:
    poisoned, healthy = tuned(filter_seconds=1.0), tuned(filter_seconds=1.0)
    inputs = [60.0, 50.0, 40.0, 1.0]
    assert poisoned.update(*inputs) == healthy.update(*inputs)
    inputs[place] = bad
    assert poisoned.update(*inputs) == (None, NOT_FINITE)
    assert poisoned.update(60.0, 51.0, 40.0, 1.0) == healthy.update(60.0, 51.0, 40.0, 1.0)


@pytest.mark.parametrize("bad", BAD)
def test_tracking_survives_what_is_not_finite(bad: float) -> None:
    pid = tuned(filter_seconds=1.0)
    pid.track(50.0, 1.0)
    pid.track(bad, 1.0)
    pid.track(50.0, bad)
    assert output(pid, 50.0, 50.0, 40.0) == 40.0


def test_numbers_too_large_to_compute_with_are_a_fault_and_leave_no_trace() -> None:
    pid = tuned(gain=1e10)
    output(pid, 50.0, 50.0, 40.0)
    assert pid.update(50.0, -1.7e308, 40.0, 1.0) == (None, NOT_FINITE)
    assert output(pid, 50.0, 50.0, 40.0) == 40.0


def test_a_filter_that_overflows_starts_anew() -> None:
    pid = tuned(filter_seconds=1.0)
    pid.track(1.7e308, 1.0)
    pid.track(-1.7e308, 1.0)
    assert output(pid, 50.0, 50.0, 40.0) == 40.0


@given(
    st.lists(
        st.tuples(
            st.floats(-1e6, 1e6) | st.sampled_from(BAD),
            st.floats(0.0, 100.0) | st.sampled_from(BAD),
            st.floats(-1.0, 60.0),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_whatever_comes_the_output_is_inside_its_limits_and_the_pid_recovers(
    inputs: list[tuple[float, float, float, bool]],
) -> None:
    pid = tuned(filter_seconds=2.0, derivative_seconds=1.0, step=5.0)
    for process_value, applied, seconds, tracking in inputs:
        if tracking:
            pid.track(process_value, seconds)
            continue
        found = pid.update(50.0, process_value, applied, seconds)
        if found.value is not None:
            assert 0.0 <= found.value <= 100.0
            assert abs(found.value - applied) <= 5.0 + 1e-9
        else:
            assert found.fault
    for _ in range(400):
        pid.track(50.0, 60.0)
    assert output(pid, 50.0, 50.0, 40.0) == pytest.approx(40.0)

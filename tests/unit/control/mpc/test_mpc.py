"""The linear MPC: limits kept by every plan, no offset, no number from bad input, the same answer every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged_control.mpc.disturbances import DisturbanceTuning, at_outputs
from edged_control.mpc.estimator import Estimator
from edged_control.mpc.horizon import OutputLimits
from edged_control.mpc.linear import Fault, InputLimits, Mpc, MpcTuning, Part, Plan
from edged_control.mpc.loads import Load, at_inputs
from edged_control.mpc.qp import Solver
from edged_control.process_model.linear import Channel, Port, ProcessModel, UnusableModel
from edged_control.process_model.state_space import StateSpace, discretise

BELT = ProcessModel((Port("u", "m/min"),), (Port("y", "mm"),), ((Channel(-0.04, 7.0, 1.0, 1.0),),))
PAIR = ProcessModel(
    (Port("u1", "degC"), Port("u2", "m/min")),
    (Port("y1", "degC"), Port("y2", "mm")),
    (
        (Channel(0.8, 12.0, 5.0, 4.0), Channel(0.3, 2.0, 3.0)),
        (Channel(0.045, 13.0, 5.0, 4.0), Channel(-0.04, 3.5, 1.0)),
    ),
)
LIMITS = (InputLimits(50.0, 200.0, 1.0 / 3.0),)
PAIR_LIMITS = (InputLimits(-20.0, 20.0, 2.0), InputLimits(-30.0, 30.0, 3.0))
TUNING = MpcTuning(1.0, 30.0, (0.1,), (1.0,), (2.0,), (DisturbanceTuning(1.0, 4.0),))
PAIR_TUNING = MpcTuning(
    1.0, 60.0, (5.0, 0.1), (0.5, 1.0), (2.0, 2.0), (DisturbanceTuning(0.0, 5.0), DisturbanceTuning(2.0, 4.0))
)
BAD = (math.nan, math.inf, -math.inf)


def planned(found: Plan | Fault) -> Plan:
    assert isinstance(found, Plan), found
    return found


class Rig:
    """A plant in discrete time with disturbances at its inputs and outputs, closed by an MPC."""

    def __init__(self, model: ProcessModel, mpc: Mpc, start: Sequence[float], outputs: Sequence[float]) -> None:
        self.system: StateSpace = discretise(model, 1.0)
        self.mpc, self.start = mpc, np.array(start)
        self.applied, self.outputs = np.array(start), np.array(outputs)
        self.state = self.system.steady(np.zeros(len(start)))
        self.load = np.zeros(len(start))

    def measured(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray(self.outputs + self.system.c @ self.state)

    def run(self, set_points: Sequence[float], periods: int) -> list[Plan]:
        plans = []
        for _ in range(periods):
            plans.append(planned(self.mpc.update(set_points, list(self.measured()), list(self.applied), 1.0)))
            self.applied = np.array(plans[-1].inputs)
            self.state = self.system.a @ self.state + self.system.b @ (self.applied - self.start + self.load)
        return plans


def test_nothing_moves_where_nothing_is_wrong() -> None:
    rig = Rig(BELT, Mpc(BELT, TUNING, LIMITS), [100.0], [4.0])
    for plan in rig.run([4.0], 20):
        assert plan.inputs == pytest.approx((100.0,), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.3, 0.3), st.floats(-5.0, 5.0), st.floats(0.75, 1.3), st.floats(0.8, 1.3))
def test_no_offset_stays_whatever_load_and_gain_the_plant_has(
    step: float, load: float, gain: float, dead_time: float
) -> None:
    channel = BELT.channels[0][0]
    plant = replace(
        BELT,
        channels=((replace(channel, gain=gain * channel.gain, dead_time_seconds=dead_time * 7.0),),),
    )
    rig = Rig(plant, Mpc(BELT, TUNING, LIMITS), [100.0], [4.0])
    rig.load[:] = load
    rig.run([4.0 + step], 250)
    assert rig.measured()[0] == pytest.approx(4.0 + step, abs=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.floats(-4.0, 4.0), st.floats(-0.1, 0.1), st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))
def test_no_offset_stays_on_the_pair(first: float, second: float, load: float, other: float) -> None:
    rig = Rig(PAIR, Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS), [0.0, 0.0], [1050.0, 4.0])
    rig.load[:] = (load, other)
    rig.run([1050.0 + first, 4.0 + second], 300)
    np.testing.assert_allclose(rig.measured(), [1050.0 + first, 4.0 + second], atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=1, max_size=8),
    st.floats(-20.0, 20.0),
    st.floats(-30.0, 30.0),
    st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)),
)
def test_no_plan_ever_leaves_its_limits(
    measured: list[tuple[float, float]], first: float, second: float, wanted: tuple[float, float]
) -> None:
    mpc, applied = Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS), (first, second)
    for outputs in measured:
        plan = mpc.update(wanted, outputs, applied, 1.0)
        if isinstance(plan, Fault):
            continue
        ways = np.vstack([applied, plan.inputs_ahead])
        spans = np.diff(plan.block_seconds, prepend=0.0)
        for at, limits in enumerate(PAIR_LIMITS):
            assert limits.low <= min(plan.inputs[at], *plan.inputs_ahead[:, at])
            assert limits.high >= max(plan.inputs[at], *plan.inputs_ahead[:, at])
            assert abs(plan.inputs[at] - applied[at]) <= limits.rate_per_second * (1 + 1e-9)
            assert (np.abs(np.diff(ways[:, at])) <= limits.rate_per_second * spans * (1 + 1e-9)).all()
        applied = (plan.inputs[0], plan.inputs[1])


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_number_gives_a_fault_and_no_poison(bad: float) -> None:
    mpc, clean = Mpc(BELT, TUNING, LIMITS), Mpc(BELT, TUNING, LIMITS)
    for each in (mpc, clean):
        planned(each.update([4.0], [4.0], [100.0], 1.0))
    assert isinstance(mpc.update([bad], [4.0], [100.0], 1.0), Fault)
    assert isinstance(mpc.update([4.0], [bad], [100.0], 1.0), Fault)
    assert isinstance(mpc.update([4.0], [4.0], [bad], 1.0), Fault)
    assert isinstance(mpc.update([4.0], [4.0], [100.0], bad), Fault)
    after = planned(mpc.update([4.1], [4.0], [100.0], 1.0))
    assert after.inputs == pytest.approx(planned(clean.update([4.1], [4.0], [100.0], 1.0)).inputs, abs=1e-9)


def test_a_measurement_that_is_missing_is_waited_out_on_the_model() -> None:
    rig = Rig(BELT, Mpc(BELT, TUNING, LIMITS), [100.0], [4.0])
    rig.run([4.1], 5)
    blind, seeing = rig.mpc, rig
    assert isinstance(blind.update([4.1], [math.nan], list(rig.applied), 1.0), Fault)
    rig.state = rig.system.a @ rig.state + rig.system.b @ (rig.applied - rig.start)
    seeing.run([4.1], 40)
    assert rig.measured()[0] == pytest.approx(4.1, abs=2e-3)


def test_an_input_outside_its_limits_is_left_to_a_person() -> None:
    found = Mpc(BELT, TUNING, LIMITS).update([4.0], [4.0], [201.0], 1.0)
    assert isinstance(found, Fault)
    assert "person" in found.reason


def test_the_last_input_is_the_one_that_was_read_back() -> None:
    mpc = Mpc(BELT, TUNING, LIMITS)
    planned(mpc.update([4.0], [4.0], [100.0], 1.0))
    moved = planned(mpc.update([4.0], [4.0], [120.0], 1.0))
    assert abs(moved.inputs[0] - 120.0) <= 1.0 / 3.0 + 1e-9


def test_taking_over_after_tracking_does_not_bump() -> None:
    mpc, system = Mpc(BELT, TUNING, LIMITS), discretise(BELT, 1.0)
    state, applied = system.steady(np.zeros(1)), 100.0
    for n in range(60):
        applied = 100.0 + min(n, 30) * 0.2
        mpc.track([4.0 + float((system.c @ state)[0])], [applied], 1.0)
        state = system.a @ state + system.b @ np.array([applied - 100.0])
    now = 4.0 + float((system.c @ state)[0])
    assert planned(mpc.update([now], [now], [applied], 1.0)).inputs == pytest.approx((applied,), abs=1e-3)


@pytest.mark.parametrize("pause", [-1.0, 11.0, 1e9])
def test_after_a_pause_the_estimate_starts_anew(pause: float) -> None:
    mpc, fresh = Mpc(BELT, TUNING, LIMITS), Mpc(BELT, TUNING, LIMITS)
    for n in range(10):
        mpc.update([4.1], [4.0 + 0.01 * n], [100.0 + 0.1 * n], 1.0)
    found = planned(mpc.update([4.1], [4.0], [100.0], pause))
    assert found.inputs == pytest.approx(planned(fresh.update([4.1], [4.0], [100.0], 1.0)).inputs, abs=1e-9)


def test_the_warm_start_changes_nothing_but_the_time() -> None:
    warm, cold = Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS), Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS)
    for n in range(40):
        call = ([1053.0, 4.05], [1050.0 + 0.1 * n, 4.0], [0.2 * n % 5, 0.1 * n], 1.0)
        cold.drop_warm_start()
        assert planned(warm.update(*call)).inputs == pytest.approx(planned(cold.update(*call)).inputs, abs=1e-6)


def trajectory(seed: int) -> list[tuple[float, ...]]:
    rng = np.random.default_rng(seed)
    mpc, applied = Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS), (0.0, 0.0)
    found: list[tuple[float, ...]] = []
    for _ in range(50):
        noise = rng.normal(size=2) * (0.5, 0.01)
        plan = planned(mpc.update([1053.0, 4.05], [1050.0 + noise[0], 4.0 + noise[1]], applied, 1.0))
        applied = (plan.inputs[0], plan.inputs[1])
        found.append(applied)
    return found


def test_the_numbers_do_not_depend_on_who_works_them_out() -> None:
    with ThreadPoolExecutor(4) as workers:
        found = list(workers.map(trajectory, [7] * 4))
    assert all(each == found[0] for each in found)
    assert trajectory(7) == found[0]


def test_a_band_is_kept_where_it_can_be() -> None:
    bands = (OutputLimits(high=1051.0), OutputLimits())
    free, bound = Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS), Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS, bands)
    peaks = []
    for mpc in (free, bound):
        rig = Rig(PAIR, mpc, [0.0, 0.0], [1050.0, 4.0])
        peak = 0.0
        for _ in range(120):
            rig.run([1053.0, 4.0], 1)
            peak = max(peak, float(rig.measured()[0]))
        peaks.append(peak)
    assert peaks[0] > 1052.0
    assert peaks[1] < 1051.05


def test_a_band_that_cannot_be_kept_is_no_fault() -> None:
    mpc = Mpc(BELT, TUNING, LIMITS, (OutputLimits(low=10.0, high=11.0),))
    planned(mpc.update([4.0], [4.0], [100.0], 1.0))


def qp() -> Solver:
    return Solver(np.diag([2.0, 2.0]), np.array([[1.0, 1.0]]))


def test_the_solver_finds_the_minimum_and_stays_warm() -> None:
    solver, low, high = qp(), np.array([-1.0, -1.0, -0.5]), np.array([1.0, 1.0, 0.5])
    found = solver.solve(np.array([-5.0, -5.0]), low, high)
    assert found.value == pytest.approx([0.25, 0.25])
    assert solver.warm


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_problem_that_is_not_finite_is_a_fault(bad: float) -> None:
    solver, low, high = qp(), -np.ones(3), np.ones(3)
    assert solver.solve(np.array([bad, 0.0]), low, high).value is None
    assert solver.solve(np.zeros(2), np.full(3, math.nan), high).value is None
    assert not solver.warm


def test_bounds_that_contradict_each_other_are_a_fault_and_not_the_answer_before() -> None:
    solver, high = qp(), np.ones(3)
    assert solver.solve(np.zeros(2), -high, high).value is not None
    assert "limits" in solver.solve(np.zeros(2), 2.0 * high, high).fault
    apart = solver.solve(np.zeros(2), np.array([0.5, 0.5, -1.0]), np.array([1.0, 1.0, 0.0]))
    assert apart.value is None
    assert not solver.warm
    assert solver.solve(np.zeros(2), -high, high).value == pytest.approx([0.0, 0.0])


def settled_pair(mpc: Mpc, load: float = 2.0) -> Rig:
    """The pair with a load on its second input, after a while."""
    rig = Rig(PAIR, mpc, [0.0, 0.0], [0.0, 0.0])
    rig.load = np.array([0.0, load])
    rig.run([0.0, 0.0], 10)
    return rig


def test_an_input_that_is_not_free_stays_and_the_other_controls_its_own_output() -> None:
    rig = settled_pair(Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS))
    held = rig.applied[0]
    for _ in range(80):
        found = rig.mpc.update(
            [3.0, 0.2], list(rig.measured()), list(rig.applied), 1.0, Part((False, True), (False, True))
        )
        plan = planned(found)
        assert plan.inputs[0] == held
        assert (plan.inputs_ahead[:, 0] == held).all()
        rig.applied = np.array(plan.inputs)
        rig.state = rig.system.a @ rig.state + rig.system.b @ (rig.applied - rig.start + rig.load)
    assert rig.measured()[1] == pytest.approx(0.2, abs=1e-3)
    assert abs(rig.measured()[0] - 3.0) > 0.5, "nobody controls it"


def test_an_output_that_does_not_count_may_be_unknown_and_an_input_that_is_not_free_outside() -> None:
    rig = settled_pair(Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS))
    only_second = Part((False, True), (False, True))
    outside = [30.0, rig.applied[1]]
    assert isinstance(rig.mpc.update([0.0, 0.0], [math.nan, 0.1], outside, 1.0, only_second), Plan)
    assert isinstance(rig.mpc.update([0.0, 0.0], [0.0, math.nan], outside, 1.0, only_second), Fault)
    assert isinstance(rig.mpc.update([0.0, 0.0], [0.0, 0.1], outside, 1.0), Fault)
    assert isinstance(
        rig.mpc.update([0.0, 0.0], [0.0, 0.1], [0.0, 0.0], 1.0, Part((False, False), (True, True))), Fault
    )


def test_a_part_that_comes_and_goes_plans_as_one_that_was_always_so() -> None:
    """What the solve of another part left behind is no start."""
    part = Part((False, True), (False, True))
    fresh, switched = (settled_pair(Mpc(PAIR, PAIR_TUNING, PAIR_LIMITS)) for _ in range(2))
    for rig, chosen in ((switched, part), (fresh, Part())):
        rig.mpc.update([1.0, 0.1], list(rig.measured()), list(rig.applied), 1.0, chosen)
    now = [1.0, 0.1], list(fresh.measured()), list(fresh.applied), 0.0
    assert planned(switched.mpc.update(*now)).inputs == pytest.approx(planned(fresh.mpc.update(*now)).inputs, abs=1e-9)
    assert planned(switched.mpc.update(*now, part)).inputs == planned(fresh.mpc.update(*now, part)).inputs


LOADED = replace(PAIR_TUNING, loads=(Load(20.0), Load(20.0)), noises=(0.5, 0.01))


@given(load=st.floats(-3.0, 3.0), other=st.floats(-3.0, 3.0))
@settings(max_examples=10, deadline=None)
def test_no_offset_stays_where_loads_are_looked_for_at_the_inputs(load: float, other: float) -> None:
    rig = Rig(PAIR, Mpc(PAIR, LOADED, PAIR_LIMITS), [0.0, 0.0], [1.0, -0.2])
    rig.load = np.array([load, other])
    rig.run([0.0, 0.0], 300)
    assert rig.measured() == pytest.approx([0.0, 0.0], abs=2e-3)


def test_what_a_load_will_still_do_to_the_other_output_is_foreseen() -> None:
    """Looked for at the outputs it is taken for done as soon as it is seen."""
    plain = replace(
        PAIR, channels=tuple(tuple(replace(one, dead_time_seconds=0.0) for one in row) for row in PAIR.channels)
    )
    plant, nothing = discretise(plain, 1.0), np.zeros(2)
    off = []
    loads = (Load(120.0), Load(120.0))
    for known, observer in (
        at_inputs(plain, loads, (0.05, 0.001), 1.0),
        at_outputs(PAIR_TUNING.disturbances, 1.0),
    ):
        estimator, state = Estimator(plant, observer, 2), plant.steady(nothing)
        for _ in range(8):
            found = estimator.follow(plant.c @ state, nothing, 1)
            state = plant.a @ state + plant.b @ np.array([4.0, 0.0])
        (ahead,) = known.after(np.array([40])) @ found.disturbance
        off.append(abs(float(ahead[1]) - 4.0 * PAIR.channels[1][0].gain))
    assert off[0] < 0.25 * off[1]


def test_loads_that_cannot_be_told_from_the_outputs_are_refused() -> None:
    alike = replace(
        PAIR, channels=(PAIR.channels[0], tuple(replace(one, gain=2.0 * one.gain) for one in PAIR.channels[0]))
    )
    with pytest.raises(UnusableModel, match="can't be told from the outputs"):
        Mpc(alike, LOADED, PAIR_LIMITS)

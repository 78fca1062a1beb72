"""The nonlinear MPC of a furnace: it foresees what the physics does, keeps limits and rates, and leaves no offset."""

from __future__ import annotations

import math
import random
from functools import cache
from typing import Any

import numpy as np
import pytest

from edged.controller_settings import NonlinearMpcSettings
from edged_control.mpc.furnace_model import PLAN_STEPS, furnace_hash, furnace_of
from edged_control.mpc.furnace_process import LUMPED, THROAT, FurnaceProcess
from edged_control.mpc.linear import Fault, Part, Plan
from edged_control.mpc.nonlinear import NonlinearMpc
from edged_control.solver.messages import InputRange, Question, Setup
from edged_control.solver.workbench import Workbench
from edged_physics.crown_control import CrownState, slope, steady
from tests.unit.control.furnace import FURNACE, LIMITS, PERIOD_SECONDS, RATE_PER_SECOND, SETTINGS

PLENTY_SECONDS = 5.0
AT = 1530.0
PLANT = furnace_of(FURNACE)
GLASS = steady(PLANT, AT).throat
BAD = (math.nan, math.inf, -math.inf)


@cache
def _built(settings: NonlinearMpcSettings) -> NonlinearMpc:
    """Building one takes a second; one that was reset knows nothing of those before it."""
    return NonlinearMpc(settings, LIMITS, PERIOD_SECONDS, PLENTY_SECONDS)


def controller(**changes: Any) -> NonlinearMpc:
    found = _built(SETTINGS.model_copy(update=changes))
    found.reset()
    return found


def planned(found: Plan | Fault) -> Plan:
    assert isinstance(found, Plan), found
    return found


class Furnace:
    """The model itself as the plant, with a disturbance in K at its gauge."""

    def __init__(self) -> None:
        self.process = FurnaceProcess(PLANT, PERIOD_SECONDS, 10)
        self.state = self.process.steady(np.array([AT]))
        self.applied, self.beside = AT, 0.0

    @property
    def shown(self) -> float:
        return float(self.process.outputs(self.state)[0]) + self.beside

    def run(self, mpc: NonlinearMpc, wanted: float, periods: int) -> list[Plan]:
        plans = []
        for _ in range(periods):
            plans.append(planned(mpc.update([wanted], [self.shown], [self.applied], PERIOD_SECONDS)))
            (self.applied,) = plans[-1].inputs
            self.state = self.process.advance(self.state, np.array([self.applied]))
        return plans


def test_nothing_moves_where_nothing_is_wrong() -> None:
    for plan in Furnace().run(controller(), GLASS, 5):
        assert plan.inputs[0] == pytest.approx(AT, abs=1e-3)
        assert plan.outputs_ahead.ravel() == pytest.approx([GLASS] * (PLAN_STEPS + 1), abs=0.01)


@pytest.mark.parametrize("step", [-60.0, 40.0])
def test_what_it_foresees_is_what_another_integrator_finds(step: float) -> None:
    integrate: Any = pytest.importorskip("scipy.integrate")
    plan = planned(controller().update([GLASS + step], [GLASS], [AT], 0.0))
    seconds = np.concatenate([[0.0], plan.block_seconds])
    way = np.concatenate([[AT], plan.inputs_ahead[:, 0]])

    def right_side(t: float, y: Any) -> list[float]:
        return list(slope(PLANT, float(np.interp(t, seconds, way)), CrownState(*y)))

    start = list(steady(PLANT, AT))
    solved = integrate.solve_ivp(
        right_side, (0.0, seconds[-1]), start, method="LSODA", t_eval=seconds, rtol=1e-8, max_step=60.0
    )
    assert plan.outputs_ahead[:, 0] == pytest.approx(solved.y[THROAT], abs=0.02 * abs(step))
    assert plan.outputs_ahead[-1, 0] == pytest.approx(GLASS + step, abs=0.05 * abs(step))


@pytest.mark.parametrize("part", [Part(free=(False,)), Part(count=(False,))])
def test_an_input_that_is_not_free_and_an_output_that_does_not_count_get_no_plan(part: Part) -> None:
    found = controller().update([GLASS], [GLASS], [AT], 0.0, part)
    assert found == Fault("no input may be moved, or no output counts")


def test_every_plan_keeps_limits_and_rates() -> None:
    rng, mpc = random.Random(4), controller()
    for _ in range(60):
        applied = rng.uniform(LIMITS.low, LIMITS.high)
        shown = steady(PLANT, applied).throat + rng.uniform(-20.0, 20.0)
        plan = planned(mpc.update([shown + rng.uniform(-300.0, 300.0)], [shown], [applied], 1e9))
        assert abs(plan.inputs[0] - applied) <= RATE_PER_SECOND * PERIOD_SECONDS + 1e-6
        ahead = np.concatenate([[applied], plan.inputs_ahead[:, 0]])
        assert np.abs(np.diff(ahead) / np.diff(plan.block_seconds, prepend=0.0)).max() <= RATE_PER_SECOND * 1.001
        assert LIMITS.low - 0.01 <= ahead.min() <= ahead.max() <= LIMITS.high + 0.01


def test_a_power_limit_slows_the_plan() -> None:
    scarce = FURNACE.model_copy(update={"power_limit_watts": 38e6})
    fast = planned(controller().update([GLASS + 60.0], [GLASS], [AT], 0.0)).inputs_ahead[4, 0]
    slow = planned(controller(furnace=scarce).update([GLASS + 60.0], [GLASS], [AT], 0.0)).inputs_ahead[4, 0]
    assert AT < slow < fast - 5.0


@pytest.mark.parametrize("beside", [-8.0, 15.0])
def test_no_offset_stays_behind_a_disturbance_that_the_model_does_not_know(beside: float) -> None:
    furnace, mpc = Furnace(), controller()
    furnace.run(mpc, GLASS, 3)
    furnace.beside = beside
    furnace.run(mpc, GLASS, 150)
    assert furnace.shown == pytest.approx(GLASS, abs=0.2)
    assert float(mpc.innovation[0]) == pytest.approx(0.0, abs=0.01)


def test_a_new_set_point_is_reached_without_overshoot_and_with_nothing_to_wonder_at() -> None:
    furnace, mpc = Furnace(), controller()
    furnace.run(mpc, GLASS, 2)
    shown = []
    for _ in range(170):
        furnace.run(mpc, GLASS + 20.0, 1)
        shown.append(furnace.shown)
        assert abs(float(mpc.innovation[0])) < 0.01
    assert max(shown) < GLASS + 20.5
    assert shown[-1] == pytest.approx(GLASS + 20.0, abs=0.1)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("at", range(4))
def test_bad_input_gives_no_number_and_the_next_good_one_does(bad: float, at: int) -> None:
    mpc = controller()
    planned(mpc.update([GLASS], [GLASS], [AT], 0.0))
    given = [GLASS, GLASS, AT, PERIOD_SECONDS]
    given[at] = bad
    wanted, shown, applied, seconds = given
    assert mpc.update([wanted], [shown], [applied], seconds) == Fault("an input is not a finite number")
    assert np.isfinite(mpc.innovation).all()
    assert planned(mpc.update([GLASS], [GLASS], [AT], PERIOD_SECONDS)).inputs[0] == pytest.approx(AT, abs=1e-3)


def test_nothing_is_planned_from_outside_the_limits() -> None:
    found = controller().update([GLASS], [GLASS], [LIMITS.high + 1.0], 0.0)
    assert found == Fault("an applied input is outside its limits: a person must bring it in")


def test_after_a_long_pause_it_begins_anew_and_says_so() -> None:
    mpc = controller()
    told = []
    for seconds in (0.0, PERIOD_SECONDS, 11 * PERIOD_SECONDS, PERIOD_SECONDS):
        planned(mpc.update([GLASS], [GLASS], [AT], seconds))
        told.append(mpc.began)
    assert told == [True, False, True, False]


def test_the_same_calls_give_the_same_numbers() -> None:
    ways = []
    for _ in range(2):
        furnace, mpc = Furnace(), controller()
        furnace.beside = 5.0
        ways.append([plan.inputs for plan in furnace.run(mpc, GLASS, 10)])
    assert ways[0] == ways[1]


def test_a_time_limit_that_is_too_short_is_no_plan_and_no_zero() -> None:
    hasty = NonlinearMpc(SETTINGS, LIMITS, PERIOD_SECONDS, 1e-6)
    found = hasty.update([GLASS + 20.0], [GLASS], [AT], 0.0)
    assert found == Fault("the solver gave up: Maximum_CpuTime_Exceeded")


def test_the_dead_time_is_kept_in_the_process() -> None:
    process = FurnaceProcess(PLANT, PERIOD_SECONDS, 3)
    state = process.steady(np.array([AT]))
    throats = []
    for _ in range(6):
        throats.append(state[THROAT])
        assert len(state) == LUMPED + 3
        if len(throats) > 3:
            assert process.outputs(state)[0] == throats[-4]
        state = process.advance(state, np.array([AT + 10.0]))
    undelayed = FurnaceProcess(PLANT, PERIOD_SECONDS, 0)
    assert undelayed.outputs(undelayed.steady(np.array([AT])))[0] == GLASS


def test_the_hash_is_that_of_everything_in_the_model() -> None:
    assert furnace_hash(FURNACE) == furnace_hash(FURNACE.model_copy())
    for name, value in FURNACE.model_dump().items():
        assert furnace_hash(FURNACE.model_copy(update={name: value * 1.001})) != furnace_hash(FURNACE), name


def test_a_workbench_answers_for_it_like_for_a_linear_one() -> None:
    given = InputRange(low=LIMITS.low, high=LIMITS.high, rate_per_second=RATE_PER_SECOND)
    setup = Setup(artefact="", settings=SETTINGS, limits=(given,), period_seconds=PERIOD_SECONDS)
    bench = Workbench(Setup.model_validate_json(setup.model_dump_json()))
    assert bench.model_hash == furnace_hash(FURNACE)
    question = Question(number=1, set_points=(GLASS + 5.0,), outputs=(GLASS,), applied=(AT,), seconds=0.0, fresh=True)
    answer = bench.answer(question)
    assert answer.began
    assert AT < answer.inputs[0] <= AT + RATE_PER_SECOND * PERIOD_SECONDS + 1e-6
    refused = bench.answer(question.model_copy(update={"applied": (LIMITS.low - 1.0,), "seconds": PERIOD_SECONDS}))
    assert refused.inputs == ()
    assert "outside its limits" in refused.fault

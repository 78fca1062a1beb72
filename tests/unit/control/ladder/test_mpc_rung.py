"""A loop under MPC: whatever its solver does, the PID takes over in the same cycle and without a bump."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from edged.ports import Action, Order, Outcome, Role
from edged.types import DecisionPhase
from edged_control.gate import Mode
from edged_control.solver.messages import Answer
from edged_control.solver.process import BUSY
from tests.unit.control.inline_solver import BAD_ANSWERS, GAIN, InlineSolver, answered, artefact, mpc_rig
from tests.unit.control.rig import RATE_PER_SECOND, MakeRig, Rig, finish

QUANTUM = RATE_PER_SECOND * 1.0
ROUNDING = 1e-4
STEP_UP = 1.1


@pytest.fixture
def led(make_rig: MakeRig) -> tuple[Rig, InlineSolver]:
    """A loop under MPC that has work to do."""
    rig, solver = mpc_rig(make_rig)
    rig.step(5)
    rig.plc.product *= STEP_UP
    rig.step(15)
    assert rig.mode() is Mode.AUTOMATIC
    assert rig.status.controller == "mpc"
    return rig, solver


def steps(values: Iterable[float], first: float) -> list[float]:
    before = first
    found = []
    for value in values:
        found.append(value - before)
        before = value
    return found


def test_the_mpc_brings_the_ribbon_back_and_its_model_is_in_every_decision(make_rig: MakeRig) -> None:
    rig, _ = mpc_rig(make_rig)
    rng = random.Random(5)
    rig.plc.noise = [rng.gauss(0.0, 0.01) for _ in range(997)]
    rig.step(30)
    rig.plc.product *= STEP_UP
    rig.step(120)
    assert rig.plc.belt == pytest.approx(165.0, abs=1.0)
    assert rig.plc.thickness == pytest.approx(4.0, abs=0.05)
    decided = rig.road.decisions(DecisionPhase.DECIDED)
    assert {(decision.controller, decision.model_hash) for decision in decided} == {("mpc", artefact().hash)}
    assert len(rig.own_writes()) >= 40
    assert rig.alarms.standing == {}


def test_it_leads_after_good_cycles_and_is_asked_from_the_first(make_rig: MakeRig) -> None:
    rig, solver = mpc_rig(make_rig)
    seen = []
    for _ in range(4):
        rig.step()
        seen.append((rig.mode(), rig.status.rung))
    assert seen == [
        (Mode.MANUAL, "pid"),
        (Mode.MANUAL, "pid"),
        (Mode.AUTOMATIC, "mpc"),
        (Mode.AUTOMATIC, "mpc"),
    ]
    assert [question.number for question in solver.questions] == [1, 2, 3, 4]
    assert "control_fallback" not in rig.alarms.names()


@pytest.mark.parametrize("spoil", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_the_pid_takes_over_in_the_same_cycle_without_a_bump(
    led: tuple[Rig, InlineSolver], spoil: Callable[[Answer], Answer]
) -> None:
    rig, solver = led
    readback, before = rig.plc.belt, len(rig.own_writes())
    solver.spoil = spoil
    rig.step()
    assert rig.status.controller == rig.status.rung == "pid"
    assert rig.mode() is Mode.AUTOMATIC
    assert rig.status.rung_reason
    assert rig.road.decisions()[-1].model_hash == ""
    moves = steps(rig.own_writes()[before:], readback)
    assert len(moves) == 1, "the loop goes on moving"
    assert abs(moves[0]) <= QUANTUM + ROUNDING
    assert ("control_fallback", "thickness") in rig.alarms.standing
    solver.spoil = None
    rig.step(2)
    assert rig.status.rung == "pid"
    assert rig.status.rung_reason == "well again, waits for 3 good cycles"
    readback, before = rig.plc.belt, len(rig.own_writes())
    rig.step()
    assert rig.status.rung == "mpc"
    assert rig.alarms.standing == {}
    assert all(abs(move) <= QUANTUM + ROUNDING for move in steps(rig.own_writes()[before:], readback))
    rig.step(60)
    assert rig.plc.thickness == pytest.approx(4.0, abs=0.02)


def test_a_solver_that_never_comes_up_is_an_alarm(make_rig: MakeRig) -> None:
    rig, solver = mpc_rig(make_rig)
    solver.spoil = answered(fault="the solver starts")
    rig.step(5)
    assert rig.status.controller == "pid"
    assert rig.alarms.standing == {}, "a solver may need a moment"
    rig.step(5)
    message = rig.alarms.standing["control_fallback", "thickness"]
    assert message == "pid controls instead of mpc: the solver starts"


def test_a_take_over_at_rest_moves_nothing(make_rig: MakeRig) -> None:
    rig, solver = mpc_rig(make_rig)
    rig.step(60)
    solver.spoil = answered(fault="gone")
    rig.step(60)
    solver.spoil = None
    rig.step(60)
    assert rig.own_writes() == []


def test_a_start_from_the_last_solution_needs_that_it_was_applied(led: tuple[Rig, InlineSolver]) -> None:
    rig, solver = led
    rig.step(2)
    assert not solver.questions[-1].fresh
    solver.spoil = answered(fault="gone")
    rig.step(2)
    assert solver.questions[-1].fresh
    solver.spoil = None
    rig.step(4)
    assert solver.questions[-2].fresh
    rig.plc.operate(140.0)
    rig.step(2)
    assert rig.mode() is Mode.LOCAL_OVERRIDE
    assert solver.questions[-1].fresh
    assert solver.questions[-1].applied == (140.0,)


def test_a_wish_that_was_held_back_is_no_start_for_the_next(led: tuple[Rig, InlineSolver]) -> None:
    rig, solver = led
    rig.step(120)
    asked = len(solver.questions)
    rig.step(5)
    assert rig.status.controller == "mpc"
    assert rig.status.last_verdict == "hold", "the deadband let nothing through"
    rig.plc.product *= 1.001
    rig.step(20)
    held = [question.fresh for question in solver.questions[asked:]]
    assert any(held)


def test_in_man_nobody_doubts_the_model(make_rig: MakeRig) -> None:
    rig, solver = mpc_rig(make_rig)
    solver.spoil = answered(errors=(0.05,))
    rig.step(4)
    rig.take_over()
    rig.step(200)
    assert rig.status.rung == "mpc", "a person moves the output by what no model knows"


def test_after_an_operator_hands_back_the_mpc_starts_where_he_left_it(led: tuple[Rig, InlineSolver]) -> None:
    rig, _ = led
    rig.plc.operate(140.0)
    rig.step(5)
    assert rig.hand_over(Mode.AUTOMATIC) is None
    before = len(rig.own_writes())
    rig.step(5)
    assert rig.status.controller == "mpc"
    assert all(abs(move) <= QUANTUM + ROUNDING for move in steps(rig.own_writes()[before:], 140.0))


def test_a_solver_that_lost_its_memory_takes_over_without_a_bump(led: tuple[Rig, InlineSolver]) -> None:
    rig, solver = led
    solver.restart()
    readback, before = rig.plc.belt, len(rig.own_writes())
    rig.step()
    assert rig.status.controller == "pid", "it is there in time, but knows nothing yet"
    assert rig.status.rung_reason.startswith("the solver begins anew")
    rig.step(10)
    assert rig.status.rung == "mpc"
    assert all(abs(move) <= QUANTUM + ROUNDING for move in steps(rig.own_writes()[before:], readback))


@pytest.mark.parametrize("factor", [-1.0, 3.0])
def test_a_model_that_is_wrong_hands_over_before_it_does_harm(make_rig: MakeRig, factor: float) -> None:
    rig, _ = mpc_rig(make_rig, artefact(gain=factor * GAIN))
    rng = random.Random(5)
    rig.plc.noise = [rng.gauss(0.0, 0.01) for _ in range(997)]
    rig.step(30)
    rig.plc.product *= STEP_UP
    rig.step(240)
    assert "control_fallback" in rig.alarms.names()
    assert rig.plc.thickness == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
def test_a_model_that_fits_well_enough_is_kept(make_rig: MakeRig, factor: float) -> None:
    rig, _ = mpc_rig(make_rig, artefact(gain=factor * GAIN))
    rng = random.Random(5)
    rig.plc.noise = [rng.gauss(0.0, 0.01) for _ in range(997)]
    rig.step(30)
    for _ in range(4):
        rig.plc.product *= STEP_UP
        rig.step(120)
        rig.plc.product /= STEP_UP
        rig.step(120)
    assert "control_fallback" not in rig.alarms.names()
    assert rig.status.rung == "mpc"


def test_an_engineer_who_asks_for_auto_trusts_the_model_and_an_operator_does_not(make_rig: MakeRig) -> None:
    rig, solver = mpc_rig(make_rig)
    solver.spoil = lambda answer: answer.model_copy(update={"errors": (0.05,)})
    rig.step(90)
    assert rig.status.rung == "pid"
    assert rig.status.rung_reason.startswith("the model has been wrong by 0.0")
    solver.spoil = None
    for role, rung in ((Role.OPERATOR, "pid"), (Role.ENGINEER, "mpc")):
        order = Order(Action.MODE, "thickness", "AUTO", "", "anna", role)
        assert finish(rig.control.desk.act(order)).outcome is Outcome.ACCEPTED
        rig.step(4)
        assert rig.status.rung == rung


def test_a_question_that_was_never_put_leaves_its_time_to_the_next(led: tuple[Rig, InlineSolver]) -> None:
    rig, solver = led
    solver.spoil = answered(inputs=(), errors=(), solve_seconds=0.0, fault=BUSY)
    rig.step(2)
    assert rig.status.rung == "pid"
    solver.spoil = None
    rig.step(2)
    assert [question.seconds for question in solver.questions[-4:]] == pytest.approx([1.0, 2.0, 3.0, 1.0], abs=0.05)


def test_a_dead_time_that_is_another_than_the_model_says_is_found_and_told(make_rig: MakeRig) -> None:
    found = artefact(residual=0.005, dead_time=3.5)
    rig, solver = mpc_rig(make_rig, found, load_per_hour=10.0, load_jump=15.0, dead_time_factors=(1.5, 2.0))
    rng = random.Random(6)
    rig.plc.noise = [rng.gauss(0.0, 0.005) for _ in range(997)]
    rig.step(10)
    assert (rig.status.controller, rig.status.assumed) == ("mpc", "")
    for factor in (STEP_UP, 1.0 / STEP_UP) * 2:
        rig.plc.product *= factor
        rig.step(100)
    assert (rig.status.controller, rig.status.assumed) == ("mpc", "dead time of line_a/forming/belt_speed_setpoint x2")
    decided = rig.road.decisions(DecisionPhase.DECIDED)
    assert {(decision.controller, decision.model_hash) for decision in decided} == {("mpc", found.hash)}
    solver.restart()
    rig.step()
    assert (rig.status.controller, rig.status.assumed) == ("pid", "")
    rig.step(5)
    assert (rig.status.controller, rig.status.assumed) == ("mpc", "")

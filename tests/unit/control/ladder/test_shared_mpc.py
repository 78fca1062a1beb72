"""Two loops under one MPC: one question answers both, and what happens to one leaves the other controlled (CARD4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from edged.ports import Action, Order, Outcome, Role
from edged.supervise import start_task
from edged_control.gate import Mode
from edged_control.ladder.round_table import LATE
from edged_control.limits.push import unsigned_limits
from tests.unit.control.inline_solver import BAD_ANSWERS, answered
from tests.unit.control.pair_rig import FIRST, NAMES, SECOND, PairRig, of_second
from tests.unit.control.rig import BELT_LIMITS, RATE_PER_SECOND, listed_limits
from tests.unit.control.simulated_plc import BELT, LINE, THICKNESS, Override

QUANTUM = RATE_PER_SECOND * 1.0
ROUNDING = 1e-4
MPC, PID = "mpc", "pid"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[PairRig]:
    made = PairRig(tmp_path)
    yield made
    made.control.close()


@pytest.fixture
async def led(rig: PairRig) -> PairRig:
    """Both loops under MPC, with work to do."""
    await rig.step(5)
    rig.first.product *= 1.1
    await rig.step(12)
    assert rig.controllers() == (MPC, MPC)
    return rig


async def test_one_question_a_period_answers_both_and_both_come_to_their_set_points(rig: PairRig) -> None:
    await rig.step(5)
    rig.first.product *= 1.1
    await rig.step(115)
    assert [question.number for question in rig.solver.questions] == list(range(1, 121))
    assert {len(question.applied) for question in rig.solver.questions} == {2}
    assert rig.controllers() == (MPC, MPC)
    assert rig.first.thickness == pytest.approx(4.0, abs=0.03)
    assert rig.second.thickness == pytest.approx(4.0, abs=0.03)
    assert rig.first.belt == pytest.approx(165.0, abs=1.5)
    assert rig.second.belt == pytest.approx(156.0, abs=1.5)
    assert rig.alarms.standing == {}


async def test_what_one_belt_does_to_the_other_ribbon_is_made_good_before_it_is_seen(tmp_path: Path) -> None:
    """PIDs learn of it only after the dead time."""
    worst = []
    for at, spoil in enumerate((None, answered(fault="gone"))):
        rig = PairRig(tmp_path / str(at))
        rig.solver.spoil = spoil
        await rig.step(5)
        rig.first.product *= 1.1
        worst.append(0.0)
        for _ in range(90):
            await rig.step()
            worst[-1] = max(worst[-1], abs(rig.second.thickness - 4.0))
        rig.control.close()
    assert worst[0] < 0.5 * worst[1]


@pytest.mark.parametrize("spoil", ["fault", "zero", "not a number", "empty", "no error told", "another question"])
async def test_both_fall_to_pid_in_the_same_cycle_without_a_bump(led: PairRig, spoil: str) -> None:
    before = [led.plc(name).belt for name in NAMES]
    led.solver.spoil = BAD_ANSWERS[spoil]
    await led.step()
    assert led.controllers() == (PID, PID)
    for name, belt in zip(NAMES, before, strict=True):
        assert abs(led.plc(name).belt - belt) <= QUANTUM + ROUNDING
        assert ("control_fallback", name) in led.alarms.standing
    led.solver.spoil = None
    await led.step(3)
    assert led.controllers() == (MPC, MPC)
    assert led.alarms.standing == {}


async def test_nonsense_for_one_loop_is_believed_by_none(led: PairRig) -> None:
    belts = (led.first.belt, led.second.belt)
    led.solver.spoil = answered(inputs=(belts[0], belts[1] + 5.0))
    await led.step()
    assert led.controllers() == (PID, PID)
    assert "further from" in led.status(FIRST).rung_reason


async def test_the_input_of_a_loop_in_man_is_taken_as_it_is(led: PairRig) -> None:
    led.request(FIRST, Mode.MANUAL)
    belt = led.first.belt
    await led.step(60)
    question = led.solver.questions[-1]
    assert question.free == question.count == (False, True)
    assert question.applied[0] == pytest.approx(belt)
    assert led.controllers() == ("hold", MPC)
    assert led.first.belt == belt
    assert led.second.thickness == pytest.approx(4.0, abs=0.02)
    led.request(FIRST, Mode.AUTOMATIC)
    while led.controllers() != (MPC, MPC):
        await led.step()
        assert abs(led.first.belt - belt) <= QUANTUM + ROUNDING
    await led.step()
    assert led.solver.questions[-1].free == (True, True)


async def test_a_person_at_the_plant_takes_one_belt_and_the_other_goes_on(led: PairRig) -> None:
    led.first.operate(140.0)
    await led.step(80)
    assert led.status(FIRST).actual_mode is Mode.LOCAL_OVERRIDE
    assert led.solver.questions[-1].applied[0] == pytest.approx(140.0)
    assert led.status(SECOND).controller == MPC
    assert led.second.thickness == pytest.approx(4.0, abs=0.02)


async def test_a_loop_whose_gauge_is_lost_takes_part_with_its_readback(led: PairRig) -> None:
    led.first.overrides[THICKNESS] = Override(None, quality=0)
    await led.step(30)
    question = led.solver.questions[-1]
    assert question.outputs[0] is None
    assert question.free == (False, True)
    assert question.applied[0] == pytest.approx(led.first.belt)
    assert led.controllers() == ("hold", MPC)
    led.first.overrides.clear()
    await led.step(6)
    assert led.controllers() == (MPC, MPC)


async def test_a_loop_that_sheds_since_its_plc_says_no_leaves_the_other_under_mpc(led: PairRig) -> None:
    led.second.permissive = False
    await led.step(10)
    assert led.controllers() == (MPC, "hold")
    assert led.solver.questions[-1].free == (True, False)


async def test_nobody_plans_around_an_output_of_which_nothing_fresh_is_known(led: PairRig) -> None:
    led.request(SECOND, Mode.OUT_OF_SERVICE)
    await led.step(2)
    assert led.status(FIRST).controller == MPC, "its last readback is fresh enough"
    asked = len(led.solver.questions)
    await led.step(4)
    assert led.status(FIRST).controller == PID
    assert led.status(FIRST).rung_reason == "nothing fresh is known of the output of second"
    assert len(led.solver.questions) <= asked + 1
    led.request(SECOND, Mode.AUTOMATIC)
    await led.step(10)
    assert led.controllers() == (MPC, MPC)


async def test_who_comes_too_late_falls_to_pid_and_holds_up_nobody(led: PairRig) -> None:
    release = led.client.stuck[of_second(THICKNESS)] = asyncio.Event()
    asked = len(led.solver.questions)
    belt = led.solver.questions[-1].applied[1]
    late = start_task("late", led.control.step(SECOND))
    await led.control.step(FIRST)
    assert led.status(FIRST).controller == MPC
    assert len(led.solver.questions) == asked + 1
    assert led.solver.questions[-1].free == (True, False)
    assert led.solver.questions[-1].applied[1] == pytest.approx(belt)
    release.set()
    led.client.stuck.clear()
    await late
    assert led.status(SECOND).controller == PID
    assert led.status(SECOND).rung_reason == LATE
    led.advance(1.0)
    await led.step(3)
    assert led.controllers() == (MPC, MPC)


async def test_a_model_that_is_wrong_for_one_output_costs_that_loop_alone(led: PairRig) -> None:
    led.solver.spoil = lambda answer: answer.model_copy(update={"errors": (0.0, 0.05)})
    await led.step(90)
    assert led.controllers() == (MPC, PID)
    assert led.status(SECOND).rung_reason.startswith("the model has been wrong")
    assert led.solver.questions[-1].free == (True, False)


async def test_a_restart_follows_before_it_leads_and_moves_nothing(led: PairRig) -> None:
    await led.step(100)
    written = [len(led.own_writes(name)) for name in NAMES]
    led.restart()
    await led.step()
    assert [led.status(name).actual_mode for name in NAMES] == [Mode.MANUAL, Mode.MANUAL]
    assert led.solver.questions[0].free == (True, True), "that it can is known before it leads"
    await led.step(10)
    assert led.controllers() == (MPC, MPC)
    assert [len(led.own_writes(name)) for name in NAMES] == written


async def test_a_start_from_the_last_solution_needs_that_both_were_applied(led: PairRig) -> None:
    await led.step()
    assert not led.solver.questions[-1].fresh
    led.second.operate(led.second.belt + 1.0)
    await led.step()
    assert led.solver.questions[-1].free == (True, False)
    assert not led.solver.questions[-1].fresh, "the second takes no part in the plan"
    led.request(SECOND, Mode.AUTOMATIC)
    while led.solver.questions[-1].free != (True, True):
        await led.step()
    assert led.solver.questions[-1].fresh


async def test_new_limits_of_one_belt_reach_the_common_solver_and_both_follow_before_they_lead(led: PairRig) -> None:
    text = unsigned_limits((listed_limits(replace(BELT_LIMITS, signal=of_second(BELT), high=180.0)),))
    answer = await led.control.desk.act(Order(Action.LIMITS, LINE, text, "new rollers", "anna", Role.OPERATOR))
    assert answer.outcome is Outcome.ACCEPTED
    assert [limits.high for limits in led.solver.setup.limits] == [200.0, 180.0]
    await led.step()
    assert led.controllers() == (PID, PID)
    await led.step(5)
    assert led.controllers() == (MPC, MPC)

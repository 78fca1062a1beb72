"""Orders of operators: carried out within the gate, kept across restarts, each with a record."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edged.ports import Action, Answer, Order, Outcome, Role
from edged.types import OperatorAction, Refused
from edged_control.audit import DENIED_PERIOD_SECONDS, HELD_ACTIONS
from edged_control.gate import Mode
from tests.unit.control.rig import MakeRig, Rig, finish, with_loop
from tests.unit.control.simulated_plc import THICKNESS, Override


def ask(
    rig: Rig, action: Action, value: Any = None, target: str = "thickness", role: Role = Role.OPERATOR, reason: str = ""
) -> Answer:
    answer: Answer = finish(rig.control.desk.act(Order(action, target, value, reason, "anna", role)))
    return answer


def records(rig: Rig) -> list[OperatorAction]:
    return [event for _, event in rig.road.events if isinstance(event, OperatorAction)]


def park(rig: Rig, mode: str = "OOS") -> Answer:
    return ask(rig, Action.MODE, mode, role=Role.ENGINEER)


def test_an_order_is_carried_out_and_recorded_with_name_and_words(running: Rig) -> None:
    assert ask(running, Action.MODE, "man", reason="grade test") == Answer(Outcome.ACCEPTED)
    assert running.mode() is Mode.MANUAL
    (record,) = records(running)
    assert record == OperatorAction(
        "anna", "mode", "thickness", "man", "grade test", running.clock.now() - 5_000_000, "accepted"
    )


def test_a_local_override_is_left_by_an_order_alone(running: Rig) -> None:
    running.plc.operate(140.0)
    running.step(20)
    assert running.mode() is Mode.LOCAL_OVERRIDE
    running.plc.overrides[THICKNESS] = Override(4.0)
    assert ask(running, Action.OVERRIDE) == Answer(Outcome.ACCEPTED)
    assert running.mode() is Mode.MANUAL
    running.step(3)
    assert running.mode() is Mode.AUTOMATIC
    assert running.plc.belt == 140.0, "the transfer is bumpless"
    assert ("control_local_override", "thickness") not in running.alarms.standing


def test_where_nothing_is_overridden_there_is_nothing_to_end(running: Rig) -> None:
    answer = ask(running, Action.OVERRIDE)
    assert answer == Answer(Outcome.REFUSED, "mode: the loop is in AUTO, there is no local override to end")
    assert records(running)[-1].outcome == "refused"
    assert records(running)[-1].reason == answer.reason


@pytest.mark.parametrize("value", ["RCAS", "", None, 1.0, "local-override"])
def test_modes_that_there_are_not(running: Rig, value: Any) -> None:
    answer = ask(running, Action.MODE, value)
    assert answer.outcome is Outcome.REFUSED
    assert answer.reason.startswith("mode: expected AUTO, MAN or OOS, got ")
    assert running.mode() is Mode.AUTOMATIC


def test_the_set_point_changes_at_once_moves_within_the_rate_and_outlives_a_restart(running: Rig) -> None:
    running.step(60)
    belt = running.plc.belt
    assert ask(running, Action.SET_POINT, 4.4) == Answer(Outcome.ACCEPTED)
    assert running.status.set_point == 4.4
    running.step(1)
    assert 0.0 < belt - running.plc.belt <= 2 * 20.0 / 60.0 + 1e-4
    running.step(200)
    assert running.status.process_value == pytest.approx(4.4, abs=0.02)
    running.restart()
    running.step(1)
    assert running.status.set_point == 4.4
    assert records(running)[-1].value == "4.4 mm"


def test_a_new_configured_set_point_ends_an_entered_one(running: Rig) -> None:
    ask(running, Action.SET_POINT, 4.4)
    running.loop = with_loop(set_point=4.1)
    running.restart()
    running.step(1)
    assert running.status.set_point == 4.1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "finite: the set-point is not a finite number"),
        (math.inf, "finite: the set-point is not a finite number"),
        ("4.1", "finite: the set-point is not a finite number"),
        (True, "finite: the set-point is not a finite number"),
        (None, "finite: the set-point is not a finite number"),
        (20.001, f"limits: 20.001 is outside 0..20 mm, the range of {THICKNESS}"),
        (-0.001, f"limits: -0.001 is outside 0..20 mm, the range of {THICKNESS}"),
    ],
)
def test_set_points_that_make_no_sense_change_nothing(running: Rig, value: Any, reason: str) -> None:
    assert ask(running, Action.SET_POINT, value) == Answer(Outcome.REFUSED, reason)
    assert running.status.set_point == 4.0


def test_the_ends_of_the_range_can_be_set(running: Rig) -> None:
    for value in (0.0, 20.0):
        assert ask(running, Action.SET_POINT, value) == Answer(Outcome.ACCEPTED)


def test_a_set_point_that_cannot_be_kept_is_refused(running: Rig) -> None:
    blocked = running.state_directory / "control-line_a.new"
    blocked.mkdir()
    assert ask(running, Action.SET_POINT, 4.4) == Answer(Outcome.REFUSED, "memory: the set-point can't be kept")
    assert running.status.set_point == 4.0
    assert ("control_memory", "thickness") in running.alarms.standing
    blocked.rmdir()
    assert ask(running, Action.SET_POINT, 4.4) == Answer(Outcome.ACCEPTED)
    assert ("control_memory", "thickness") not in running.alarms.standing


def test_the_output_moves_in_man_only_and_through_the_gate(running: Rig) -> None:
    refused = ask(running, Action.OUTPUT, 170.0)
    assert refused == Answer(Outcome.REFUSED, "mode: the loop's target is AUTO, put it in MAN first")
    running.take_over()
    assert ask(running, Action.OUTPUT, 170.0) == Answer(Outcome.ACCEPTED)
    assert ask(running, Action.OUTPUT, 250.0).reason == "limits: 250 is outside 50..200 m/min"
    assert ask(running, Action.OUTPUT, "fast").reason == "finite: the output must be a finite number, got 'fast'"
    running.step(60)
    assert running.plc.belt == pytest.approx(170.0, abs=0.01)
    assert [record.value for record in records(running)] == ["170 m/min", "170 m/min", "250 m/min", "fast"]


def test_only_an_engineer_takes_a_loop_out_of_service_and_back(running: Rig) -> None:
    denied = Answer(Outcome.DENIED, "only an engineer takes a loop out of service or back")
    assert ask(running, Action.MODE, "OOS") == denied
    assert park(running) == Answer(Outcome.ACCEPTED)
    assert running.mode() is Mode.OUT_OF_SERVICE
    reads, beats = len(running.plc.journal), len(running.plc.beats)
    running.step(10)
    assert len(running.plc.journal) == reads, "out of service it neither reads nor writes"
    assert len(running.plc.beats) == beats, "nor does it claim to be alive"
    assert ask(running, Action.MODE, "AUTO") == denied
    assert ask(running, Action.OUTPUT, 150.0).reason.startswith("mode: the loop is out of service")
    running.restart()
    running.step(5)
    assert running.mode() is Mode.OUT_OF_SERVICE, "a restart is no order"
    assert running.status.reason == "taken out of service by a person"
    assert park(running, "AUTO") == Answer(Outcome.ACCEPTED)
    running.step(3)
    assert running.mode() is Mode.AUTOMATIC


def test_what_people_moved_while_a_loop_was_out_of_service_is_their_entry(running: Rig) -> None:
    park(running)
    running.plc.operate(90.0)
    running.plc.overrides[THICKNESS] = Override(4.0)
    park(running, "AUTO")
    running.step(4)
    assert running.mode() is Mode.AUTOMATIC
    assert running.plc.belt == 90.0
    running.take_over()
    assert isinstance(running.wish(141.0), Refused)
    assert not isinstance(running.wish(139.0), Refused), "50 m/min from the entry"


def test_out_of_service_does_not_renew_the_approved_baseline_of_what_nobody_moved(make_rig: MakeRig) -> None:
    rig = make_rig(loop=with_loop(target_mode="manual"))
    rig.step(5)
    rig.wish(190.0)
    rig.step(150)
    assert rig.plc.belt == pytest.approx(190.0, abs=0.01)
    park(rig)
    park(rig, "MAN")
    rig.step(5)
    assert isinstance(rig.wish(99.0), Refused), "the baseline is still 150"


def test_a_local_override_survives_being_out_of_service(running: Rig) -> None:
    running.plc.operate(140.0)
    running.step(2)
    park(running)
    running.step(2)
    park(running, "AUTO")
    running.step(5)
    assert running.mode() is Mode.LOCAL_OVERRIDE
    assert ask(running, Action.OVERRIDE) == Answer(Outcome.ACCEPTED)


def test_an_unknown_loop_is_refused_and_recorded(running: Rig) -> None:
    answer = ask(running, Action.MODE, "MAN", target="thickmess")
    assert answer == Answer(Outcome.REFUSED, "there is no loop 'thickmess': thickness")
    assert records(running)[-1].target == "thickmess"


def test_what_cannot_be_recorded_is_not_done_but_letting_go_always_is(running: Rig) -> None:
    running.road.full = True
    for action, value in ((Action.SET_POINT, 4.4), (Action.MODE, "AUTO"), (Action.OVERRIDE, None)):
        assert "can't be recorded is not done" in ask(running, action, value).reason
    assert running.status.set_point == 4.0
    assert ask(running, Action.MODE, "MAN") == Answer(Outcome.ACCEPTED)
    assert running.mode() is Mode.MANUAL
    assert records(running) == []
    running.road.full = False
    running.step(1)
    assert [(record.action, record.outcome) for record in records(running)] == [
        ("setpoint", "refused"),
        ("mode", "refused"),
        ("override", "refused"),
        ("mode", "accepted"),
    ]


def test_records_that_wait_are_bounded(running: Rig) -> None:
    running.road.full = True
    for _ in range(HELD_ACTIONS + 5):
        ask(running, Action.MODE, "MAN")
    running.road.full = False
    running.step(1)
    assert len(records(running)) == HELD_ACTIONS


def test_calls_of_strangers_are_told_and_cannot_fill_the_outbox(running: Rig) -> None:
    desk = running.control.desk
    for _ in range(50):
        finish(desk.deny("mode", "mallory", "this token is not known here"))
    (first,) = records(running)
    assert (first.identity, first.action, first.outcome) == ("mallory", "mode", "denied")
    running.plc.advance(DENIED_PERIOD_SECONDS)
    finish(desk.deny("mode", "mallory", "this token is not known here"))
    assert records(running)[-1].reason == "this token is not known here; 50 calls since the last record"

"""What the line does: loops hold while it stands or changes over, and know a set-point for each grade."""

from __future__ import annotations

import pytest

from edged.settings import Condition, LineStateSettings
from edged.types import Quality, Refused
from edged_control.gate import Mode
from edged_control.loop.scan import LineState
from tests.unit.control.rig import GRADES, LINE_STATE, MakeRig, Rig, with_loop
from tests.unit.control.simulated_plc import CHANGEOVER, GRADE, RUNNING, THICKNESS, Override

CLEAR, TINTED = GRADES
SET_POINTS = {CLEAR: 4.0, TINTED: 4.2}
ENTERED = 4.1


def graded(make_rig: MakeRig, **changes: object) -> Rig:
    return make_rig(loop=with_loop(grades=SET_POINTS, **changes), line_state=LINE_STATE)


def enter(rig: Rig, value: float) -> None:
    assert rig.control._loops["thickness"].request_set_point(value, "anna") is None


def test_the_loop_holds_while_the_line_changes_over(make_rig: MakeRig) -> None:
    rig = graded(make_rig)
    rig.step(5)
    rig.plc.product *= 1.1
    rig.step(12)
    assert rig.status.line_state == LineState.RUNNING
    rig.plc.changeover = True
    writes = len(rig.own_writes())
    rig.step(10)
    assert rig.status.line_state == LineState.CHANGEOVER
    assert rig.mode() is Mode.MANUAL
    assert rig.status.reason == "permissive: forming/changeover is True, must be False"
    assert len(rig.own_writes()) == writes
    rig.plc.changeover = False
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC
    assert len(rig.own_writes()) > writes


@pytest.mark.parametrize(
    ("overrides", "state"),
    [
        ({}, LineState.RUNNING),
        ({RUNNING: Override(value=False)}, LineState.STOPPED),
        ({RUNNING: Override(None, Quality.BAD)}, LineState.UNKNOWN),
        ({CHANGEOVER: Override(value=True)}, LineState.CHANGEOVER),
        ({CHANGEOVER: Override(value=True), RUNNING: Override(value=False)}, LineState.CHANGEOVER),
    ],
)
def test_the_state_of_the_line_is_what_the_plant_tells(
    make_rig: MakeRig, overrides: dict[str, Override], state: LineState
) -> None:
    running = Condition(signal="forming/running")
    rig = make_rig(loop=with_loop(running=None), line_state=LINE_STATE.model_copy(update={"running": running}))
    rig.plc.overrides.update(overrides)
    rig.step(5)
    assert rig.status.line_state == state
    assert (rig.mode() is Mode.AUTOMATIC) == (state is LineState.RUNNING)


def test_a_line_that_tells_nothing_is_unknown_and_no_hindrance(make_rig: MakeRig) -> None:
    rig = make_rig(loop=with_loop(running=None), line_state=LineStateSettings())
    rig.step(5)
    assert rig.status.line_state == LineState.UNKNOWN
    assert rig.mode() is Mode.AUTOMATIC


def test_each_grade_has_its_set_point_and_others_hold(make_rig: MakeRig) -> None:
    rig = graded(make_rig)
    rig.step(5)
    assert (rig.status.grade, rig.status.set_point) == (CLEAR, 4.0)
    rig.plc.grade = TINTED
    rig.step()
    assert (rig.status.grade, rig.status.set_point) == (TINTED, 4.2)
    rig.plc.grade = "unheard-of"
    rig.step(3)
    assert rig.mode() is Mode.MANUAL
    assert rig.status.reason == "line: there is no set-point for grade unheard-of"
    rig.plc.overrides[GRADE] = Override(None, Quality.BAD)
    rig.step(3)
    assert rig.status.reason == "line: the grade could not be read"
    rig.plc.overrides.clear()
    rig.plc.grade = CLEAR
    rig.step(4)
    assert rig.mode() is Mode.AUTOMATIC
    assert (rig.status.grade, rig.status.set_point) == (CLEAR, 4.0)


def test_what_a_person_entered_for_a_grade_outlives_a_restart_and_ends_with_the_grade(make_rig: MakeRig) -> None:
    rig = graded(make_rig)
    rig.step(3)
    enter(rig, ENTERED)
    rig.restart()
    rig.step(3)
    assert rig.status.set_point == ENTERED
    rig.plc.grade = TINTED
    rig.step()
    assert rig.status.set_point == 4.2
    rig.plc.grade = CLEAR
    rig.step()
    assert rig.status.set_point == 4.0, "it does not come back"


@pytest.mark.parametrize("set_points", [SET_POINTS, {CLEAR: 4.0, TINTED: 4.0}, {}])
def test_a_grade_that_changed_while_edged_was_away_ends_it_too(make_rig: MakeRig, set_points: dict[str, float]) -> None:
    rig = make_rig(loop=with_loop(grades=set_points), line_state=LINE_STATE)
    rig.step(3)
    enter(rig, ENTERED)
    rig.control.close()
    rig.plc.grade = TINTED
    rig.restart()
    rig.step(3)
    usual = set_points.get(TINTED, 4.0)
    assert rig.status.set_point == usual
    rig.control.close()
    rig.plc.grade = CLEAR
    rig.restart()
    rig.step(3)
    assert rig.status.set_point == 4.0, "it does not come back"


def test_what_was_entered_before_the_line_told_a_grade_is_kept_for_the_first(make_rig: MakeRig) -> None:
    rig = make_rig(line_state=LINE_STATE)
    rig.plc.overrides[GRADE] = Override(None, Quality.BAD)
    rig.step(3)
    enter(rig, ENTERED)
    rig.plc.overrides.clear()
    rig.step(3)
    assert (rig.status.grade, rig.status.set_point) == (CLEAR, ENTERED)


def test_a_walk_ends_at_an_unknown_grade_also_where_the_gauge_stands_still(make_rig: MakeRig) -> None:
    """Found by the search of a million commands: a person may walk on a dead gauge, but not for a grade unknown."""
    rig = make_rig(loop=with_loop(frozen_seconds=20.0, grades=SET_POINTS), line_state=LINE_STATE)
    rig.step(5)
    rig.plc.overrides[THICKNESS] = Override(3.5)
    rig.step(40)
    rig.take_over()
    assert not isinstance(rig.wish(rig.plc.belt + 8.0, seconds=600.0), Refused)
    writes = len(rig.own_writes())
    rig.step(5)
    assert len(rig.own_writes()) > writes, "the gauge is dead, the walk is not"
    rig.plc.grade = "unheard-of"
    writes = len(rig.own_writes())
    rig.step(10)
    assert len(rig.own_writes()) == writes

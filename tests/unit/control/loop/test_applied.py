"""What a box knows of an output across restarts: a change nobody saw is noticed, ours is not mistaken for one."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.types import WriteOutcome
from edged_control.gate import Mode
from edged_control.loop.applied import SLOT_BYTES, AppliedFile, Known
from tests.unit.control.rig import MakeRig, Rig, with_loop
from tests.unit.control.simulated_plc import BELT, THICKNESS, Override

values = st.floats(allow_nan=False, allow_infinity=False)


def file(folder: Path, signal: str = BELT) -> AppliedFile:
    return AppliedFile(folder / "belt.applied", signal)


def test_it_knows_the_last_of_what_it_was_told(tmp_path: Path) -> None:
    kept = file(tmp_path)
    assert kept.recall() is None
    for count in range(5):
        kept.note(150.0 + count)
        assert file(tmp_path).recall() == Known(150.0 + count, None)
    kept.note(154.0, 154.5)
    assert file(tmp_path).recall() == Known(154.0, 154.5)
    again = file(tmp_path)
    again.recall()
    again.note(-0.0)
    assert file(tmp_path).recall() == Known(0.0, None), "a new run goes on counting"
    assert (tmp_path / "belt.applied").stat().st_size <= 2 * SLOT_BYTES


@given(st.lists(values, min_size=2, max_size=5), st.integers(0, 2 * SLOT_BYTES), st.binary(min_size=1, max_size=60))
def test_a_torn_write_leaves_one_of_the_last_two_values_or_an_honest_nothing(
    tmp_path_factory: pytest.TempPathFactory, told: list[float], at: int, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    kept = file(folder)
    for value in told:
        kept.note(value)
    path = folder / "belt.applied"
    content = bytearray(path.read_bytes())
    content[at : at + len(garbage)] = garbage
    path.write_bytes(content)
    known = file(folder).recall()
    assert known in (Known(told[-1], None), Known(told[-2], None), Known(None, None))


@pytest.mark.parametrize("content", [b"x", b"\0" * 1024, b"\xff" * 2000])
def test_a_file_that_cannot_be_read_knows_of_no_value(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "belt.applied").write_bytes(content)
    assert file(tmp_path).recall() == Known(None, None)
    file(tmp_path).note(150.0)
    assert file(tmp_path).recall() == Known(150.0, None)


def test_a_folder_in_its_place_and_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "belt.applied").mkdir()
    assert file(tmp_path).recall() == Known(None, None)
    with pytest.raises(OSError, match="directory"):
        file(tmp_path).note(150.0)
    other = tmp_path / "other"
    other.mkdir()
    (other / "belt.applied").touch()
    assert file(other).recall() is None


def test_the_value_of_another_signal_is_none_of_this_one(tmp_path: Path) -> None:
    file(tmp_path, "line_a/forming/other").note(150.0)
    assert file(tmp_path).recall() == Known(None, None)


def test_a_change_while_edged_was_away_makes_the_loop_yield(running: Rig) -> None:
    running.control.close()
    before = running.status.readback
    running.plc.operate(140.0)
    running.restart()
    running.step(20)
    assert running.mode() is Mode.LOCAL_OVERRIDE
    assert running.status.reason == f"the output was moved from {before:g} to 140 while edged was away"
    assert running.plc.belt == 140.0


def test_a_change_while_edged_was_away_is_an_entry_where_the_plant_keeps_the_output(running: Rig) -> None:
    running.control.close()
    running.plc.operate(140.0)
    running.plc.remote = False
    running.restart()
    running.step(3)
    assert running.mode() is Mode.MANUAL
    running.plc.remote = True
    running.plc.overrides[THICKNESS] = Override(4.0)
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC
    assert running.status.baseline == 140.0


@pytest.mark.parametrize(("after", "late"), list(itertools.product(range(1, 14), (False, True))))
def test_wherever_edged_dies_its_own_move_is_not_taken_for_somebody_elses(
    make_rig: MakeRig, after: int, late: bool
) -> None:
    rig = make_rig()
    rig.step(5)
    rig.plc.product *= 1.1
    rig.interruption.arm(after, late=late)
    rig.step_until_death(20)
    rig.interruption.disarm()
    rig.restart()
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC, rig.status.reason


def test_in_man_a_change_while_edged_was_away_is_what_man_is_for(make_rig: MakeRig) -> None:
    rig = make_rig(loop=with_loop(target_mode="manual"))
    rig.step(3)
    rig.control.close()
    rig.plc.operate(140.0)
    rig.restart()
    rig.step(3)
    assert rig.mode() is Mode.MANUAL


def test_when_its_file_is_damaged_nobody_can_tell_and_the_loop_yields(running: Rig) -> None:
    running.control.close()
    for path in running.state_directory.glob("*.applied"):
        path.write_bytes(b"damaged")
    running.restart()
    running.step(3)
    assert running.mode() is Mode.LOCAL_OVERRIDE
    assert running.status.reason.startswith("nobody can tell whether the output was moved")
    running.hand_over(Mode.AUTOMATIC)
    running.step(4)
    assert running.mode() is Mode.AUTOMATIC
    running.restart()
    running.step(4)
    assert running.mode() is Mode.AUTOMATIC, "the file is whole again"


def test_what_cannot_be_kept_before_it_is_sent_is_not_sent(running: Rig) -> None:
    (path,) = running.state_directory.glob("*.applied")
    path.unlink()
    path.mkdir()
    sent = len(running.own_writes())
    running.step(3)
    assert len(running.own_writes()) == sent
    assert running.road.outcomes()[-1] is WriteOutcome.NONE
    assert "can't be kept before it is sent" in running.road.decisions()[-1].reason
    assert ("control_shed", "thickness") in running.alarms.standing
    path.rmdir()
    running.step(10)
    assert len(running.own_writes()) > sent


def test_advisory_leaves_no_trace(make_rig: MakeRig) -> None:
    rig = make_rig(advisory=True)
    rig.step(5)
    assert not list(rig.state_directory.glob("*.applied"))

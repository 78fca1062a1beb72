"""A change that makes more defects is taken back at the box, by itself, and on record (GLS33)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.ports import Action, Answer, Order, Outcome, Role
from edged.settings import RollbackSettings
from edged.types import OperatorAction, Quality, Sample
from edged_control.rollback import RollbackGuard, RollbackMemory
from edged_control.rollback_watch import GUARD, LONGEST_WAIT_SECONDS, LOOK_SECONDS, RollbackWatch
from edged_control.surroundings import ROLLBACK_ALARM
from tests.unit.control.rig import LOOP, MakeRig, Rig, finish
from tests.unit.control.simulated_plc import LINE, RUNNING, Override

RATE = "inspection/defect_rate"
SETTINGS = RollbackSettings(defect_rate=RATE, fewest_readings=10)
WATCH = SETTINGS.watch_seconds


def guard(folder: Path, now: float = 0.0) -> RollbackGuard:
    return RollbackGuard(SETTINGS, RollbackMemory(folder / "rollback.json"), now)


def feed(made: RollbackGuard, rate: float, start: float, count: int = 20, step: float = 5.0) -> float:
    for k in range(count):
        made.note_rate(rate, start + step * k)
    return start + step * count


@pytest.mark.parametrize(("before", "after", "worse"), [(5.0, 5.9, False), (5.0, 6.1, True), (5.0, 4.0, False)])
def test_a_rise_of_a_fifth_is_what_may_not_be_exceeded(
    tmp_path: Path, before: float, after: float, *, worse: bool
) -> None:
    made = guard(tmp_path)
    now = feed(made, before, 0.0)
    made.note_change("thickness", 4.0, "anna", now, 7)
    now = feed(made, after, now)
    assert bool(made.worse(now)) is worse
    previous = made.previous("thickness")
    assert previous is not None
    assert (previous.set_point, previous.identity, previous.defect_rate) == (4.0, "anna", before)


def test_one_defect_where_there_were_none_is_no_rise(tmp_path: Path) -> None:
    made = guard(tmp_path)
    now = feed(made, 0.0, 0.0)
    made.note_change("thickness", 4.0, "anna", now, 7)
    assert made.worse(feed(made, 0.5, now)) == {}
    assert made.worse(feed(made, 1.0, now + 100.0))["thickness"].startswith("defect rate ")


@pytest.mark.parametrize(("readings_before", "readings_after"), [(9, 20), (20, 9), (0, 0)])
def test_too_few_readings_judge_nothing(tmp_path: Path, readings_before: int, readings_after: int) -> None:
    made = guard(tmp_path)
    now = feed(made, 1.0, 0.0, readings_before)
    made.note_change("thickness", 4.0, "anna", now, 7)
    assert made.worse(feed(made, 50.0, now, readings_after)) == {}


def test_what_was_long_before_the_change_does_not_count(tmp_path: Path) -> None:
    made = guard(tmp_path)
    feed(made, 9.0, 0.0)
    now = feed(made, 1.0, WATCH + 200.0)
    made.note_change("thickness", 4.0, "anna", now, 7)
    previous = made.previous("thickness")
    assert previous is not None
    assert previous.defect_rate == 1.0


def test_after_half_an_hour_the_change_stays(tmp_path: Path) -> None:
    made = guard(tmp_path)
    changed = feed(made, 1.0, 0.0)
    made.note_change("thickness", 4.0, "anna", changed, 7)
    feed(made, 9.0, changed + WATCH - 300.0)
    assert made.worse(changed + WATCH - 1.0) != {}
    assert made.settle(changed + WATCH - 1.0) == ()
    assert made.worse(changed + WATCH) == {}
    assert made.settle(changed + WATCH) == ("thickness",)
    assert made.previous("thickness") is None
    assert RollbackMemory(tmp_path / "rollback.json").recall() == {}


def test_a_second_change_within_the_watch_keeps_what_was_before_the_first(tmp_path: Path) -> None:
    made = guard(tmp_path)
    now = feed(made, 1.0, 0.0)
    made.note_change("thickness", 4.0, "anna", now, 7)
    made.note_change("thickness", 4.1, "bert", now + 60.0, 8)
    previous = made.previous("thickness")
    assert previous is not None
    assert (previous.set_point, previous.identity) == (4.0, "anna")


def test_the_watch_goes_on_after_a_restart_with_what_is_left_of_it(tmp_path: Path) -> None:
    made = guard(tmp_path)
    now = feed(made, 1.0, 0.0)
    made.note_change("thickness", 4.0, "anna", now, 7)
    made.settle(now + 1000.0)
    again = guard(tmp_path, now=3.0)
    feed(again, 5.0, 3.0)
    assert set(again.worse(3.0 + WATCH - 1001.0)) == {"thickness"}
    assert again.worse(3.0 + WATCH - 1000.0) == {}
    assert again.settle(3.0 + WATCH - 1000.0) == ("thickness",)


@pytest.mark.parametrize("content", [b"", b"{", b'{"loops": {"thickness": {"set_point": NaN}}}', b'{"loops": 3}'])
def test_a_damaged_memory_rolls_nothing_back(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rollback.json").write_bytes(content)
    assert guard(tmp_path).previous("thickness") is None


class Watched:
    """A rig whose control has the guard, and a defect rate that the test sets."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.rate = 1.0
        self.reading = 0

    def latest(self, path: str) -> Sample | None:
        assert path == f"{LINE}/{RATE}"
        self.reading += 1
        return Sample(path, self.rate, self.reading, self.reading, Quality.GOOD)

    def look(self, times: int) -> None:
        """So many looks of the guard, with the plant running on."""
        for _ in range(times):
            self.rig.step(int(LOOK_SECONDS))
            finish(self.watch.look())

    @property
    def watch(self) -> RollbackWatch:
        watch = self.rig.control.rollback
        assert watch is not None
        return watch

    def order(self, action: Action, value: float | None = None) -> Answer:
        answer: Answer = finish(
            self.rig.control.desk.act(Order(action, LOOP.name, value, "grade test", "anna", Role.OPERATOR))
        )
        return answer

    def actions(self) -> list[tuple[str, str, str, str]]:
        found = [event for _, event in self.rig.road.events if isinstance(event, OperatorAction)]
        return [(entry.identity, entry.action, entry.value, entry.outcome) for entry in found]


@pytest.fixture
def watched(make_rig: MakeRig) -> Watched:
    made = Watched(make_rig(rollback=SETTINGS))
    made.rig.latest = made.latest
    made.rig.restart()
    made.rig.step(6)
    return made


def test_a_set_point_that_makes_defects_is_taken_back_and_recorded(watched: Watched) -> None:
    watched.look(15)
    assert watched.order(Action.SET_POINT, 4.2).outcome is Outcome.ACCEPTED
    watched.look(5)
    assert watched.rig.status.set_point == 4.2
    watched.rate = 3.0
    watched.look(10)
    assert watched.rig.status.set_point == 4.0
    assert watched.actions()[-1] == (GUARD, "rollback", "4 mm", "accepted")
    assert [name for name in watched.rig.alarms.names() if name == ROLLBACK_ALARM] == [ROLLBACK_ALARM]
    watched.look(20)
    assert watched.actions()[-1][0] == GUARD, "once"
    assert watched.rig.status.set_point == 4.0


def test_it_works_after_a_restart(watched: Watched) -> None:
    watched.look(15)
    watched.order(Action.SET_POINT, 4.2)
    watched.rig.restart()
    watched.rig.step(6)
    watched.rate = 3.0
    watched.look(12)
    assert watched.rig.status.set_point == 4.0


def test_a_person_rolls_back_at_once_and_only_while_there_is_something(watched: Watched) -> None:
    assert watched.order(Action.ROLL_BACK).reason == "rollback: no change of this loop is being watched"
    watched.order(Action.SET_POINT, 4.2)
    assert watched.order(Action.ROLL_BACK) == Answer(Outcome.ACCEPTED)
    assert watched.rig.status.set_point == 4.0
    assert watched.actions()[-1] == ("anna", "rollback", "4 mm", "accepted")
    assert watched.order(Action.ROLL_BACK).outcome is Outcome.REFUSED


def test_a_refused_or_equal_set_point_is_no_change(watched: Watched) -> None:
    assert watched.order(Action.SET_POINT, 99.0).outcome is Outcome.REFUSED
    watched.order(Action.SET_POINT, 4.0)
    assert watched.order(Action.ROLL_BACK).outcome is Outcome.REFUSED


def test_defects_of_a_line_that_stands_do_not_count(watched: Watched) -> None:
    watched.look(15)
    watched.order(Action.SET_POINT, 4.2)
    watched.rig.plc.overrides[RUNNING] = Override(value=False)
    watched.rate = 50.0
    watched.look(20)
    assert watched.rig.status.set_point == 4.2


def test_a_rate_that_is_not_new_or_not_good_counts_once_at_most(watched: Watched) -> None:
    watched.look(15)
    watched.order(Action.SET_POINT, 4.2)
    stuck = Sample(f"{LINE}/{RATE}", 50.0, 10**9, 10**9, Quality.GOOD)
    for sample in (stuck, stuck._replace(source_time=10**10, quality=Quality.BAD), None):
        watched.rig.latest = lambda _, sample=sample: sample  # type: ignore[misc]
        watched.look(12)
    assert watched.rig.status.set_point == 4.2


def test_without_settings_there_is_no_guard(rig: Rig) -> None:
    assert rig.control.rollback is None
    assert isinstance(rig.clock, VirtualClock)


@pytest.fixture
def worse(watched: Watched) -> Iterator[Watched]:
    """A change that makes defects, and a memory that can't be written: the next look asks for the roll-back."""
    watched.look(15)
    watched.order(Action.SET_POINT, 4.2)
    blocked = watched.rig.state_directory / "control-line_a.new"
    blocked.mkdir()
    watched.rate = 3.0
    yield watched
    if blocked.exists():
        blocked.rmdir()


def by_the_guard(watched: Watched) -> list[tuple[str, str, str, str]]:
    return [action for action in watched.actions() if action[0] == GUARD]


def test_a_roll_back_that_is_refused_is_recorded_once_and_asked_again(worse: Watched) -> None:
    worse.look(30)
    assert by_the_guard(worse) == [(GUARD, "rollback", "4 mm", "refused")]
    assert worse.rig.status.set_point == 4.2
    assert "could not be rolled back: memory" in worse.rig.alarms.standing[ROLLBACK_ALARM, LOOP.name]
    (worse.rig.state_directory / "control-line_a.new").rmdir()
    worse.look(round(LONGEST_WAIT_SECONDS / LOOK_SECONDS))
    assert worse.rig.status.set_point == 4.0
    assert [outcome for *_, outcome in by_the_guard(worse)] == ["refused", "accepted"]
    assert (ROLLBACK_ALARM, LOOP.name) not in worse.rig.alarms.standing


def test_a_refusal_for_another_reason_is_another_record(worse: Watched) -> None:
    worse.look(15)
    worse.rig.road.full = True
    worse.look(10)
    worse.rig.road.full = False
    worse.look(20)
    assert by_the_guard(worse) == [
        (GUARD, "rollback", "4 mm", "refused"),
        (GUARD, "rollback", "", "refused"),
        (GUARD, "rollback", "4 mm", "refused"),
    ]


def test_reasons_that_change_at_every_look_fill_no_record(worse: Watched) -> None:
    """Asked at 0, 5, 15, 35 and 75 s, then once a minute."""
    for look in range(130):
        worse.rig.road.full = bool(look // 2 % 2)
        worse.look(1)
    worse.rig.road.full = False
    assert 2 <= len(by_the_guard(worse)) <= 14


def test_the_alarm_of_a_refused_roll_back_ends_with_the_watch(worse: Watched) -> None:
    worse.look(20)
    assert (ROLLBACK_ALARM, LOOP.name) in worse.rig.alarms.standing
    worse.look(round(WATCH / LOOK_SECONDS))
    assert (ROLLBACK_ALARM, LOOP.name) not in worse.rig.alarms.standing
    assert worse.order(Action.ROLL_BACK).reason == "rollback: no change of this loop is being watched"
    assert len(by_the_guard(worse)) == 1

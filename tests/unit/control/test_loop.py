"""The loop on a simulated PLC: it controls, and whatever goes wrong it holds, says so and recovers by the rules."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from edged.types import Allowed, DecisionPhase, Quality, Refused, Value, WriteOutcome
from edged_control.gate import HEARTBEAT_MODULUS, Mode
from tests.unit.control.rig import BELT_LIMITS, RATE_PER_SECOND, Rig, narrower, with_loop
from tests.unit.control.simulated_plc import (
    BELT,
    HEARTBEAT,
    PERMISSIVE,
    REMOTE,
    RUNNING,
    THICKNESS,
    Override,
    WriteFault,
)

STEP_UP = 1.1
DAY_SECONDS = 86_400.0


class MakeRig(Protocol):
    def __call__(self, **changes: Any) -> Rig: ...


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(**changes: Any) -> Rig:
        made.append(Rig(tmp_path, **changes))
        return made[-1]

    yield make
    for rig in made:
        rig.control.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig()


@pytest.fixture
def running(rig: Rig) -> Rig:
    """A loop in AUTO that has work to do."""
    rig.step(5)
    rig.plc.product *= STEP_UP
    rig.step(12)
    assert rig.mode() is Mode.AUTOMATIC
    assert rig.status.verified_writes > 0
    return rig


def manual(rig: Rig) -> Rig:
    assert rig.control.request_mode("thickness", Mode.MANUAL, "anna") is None
    rig.step(1)
    return rig


def test_a_thicker_ribbon_is_brought_back_within_the_rate(rig: Rig) -> None:
    rng = random.Random(7)
    rig.plc.noise = [rng.gauss(0.0, 0.01) for _ in range(997)]
    rig.step(30)
    rig.plc.product *= STEP_UP
    before = len(rig.own_writes())
    rig.step(60)
    assert rig.plc.belt == pytest.approx(165.0, abs=1.0)
    assert rig.plc.thickness == pytest.approx(4.0, abs=0.05)
    rig.step(60)
    assert max(rig.own_writes()) <= 165.5, "it does not overshoot by more than a quantum"
    assert 40 <= len(rig.own_writes()) - before <= 70
    assert rig.status.verified_writes == len(rig.own_writes())
    sent = [write for write in rig.plc.writes if write.by.startswith("daemon")]
    for earlier, later in itertools.pairwise(sent):
        assert abs(later.value - earlier.value) <= RATE_PER_SECOND * (later.time - earlier.time) + 1e-4


def test_a_thinner_ribbon_is_brought_back_too(rig: Rig) -> None:
    rig.step(10)
    rig.plc.product /= STEP_UP
    rig.step(120)
    assert rig.plc.thickness == pytest.approx(4.0, abs=0.02)


def test_noise_alone_writes_almost_nothing(rig: Rig) -> None:
    rng = random.Random(11)
    rig.plc.noise = [rng.gauss(0.0, 0.01) for _ in range(997)]
    rig.step(300)
    assert len(rig.own_writes()) <= 15


def test_it_comes_up_in_man_and_needs_good_cycles(rig: Rig) -> None:
    assert rig.mode() is Mode.OUT_OF_SERVICE
    modes = []
    for _ in range(4):
        rig.step()
        modes.append(rig.mode())
    assert modes == [Mode.MANUAL, Mode.MANUAL, Mode.AUTOMATIC, Mode.AUTOMATIC]


def test_a_configured_target_of_man_stays_man(make_rig: MakeRig) -> None:
    rig = make_rig(loop=with_loop(target_mode="manual"))
    rig.plc.product *= STEP_UP
    rig.step(40)
    assert rig.mode() is Mode.MANUAL
    assert rig.own_writes() == []


def test_advisory_records_what_it_would_write_and_writes_nothing(make_rig: MakeRig) -> None:
    rig = make_rig(advisory=True)
    rig.plc.product *= STEP_UP
    rig.step(30)
    assert rig.plc.writes == []
    assert rig.plc.beats == []
    decided = rig.road.decisions(DecisionPhase.DECIDED)
    assert decided
    assert all(decision.written is not None and decision.written > 150.0 for decision in decided)
    assert all(decision.mode == "AUTO advisory" for decision in decided)
    completed = rig.road.decisions(DecisionPhase.COMPLETED)
    assert len(completed) == len(decided)
    assert {(decision.outcome, decision.written) for decision in completed} == {(WriteOutcome.NONE, None)}
    assert {decision.verdict for decision in completed} <= {"allowed", "clamped"}
    assert rig.mode() is Mode.AUTOMATIC
    rig.plc.operate(140.0)
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC, "there is nothing to yield"


def test_every_write_was_decided_before_and_completed_after(running: Rig) -> None:
    running.step(20)
    decided = {decision.identity: decision for decision in running.road.decisions(DecisionPhase.DECIDED)}
    completed = {decision.identity: decision for decision in running.road.decisions(DecisionPhase.COMPLETED)}
    assert decided.keys() == completed.keys()
    assert [decision.written for decision in decided.values()] == running.own_writes()
    for decision in completed.values():
        assert decision.outcome is WriteOutcome.VERIFIED
        assert decision.readback_after == pytest.approx(decision.written, abs=1e-4)
        assert decision.config_hash == "0123456789abcdef"
        assert (decision.loop, decision.signal, decision.mode) == ("thickness", BELT, "AUTO")
        assert decision.set_point == 4.0
        assert decision.process_value is not None
        assert decision.readback_before is not None


@pytest.mark.parametrize(
    ("value", "quality"),
    [
        (math.nan, Quality.GOOD),
        (math.inf, Quality.GOOD),
        (-math.inf, Quality.GOOD),
        (None, Quality.BAD),
        (None, Quality.GOOD),
        (1e30, Quality.GOOD),
        (-5.0, Quality.GOOD),
        (20.5, Quality.GOOD),
        (4.4, Quality.UNCERTAIN),
        (4.4, Quality.BAD),
        ("thick", Quality.GOOD),
        (True, Quality.GOOD),
    ],
)
def test_a_bad_process_value_holds_the_output_and_control_comes_back(
    running: Rig, value: Value | None, quality: Quality
) -> None:
    running.plc.overrides[THICKNESS] = Override(value, quality)
    before = (len(running.plc.writes), len(running.plc.beats))
    running.step(20)
    assert running.mode() is Mode.MANUAL
    assert (len(running.plc.writes), len(running.plc.beats)) == before, "neither set-point nor heartbeat moves"
    assert "control_shed" in running.alarms.names()
    running.plc.overrides.clear()
    running.step(2)
    assert running.mode() is Mode.MANUAL
    running.step(1)
    assert running.mode() is Mode.AUTOMATIC
    assert running.alarms.standing == {}
    running.step(120)
    assert running.plc.thickness == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize(
    ("value", "quality"),
    [(math.nan, Quality.GOOD), (None, Quality.BAD), (158.0, Quality.UNCERTAIN), (-1.0, Quality.GOOD), (201.0, 192)],
)
def test_without_a_good_readback_nothing_is_written(running: Rig, value: Value | None, quality: Quality) -> None:
    running.plc.overrides[BELT] = Override(value, quality)
    before = (len(running.plc.writes), len(running.plc.beats))
    running.step(5)
    assert (len(running.plc.writes), len(running.plc.beats)) == before
    assert running.mode() is Mode.MANUAL
    running.plc.overrides.clear()
    running.step(4)
    assert running.mode() is Mode.AUTOMATIC


@pytest.mark.parametrize("signal", [REMOTE, PERMISSIVE, RUNNING])
@pytest.mark.parametrize(
    "override", [Override(value=False), Override(None, Quality.BAD), Override(True, Quality.UNCERTAIN)]
)
def test_a_withdrawn_permissive_holds_the_output(running: Rig, signal: str, override: Override) -> None:
    running.plc.overrides[signal] = override
    before = len(running.plc.writes)
    running.step(5)
    assert len(running.plc.writes) == before
    assert running.mode() is Mode.MANUAL
    assert running.status.reason.startswith("permissive: ")
    running.plc.overrides.clear()
    running.step(6)
    assert running.mode() is Mode.AUTOMATIC
    assert len(running.plc.writes) > before


def test_the_heartbeat_goes_on_where_the_plant_says_no_and_stops_where_it_says_nothing(running: Rig) -> None:
    beats = len(running.plc.beats)
    running.plc.overrides[REMOTE] = Override(value=False)
    running.step(5)
    assert len(running.plc.beats) == beats + 5
    running.plc.overrides[REMOTE] = Override(None, Quality.BAD)
    running.step(5)
    assert len(running.plc.beats) == beats + 5


def test_the_heartbeat_counts_one_up_each_verified_cycle_and_wraps(rig: Rig) -> None:
    rig.plc.heartbeat = HEARTBEAT_MODULUS - 3
    rig.step(5)
    assert [beat.count for beat in rig.plc.beats] == [HEARTBEAT_MODULUS - 2, HEARTBEAT_MODULUS - 1, 0, 1, 2]


def test_a_heartbeat_that_cannot_be_written_or_read_disturbs_nothing(running: Rig) -> None:
    running.plc.overrides[HEARTBEAT] = Override(None, Quality.BAD)
    beats, writes = len(running.plc.beats), len(running.own_writes())
    running.step(3)
    assert len(running.plc.beats) == beats
    assert len(running.own_writes()) == writes + 3


@pytest.mark.parametrize("seconds", [DAY_SECONDS, -DAY_SECONDS])
def test_a_jump_of_the_wall_clock_changes_nothing(running: Rig, seconds: float) -> None:
    before = len(running.own_writes())
    running.clock.jump(seconds)
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC
    assert len(running.own_writes()) == before + 5


def test_a_stop_of_thirty_seconds_spends_no_saved_credit(running: Rig) -> None:
    last = running.own_writes()[-1]
    running.clock.tick(30.0)
    running.step(1)
    assert abs(running.own_writes()[-1] - last) <= RATE_PER_SECOND * 2.0 + 1e-4


def test_a_stop_between_decision_and_write_lets_nothing_through(running: Rig) -> None:
    before = len(running.own_writes())
    running.road.commit_seconds = 30.0
    running.step(1)
    running.road.commit_seconds = 0.005
    assert len(running.own_writes()) == before
    assert running.road.decisions()[-1].outcome is WriteOutcome.NONE
    assert running.road.decisions()[-1].verdict == "refused"
    assert "control_refused" in running.alarms.names()
    running.step(6)
    assert len(running.own_writes()) > before


@pytest.mark.parametrize("shift", [-3600, 3600])
def test_source_clocks_that_are_off_but_steady_are_no_fault(running: Rig, shift: int) -> None:
    running.plc.overrides[THICKNESS] = Override(4.4, source_time_shift=shift * 1_000_000_000)
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC or shift < 0
    running.step(3)
    assert running.mode() is Mode.AUTOMATIC


def test_a_value_out_of_order_is_not_used(running: Rig) -> None:
    running.plc.overrides[THICKNESS] = Override(4.4, source_time_shift=-10_000_000_000)
    before = len(running.own_writes())
    running.step(1)
    assert running.mode() is Mode.MANUAL
    assert len(running.own_writes()) == before


def test_the_same_value_and_time_again_is_no_fault(running: Rig) -> None:
    now = running.clock.now()

    class Frozen(Override):
        @property
        def source_time_shift(self) -> int:
            return now - running.clock.now()

        @source_time_shift.setter
        def source_time_shift(self, value: int) -> None: ...

    running.plc.overrides[THICKNESS] = Frozen(4.4)
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC


def test_a_frozen_process_value_stops_at_the_approval_threshold(rig: Rig) -> None:
    rig.step(5)
    rig.plc.overrides[THICKNESS] = Override(4.2)
    rig.step(400)
    assert max(rig.own_writes()) <= 150.0 + BELT_LIMITS.approval_threshold
    assert max(rig.own_writes()) >= 150.0 + BELT_LIMITS.approval_threshold - 1.0


def test_the_approval_threshold_is_cumulative_also_across_restarts(make_rig: MakeRig) -> None:
    rig = make_rig(limits=(narrower(approval_threshold=5.0),))
    rig.step(5)
    rig.plc.overrides[THICKNESS] = Override(4.2)
    for _ in range(5):
        rig.step(40)
        rig.restart()
    assert 154.0 <= max(rig.own_writes()) <= 155.0
    rig.step(20)
    assert rig.mode() is Mode.AUTOMATIC
    assert rig.alarms.names().count("control_refused") == 6, "one for each run"
    refused = [decision for decision in rig.road.decisions() if decision.verdict == "refused"]
    assert len(refused) == rig.alarms.names().count("control_refused"), "a row of alike refusals is one record"
    assert all(decision.outcome is WriteOutcome.NONE and decision.written is None for decision in refused)
    beats = len(rig.plc.beats)
    rig.step(3)
    assert len(rig.plc.beats) == beats + 3, "holding was verified as right"


def test_a_write_that_timed_out_but_was_applied_is_found_by_reading_back(running: Rig) -> None:
    running.plc.write_faults.append(WriteFault.TIMEOUT_APPLIED)
    verified = running.status.verified_writes
    running.step(1)
    last = running.road.decisions()[-1]
    assert (last.outcome, last.reason) == (WriteOutcome.VERIFIED, "unknown: timed out")
    assert running.status.verified_writes == verified + 1
    assert running.mode() is Mode.AUTOMATIC


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        (WriteFault.TIMEOUT_LOST, WriteOutcome.FAILED, "unknown: timed out"),
        (WriteFault.BROKEN, WriteOutcome.FAILED, "unknown: broken pipe"),
        (WriteFault.REJECTED, WriteOutcome.FAILED, "rejected: illegal data value"),
        (WriteFault.ACK_LOST, WriteOutcome.MISMATCH, "was acknowledged, but the readback stayed"),
    ],
)
def test_a_write_that_was_not_applied_is_tried_and_failed_and_control_holds(
    running: Rig, fault: WriteFault, outcome: WriteOutcome, reason: str
) -> None:
    running.plc.write_faults.append(fault)
    belt, beats, sent = running.plc.belt, len(running.plc.beats), len(running.own_writes())
    running.step(1)
    last = running.road.decisions()[-1]
    assert last.outcome is outcome
    assert reason in last.reason
    assert last.written == running.own_writes()[-1], "it was tried: that is no refusal"
    assert last.verdict in ("allowed", "clamped")
    assert running.plc.belt == belt
    assert len(running.own_writes()) == sent + 1
    assert len(running.plc.beats) == beats, "the cycle was not verified"
    assert running.mode() is Mode.MANUAL
    assert "control_write" in running.alarms.names()
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC
    assert len(running.own_writes()) > sent + 1
    assert running.alarms.standing == {}


def test_an_unknown_outcome_is_settled_before_anything_else(running: Rig) -> None:
    running.plc.write_faults.append(WriteFault.TIMEOUT_APPLIED)
    running.plc.go_dark_after_write = True
    sent = len(running.own_writes())
    running.step(1)
    assert running.road.outcomes()[-1] is WriteOutcome.UNKNOWN
    running.step(4)
    assert len(running.own_writes()) == sent + 1, "nothing else is written meanwhile"
    assert running.mode() is Mode.MANUAL
    running.plc.offline = False
    running.step(1)
    last = running.road.decisions()[-1]
    assert last.outcome is WriteOutcome.VERIFIED
    assert len(running.own_writes()) == sent + 1
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC


def test_a_plc_that_clamps_silently_is_not_fought(running: Rig) -> None:
    running.plc.clamp_high = running.plc.belt + 0.1
    running.step(1)
    last = running.road.decisions()[-1]
    assert last.outcome is WriteOutcome.MISMATCH
    sent = len(running.own_writes())
    running.step(20)
    assert running.mode() is Mode.LOCAL_OVERRIDE
    assert len(running.own_writes()) == sent
    assert ("control_local_override", "thickness") in running.alarms.standing


def test_a_person_who_moves_the_output_is_never_fought(running: Rig) -> None:
    running.plc.operate(140.0)
    sent, beats = len(running.own_writes()), len(running.plc.beats)
    running.step(200)
    assert running.mode() is Mode.LOCAL_OVERRIDE
    assert running.status.target_mode is Mode.AUTOMATIC
    assert running.plc.belt == 140.0
    assert len(running.own_writes()) == sent
    assert len(running.plc.beats) == beats + 200, "edged is alive and sees that all is as it should be"


def test_only_a_persons_request_ends_local_override_and_the_entry_becomes_the_baseline(make_rig: MakeRig) -> None:
    rig = make_rig(limits=(narrower(approval_threshold=5.0),))
    rig.step(5)
    rig.plc.operate(170.0)
    rig.step(3)
    rig.restart()
    rig.step(10)
    assert rig.mode() is Mode.LOCAL_OVERRIDE, "a restart is no request"
    rig.plc.overrides[THICKNESS] = Override(4.2)
    assert rig.control.request_mode("thickness", Mode.AUTOMATIC, "anna") is None
    assert rig.mode() is Mode.MANUAL
    rig.step(60)
    assert 174.0 <= rig.plc.belt <= 175.0
    assert rig.alarms.names().count("control_local_override") == 2, "one in each run"


def test_credit_from_before_an_operators_write_is_not_spent_after_it(rig: Rig) -> None:
    rig.step(60)
    rig.plc.product *= STEP_UP
    rig.step(9)
    sent = len(rig.own_writes())
    rig.plc.operate(rig.plc.belt + 5.0)
    rig.step(1)
    assert rig.control.request_mode("thickness", Mode.AUTOMATIC, "anna") is None
    entered, belt = rig.clock.monotonic(), rig.plc.belt
    rig.step(60)
    after = [write for write in rig.plc.writes if write.by.startswith("daemon")][sent:]
    assert after
    assert all(abs(write.value - belt) <= RATE_PER_SECOND * (write.time - entered + 1.0) + 1e-4 for write in after)


def test_an_operators_write_between_read_and_write_is_seen_before_the_write(running: Rig) -> None:
    sent = len(running.own_writes())
    running.road.on_record = lambda: running.plc.operate(140.0)
    running.step(1)
    running.road.on_record = None
    assert len(running.own_writes()) == sent
    assert running.plc.belt == 140.0
    assert running.road.decisions()[-1].reason == "rate: somebody else moved the output"
    running.step(1)
    assert running.mode() is Mode.LOCAL_OVERRIDE


def test_an_operators_write_between_write_and_readback_makes_the_loop_yield(running: Rig) -> None:
    running.plc.write_faults.append(WriteFault.OVERTAKEN)
    running.step(1)
    assert running.road.outcomes()[-1] is WriteOutcome.MISMATCH
    assert running.mode() is Mode.LOCAL_OVERRIDE
    running.step(10)
    assert running.plc.belt == 160.0


def test_what_is_entered_while_the_plant_keeps_the_output_is_an_entry_and_no_override(rig: Rig) -> None:
    rig.step(5)
    rig.plc.remote = False
    rig.step(2)
    rig.plc.operate(170.0)
    rig.step(2)
    assert rig.mode() is Mode.MANUAL
    rig.plc.remote = True
    rig.step(4)
    assert rig.mode() is Mode.AUTOMATIC


def test_a_plc_that_restarts_at_zero_gets_no_write_until_a_person_brought_it_back(running: Rig) -> None:
    running.plc.reboot()
    sent = len(running.own_writes())
    running.step(10)
    assert running.mode() is Mode.LOCAL_OVERRIDE
    assert running.control.request_mode("thickness", Mode.AUTOMATIC, "anna") is None
    running.step(10)
    assert running.mode() is Mode.MANUAL
    assert ("control_output_outside_limits", BELT) in running.alarms.standing
    assert len(running.own_writes()) == sent
    running.plc.operate(150.0)
    running.step(30)
    assert running.control.request_mode("thickness", Mode.AUTOMATIC, "anna") is None
    running.step(3)
    assert running.mode() is Mode.AUTOMATIC


def test_a_first_start_outside_the_limits_waits_for_a_baseline(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig(belt=20.0)
    rig.step(5)
    assert rig.mode() is Mode.MANUAL
    assert ("control_output_outside_limits", BELT) in rig.alarms.standing
    assert not list(tmp_path.glob("*.json"))


def test_a_full_disk_stops_decisions_and_heals_by_itself(running: Rig) -> None:
    running.road.full = True
    before = (len(running.plc.writes), len(running.plc.beats), len(running.road.events))
    running.step(10)
    assert (len(running.plc.writes), len(running.plc.beats), len(running.road.events)) == before
    assert running.mode() is Mode.MANUAL
    running.road.full = False
    running.step(6)
    assert running.mode() is Mode.AUTOMATIC
    assert len(running.plc.writes) > before[0]


def test_a_disk_that_fills_up_while_deciding_stops_the_write(running: Rig) -> None:
    def fill() -> None:
        running.road.full = True

    running.road.on_record = fill
    before = len(running.own_writes())
    running.step(1)
    assert len(running.own_writes()) == before
    assert running.mode() is Mode.MANUAL


def test_a_disk_that_fills_up_while_writing_does_not_hide_the_outcome(running: Rig) -> None:
    running.plc.on_write = lambda: setattr(running.road, "full", True)
    verified = running.status.verified_writes
    running.step(1)
    assert running.status.verified_writes == verified + 1
    assert running.mode() is Mode.MANUAL
    running.road.full = False
    running.plc.on_write = None
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC


def test_an_unreachable_source_holds_and_recovers(running: Rig) -> None:
    running.plc.offline = True
    before = len(running.plc.writes)
    running.step(10)
    assert len(running.plc.writes) == before
    assert running.mode() is Mode.MANUAL
    running.plc.offline = False
    running.step(3)
    assert running.mode() is Mode.AUTOMATIC


def test_a_wish_is_walked_to_in_man_within_the_rate(running: Rig) -> None:
    manual(running)
    start, sent = running.plc.belt, len(running.own_writes())
    assert running.wish(start + 5.0) == Allowed(start + 5.0)
    running.step(5)
    assert running.plc.belt < start + 2.5
    running.step(25)
    assert running.plc.belt == pytest.approx(start + 5.0, abs=0.01)
    assert 14 <= len(running.own_writes()) - sent <= 20
    assert {decision.controller for decision in running.road.decisions()[-8:]} == {"walk operator anna"}
    assert running.status.controller == "hold"


@pytest.mark.parametrize(
    ("value", "signal", "reason"),
    [
        (250.0, BELT, "limits: 250 is outside 50..200 m/min"),
        (math.nan, BELT, "finite: "),
        (None, BELT, "finite: "),
        (95.0, BELT, "approval: 95 is more than 50 m/min from the approved 150"),
        (150.0, "line_a/forming/mould_temperature_setpoint", "mode: no loop of this line writes"),
        (1.0, HEARTBEAT, "mode: no loop of this line writes"),
    ],
)
def test_a_wish_that_does_not_fit_is_refused_with_one_alarm(running: Rig, value: Any, signal: str, reason: str) -> None:
    manual(running)
    sent, alarms = len(running.own_writes()), len(running.alarms.raised)
    verdict = running.wish(value, signal=signal)
    assert isinstance(verdict, Refused)
    assert verdict.reason.startswith(reason)
    assert running.alarms.names()[alarms:] == ["control_wish_refused"]
    running.wish(value, signal=signal)
    assert running.alarms.names()[alarms:] == ["control_wish_refused"] * 2
    running.step(3)
    assert len(running.own_writes()) == sent
    if signal == BELT:
        assert running.road.decisions()[-1].verdict == "refused"
        assert running.road.decisions()[-1].outcome is WriteOutcome.NONE


def test_a_wish_is_refused_in_auto_and_in_local_override(running: Rig) -> None:
    assert running.wish(152.0) == Refused("mode: the loop's target is AUTO, put it in MAN first")
    running.plc.operate(140.0)
    running.step(2)
    assert isinstance(running.wish(152.0), Refused)


def test_nobody_outside_may_call_himself_a_controller(running: Rig) -> None:
    manual(running)
    for source in ("pid", "walk"):
        assert running.wish(152.0, source=source) == Refused(f"mode: {source} is not a source outside")


def test_a_wish_before_the_first_cycle_is_refused_and_nothing_is_read(rig: Rig) -> None:
    assert rig.wish(152.0) == Refused("mode: the loop is out of service: not started")
    assert rig.plc.journal == []
    assert rig.road.decisions()[-1].process_value is None


def test_a_wish_that_came_too_late_is_refused(running: Rig) -> None:
    manual(running)
    assert running.wish(152.0, seconds=0.0) == Refused("mode: the proposal has expired")


def test_a_wish_in_advisory_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(advisory=True, loop=with_loop(target_mode="manual"))
    rig.step(3)
    assert rig.wish(152.0) == Refused("mode: advisory, nothing is written")


def test_a_refused_wish_stays_refused_when_it_cannot_be_recorded(running: Rig) -> None:
    manual(running)
    running.road.full = True
    assert isinstance(running.wish(152.0), Refused)


@pytest.mark.parametrize(
    "interruption",
    [
        lambda rig: rig.plc.operate(rig.plc.belt - 3.0),
        lambda rig: rig.plc.overrides.update({THICKNESS: Override(math.nan)}),
        lambda rig: setattr(rig.plc, "remote", False),
    ],
)
def test_a_walk_ends_when_somebody_or_something_comes_between(running: Rig, interruption: Callable[[Rig], Any]) -> None:
    manual(running)
    running.wish(running.plc.belt + 20.0)
    running.step(3)
    interruption(running)
    running.step(2)
    running.plc.overrides.clear()
    running.plc.remote = True
    sent = len(running.own_writes())
    running.step(20)
    assert len(running.own_writes()) == sent


def test_a_request_in_the_middle_of_a_cycle_counts_at_once(running: Rig) -> None:
    running.road.on_record = lambda: running.control.request_mode("thickness", Mode.MANUAL, "anna")
    sent = len(running.own_writes())
    running.step(1)
    running.road.on_record = None
    assert len(running.own_writes()) == sent
    assert running.road.decisions()[-1].reason == "mode: the loop is in MAN, pid needs AUTO"
    running.step(30)
    assert running.mode() is Mode.MANUAL
    running.restart()
    running.step(30)
    assert running.mode() is Mode.MANUAL, "what a person chose outlives a restart"
    assert running.control.request_mode("thickness", Mode.AUTOMATIC, "anna") is None
    running.step(3)
    assert running.mode() is Mode.AUTOMATIC


def test_requests_that_make_no_sense_are_refused(running: Rig) -> None:
    for mode in (Mode.OUT_OF_SERVICE, Mode.LOCAL_OVERRIDE):
        assert running.control.request_mode("thickness", mode, "anna") == Refused(f"mode: {mode} can't be asked for")
    assert running.control.request_mode("width", Mode.MANUAL, "anna") == Refused("mode: there is no loop width")


def test_returning_to_auto_is_bumpless(running: Rig) -> None:
    running.step(100)
    manual(running)
    running.wish(running.plc.belt + 3.0)
    running.step(30)
    running.plc.overrides[THICKNESS] = Override(4.0)
    running.step(20)
    sent = len(running.own_writes())
    assert running.control.request_mode("thickness", Mode.AUTOMATIC, "anna") is None
    running.step(10)
    assert running.mode() is Mode.AUTOMATIC
    assert len(running.own_writes()) == sent


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("waits", range(1, 9))
def test_a_daemon_that_dies_at_any_wait_is_followed_by_one_that_starts_clean(
    running: Rig, waits: int, *, late: bool
) -> None:
    running.interruption.arm(waits, late=late)
    running.step_until_death()
    belt = running.plc.belt
    running.restart()
    running.step(1)
    assert running.mode() is Mode.MANUAL
    assert running.plc.belt == belt
    running.step(60)
    assert running.mode() is Mode.AUTOMATIC
    assert running.plc.thickness == pytest.approx(4.0, abs=0.05)

"""Writes that go wrong, records that can't be kept, daemons that die: nothing is written on a guess."""

from __future__ import annotations

import math

import pytest

from edged.types import Decision, DecisionPhase, Quality, Value, WriteOutcome
from edged_control.gate import PROCESS_VALUE_AGE_PERIODS, Mode
from tests.unit.control.rig import BELT_LIMITS, PERIOD_SECONDS, RATE_PER_SECOND, MakeRig, Rig, finish, narrower
from tests.unit.control.simulated_plc import (
    BELT,
    THICKNESS,
    Override,
    WriteFault,
)

STEP_UP = 1.1
DAY_SECONDS = 86_400.0


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
    assert rig.alarms.names() == ["control_approval"] * 6, "one for each run"
    waiting = [decision for decision in rig.road.decisions() if decision.verdict == "waits"]
    assert len(waiting) == 6, "what goes on waiting is one record"
    assert all(decision.outcome is WriteOutcome.NONE and decision.written is None for decision in waiting)
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


@pytest.mark.parametrize("fault", [None, *WriteFault])
@pytest.mark.parametrize("commit_seconds", [0.005, 0.3, 0.9, 1.5, 30.0])
def test_the_heart_beats_in_a_cycle_that_writes_only_once_the_write_is_verified(
    running: Rig, commit_seconds: float, fault: WriteFault | None
) -> None:
    """Invariant 10, on disks of any speed; of 30 s a commit nothing is written at all: the wish is too old."""
    running.plc.overrides[THICKNESS] = Override(4.4)
    writing = beating = 0
    for _ in range(20):
        running.plc.write_faults.clear()
        if fault is not None:
            running.plc.write_faults.append(fault)
        running.road.commit_seconds = commit_seconds
        writes, beats, records = len(running.own_writes()), len(running.plc.beats), len(running.road.events)
        running.step()
        if len(running.own_writes()) == writes:
            running.hand_over(Mode.AUTOMATIC)
            continue
        writing += 1
        for beat in running.plc.beats[beats:]:
            beating += 1
            verified = [
                time
                for time, event in running.road.events[records:]
                if isinstance(event, Decision) and event.outcome is WriteOutcome.VERIFIED
            ]
            assert verified
            assert verified[-1] <= beat.time
    assert (writing > 0) == (commit_seconds < PROCESS_VALUE_AGE_PERIODS * PERIOD_SECONDS)
    if fault is None:
        assert (beating > 0) == (commit_seconds < PERIOD_SECONDS)
    elif fault is not WriteFault.TIMEOUT_APPLIED:
        assert beating == 0


def test_a_person_who_switches_modes_a_thousand_times_a_minute_gains_no_step(running: Rig) -> None:
    """Mode chatter: no bump, no credit; what is written stays within the rate from where it was."""
    running.plc.overrides[THICKNESS] = Override(4.4)
    start, belt = running.clock.monotonic(), running.plc.belt
    writes = len(running.own_writes())
    modes = [Mode.MANUAL, Mode.AUTOMATIC]
    for number in range(3000):
        assert running.hand_over(modes[number % 2]) is None
        running.clock.tick(0.02)
        if number % 7 == 0:
            finish(running.control.step(running.loop.name))
    gone = running.clock.monotonic() - start
    assert abs(running.plc.belt - belt) <= RATE_PER_SECOND * gone + 1e-4
    last = belt
    for value in running.own_writes()[writes:]:
        assert abs(value - last) <= 2.0 * RATE_PER_SECOND + 1e-4
        last = value
    running.hand_over(Mode.AUTOMATIC)
    held = running.plc.belt
    running.step(3)
    assert abs(running.plc.belt - held) <= RATE_PER_SECOND * 3.1, "coming back is no bump"
    running.step(10)
    assert running.mode() is Mode.AUTOMATIC
    assert running.plc.belt > held

"""People at the plant and people through edged: nobody is fought, and every wish goes through the gate."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edged.types import Allowed, Refused, WriteOutcome
from edged_control.gate import Mode
from tests.unit.control.rig import PERIOD_SECONDS, RATE_PER_SECOND, MakeRig, Rig, narrower, with_loop
from tests.unit.control.simulated_plc import (
    BELT,
    HEARTBEAT,
    THICKNESS,
    Override,
    WriteFault,
)

STEP_UP = 1.1
DAY_SECONDS = 86_400.0


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
    rig.step(5)
    rig.take_over()
    rig.step(10)
    rig.plc.operate(153.0)
    rig.step(1)
    seen = rig.clock.monotonic() - PERIOD_SECONDS
    assert rig.wish(160.0) == Allowed(160.0)
    rig.step(1)
    (write,) = (write for write in rig.plc.writes if write.by.startswith("daemon"))
    assert 0.0 < write.value - 153.0 <= RATE_PER_SECOND * (write.time - seen) + 1e-4


def test_an_operators_write_between_read_and_write_is_seen_before_the_write(running: Rig) -> None:
    sent = len(running.own_writes())
    running.road.on_record = lambda: running.plc.operate(140.0)
    running.step(1)
    running.road.on_record = None
    assert len(running.own_writes()) == sent
    assert running.plc.belt == 140.0
    assert running.road.decisions()[-1].reason == "rate: somebody else moved the output"
    assert running.mode() is Mode.LOCAL_OVERRIDE


def test_an_operators_write_is_no_entry_where_the_plant_denies_us_only_afterwards(running: Rig) -> None:
    """Found by the envelope search: after the denial the loop went on as if nobody had taken the output."""
    running.road.on_record = lambda: running.plc.operate(140.0)
    running.step(1)
    running.road.on_record = None
    running.plc.remote = False
    running.step(3)
    running.plc.remote = True
    sent = len(running.own_writes())
    running.step(10)
    assert running.mode() is Mode.LOCAL_OVERRIDE
    assert len(running.own_writes()) == sent


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


def test_a_wish_is_walked_to_in_man_within_the_rate(running: Rig) -> None:
    running.take_over()
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
        (150.0, "line_a/forming/mould_temperature_setpoint", "mode: no loop of this line writes"),
        (1.0, HEARTBEAT, "mode: no loop of this line writes"),
    ],
)
def test_a_wish_that_does_not_fit_is_refused_with_one_alarm(running: Rig, value: Any, signal: str, reason: str) -> None:
    running.take_over()
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


@pytest.mark.parametrize("source", ["hub", "sparkplug", "operator"])
def test_what_is_refused_or_written_is_recorded_with_who_asked(running: Rig, source: str) -> None:
    running.take_over()
    start = running.plc.belt
    assert isinstance(running.wish(1000.0, source=source), Refused)
    assert running.road.decisions()[-1].controller == f"{source} anna"
    assert running.wish(start + 1.0, source=source) == Allowed(start + 1.0)
    running.step()
    written = running.road.decisions()[-1]
    assert (written.controller, written.outcome) == (f"walk {source} anna", WriteOutcome.VERIFIED)


def test_a_wish_is_refused_in_auto_and_in_local_override(running: Rig) -> None:
    assert running.wish(152.0) == Refused("mode: the loop's target is AUTO, put it in MAN first")
    running.plc.operate(140.0)
    running.step(2)
    assert isinstance(running.wish(152.0), Refused)


def test_nobody_outside_may_call_himself_a_controller(running: Rig) -> None:
    running.take_over()
    for source in ("pid", "walk"):
        assert running.wish(152.0, source=source) == Refused(f"mode: {source} is not a source outside")


def test_a_wish_before_the_first_cycle_is_refused_and_nothing_is_read(rig: Rig) -> None:
    assert rig.wish(152.0) == Refused("mode: the loop is out of service: not started")
    assert rig.plc.journal == []
    assert rig.road.decisions()[-1].process_value is None


def test_a_wish_that_came_too_late_is_refused(running: Rig) -> None:
    running.take_over()
    assert running.wish(152.0, seconds=0.0) == Refused("mode: the proposal has expired")


def test_a_wish_in_advisory_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(advisory=True, loop=with_loop(target_mode="manual"))
    rig.step(3)
    assert rig.wish(152.0) == Refused("mode: advisory, nothing is written")


def test_a_refused_wish_stays_refused_when_it_cannot_be_recorded(running: Rig) -> None:
    running.take_over()
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
    running.take_over()
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
    refused = Refused("mode: local-override can't be asked for")
    assert running.control.request_mode("thickness", Mode.LOCAL_OVERRIDE, "anna") == refused
    assert running.control.request_mode("width", Mode.MANUAL, "anna") == Refused("mode: there is no loop width")


def test_returning_to_auto_is_bumpless(running: Rig) -> None:
    running.step(100)
    running.take_over()
    running.wish(running.plc.belt + 3.0)
    running.step(30)
    running.plc.overrides[THICKNESS] = Override(4.0)
    running.step(20)
    sent = len(running.own_writes())
    assert running.control.request_mode("thickness", Mode.AUTOMATIC, "anna") is None
    running.step(10)
    assert running.mode() is Mode.AUTOMATIC
    assert len(running.own_writes()) == sent


def test_what_nobody_chose_is_what_the_configuration_says_also_after_a_restart(make_rig: MakeRig) -> None:
    rig = make_rig(loop=with_loop(target_mode="manual"))
    rig.step(10)
    rig.restart()
    rig.step(10)
    assert rig.mode() is Mode.MANUAL
    rig.loop = with_loop(target_mode="automatic")
    rig.restart()
    rig.step(10)
    assert rig.mode() is Mode.AUTOMATIC

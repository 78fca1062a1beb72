"""Moves beyond the approval threshold wait for an engineer's consent, which serves once and only as it was signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edged.clock import VirtualClock
from edged.ports import Action, Answer, Order, Outcome, Role
from edged.signature import sign
from edged.types import NANOSECONDS_PER_SECOND, OperatorAction, Waits
from edged_control.approval import PURPOSE, signed
from edged_control.consent import SPENT_CONSENTS
from edged_control.gate import Mode
from edged_control.loop.waiting import QUIET_SECONDS
from edged_control.memory import Memory, Remembered
from tests.unit.control.rig import MakeRig, Rig, finish, narrower
from tests.unit.control.simulated_plc import THICKNESS, Override

THRESHOLD = 5.0
ACCEPTED = Answer(Outcome.ACCEPTED)
WAITS = ("control_approval", "thickness")
DAY_SECONDS = 86_400.0


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """In AUTO at 150 m/min, 5 m/min of which are approved."""
    rig = make_rig(limits=(narrower(approval_threshold=THRESHOLD),))
    rig.step(5)
    return rig


@pytest.fixture
def waiting(rig: Rig) -> Rig:
    """In MAN, with an operator's wish for 160 m/min that waits."""
    rig.take_over()
    assert isinstance(rig.wish(160.0, seconds=3600.0), Waits)
    return rig


def refused(rig: Rig, answer: Answer, reason: str) -> None:
    assert answer.outcome is Outcome.REFUSED
    assert answer.reason.startswith(reason), answer.reason
    rig.step(30)
    assert rig.plc.belt == 150.0
    assert rig.status.grant is None


def test_a_controllers_move_beyond_the_threshold_waits_and_goes_on_when_approved(rig: Rig) -> None:
    rig.plc.overrides[THICKNESS] = Override(4.2)
    rig.step(60)
    assert 154.0 <= rig.plc.belt <= 155.0
    assert rig.mode() is Mode.AUTOMATIC
    assert rig.status.last_verdict == "waits"
    assert rig.status.waiting is not None
    assert rig.status.waiting.who == "pid"
    assert rig.status.waiting.value > 155.0
    assert WAITS in rig.alarms.standing
    beats = len(rig.plc.beats)
    rig.step(10)
    assert len(rig.plc.beats) == beats + 10, "holding is right: the heart beats on"

    assert rig.approve(158.0) == ACCEPTED
    assert WAITS not in rig.alarms.standing
    rig.step(60)
    assert 162.0 <= rig.plc.belt <= 163.0, "158 became the baseline, and 5 m/min from there are free again"
    assert rig.status.baseline == 158.0
    assert rig.status.grant is None


def test_an_operators_wish_beyond_the_threshold_waits_before_the_first_step_and_then_walks(waiting: Rig) -> None:
    waiting.step(20)
    assert waiting.plc.belt == 150.0
    assert waiting.status.waiting is not None
    assert waiting.status.waiting[:3] == (
        "operator anna",
        160.0,
        "approval: 160 is more than 5 m/min from the approved 150",
    )
    assert waiting.alarms.names().count("control_approval") == 1
    assert [decision.verdict for decision in waiting.road.decisions()] == ["waits"]
    assert waiting.approve(160.0) == ACCEPTED
    waiting.step(60)
    assert waiting.plc.belt == pytest.approx(160.0, abs=0.01)
    assert waiting.status.baseline == 160.0
    assert waiting.status.waiting is None


def test_a_wish_that_expires_while_it_waits_is_refused_after_all(rig: Rig) -> None:
    rig.take_over()
    rig.wish(160.0, seconds=10.0)
    rig.step(11)
    assert rig.status.waiting is None
    assert WAITS not in rig.alarms.standing
    assert rig.road.decisions()[-1].reason == "approval: none came before the proposal expired"
    assert rig.approve(160.0) == ACCEPTED
    rig.step(30)
    assert rig.plc.belt == 150.0, "nobody wishes it any more"


def test_another_mode_ends_the_waiting(waiting: Rig) -> None:
    waiting.hand_over(Mode.AUTOMATIC)
    assert waiting.status.waiting is None
    assert WAITS not in waiting.alarms.standing


def test_a_new_wish_takes_the_place_of_one_that_waits(waiting: Rig) -> None:
    assert not isinstance(waiting.wish(152.0), Waits)
    assert waiting.status.waiting is None
    assert waiting.approve(160.0) == ACCEPTED
    waiting.step(30)
    assert waiting.plc.belt == pytest.approx(152.0, abs=0.01)


def test_a_controller_at_the_edge_of_what_is_approved_is_one_alarm_and_not_many(rig: Rig) -> None:
    rig.plc.overrides[THICKNESS] = Override(4.2)
    rig.step(60)
    for wanted in (3.0, 4.2, 3.99, 4.3):
        rig.plc.overrides[THICKNESS] = Override(wanted)
        rig.step(2)
    assert rig.alarms.names().count("control_approval") == 1
    rig.plc.overrides[THICKNESS] = Override(4.0)
    rig.step(int(QUIET_SECONDS) - 5)
    assert WAITS in rig.alarms.standing
    rig.step(10)
    assert rig.status.waiting is None
    assert WAITS not in rig.alarms.standing


def test_an_approval_serves_once_also_across_restarts(rig: Rig) -> None:
    text = signed(rig.approval(160.0), rig.key)
    assert rig.hand_in(text) == ACCEPTED
    assert rig.hand_in(text) == Answer(Outcome.REFUSED, "approval: it was used before")
    rig.restart()
    rig.step(5)
    assert rig.hand_in(text) == Answer(Outcome.REFUSED, "approval: it was used before")
    rig.take_over()
    rig.wish(160.0)
    rig.step(60)
    assert rig.plc.belt == pytest.approx(160.0, abs=0.01), "the grant itself outlived the restart"
    assert rig.hand_in(text) == Answer(Outcome.REFUSED, "approval: it was used before")


def test_a_used_approval_stays_used_when_newer_ones_have_pushed_it_out(rig: Rig) -> None:
    first = rig.approval(151.0)
    assert rig.hand_in(signed(first, rig.key)) == ACCEPTED
    rig.clock.tick(1.0)
    for _ in range(SPENT_CONSENTS):
        assert rig.approve(151.0) == ACCEPTED
    assert rig.hand_in(signed(first, rig.key)).reason == "approval: it was used before"
    unused = rig.approval(151.0, issued=first.issued)
    assert rig.hand_in(signed(unused, rig.key)).reason == "approval: it was used before", "or may have been"


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"seconds": 0.0}, "approval: it expired 0 s ago"),
    ({"seconds": -5.0}, "approval: it expired 5 s ago"),
    ({"signal": "line_a/forming/mould_temperature_setpoint"}, "approval: it is for line_a/forming/mould"),
    ({"line": "line_b"}, "approval: it is for line_a/forming/belt_speed_setpoint of line_b, not for"),
    ({"unit": "mm/s"}, "approval: it is in 'mm/s', line_a/forming/belt_speed_setpoint is in 'm/min'"),
    ({"value": 140.0}, "approval: it is for 140 +/- 0 m/min, what waits is 160"),
    ({"value": 159.0}, "approval: it is for 159 +/- 0 m/min, what waits is 160"),
    ({"value": 157.0, "span": 2.5}, "approval: it is for 157 +/- 2.5 m/min, what waits is 160"),
    ({"value": 201.0}, "limits: 201 is outside 50..200 m/min"),
    ({"value": 49.0}, "limits: 49 is outside 50..200 m/min"),
]


@pytest.mark.parametrize(("changes", "reason"), CHANGES)
def test_an_approval_serves_only_what_it_was_signed_for(waiting: Rig, changes: dict[str, Any], reason: str) -> None:
    refused(waiting, waiting.approve(**{"value": 160.0, **changes}), reason)
    record = [event for _, event in waiting.road.events if isinstance(event, OperatorAction)][-1]
    assert (record.action, record.target, record.identity, record.outcome) == (
        "approve",
        "thickness",
        "anna",
        "refused",
    )
    assert record.reason.startswith(reason)
    assert waiting.approve(160.0) == ACCEPTED, "the refused one has not used anything up"


def test_an_approval_from_the_future_or_for_too_long_is_refused(waiting: Rig) -> None:
    now = waiting.clock.now()
    late = now + 400 * NANOSECONDS_PER_SECOND
    refused(waiting, waiting.approve(160.0, issued=late, expires=late + 1), "approval: it is dated in the future")
    refused(waiting, waiting.approve(160.0, seconds=8 * DAY_SECONDS), "approval: it is made for more than 7 days")
    waiting.clock.jump(DAY_SECONDS)
    ahead = waiting.approval(160.0)
    waiting.clock.jump(-DAY_SECONDS)
    refused(waiting, waiting.hand_in(signed(ahead, waiting.key)), "approval: it is dated in the future")


def test_only_a_key_of_this_box_counts(waiting: Rig) -> None:
    stranger = Ed25519PrivateKey.generate()
    text = signed(waiting.approval(160.0), stranger)
    refused(waiting, waiting.hand_in(text), "approval: it is signed by none of the keys that this box trusts")
    for other_purpose in ("", "edged-bundle-1", PURPOSE + "\0"):
        text = sign(waiting.approval(160.0).model_dump_json().encode(), other_purpose, waiting.key)
        refused(waiting, waiting.hand_in(text), "approval: it is signed by none of the keys")
    waiting.trust(stranger)
    refused(waiting, waiting.approve(160.0), "approval: it is signed by none of the keys")


def test_a_changed_approval_is_none(waiting: Rig) -> None:
    payload, _, signature = signed(waiting.approval(159.0), waiting.key).partition(".")
    other, _, _ = signed(waiting.approval(160.0), waiting.key).partition(".")
    for text in (f"{other}.{signature}", f"{payload}A.{signature}", f"{payload}.{signature[:-4]}AAAA", payload, "."):
        refused(waiting, waiting.hand_in(text), "approval: ")


@pytest.mark.parametrize("text", [None, 160.0, True, "", "x", "x.y", "\u00e4.\u00f6", "a" * 9000, "é" * 10 + "." + "A"])
def test_what_is_no_approval_at_all(waiting: Rig, text: Any) -> None:
    refused(waiting, waiting.hand_in(text), "approval: ")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"identity":"0","line":"l","signal":"s","unit":"u","value":NaN,"span":0,"issued":0,"expires":1}',
        b'{"identity":"' + b"0" * 32 + b'","line":"l","signal":"s","unit":"u","value":1e999,"issued":0,"expires":1}',
    ],
)
def test_a_signed_text_that_is_no_approval(waiting: Rig, payload: bytes) -> None:
    refused(waiting, waiting.hand_in(sign(payload, PURPOSE, waiting.key)), "approval: it is signed, but no approval")


def test_a_negative_span_cannot_even_be_signed(rig: Rig) -> None:
    with pytest.raises(ValueError, match="span"):
        rig.approval(160.0, span=-1.0)


@pytest.mark.parametrize("content", ["rsa AAAA chris", "ed25519 AAAA chris", "ed25519 !!! chris", "ed25519", "\x00"])
def test_a_faulty_key_file_is_named_and_lets_nothing_through(waiting: Rig, content: str) -> None:
    path = waiting.state_directory / "engineers.pub"
    path.write_text(f"# engineers\n\n{content}\n")
    refused(waiting, waiting.approve(160.0), f"approval: {path}:3: ")


def test_a_key_file_that_others_may_write_or_that_is_gone_is_not_trusted(waiting: Rig) -> None:
    path = waiting.state_directory / "engineers.pub"
    path.chmod(0o666)
    refused(waiting, waiting.approve(160.0), f"approval: {path} is writable by others")
    path.unlink()
    refused(waiting, waiting.approve(160.0), f"approval: {path}: No such file")


def test_without_configured_keys_no_approval_can_be_believed(waiting: Rig) -> None:
    waiting.control.desk._engineering_keys = None
    refused(waiting, waiting.approve(160.0), "approval: control.engineering_keys is not configured")


def test_on_a_full_disk_an_approval_is_refused_and_not_used_up(waiting: Rig) -> None:
    blocked = waiting.state_directory / "control-line_a.new"
    blocked.mkdir()
    text = signed(waiting.approval(160.0), waiting.key)
    refused(waiting, waiting.hand_in(text), "approval: it can't be kept, so it is not used")
    assert ("control_memory", "thickness") in waiting.alarms.standing
    blocked.rmdir()
    assert waiting.hand_in(text) == ACCEPTED


def test_arriving_on_a_full_disk_moves_the_baseline_when_it_can_be_kept(waiting: Rig) -> None:
    waiting.approve(160.0)
    waiting.step(10)
    blocked = waiting.state_directory / "control-line_a.new"
    blocked.mkdir()
    waiting.step(60)
    assert waiting.plc.belt == pytest.approx(160.0, abs=0.01)
    assert waiting.status.baseline == 150.0
    blocked.rmdir()
    waiting.step(1)
    assert waiting.status.baseline == 160.0


def test_a_grant_ends_in_time_and_what_it_moved_was_approved(rig: Rig) -> None:
    rig.take_over()
    rig.wish(165.0, seconds=3600.0)
    assert rig.approve(165.0, seconds=20.0) == ACCEPTED
    rig.step(60)
    reached = rig.plc.belt
    assert 155.0 < reached < 157.0
    assert rig.status.baseline == pytest.approx(reached, abs=0.01)
    assert rig.status.grant is None
    assert rig.status.waiting is not None, "the rest of the way waits again"
    assert rig.approve(165.0) == ACCEPTED
    rig.step(60)
    assert rig.plc.belt == pytest.approx(165.0, abs=0.01)


def test_a_grant_that_was_not_used_leaves_the_baseline_where_it_was(rig: Rig) -> None:
    assert rig.approve(160.0, seconds=20.0) == ACCEPTED
    rig.step(30)
    assert rig.status.baseline == 150.0
    assert rig.status.grant is None


def test_a_grant_ends_in_time_across_restarts_and_whatever_the_wall_clock_does(rig: Rig) -> None:
    rig.approve(160.0, seconds=60.0)
    rig.clock.jump(-DAY_SECONDS)
    rig.step(1)
    assert rig.status.grant == 160.0
    rig.restart()
    rig.step(5)
    assert rig.status.grant is None, "the clock went back: nobody can tell how old it is"
    rig.approve(160.0, seconds=60.0)
    rig.clock.jump(DAY_SECONDS)
    rig.step(1)
    assert rig.status.grant == 160.0, "intervals count, not the wall clock"
    rig.restart()
    rig.step(5)
    assert rig.status.grant is None


def test_a_persons_own_entry_ends_what_was_granted_before(rig: Rig) -> None:
    rig.approve(170.0)
    rig.plc.operate(140.0)
    rig.step(2)
    rig.hand_over(Mode.AUTOMATIC)
    assert (rig.status.baseline, rig.status.grant) == (140.0, None)


def test_what_was_lost_with_a_damaged_memory_may_have_been_used(rig: Rig) -> None:
    text = signed(rig.approval(160.0), rig.key)
    rig.hand_in(text)
    rig.control.close()
    (rig.state_directory / "control-line_a.json").write_text("damaged")
    rig.clock.tick(60.0)
    rig.restart()
    rig.step(5)
    rig.hand_over(Mode.AUTOMATIC)
    assert rig.hand_in(text).reason == "approval: it was used before"
    rig.clock.tick(1.0)
    assert rig.approve(160.0) == ACCEPTED


def test_no_approval_in_advisory_or_before_the_first_baseline(make_rig: MakeRig) -> None:
    advisory = make_rig(advisory=True)
    advisory.step(3)
    assert advisory.approve(160.0).reason == "mode: advisory, nothing is written"
    advisory.control.close()
    fresh = make_rig()
    assert fresh.approve(160.0).reason == "approval: there is no approved baseline to move from"


def test_the_record_says_what_was_approved_and_who_signed_it(rig: Rig) -> None:
    approval = rig.approval(160.0, span=2.0)
    text = signed(approval, rig.key)
    order = Order(Action.APPROVE, "thickness", text, "thicker glass", "anna", Role.OPERATOR)
    assert finish(rig.control.desk.act(order)) == ACCEPTED
    record = [event for _, event in rig.road.events if isinstance(event, OperatorAction)][-1]
    assert record.value == f"160 +/- 2 m/min, approval {approval.identity}, signed by chris"
    assert (record.reason, record.outcome) == ("thicker glass", "accepted")


def test_spent_approvals_and_states_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    memory = Memory(path, VirtualClock())
    memory.spend("thickness", Remembered(baseline=1.0), "a" * 32, 5)
    (tmp_path / "memory.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        memory.spend("thickness", Remembered(baseline=2.0), "b" * 32, 6)
    for known in (memory, Memory(path, VirtualClock())):
        assert known.recall("thickness") == Remembered(baseline=1.0)
        assert known.is_spent("a" * 32, 5)
        assert not known.is_spent("b" * 32, 6)

"""Limits are pushed while control runs: tighter ones hold at once, wider ones only signed and in MAN (CARD4, CARD6)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edged.clock import VirtualClock
from edged.ports import Answer, Outcome
from edged.signature import sign
from edged.types import Limits, OperatorAction, Refused, Signal, Waits
from edged_control.approval import PURPOSE as APPROVAL
from edged_control.consent import Consent
from edged_control.gate import Applied, Mode
from edged_control.limits.envelope import EffectiveLimits
from edged_control.limits.file import LimitsFile
from edged_control.limits.live import LimitsPush, LiveLimits
from edged_control.limits.push import unsigned_limits
from tests.unit.control.inline_solver import mpc_rig
from tests.unit.control.rig import (
    BELT_LIMITS,
    RATE_PER_SECOND,
    MakeRig,
    Rig,
    finish,
    listed_limits,
    narrower,
    with_loop,
)
from tests.unit.control.simulated_plc import BELT, LINE, THICKNESS, Override

CEILING = Limits(BELT, 30.0, 200.0, 1.0, 80.0, "m/min")
OUTSIDE = ("control_output_outside_limits", BELT)
FILE = "control-line_a.limits.json"


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """In AUTO at 150 m/min, within 50..180 m/min, below a ceiling of 200."""
    rig = make_rig(limits=(narrower(high=180.0),), ceiling=(CEILING,))
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC
    return rig


def pushed(**changes: Any) -> Limits:
    return narrower(**{"high": 180.0, **changes})


def in_force(rig: Rig) -> tuple[float, float, float, float]:
    (limits,) = rig.control.limits()
    return limits.low, limits.high, limits.rate_per_second, limits.approval_threshold


UNCHANGED = (50.0, 180.0, RATE_PER_SECOND, 50.0)


def refused(rig: Rig, answer: Answer, *reasons: str) -> None:
    """Nothing has changed, neither now nor after a restart, and the refusal is on record."""
    assert answer.outcome is Outcome.REFUSED, answer
    for reason in reasons:
        assert reason in answer.reason, answer.reason
    assert in_force(rig) == UNCHANGED
    record = records(rig)[-1]
    assert (record.identity, record.action, record.outcome) == ("anna", "limits", "refused")
    rig.restart()
    assert in_force(rig) == UNCHANGED


def records(rig: Rig) -> list[OperatorAction]:
    return [event for _, event in rig.road.events if isinstance(event, OperatorAction)]


@pytest.mark.parametrize(
    "changes", [{"low": 60.0}, {"high": 170.0}, {"rate_per_second": 0.2}, {"approval_threshold": 20.0}, {}]
)
def test_tighter_or_equal_limits_hold_at_once_and_across_restarts(rig: Rig, changes: dict[str, Any]) -> None:
    answer = rig.push(pushed(**changes))
    assert answer == Answer(Outcome.ACCEPTED)
    expected = pushed(**changes)
    numbers = (expected.low, expected.high, expected.rate_per_second, expected.approval_threshold)
    assert in_force(rig) == numbers
    rig.step(2)
    assert rig.mode() is Mode.AUTOMATIC
    rig.restart()
    assert in_force(rig) == numbers
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC
    (status,) = rig.control.limits()
    assert status.origin == "pushed by anna"
    assert status.since is not None


def test_the_record_tells_what_was_before_and_what_is_now(rig: Rig) -> None:
    rig.push(pushed(high=170.0))
    (record,) = records(rig)
    assert (record.identity, record.target, record.reason, record.outcome) == ("anna", LINE, "new rollers", "accepted")
    assert record.value == (
        f"{BELT}: 50..180 m/min, 0.3333333333 per s, approval 50 -> 50..170 m/min, 0.3333333333 per s, approval 50"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"low": 49.9}, "low 49.9 instead of 50"),
        ({"high": 180.1}, "high 180.1 instead of 180"),
        ({"rate_per_second": 0.34}, "rate 0.34 per second instead of 0.3333333333"),
        ({"approval_threshold": 50.1}, "approval threshold 50.1 instead of 50"),
        ({"high": 190.0, "low": 60.0, "rate_per_second": 0.1}, "high 190 instead of 180"),
    ],
)
def test_one_wider_number_needs_a_signature(rig: Rig, changes: dict[str, Any], reason: str) -> None:
    rig.take_over()
    refused(rig, rig.push(pushed(**changes)), f"limits: {BELT}: {reason}", "key: wider limits must be signed")


def test_signed_limits_are_wider_only_in_man(rig: Rig) -> None:
    wide = pushed(high=190.0)
    refused(rig, rig.push(wide, signed_for=LINE), "mode: thickness is in AUTO: limits are widened only in MAN")
    rig.step(5)
    rig.hand_over(Mode.AUTOMATIC)
    assert rig.mode() is Mode.MANUAL
    assert rig.push(wide, signed_for=LINE).outcome is Outcome.REFUSED, "on its way to AUTO is not MAN"
    rig.take_over()
    assert rig.push(wide, signed_for=LINE) == Answer(Outcome.ACCEPTED)
    assert in_force(rig)[1] == 190.0
    assert "signed by chris" in records(rig)[-1].value
    (status,) = rig.control.limits()
    assert status.origin == "pushed by anna, signed by chris"
    rig.restart()
    assert in_force(rig)[1] == 190.0, "signed for this configuration"


def test_the_ceiling_binds_what_is_signed_too(rig: Rig) -> None:
    rig.take_over()
    wide = pushed(low=10.0, high=500.0, rate_per_second=9.0, approval_threshold=500.0)
    assert rig.push(wide, signed_for=LINE) == Answer(Outcome.ACCEPTED)
    assert in_force(rig) == (30.0, 200.0, 1.0, 80.0)
    assert rig.control.limits()[0].origin == "pushed by anna, signed by chris, within the ceiling"


def test_a_signature_serves_once_also_across_restarts(rig: Rig) -> None:
    rig.take_over()
    consent = rig.approval(0.0)
    once = {"identity": consent.identity, "issued": consent.issued}
    assert rig.push(pushed(high=190.0), signed_for=LINE, **once).outcome is Outcome.ACCEPTED
    assert rig.push(pushed(high=170.0)).outcome is Outcome.ACCEPTED
    again = rig.push(pushed(high=190.0), signed_for=LINE, **once)
    assert again == Answer(Outcome.REFUSED, "key: it was used before")
    rig.restart()
    rig.step(2)
    assert rig.push(pushed(high=190.0), signed_for=LINE, **once).reason == "key: it was used before"
    assert in_force(rig)[1] == 170.0


def test_what_is_not_signed_for_this_is_refused(rig: Rig) -> None:
    rig.take_over()
    wide = pushed(high=190.0)
    trusted, rig.key = rig.key, Ed25519PrivateKey.generate()
    answers = [rig.push(wide, signed_for=LINE)]
    rig.key = trusted
    answers += [
        rig.push(wide, signed_for="line_b"),
        rig.push(wide, signed_for=LINE, expires=rig.clock.now()),
        rig.push_text(sign(b"{}", "edged-limits-1", rig.key)),
        rig.push_text(sign(b'{"limits": []}', APPROVAL, rig.key)),
        rig.push_text("nonsense"),
    ]
    reasons = [
        "it is signed by none of the keys that this box trusts",
        "key: it is signed for line_b, this is line_a",
        "it expired 0 s ago",
        "it is signed, but no widening: 5 faults",
        "it is signed by none of the keys that this box trusts",
        "it is signed by none of the keys that this box trusts",
    ]
    assert [(answer.outcome, answer.reason) for answer in answers] == [(Outcome.REFUSED, one) for one in reasons]
    assert in_force(rig) == UNCHANGED


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"low": 190.0}, "low must be below high, got low 190.0 and high 180.0"),
        ({"high": "NaN"}, "limits.0.high: Input should be a finite number, got nan"),
        ({"low": "-Infinity"}, "limits.0.low: Input should be a finite number, got -inf"),
        ({"high": "1e999"}, "limits.0.high: Input should be a finite number, got inf"),
        ({"rate_per_second": -1}, "limits.0.rate_per_second: Input should be greater than 0, got -1"),
        ({"rate_per_second": "NaN"}, "limits.0.rate_per_second: Input should be a finite number, got nan"),
        ({"approval_threshold": 0}, "limits.0.approval_threshold: Input should be greater than 0, got 0"),
        ({"rate_per_minute": 20}, "name exactly one of rate_per_second, rate_per_minute, rate_per_hour"),
        ({"unit": '"m/s"'}, f"limits: {BELT}: the unit must be 'm/min' like the signal's, got 'm/s'"),
        ({"signal": '"forming/speed"'}, "limits: line_a/forming/speed: there is no such signal"),
        ({"signal": '"forming/thickness"'}, "limits: line_a/forming/thickness: the ceiling does not name it"),
        ({"signal": '"forming/heartbeat"'}, "limits: line_a/forming/heartbeat: the ceiling does not name it"),
        ({"signal": '"Forming"'}, "limits.0.signal: String should match pattern"),
        ({"burner": 1}, "limits.0.burner: Extra inputs are not permitted, got 1"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_field(rig: Rig, entry: dict[str, object], reason: str) -> None:
    fields: dict[str, object] = {
        "signal": '"forming/belt_speed_setpoint"',
        "unit": '"m/min"',
        "low": 50,
        "high": 180,
        "rate_per_second": 0.3,
        "approval_threshold": 50,
        **entry,
    }
    text = ", ".join(f'"{name}": {value}' for name, value in fields.items())
    refused(rig, rig.push_text(f'{{"limits": [{{{text}}}]}}'), reason)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("{", LINE, "Invalid JSON"),
        ('{"limits": []}', LINE, "expected a list of limits, got an empty one"),
        ('{"limits": [1]}', LINE, "limits.0"),
        ('{"limits": []}', "line_b", "limits: this is line_a, got 'line_b'"),
    ],
)
def test_what_is_no_list_is_refused(rig: Rig, text: str, line: str, reason: str) -> None:
    refused(rig, rig.push_text(text, line=line), reason)


def test_a_reason_must_be_given(rig: Rig) -> None:
    refused(rig, rig.push_text('{"limits": []}', reason="  "), "limits: tell why, by --reason")


def test_limits_at_which_the_loop_would_freeze_are_refused(rig: Rig) -> None:
    frozen = pushed(rate_per_second=0.07)
    refused(rig, rig.push(frozen), "thickness: output_deadband must be below 0.14, ")


def test_a_present_value_outside_means_no_write_man_and_an_alarm_until_a_person_brings_it_in(rig: Rig) -> None:
    assert rig.push(pushed(high=140.0)).outcome is Outcome.ACCEPTED
    rig.plc.product *= 1.1
    writes = len(rig.own_writes())
    rig.step(20)
    assert rig.mode() is Mode.MANUAL
    assert len(rig.own_writes()) == writes
    assert rig.alarms.standing[OUTSIDE] == "150 is outside 50..140 m/min: a person must bring it in"
    rig.hand_over(Mode.AUTOMATIC)
    rig.step(5)
    assert rig.mode() is Mode.MANUAL, "it stays there, whoever asks"
    assert len(rig.own_writes()) == writes
    rig.plc.operate(130.0)
    rig.step(2)
    assert OUTSIDE not in rig.alarms.standing
    assert rig.hand_over(Mode.AUTOMATIC) is None
    rig.step(40)
    assert rig.mode() is Mode.AUTOMATIC
    assert rig.own_writes()[-1] <= 140.0


def test_a_lower_rate_holds_from_the_next_step_on(rig: Rig) -> None:
    rig.plc.overrides[THICKNESS] = Override(4.6)
    rig.step(8)
    assert rig.push(pushed(rate_per_second=0.1)).outcome is Outcome.ACCEPTED
    before = rig.plc.belt
    rig.step(10)
    assert 0.0 < rig.plc.belt - before <= 0.1 * 12 + 1e-4


@pytest.mark.parametrize("configured", [0.1, 0.8])
def test_a_higher_rate_earns_no_credit_for_the_past(make_rig: MakeRig, configured: float) -> None:
    limits = (narrower(rate_per_second=configured),)
    rig = make_rig(limits=limits, ceiling=(CEILING,), loop=with_loop(target_mode="manual"))
    rig.step(5)
    assert rig.push(narrower(rate_per_second=0.1)).outcome is Outcome.ACCEPTED
    assert not isinstance(rig.wish(170.0, seconds=600.0), Refused)
    rig.step(10)
    before = rig.plc.belt
    assert rig.push(narrower(rate_per_second=1.0), signed_for=LINE).outcome is Outcome.ACCEPTED
    finish(rig.control.step("thickness"))
    assert rig.plc.belt - before <= 0.1, "no credit at all, but for the moment of the look"
    rig.step(3)
    assert rig.plc.belt - before > 1.0, "from then on it counts"


def test_a_push_while_a_decision_is_recorded_stops_a_write_that_it_forbids(rig: Rig) -> None:
    rig.plc.overrides[THICKNESS] = Override(4.6)
    rig.step(8)
    assert rig.mode() is Mode.AUTOMATIC
    belt = rig.plc.belt

    def tighten() -> None:
        rig.road.on_record = None
        assert rig.push(pushed(high=belt + 0.001)).outcome is Outcome.ACCEPTED

    writes = len(rig.own_writes())
    rig.road.on_record = tighten
    rig.step()
    assert len(rig.own_writes()) == writes
    assert rig.road.decisions()[-1].reason.startswith("limits: ")
    rig.step(5)
    assert all(value <= belt + 0.001 for value in rig.own_writes()[writes:])


def test_a_walk_to_where_the_limits_no_longer_reach_ends(rig: Rig) -> None:
    rig.take_over()
    assert not isinstance(rig.wish(175.0, seconds=600.0), Refused)
    rig.step(5)
    assert rig.push(pushed(high=176.0)).outcome is Outcome.ACCEPTED
    rig.step(5)
    moved = rig.plc.belt
    assert moved > 152.0, "within the limits it goes on"
    assert rig.push(pushed(high=170.0)).outcome is Outcome.ACCEPTED
    rig.step(20)
    assert rig.plc.belt == moved


def test_a_lower_threshold_hands_nothing_over(rig: Rig) -> None:
    """Else an operator could move the approved baseline without an engineer: walk, tighten, ask for a mode."""
    rig.take_over()
    assert not isinstance(rig.wish(178.0, seconds=600.0), Refused)
    rig.step(100)
    assert rig.plc.belt == pytest.approx(178.0, abs=0.01)
    assert rig.push(pushed(approval_threshold=10.0)).outcome is Outcome.ACCEPTED
    for _ in range(2):
        rig.hand_over(Mode.MANUAL)
        rig.step(3)
        assert rig.status.baseline == 150.0
        assert isinstance(rig.wish(179.0), Waits)
        rig.restart()
        rig.step(3)


def test_the_mpc_works_within_the_new_limits_and_the_pid_moves_meanwhile(make_rig: MakeRig) -> None:
    rig, solver = mpc_rig(make_rig)
    rig.plc.overrides[THICKNESS] = Override(4.1)
    rig.step(10)
    assert rig.status.controller == "mpc"
    assert rig.push(replace(BELT_LIMITS, high=153.0, rate_per_second=0.2)).outcome is Outcome.ACCEPTED
    (limits,) = solver.setup.limits
    assert (limits.low, limits.high, limits.rate_per_second) == (50.0, 153.0, 0.2)
    writes = len(rig.own_writes())
    rig.step(1)
    assert rig.status.controller == "pid", "the solver follows the plant first"
    rig.step(40)
    assert rig.status.controller == "mpc"
    assert max(rig.own_writes()[writes:]) == pytest.approx(153.0, abs=0.01)
    assert max(rig.own_writes()[writes:]) <= 153.0


def test_a_push_that_changes_nothing_disturbs_no_solver(make_rig: MakeRig) -> None:
    rig, _ = mpc_rig(make_rig)
    rig.step(10)
    assert rig.status.controller == "mpc"
    for _ in range(5):
        assert rig.push(BELT_LIMITS).outcome is Outcome.ACCEPTED
        rig.step(1)
        assert rig.status.controller == "mpc"


def test_only_who_controls_the_line_takes_pushes(rig: Rig) -> None:
    second = rig.build()
    finish(second.step("thickness"))
    first, rig.control = rig.control, second
    assert rig.push(pushed(high=170.0)).reason == "mode: this process does not hold the lease of line_a"
    rig.control = first
    assert rig.push(pushed(high=170.0)).outcome is Outcome.ACCEPTED
    first.close()
    rig.control = second
    rig.step(1)
    assert in_force(rig)[1] == 170.0, "who takes over holds to what was pushed"


@pytest.mark.parametrize("before", ["nothing", "a push"])
def test_on_a_full_disk_a_push_is_refused_and_nothing_changes(rig: Rig, before: str) -> None:
    if before == "a push":
        rig.push(pushed())
    blocked = rig.state_directory / "control-line_a.limits.new"
    blocked.mkdir()
    answer = rig.push(pushed(high=170.0))
    assert answer.outcome is Outcome.REFUSED
    assert answer.reason.startswith("memory: the limits can't be kept: ")
    assert in_force(rig) == UNCHANGED
    consent = rig.approval(0.0)
    once = {"identity": consent.identity, "issued": consent.issued}
    rig.take_over()
    assert rig.push(pushed(high=190.0), signed_for=LINE, **once).outcome is Outcome.REFUSED
    blocked.rmdir()
    assert rig.push(pushed(high=190.0), signed_for=LINE, **once).outcome is Outcome.ACCEPTED, "it was not used up"


def test_what_cannot_be_recorded_is_not_pushed(rig: Rig) -> None:
    rig.road.full = True
    assert "can't be recorded is not done" in rig.push(pushed(high=170.0)).reason
    assert in_force(rig) == UNCHANGED


@pytest.mark.parametrize("damage", ["cut", "a flipped digit", "not JSON", "a folder", "no checksum"])
def test_a_damaged_file_keeps_the_loop_out_of_service_until_an_engineer_pushes(rig: Rig, damage: str) -> None:
    rig.push(pushed(high=170.0))
    path = rig.state_directory / FILE
    content = path.read_text()
    rig.control.close()
    match damage:
        case "cut":
            path.write_text(content[: len(content) // 2])
        case "a flipped digit":
            path.write_text(content.replace("170.0", "179.0"))
        case "not JSON":
            path.write_bytes(b"\xff\xfe")
        case "no checksum":
            path.write_text(json.dumps({"signals": {}}))
        case _:
            path.unlink()
            path.mkdir()
    rig.restart()
    writes = len(rig.own_writes())
    rig.step(5)
    assert rig.mode() is Mode.OUT_OF_SERVICE
    assert len(rig.own_writes()) == writes
    assert "is damaged, so nobody knows which limits were in force" in rig.alarms.standing["control_limits", BELT]
    assert "key: wider limits must be signed" in rig.push(pushed(high=160.0)).reason
    if damage == "a folder":
        path.rmdir()
    else:
        assert rig.push(pushed(high=160.0), signed_for=LINE).outcome is Outcome.ACCEPTED
        assert in_force(rig)[1] == 160.0
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC
    assert ("control_limits", BELT) not in rig.alarms.standing
    rig.restart()
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC


def test_a_file_that_is_removed_leaves_the_configured_limits(rig: Rig) -> None:
    rig.push(pushed(high=170.0))
    (rig.state_directory / FILE).unlink()
    rig.restart()
    assert in_force(rig) == UNCHANGED


def test_a_new_configuration_and_what_was_pushed_hold_together(rig: Rig) -> None:
    rig.push(pushed(high=170.0, rate_per_second=0.3))
    rig.limits, rig.config_hash = (pushed(low=70.0, high=190.0),), "another"
    rig.restart()
    assert in_force(rig) == (70.0, 170.0, 0.3, 50.0)


def test_what_was_signed_for_another_configuration_widens_this_one_no_more(rig: Rig) -> None:
    rig.take_over()
    rig.push(pushed(high=190.0), signed_for=LINE)
    rig.push(pushed(high=185.0))
    rig.restart()
    assert in_force(rig)[1] == 185.0, "tighter than what was signed"
    rig.config_hash = "another"
    rig.restart()
    assert in_force(rig)[1] == 180.0
    rig.step(2)
    rig.push(pushed(high=170.0))
    rig.config_hash = "0123456789abcdef"
    rig.restart()
    assert in_force(rig)[1] == 170.0


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"limits": (pushed(low=170.0),)}, "low must be below high, got low 170.0 and high 160.0"),
        ({"loop": with_loop(output_deadband=0.45)}, "output_deadband must be below 0.4"),
    ],
)
def test_a_configuration_that_leaves_nothing_keeps_the_loop_out_of_service(
    rig: Rig, changes: dict[str, Any], fault: str
) -> None:
    rig.push(pushed(high=160.0, rate_per_second=0.2))
    rig.config_hash = "another"
    for name, value in changes.items():
        setattr(rig, name, value)
    rig.restart()
    rig.step(3)
    assert rig.mode() is Mode.OUT_OF_SERVICE
    assert fault in rig.control.limits()[0].fault
    assert fault in rig.status.reason
    assert rig.push(pushed(low=100.0), signed_for=LINE).outcome is Outcome.ACCEPTED
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC


@pytest.mark.timeout(240)
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_thousands_of_pushes_leave_one_file_and_the_last_one_in_force(rig: Rig, tmp_path: Path, count: int) -> None:
    sizes = set()
    rig.plc.product *= 1.1
    high = 0.0
    for number in range(count):
        rig.road.events.clear()
        high = 180.0 - number / 1000.0
        assert rig.push(pushed(high=high)).outcome is Outcome.ACCEPTED
        if number % 100 == 0:
            rig.step()
            sizes.add((rig.state_directory / FILE).stat().st_size)
    assert max(sizes) - min(sizes) <= 20, "some numbers have more digits than others"
    assert sorted(path.name for path in tmp_path.iterdir() if "limits" in path.name) == [FILE]
    assert in_force(rig)[1] == pytest.approx(high)
    rig.plc.overrides.clear()
    assert rig.mode() is Mode.AUTOMATIC
    assert rig.own_writes()
    rig.restart()
    assert in_force(rig)[1] == pytest.approx(high)


def test_older_writes_bind_by_each_rate_for_as_long_as_it_was_in_force(rig: Rig) -> None:
    output = rig.control._loops["thickness"]._output
    output.adopt(0.8)
    start = rig.clock.monotonic()
    output.history = (Applied(150.0, start),)
    output.credit_since = start
    rig.clock.tick(10.0)
    output.adopt(0.1)
    assert (output.history, output.credit_since) == ((Applied(150.0, start),), start), "tighter: for all of the time"
    rig.clock.tick(10.0)
    output.adopt(0.5)
    now = rig.clock.monotonic()
    assert output.credit_since == now
    ((value, time),) = output.history
    assert value == 150.0
    assert 0.5 * (now - time) == pytest.approx(0.1 * 20.0), "wider: what was allowed until now"


def live(folder: Path, signal: Signal, configured: Limits | None, config_hash: str = "one") -> LiveLimits:
    clock = VirtualClock()
    return LiveLimits(
        line=LINE,
        config_hash=config_hash,
        signals={BELT: signal, THICKNESS: Signal(THICKNESS, "mm")},
        ceiling=(replace(BELT_LIMITS, low=0.0, unit=signal.unit), Limits(THICKNESS, 0.0, 9.0, 1.0, 1.0, "mm")),
        configured=() if configured is None else (configured,),
        unfit=lambda _: {},
        file=LimitsFile(folder / FILE, clock),
        clock=clock,
    )


def test_a_unit_that_changed_makes_what_was_pushed_unusable(tmp_path: Path) -> None:
    """Numbers of another unit are no limits: neither taken as they are nor given up for wider ones."""
    signal = Signal(BELT, "m/min", low=0.0, high=200.0, writable=True)
    assert isinstance(live(tmp_path, signal, BELT_LIMITS).apply_limits(LimitsPush((BELT_LIMITS,), "anna")), str)
    other = live(tmp_path, replace(signal, unit="mm/s"), replace(BELT_LIMITS, unit="mm/s"), "two")
    assert other.effective == {}
    assert "the unit must be 'mm/s' like the signal's, got 'm/min' (pushed by anna): push others" in other.fault(BELT)
    tight = LimitsPush((replace(BELT_LIMITS, unit="mm/s", high=100.0),), "anna")
    assert isinstance(other.apply_limits(tight), Refused)
    signed = tight._replace(consent=Consent(identity="0" * 32, line=LINE, issued=1, expires=2), signer="chris")
    assert isinstance(other.apply_limits(signed), str)
    assert other.fault(BELT) == ""


def test_a_signal_without_limits_gets_its_first_ones_only_signed(tmp_path: Path) -> None:
    signal = Signal(BELT, "m/min", low=0.0, high=200.0, writable=True)
    made = live(tmp_path, signal, None)
    push = LimitsPush((BELT_LIMITS,), "anna")
    refused = made.apply_limits(push)
    assert isinstance(refused, Refused)
    assert refused.reason.startswith(f"limits: {BELT}: had no limits before\nkey: ")
    consent = Consent(identity="0" * 32, line=LINE, issued=1, expires=2)
    assert made.apply_limits(push._replace(consent=consent, signer="chris")) == (
        f"{BELT}: none -> 50..200 m/min, 0.3333333333 per s, approval 50"
    )
    thickness = Limits(THICKNESS, 1.0, 9.0, 1.0, 1.0, "mm")
    assert made.apply_limits(LimitsPush((thickness,), "anna")) == Refused(
        f"limits: {THICKNESS}: it is not writable, so limits have no use"
    )
    again = live(tmp_path, signal, BELT_LIMITS)
    assert [status.origin for status in again.status()] == ["pushed by anna, signed by chris"]
    assert live(tmp_path, signal, None).effective.keys() == {BELT}
    assert live(tmp_path, signal, None, "two").status() == (), "another configuration that gives none"


def test_a_list_that_names_a_signal_twice_is_refused(rig: Rig) -> None:
    entry = listed_limits(pushed(high=170.0))
    refused(rig, rig.push_text(unsigned_limits((entry, entry))), f"limits: {BELT}: named twice")


@dataclass
class Moving:
    """A loop of the belt, as far as limits are concerned."""

    rests: bool
    name: str = "thickness"
    output: str = BELT
    mode: Mode = Mode.AUTOMATIC
    adopted: list[float] = field(default_factory=list)

    def adopt(self, limits: EffectiveLimits, strays_beyond: float) -> None:
        del strays_beyond
        self.adopted.append(limits.high)


@pytest.mark.parametrize(("rests", "high"), [(True, 200.0), (False, 170.0)])
def test_a_file_that_is_read_again_widens_nothing_for_a_loop_that_moves(
    tmp_path: Path, *, rests: bool, high: float
) -> None:
    """Another loop of the line comes up while this one is in AUTO, and somebody has removed the file."""
    made = live(tmp_path, Signal(BELT, "m/min", low=0.0, high=200.0, writable=True), BELT_LIMITS)
    loop = Moving(rests)
    gates: list[float] = []
    made.serve(lambda limits: gates.append(limits[BELT].high), [loop])
    assert isinstance(made.apply_limits(LimitsPush((replace(BELT_LIMITS, high=170.0),), "anna")), str)
    (tmp_path / FILE).unlink()
    made.load()
    assert (gates[-1], loop.adopted[-1], made.effective[BELT].high) == (high, high, high)
    told = made.apply_limits(LimitsPush((replace(BELT_LIMITS, high=180.0),), "anna"))
    assert isinstance(told, Refused) == (not rests)

"""Every check of the gate, at its boundary and in its order."""

from __future__ import annotations

import itertools
import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.types import Allowed, Clamped, Command, Proposal, Quality, Refused, Seal, Verdict, Waits
from edged_control.gate import (
    HEARTBEAT_MODULUS,
    HOLD,
    Applied,
    Gate,
    Grant,
    Mode,
    Observed,
    Permissive,
    PlantView,
    credit_cap,
    number,
    remember,
)
from edged_control.limits.envelope import EffectiveLimits

BELT = "line_a/forming/belt_speed_setpoint"
BEAT = "line_a/forming/heartbeat"
LIMITS = EffectiveLimits(BELT, "m/min", 50.0, 200.0, 0.5, 40.0)
SEAL = Seal()
GATE = Gate({BELT: LIMITS}, SEAL, [BEAT])
NOW = 1000.0
OTHER_QUALITY = Quality.GOOD + 24
"""A number beyond the three classes is no good quality either."""
BAD_NUMBERS = (math.nan, math.inf, -math.inf)


def observed(value: Any, age: float = 0.0, quality: int = Quality.GOOD) -> Observed:
    return Observed(value, quality, NOW - age)


VIEW = PlantView(
    mode=Mode.AUTOMATIC,
    advisory=False,
    lease_held=True,
    recordable=True,
    unacknowledged=False,
    permissives=(Permissive("remote", observed(value=True), equals=True),),
    process_value=observed(4.0),
    frozen=False,
    readback=observed(150.0),
    expected=150.0,
    credit_since=NOW - 1.0,
    history=(),
    baseline=150.0,
    grant=None,
    period_seconds=1.0,
    tolerance=0.125,
    deadband=0.0,
)


def pid(value: Any, signal: str = BELT, expires: float = NOW + 1.0) -> Proposal:
    return Proposal("pid", signal, value, 0, expires)


def person(value: Any, source: str = "operator") -> Proposal:
    return Proposal(source, BELT, value, 100, NOW + 1.0)


def judged(value: Any, **changes: Any) -> Verdict:
    return GATE.judge(pid(value), replace(VIEW, **changes), NOW)


def asked(value: Any, source: str = "operator", **changes: Any) -> Verdict:
    return GATE.judge(person(value, source), replace(VIEW, **{"mode": Mode.MANUAL, **changes}), NOW)


def aimed(value: Any, source: str = "operator", **changes: Any) -> Verdict:
    return GATE.aim(person(value, source), replace(VIEW, **{"mode": Mode.MANUAL, **changes}), NOW)


def admitted(value: float, wish: float | None = None, **changes: Any) -> tuple[Verdict, Command | None]:
    proposal = pid(value if wish is None else wish)
    return GATE.admit(proposal, value, replace(VIEW, **changes), NOW, "decision 1")


def reason(verdict: Verdict) -> str:
    assert isinstance(verdict, Refused), verdict
    return verdict.reason


def test_what_fits_is_allowed_as_it_is() -> None:
    assert judged(150.25) == Allowed(150.25)
    assert judged(149.75) == Allowed(149.75)


def test_an_admitted_command_bears_seal_origin_and_expiry() -> None:
    verdict, command = admitted(150.5)
    assert verdict == Allowed(150.5)
    assert command == Command(BELT, 150.5, "pid", NOW, NOW + 1.0, "decision 1", SEAL)
    assert command is not None
    assert command.seal is SEAL


def test_no_command_lives_longer_than_five_seconds() -> None:
    _, command = admitted(150.5, period_seconds=30.0)
    assert command is not None
    assert command.expires == NOW + 5.0


def test_a_signal_without_limits_is_never_written() -> None:
    proposal = pid(150.25, signal="line_a/forming/other")
    for verdict in (
        GATE.aim(proposal, VIEW, NOW),
        GATE.judge(proposal, VIEW, NOW),
        GATE.admit(proposal, 150.25, VIEW, NOW, "d")[0],
    ):
        assert reason(verdict) == "limits: line_a/forming/other has none, so it can't be written"
    assert GATE.admit(proposal, 150.25, VIEW, NOW, "d")[1] is None


CLOSED: list[tuple[dict[str, Any], str]] = [
    ({"mode": Mode.MANUAL}, "mode: the loop is in MAN, pid needs AUTO"),
    ({"mode": Mode.OUT_OF_SERVICE}, "mode: the loop is in OOS, pid needs AUTO"),
    ({"mode": Mode.LOCAL_OVERRIDE}, "mode: the loop is in local-override, pid needs AUTO"),
    ({"lease_held": False}, "mode: another writer holds the lease of the line"),
    ({"recordable": False}, "mode: decisions can't be recorded"),
    ({"unacknowledged": True}, "mode: the outcome of the last write is not known yet"),
    (
        {"permissives": (Permissive("remote", observed(value=False), equals=True),)},
        "permissive: remote is False, must be True",
    ),
    (
        {"permissives": (*VIEW.permissives, Permissive("stopped", observed(value=True), equals=False))},
        "permissive: stopped is True, must be False",
    ),
    (
        {"permissives": (Permissive("remote", observed(True, quality=Quality.BAD), equals=True),)},
        "permissive: remote could not be read",
    ),
    (
        {"permissives": (Permissive("remote", observed(True, age=1.25), equals=True),)},
        "permissive: remote could not be read",
    ),
    ({"permissives": (Permissive("remote", observed(None), equals=True),)}, "permissive: remote is None, must be True"),
    (
        {"permissives": (Permissive("remote", observed("true"), equals=True),)},
        "permissive: remote is true, must be True",
    ),
    ({"process_value": observed(4.0, age=3.25)}, "freshness: the process value is stale or not good"),
    ({"process_value": observed(4.0, age=-0.25)}, "freshness: the process value is stale or not good"),
    ({"process_value": observed(4.0, age=math.nan)}, "freshness: the process value is stale or not good"),
    (
        {"process_value": observed(4.0, quality=Quality.UNCERTAIN)},
        "freshness: the process value is stale or not good",
    ),
    ({"process_value": observed(4.0, quality=OTHER_QUALITY)}, "freshness: the process value is stale or not good"),
    ({"process_value": observed(None, quality=Quality.BAD)}, "freshness: the process value is stale or not good"),
    ({"frozen": True}, "freshness: the process value stands still although the output moves"),
    ({"readback": observed(150.0, age=1.25)}, "freshness: the readback is stale or not good"),
    ({"readback": observed(150.0, age=-0.25)}, "freshness: the readback is stale or not good"),
    ({"readback": observed(150.0, quality=Quality.UNCERTAIN)}, "freshness: the readback is stale or not good"),
    ({"process_value": observed(math.nan)}, "finite: the wish, the readback or the process value is not a finite"),
    ({"process_value": observed(None)}, "finite: "),
    ({"process_value": observed(value=True)}, "finite: "),
    ({"readback": observed(math.inf)}, "finite: "),
    ({"readback": observed("150")}, "finite: "),
    ({"readback": observed(49.0), "expected": 49.0}, "limits: the present value 49 is outside 50..200"),
    ({"readback": observed(200.5), "expected": 200.5}, "limits: the present value 200.5 is outside 50..200"),
    ({"readback": observed(0.0), "expected": 0.0}, "limits: the present value 0 is outside 50..200"),
    ({"baseline": None}, "approval: there is no approved baseline"),
    ({"baseline": math.nan}, "approval: there is no approved baseline"),
    ({"baseline": 100.0}, "approval: 150.25 is more than 40 m/min from the approved 100"),
    ({"baseline": 195.0}, "approval: 150.25 is more than 40 m/min from the approved 195"),
    ({"expected": 149.0}, "rate: somebody else moved the output"),
    ({"expected": 151.0}, "rate: somebody else moved the output"),
    ({"expected": math.nan}, "rate: somebody else moved the output"),
    ({"credit_since": NOW + 0.25}, "rate: "),
]


@pytest.mark.parametrize(("changes", "message"), CLOSED)
def test_every_check_refuses_and_says_why_for_judge_and_admit_alike(changes: dict[str, Any], message: str) -> None:
    assert reason(judged(150.25, **changes)).startswith(message)
    verdict, command = admitted(150.25, **changes)
    assert reason(verdict).startswith(message)
    assert command is None


def test_the_checks_come_in_their_order() -> None:
    stages: list[tuple[str, dict[str, Any]]] = [
        ("mode", {"mode": Mode.MANUAL}),
        ("permissive", {"permissives": (Permissive("remote", observed(value=False), equals=True),)}),
        ("freshness", {"process_value": observed(4.0, age=9.0)}),
        ("finite", {"readback": observed(math.nan)}),
        ("limits", {"readback": observed(0.0)}),
        ("approval", {"baseline": 10.0}),
        ("rate", {"credit_since": NOW + 1.0}),
        ("deadband", {"tolerance": 9.0}),
    ]
    changes: dict[str, Any] = {}
    for stage, change in reversed(stages):
        changes = {**changes, **change}
        assert reason(judged(150.25, **changes)).partition(":")[0] == stage


def test_the_number_of_good_quality_is_good() -> None:
    good = int(Quality.GOOD)
    assert judged(150.25, process_value=observed(4.0, quality=good)) == Allowed(150.25)
    assert Permissive("remote", observed(value=False, quality=good), equals=True).is_denied()


def test_ages_at_their_limit_are_fresh() -> None:
    assert judged(150.25, process_value=observed(4.0, age=3.0)) == Allowed(150.25)
    assert judged(150.25, readback=observed(150.0, age=1.0)) == Allowed(150.25)
    permissives = (Permissive("remote", observed(True, age=1.0), equals=True),)
    assert judged(150.25, permissives=permissives) == Allowed(150.25)


def test_ages_are_counted_in_periods() -> None:
    long: dict[str, Any] = {"period_seconds": 2.0}
    assert judged(150.25, process_value=observed(4.0, age=6.0), **long) == Allowed(150.25)
    assert reason(judged(150.25, process_value=observed(4.0, age=6.25), **long)).startswith("freshness: ")
    assert judged(150.25, readback=observed(150.0, age=2.0), **long) == Allowed(150.25)
    assert reason(judged(150.25, readback=observed(150.0, age=2.25), **long)).startswith("freshness: ")
    for age, fresh in ((2.0, True), (2.25, False)):
        permissives = (Permissive("remote", observed(True, age=age), equals=True),)
        assert isinstance(judged(150.25, permissives=permissives, **long), Allowed) == fresh
        assert (beaten(age=age, **long)[1] is not None) == fresh


def test_a_present_value_at_its_limit_may_be_moved_inwards() -> None:
    assert judged(199.75, readback=observed(200.0), expected=200.0, baseline=190.0) == Allowed(199.75)
    assert judged(50.25, readback=observed(50.0), expected=50.0, baseline=60.0) == Allowed(50.25)


def test_without_any_credit_the_output_is_held() -> None:
    assert judged(170.0, credit_since=NOW) is HOLD


def test_a_permissive_may_be_a_number_or_the_absence_of_something() -> None:
    for value, equals in ((1, True), (1.0, True), (0, False), (False, False)):
        permissives = (Permissive("remote", observed(value), equals=equals),)
        assert judged(150.25, permissives=permissives) == Allowed(150.25)


@pytest.mark.parametrize("expires", [NOW, NOW - 1.0, math.nan, -math.inf])
def test_an_expired_proposal_is_refused(expires: float) -> None:
    proposal = pid(150.25, expires=expires)
    assert reason(GATE.judge(proposal, VIEW, NOW)) == "mode: the proposal has expired"
    assert GATE.admit(proposal, 150.25, VIEW, NOW, "d") == (Refused("mode: the proposal has expired"), None)


@pytest.mark.parametrize("value", [*BAD_NUMBERS, None, True, "150", 10**400, -(10**400)])
def test_a_wish_that_is_no_finite_number_is_refused_and_never_clamped(value: Any) -> None:
    for verdict in (judged(value), asked(value), aimed(value)):
        assert reason(verdict).startswith("finite: ")


@pytest.mark.parametrize("value", BAD_NUMBERS)
def test_a_value_that_is_not_finite_is_not_admitted(value: float) -> None:
    assert admitted(value, wish=150.25) == (Refused("finite: the value is not a finite number"), None)


def test_controllers_are_clamped_to_limits_and_rate() -> None:
    assert judged(170.0) == Clamped(150.5, "rate")
    assert judged(120.0) == Clamped(149.5, "rate")
    assert judged(1e9, baseline=165.0) == Clamped(150.5, "rate")
    near: dict[str, Any] = {"readback": observed(199.75), "expected": 199.75, "baseline": 190.0, "tolerance": 0.0}
    assert judged(201.0, **near) == Clamped(200.0, "limits")
    near = {"readback": observed(50.25), "expected": 50.25, "baseline": 60.0, "tolerance": 0.0}
    assert judged(-1e9, **near) == Clamped(50.0, "limits")


@pytest.mark.parametrize("source", ["operator", "hub", "sparkplug", "anything", "PID"])
def test_everybody_else_is_refused_where_a_controller_is_clamped(source: str) -> None:
    assert asked(150.5, source) == Allowed(150.5)
    assert reason(asked(150.75, source)) == "rate: 150.75 is outside 149.5..150.5, which the rate allows now"
    assert reason(asked(149.25, source)) == "rate: 149.25 is outside 149.5..150.5, which the rate allows now"
    assert reason(asked(200.5, source)) == "limits: 200.5 is outside 50..200 m/min"
    assert reason(aimed(49.5, source)) == "limits: 49.5 is outside 50..200 m/min"


def test_the_walk_to_an_accepted_wish_is_clamped_and_needs_man() -> None:
    walk = Proposal("walk", BELT, 170.0, 100, NOW + 1.0)
    assert GATE.judge(walk, replace(VIEW, mode=Mode.MANUAL), NOW) == Clamped(150.5, "rate")
    assert reason(GATE.judge(walk, VIEW, NOW)) == "mode: the loop is in AUTO, walk needs MAN"


def test_people_need_man() -> None:
    for mode in set(Mode) - {Mode.MANUAL}:
        assert reason(asked(150.5, mode=mode)) == f"mode: the loop is in {mode}, operator needs MAN"


def test_an_aim_is_bound_by_approval_but_not_by_rate_or_deadband() -> None:
    assert aimed(170.0) == Allowed(170.0)
    assert aimed(190.0) == Allowed(190.0)
    assert aimed(110.0) == Allowed(110.0)
    assert aimed(150.0) == Allowed(150.0)
    assert reason(aimed(190.5)) == "approval: 190.5 is more than 40 m/min from the approved 150"
    assert reason(aimed(109.5)) == "approval: 109.5 is more than 40 m/min from the approved 150"
    assert GATE.aim(pid(300.0), replace(VIEW, baseline=170.0), NOW) == Clamped(200.0, "limits")


def test_a_target_beyond_the_approval_threshold_is_refused_before_the_first_step() -> None:
    assert reason(judged(190.5)).startswith("approval: ")
    assert judged(190.0) == Clamped(150.5, "rate")


def test_approval_counts_from_the_baseline_and_not_from_the_present_value() -> None:
    there: dict[str, Any] = {"readback": observed(189.75), "expected": 189.75, "tolerance": 0.0}
    assert judged(190.0, **there) == Allowed(190.0)
    assert reason(judged(190.25, **there)).startswith("approval: ")


def test_what_needs_an_approval_waits_for_it_with_its_target() -> None:
    assert judged(190.5) == Waits("approval: 190.5 is more than 40 m/min from the approved 150", 190.5)
    assert aimed(109.5) == Waits("approval: 109.5 is more than 40 m/min from the approved 150", 109.5)
    assert GATE.aim(pid(300.0), VIEW, NOW) == Waits("approval: 200 is more than 40 m/min from the approved 150", 200.0)


GRANT = Grant(195.0, 2.0, NOW + 1.0)


@pytest.mark.parametrize(
    ("value", "grant"),
    [
        (197.0, GRANT),
        (191.0, GRANT),
        (110.0, GRANT),
        (190.0, Grant(155.0, 0.0, NOW + 1.0)),
        (110.0, Grant(155.0, 0.0, NOW + 1.0)),
        (98.0, Grant(100.0, 2.0, NOW + 1.0)),
        (109.0, Grant(100.0, 2.0, NOW + 1.0)),
        (190.0, Grant(100.0, 2.0, NOW + 1.0)),
        (195.0, Grant(195.0, 0.0, NOW + 0.0625)),
    ],
)
def test_a_grant_reaches_from_the_baseline_to_what_it_approves_and_takes_nothing_away(
    value: float, grant: Grant
) -> None:
    assert aimed(value, grant=grant) == Allowed(value)


@pytest.mark.parametrize(
    ("value", "grant"),
    [
        (197.5, GRANT),
        (109.5, GRANT),
        (97.5, Grant(100.0, 2.0, NOW + 1.0)),
        (190.5, Grant(100.0, 2.0, NOW + 1.0)),
        (190.5, Grant(155.0, 0.0, NOW + 1.0)),
        (195.0, Grant(195.0, 2.0, NOW)),
        (195.0, Grant(195.0, 2.0, NOW - 1.0)),
        (195.0, Grant(195.0, 2.0, math.nan)),
        (195.0, Grant(math.nan, 2.0, NOW + 1.0)),
        (195.0, Grant(math.inf, 0.0, NOW + 1.0)),
        (195.0, Grant(195.0, math.inf, NOW + 1.0)),
        (195.0, Grant(195.0, math.nan, NOW + 1.0)),
        (191.0, Grant(195.0, -1.0, NOW + 1.0)),
        (191.0, Grant(190.0, -2.0, NOW + 1.0)),
    ],
)
def test_what_no_grant_covers_or_no_sound_one_waits(value: float, grant: Grant) -> None:
    assert isinstance(aimed(value, grant=grant), Waits)


def test_the_final_check_knows_the_grant_and_its_end() -> None:
    there: dict[str, Any] = {"readback": observed(190.5), "expected": 190.5, "grant": GRANT}
    assert admitted(191.0, **there)[1] is not None
    assert reason(admitted(191.0, **{**there, "grant": Grant(195.0, 2.0, NOW)})[0]).startswith("approval: 191 ")


def test_credit_grows_with_time_up_to_two_periods_or_a_minute() -> None:
    assert judged(170.0, credit_since=NOW - 0.5) == Clamped(150.25, "rate")
    assert judged(170.0, credit_since=NOW - 2.0) == Clamped(151.0, "rate")
    assert judged(170.0, credit_since=NOW - 1e6) == Clamped(151.0, "rate")
    assert judged(170.0, credit_since=NOW - 1e6, period_seconds=0.25, readback=observed(150.0)) == Clamped(
        150.25, "rate"
    )
    assert credit_cap(1.0) == 2.0
    assert credit_cap(30.0) == 60.0
    assert credit_cap(31.0) == 60.0


def test_every_older_write_binds() -> None:
    history = (Applied(149.0, NOW - 2.5), Applied(151.0, NOW - 3.0))
    assert judged(170.0, credit_since=NOW - 2.0, history=history) == Clamped(150.25, "rate")
    assert judged(140.0, credit_since=NOW - 2.0, history=history) == Clamped(149.5, "rate")


def test_a_move_away_from_the_wish_is_refused() -> None:
    refusal = Refused("rate: earlier moves have used up what the rate allows")
    assert judged(170.0, history=(Applied(149.0, NOW - 1.5),)) == refusal
    assert judged(140.0, history=(Applied(151.0, NOW - 1.5),)) == refusal
    assert judged(170.0, history=(Applied(140.0, NOW - 2.0),)) == refusal
    assert judged(170.0, history=(Applied(160.0, NOW - 2.0),)) == refusal


def test_small_moves_are_held_back_and_that_is_no_fault() -> None:
    assert judged(150.125) is HOLD
    assert judged(149.875) is HOLD
    assert judged(150.0) is HOLD
    assert judged(150.1875) == Allowed(150.1875)
    assert judged(150.25, deadband=0.25) is HOLD
    assert judged(150.3125, deadband=0.25) == Allowed(150.3125)
    assert judged(150.0, tolerance=0.0) is HOLD
    assert asked(150.125) is HOLD


def test_the_deadband_is_for_automatic_control_only() -> None:
    assert asked(150.25, deadband=0.25) == Allowed(150.25)
    walk = Proposal("walk", BELT, 150.25, 100, NOW + 1.0)
    assert GATE.judge(walk, replace(VIEW, mode=Mode.MANUAL, deadband=0.25), NOW) == Allowed(150.25)


def test_the_final_check_refuses_what_the_judgement_would_have_repaired() -> None:
    assert reason(admitted(150.75)[0]) == "rate: 150.75 is outside 149.5..150.5, which the rate allows now"
    assert reason(admitted(149.25)[0]) == "rate: 149.25 is outside 149.5..150.5, which the rate allows now"
    wide: dict[str, Any] = {
        "credit_since": NOW - 2.0,
        "readback": observed(199.5),
        "expected": 199.5,
        "baseline": 190.0,
    }
    assert reason(admitted(200.25, wish=200.0, **wide)[0]) == "limits: 200.25 is outside 50..200 m/min"
    assert admitted(200.0, **wide)[1] is not None
    low: dict[str, Any] = {"credit_since": NOW - 2.0, "readback": observed(50.5), "expected": 50.5, "baseline": 60.0}
    assert reason(admitted(49.75, wish=50.0, **low)[0]) == "limits: 49.75 is outside 50..200 m/min"
    assert admitted(50.0, **low)[1] is not None
    far: dict[str, Any] = {"readback": observed(189.75), "expected": 189.75}
    assert reason(admitted(190.25, wish=190.0, **far)[0]).startswith("approval: 190.25")
    assert admitted(190.0, **far)[1] is not None


def test_what_is_admitted_at_the_edge_of_the_rate_was_allowed_there() -> None:
    assert admitted(150.5)[1] is not None
    assert admitted(149.5)[1] is not None
    assert admitted(150.5, wish=170.0)[0] == Clamped(150.5, "rate")


def test_a_readback_within_tolerance_is_ours() -> None:
    assert judged(150.25, expected=150.125) == Allowed(150.25)
    assert judged(150.25, expected=149.875) == Allowed(150.25)
    assert reason(judged(150.25, expected=149.8125)) == "rate: somebody else moved the output"


def test_advisory_judges_everything_and_admits_nothing() -> None:
    assert judged(150.25, advisory=True) == Allowed(150.25)
    assert admitted(150.25, advisory=True) == (Refused("mode: advisory, nothing is written"), None)


def beaten(count: Any = 7, signal: str = BEAT, age: float = 0.0, **changes: Any) -> tuple[Verdict, Command | None]:
    return GATE.beat(signal, observed(count, age), replace(VIEW, **changes), NOW, "decision 2")


def test_a_heartbeat_counts_on_and_wraps() -> None:
    assert beaten(7) == (Allowed(8.0), Command(BEAT, 8.0, "heartbeat", NOW, NOW + 1.0, "decision 2", SEAL))
    assert beaten(HEARTBEAT_MODULUS - 1)[0] == Allowed(0.0)
    assert beaten(65_535)[0] == Allowed(0.0)
    assert beaten(7.0)[0] == Allowed(8.0)


def test_holding_with_a_permissive_withdrawn_still_beats() -> None:
    for mode in (Mode.MANUAL, Mode.LOCAL_OVERRIDE):
        permissives = (Permissive("remote", observed(value=False), equals=True),)
        assert beaten(mode=mode, permissives=permissives)[0] == Allowed(8.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signal": BELT}, f"limits: {BELT} is not a heartbeat"),
        ({"signal": "line_a/other"}, "limits: line_a/other is not a heartbeat"),
        ({"advisory": True}, "mode: advisory, nothing is written"),
        ({"mode": Mode.OUT_OF_SERVICE}, "mode: the loop is out of service"),
        ({"lease_held": False}, "mode: another writer holds the lease of the line"),
        ({"recordable": False}, "mode: decisions can't be recorded"),
        ({"unacknowledged": True}, "mode: the outcome of the last write is not known yet"),
        (
            {"permissives": (Permissive("remote", observed(True, quality=Quality.BAD), equals=True),)},
            "permissive: remote could not be read",
        ),
        ({"process_value": observed(4.0, age=3.25)}, "freshness: the process value is stale or not good"),
        ({"readback": observed(150.0, quality=Quality.BAD)}, "freshness: the readback is stale or not good"),
        ({"process_value": observed(None)}, "finite: the readback or the process value is not a finite number"),
        ({"readback": observed(math.nan)}, "finite: the readback or the process value is not a finite number"),
        ({"expected": 149.0}, "rate: the readback is not what it should be"),
        ({"age": 1.25}, "freshness: no heartbeat read"),
        ({"count": None}, "finite: the heartbeat is not a number"),
        ({"count": math.nan}, "finite: the heartbeat is not a number"),
    ],
)
def test_a_heartbeat_stops_when_the_cycle_was_not_whole(changes: dict[str, Any], message: str) -> None:
    assert beaten(**changes) == (Refused(message), None)


def test_a_signal_with_limits_is_no_heartbeat() -> None:
    gate = Gate({BELT: LIMITS}, SEAL, [BELT])
    assert gate.beat(BELT, observed(7), VIEW, NOW, "d")[1] is None


def test_adopted_limits_hold_from_the_next_judgement_on_and_no_others_do() -> None:
    given = {BELT: LIMITS}
    gate = Gate(given, SEAL, [BEAT, "line_a/forming/other"])
    narrow = replace(LIMITS, high=150.2)
    assert gate.judge(pid(150.4), VIEW, NOW) == Allowed(150.4)
    adopted = {BELT: narrow}
    gate.adopt(adopted)
    adopted.clear()
    given.clear()
    assert gate.judge(pid(150.4), VIEW, NOW) == Clamped(150.2, "limits")
    assert reason(gate.admit(pid(150.4), 150.4, VIEW, NOW, "d")[0]).startswith("limits: ")
    assert gate.beat(BEAT, observed(7), VIEW, NOW, "d")[1] is not None
    gate.adopt({BEAT: replace(LIMITS, signal=BEAT)})
    assert reason(gate.judge(pid(150.1), VIEW, NOW)) == f"limits: {BELT} has none, so it can't be written"
    assert gate.beat(BEAT, observed(7), VIEW, NOW, "d")[1] is None
    assert gate.beat("line_a/forming/other", observed(7), VIEW, NOW, "d")[1] is not None


def test_numbers() -> None:
    assert number(3) == 3.0
    assert isinstance(number(3), float)
    assert number(-2.5) == -2.5
    for value in (*BAD_NUMBERS, None, True, False, "3", 10**400, object()):
        assert number(value) is None


def test_history_forgets_what_a_newer_write_implies() -> None:
    old, new = Applied(150.0, 10.0), Applied(150.5, 11.0)
    assert remember((old,), new, 0.5) == (new,)
    assert remember((old,), Applied(150.75, 11.0), 0.5) == (old, Applied(150.75, 11.0))
    assert remember((old,), Applied(149.25, 11.0), 0.5) == (old, Applied(149.25, 11.0))
    assert remember((), new, 0.5) == (new,)


def test_history_keeps_what_still_binds_after_a_long_pause() -> None:
    old = Applied(150.0, 5.0)
    assert remember((old,), Applied(153.0, 12.0), 0.5) == (Applied(153.0, 12.0),)
    assert remember((old,), Applied(153.75, 12.0), 0.5) == (old, Applied(153.75, 12.0))
    assert remember((old,), Applied(147.0, 12.0), 0.5) == (Applied(147.0, 12.0),)


def test_a_write_of_long_ago_binds_by_all_the_time_since() -> None:
    assert judged(150.25, history=(Applied(95.0, 300.0),)) == Allowed(150.25)
    assert judged(150.25, history=(Applied(199.0, 300.0),)) == Allowed(150.25)


def test_even_a_small_move_away_from_the_wish_is_refused() -> None:
    assert reason(judged(150.25, history=(Applied(149.25, NOW - 1.0),))).startswith("rate: earlier moves")


def test_what_the_gate_is_told_cannot_be_changed_afterwards() -> None:
    for told, field in ((VIEW, "mode"), (LIMITS, "high")):
        with pytest.raises(FrozenInstanceError):
            setattr(told, field, None)
        assert not hasattr(told, "__dict__")


def test_a_person_may_move_the_output_of_a_frozen_process_value() -> None:
    assert asked(150.25, frozen=True) == Allowed(150.25)


@pytest.mark.parametrize(
    ("value", "quality", "denied"),
    [
        (True, Quality.GOOD, False),
        (False, Quality.GOOD, True),
        (None, Quality.GOOD, True),
        (False, Quality.UNCERTAIN, False),
        (False, Quality.BAD, False),
        (False, OTHER_QUALITY, False),
        (1, Quality.GOOD, False),
        (0, Quality.GOOD, True),
    ],
)
def test_only_a_good_answer_denies_a_permissive(*, value: int | None, quality: int, denied: bool) -> None:
    assert Permissive("remote", observed(value, quality=quality), equals=True).is_denied() is denied


def test_an_equal_value_is_the_wish_or_the_limit_whatever_object_it_is() -> None:
    assert admitted(float("150.5"), 150.5)[0] == Allowed(150.5)
    narrow = Gate({BELT: replace(LIMITS, high=150.5)}, SEAL, [])
    assert narrow.admit(pid(151.0), float("150.5"), VIEW, NOW, "d")[0] == Clamped(150.5, "limits")


writes = st.lists(st.tuples(st.floats(100, 200), st.floats(0.01, 30)), min_size=1, max_size=8)


@given(writes, st.floats(100, 200), st.floats(0, 30))
def test_forgetting_changes_no_judgement(drawn: list[tuple[float, float]], value: float, later: float) -> None:
    times = list(itertools.accumulate(gap for _, gap in drawn))
    everything = [Applied(written, time) for (written, _), time in zip(drawn, times, strict=True)]
    kept: tuple[Applied, ...] = ()
    for applied in everything:
        kept = remember(kept, applied, 0.5)
    now = times[-1] + later
    slips = [abs(value - applied.value) - 0.5 * (now - applied.time) for applied in everything]
    kept_slips = [abs(value - applied.value) - 0.5 * (now - applied.time) for applied in kept]
    assert max(kept_slips) == pytest.approx(max(slips), abs=1e-9)


anything = st.floats() | st.none() | st.booleans() | st.integers()
observation = st.builds(
    Observed, anything, st.sampled_from([0, 64, 192]), st.floats() | st.floats(NOW - 5, NOW) | st.just(NOW)
)
views = st.builds(
    PlantView,
    mode=st.sampled_from(Mode),
    advisory=st.booleans(),
    lease_held=st.booleans(),
    recordable=st.booleans(),
    unacknowledged=st.booleans(),
    permissives=st.lists(st.builds(Permissive, st.just("remote"), observation, st.booleans()), max_size=2).map(tuple),
    process_value=observation | st.just(observed(4.0)),
    readback=observation | st.just(observed(150.0)),
    expected=st.floats() | st.just(150.0),
    credit_since=st.floats() | st.floats(NOW - 5, NOW),
    history=st.lists(st.builds(Applied, st.floats(), st.floats()), max_size=2).map(tuple),
    baseline=st.none() | st.floats() | st.just(150.0),
    period_seconds=st.floats() | st.just(1.0),
    tolerance=st.floats() | st.just(0.01),
    deadband=st.floats() | st.just(0.0),
)


def credit_seconds(view: PlantView) -> float:
    return min(NOW - view.credit_since, 60.0, 2.0 * view.period_seconds)


@given(st.sampled_from(["pid", "walk", "operator"]), anything | st.floats(149, 151), views)
def test_whatever_it_is_told_the_gate_only_admits_what_is_inside(source: str, value: Any, view: PlantView) -> None:
    proposal = Proposal(source, BELT, value, 0, NOW + 1.0)
    verdict = GATE.judge(proposal, view, NOW)
    if isinstance(verdict, Refused):
        return
    assert 50.0 <= verdict.value <= 200.0
    assert abs(verdict.value - float(view.readback.value or 0)) <= 0.5 * credit_seconds(view) + 1e-9
    _, command = GATE.admit(proposal, verdict.value, view, NOW, "d")
    assert (command is None) == view.advisory


@given(st.floats(), views)
def test_a_value_slipped_past_the_judgement_is_checked_all_the_same(value: float, view: PlantView) -> None:
    _, command = GATE.admit(pid(150.0), value, view, NOW, "d")
    if command is not None:
        assert 50.0 <= command.value <= 200.0
        assert abs(command.value - float(view.readback.value or 0)) <= 0.5 * credit_seconds(view) + 1e-9


def test_a_frozen_process_value_stops_controllers_and_no_person() -> None:
    frozen = "freshness: the process value stands still although the output moves"
    for source in ("pid", "mpc"):
        proposal = Proposal(source, BELT, 150.25, 0, NOW + 1.0)
        view = replace(VIEW, frozen=True)
        for verdict in (GATE.judge(proposal, view, NOW), GATE.aim(proposal, view, NOW)):
            assert reason(verdict) == frozen
        verdict, command = GATE.admit(proposal, 150.25, view, NOW, "d")
        assert reason(verdict) == frozen
        assert command is None
    assert asked(150.25, frozen=True) == Allowed(150.25)
    assert GATE.judge(
        replace(pid(150.25), source="walk"), replace(VIEW, frozen=True, mode=Mode.MANUAL), NOW
    ) == Allowed(150.25)


def test_both_controllers_need_auto_and_are_clamped() -> None:
    for source in ("pid", "mpc"):
        proposal = Proposal(source, BELT, 160.0, 0, NOW + 1.0)
        assert GATE.judge(proposal, VIEW, NOW) == Clamped(150.5, "rate")
        assert reason(GATE.judge(proposal, replace(VIEW, mode=Mode.MANUAL), NOW)) == (
            f"mode: the loop is in MAN, {source} needs AUTO"
        )

"""A recorded flight replays without a difference, and with other limits or tuning tells what would have happened."""

from __future__ import annotations

import asyncio
from typing import Any

from edged.controller_settings import MpcSettings
from edged.ports import Action, Order, Outcome, Role
from edged_control.approval import signed
from edged_control.flight.records import Record, packed, unpacked
from edged_control.gate import Mode
from edged_control.replay.inline_solver import InlineSolver
from edged_control.replay.report import Change, Difference, Report
from tests.unit.control.inline_solver import InlineSolver as SpoilableSolver
from tests.unit.control.inline_solver import answered, artefact, mpc_loop, solver_factory
from tests.unit.control.recorded_rig import Sessions, blueprint, recorded_rig, replay, replay_all
from tests.unit.control.rig import LOOP, MakeRig, Rig, finish, narrower

STEP_UP = 1.1
CAP = 152.0


def order(rig: Rig, action: Action, value: Any = None) -> None:
    """Something that an engineer asks for."""
    assert finish(rig.control.desk.act(Order(action, "thickness", value, "", "anna", Role.ENGINEER)))


def busy(rig: Rig, cycles: int = 20) -> None:
    """In AUTO, with more glass than before."""
    rig.step(5)
    rig.plc.product *= STEP_UP
    rig.step(cycles)
    assert rig.status.verified_writes > 0


def under_mpc(make_rig: MakeRig) -> tuple[Rig, Sessions, list[SpoilableSolver]]:
    """A recorded rig whose loop runs under MPC."""
    found = artefact()
    solvers: list[SpoilableSolver] = []
    rig, sessions = recorded_rig(
        make_rig, loop=mpc_loop(LOOP, found), artefact=found, build_solver=solver_factory(solvers)
    )
    return rig, sessions, solvers


def inline(_: str, setup: Any, __: str) -> InlineSolver:
    """The solver of replays."""
    return InlineSolver(setup)


def named(difference: Difference) -> dict[str, Change]:
    """Its changes by name."""
    return {change.name: change for change in difference.changes}


def sent(report: Report) -> list[tuple[Any, Any]]:
    """What was sent and what the replay sent, where that differs."""
    changes = [named(one) for one in report.differences]
    return [(one["sent"].recorded, one["sent"].replayed) for one in changes if "sent" in one]


def test_a_busy_loop_replays(make_rig: MakeRig) -> None:
    rig, sessions = recorded_rig(make_rig)
    busy(rig)
    report = replay_all(rig, sessions)
    assert report.differences == []
    assert report.cycles == 25
    assert report.decisions == len(rig.road.decisions())


def test_the_minute_of_the_demo_replays(make_rig: MakeRig) -> None:
    """The solver is killed, an operator takes over at the plant, an approval waits and goes on (CARD4, GLS33)."""
    rig, sessions, solvers = under_mpc(make_rig)
    busy(rig)
    solvers[-1].spoil = answered(inputs=(), errors=(), solve_seconds=0.0, fault="the solver ended")
    rig.step(3)
    assert rig.status.controller == "pid"
    solvers[-1].spoil = None
    solvers[-1].restart()
    rig.step(8)
    assert rig.status.controller == "mpc"
    rig.plc.operate(160.0)
    rig.step(3)
    assert rig.mode() is Mode.LOCAL_OVERRIDE
    order(rig, Action.OVERRIDE)
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC
    order(rig, Action.MODE, "MAN")
    rig.step()
    order(rig, Action.OUTPUT, 105.0)
    rig.step(3)
    assert rig.status.waiting is not None
    rig.approve(105.0)
    rig.step(10)
    assert rig.status.waiting is None
    assert rig.status.readback is not None
    assert rig.status.readback < 159.0
    report = replay_all(rig, sessions)
    assert report.differences == []
    assert report.orders == 4
    assert report.decisions == len(rig.road.decisions())


def test_another_limit_tells_what_would_have_happened(make_rig: MakeRig) -> None:
    rig, sessions = recorded_rig(make_rig)
    busy(rig)
    report = replay(sessions.shelves[0].items(), blueprint(rig, limits=[narrower(high=CAP)]))
    assert named(report.differences[0])["decided proposed"].replayed == CAP
    assert sent(report)
    assert {replayed for _, replayed in sent(report)} == {"nothing"}
    later = named(report.differences[-1])["readback"]
    assert later.recorded > CAP >= later.replayed
    assert max(rig.own_writes()) > CAP


def test_another_tuning_tells_what_would_have_happened(make_rig: MakeRig) -> None:
    rig, sessions = recorded_rig(make_rig)
    busy(rig)
    quick = LOOP.controller.model_copy(update={"gain": -60.0})
    report = replay(sessions.shelves[0].items(), blueprint(rig, controller=quick))
    assert abs(named(report.differences[0])["decided proposed"].replayed) > 0
    assert sent(report)


def test_a_person_who_moves_the_output_moves_that_of_the_replay_too(make_rig: MakeRig) -> None:
    rig, sessions = recorded_rig(make_rig)
    busy(rig)
    rig.plc.operate(120.0)
    rig.step()
    moved = rig.clock.now()
    rig.step(10)
    report = replay(sessions.shelves[0].items(), blueprint(rig, limits=[narrower(high=CAP)]))
    assert sent(report)
    assert not [one for one in report.differences if one.wall >= moved and "readback" in named(one)]


def test_another_tuning_of_an_mpc_asks_a_solver(make_rig: MakeRig) -> None:
    rig, sessions, solvers = under_mpc(make_rig)
    busy(rig)
    questions = len(solvers[0].questions)
    assert isinstance(rig.loop.controller, MpcSettings)
    eager = rig.loop.controller.inputs[0].model_copy(update={"move_seconds": 0.001})
    tuned = rig.loop.controller.model_copy(update={"inputs": (eager,)})
    report = replay(sessions.shelves[0].items(), blueprint(rig, controller=tuned), inline, solve=True)
    assert len(solvers[0].questions) == questions
    assert named(report.differences[0])["decided proposed"]


def test_a_solver_that_is_asked_again_says_the_same(make_rig: MakeRig) -> None:
    rig, sessions, solvers = under_mpc(make_rig)
    busy(rig)
    solvers[-1].restart()
    rig.step(10)
    report = replay(sessions.shelves[0].items(), blueprint(rig), inline, solve=True)
    assert report.differences == []


def test_what_can_not_be_told_is_missing_and_no_fault(make_rig: MakeRig) -> None:
    """Whatever somebody asks, control goes on, and so does the recording from the next key-frame."""
    rig, sessions = recorded_rig(make_rig)
    rig.step(5)
    order(rig, Action.SET_POINT, object())
    rig.step(5)
    parcels = sessions.shelves[0].parcels
    assert [parcel.serial for parcel in parcels] == [*range(6), *range(7, 13)]
    assert [parcel.is_key_frame for parcel in parcels].index(True) == 7


def test_a_signed_approval_is_not_kept(make_rig: MakeRig) -> None:
    """One that was refused could be used again by whoever holds the recording."""
    rig, sessions = recorded_rig(make_rig)
    busy(rig)
    rig.approve(120.0)
    text = signed(rig.approval(130.0, signal="line_a/other"), rig.key)
    assert rig.hand_in(text).outcome is Outcome.REFUSED
    rig.step()
    assert text.encode() not in b"".join(parcel.body for parcel in sessions.shelves[0].parcels)
    assert replay_all(rig, sessions).differences == []


def test_a_record_comes_back_as_it_was(make_rig: MakeRig) -> None:
    rig, sessions = recorded_rig(make_rig)
    busy(rig)
    for item in sessions.shelves[0].items():
        assert isinstance(item, Record)
        again = packed(item)
        assert packed(unpacked(again)[0]) == again


def test_a_replay_within_a_running_loop_is_possible(make_rig: MakeRig) -> None:
    """What a test needs that keeps an incident."""
    rig, sessions = recorded_rig(make_rig)
    busy(rig)
    assert not asyncio.run(asyncio.to_thread(replay_all, rig, sessions)).differences

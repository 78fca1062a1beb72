"""Loops that share an MPC meet in the replay as they met in flight (CARD4)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edged_control.flight.boundary import Crossing
from edged_control.flight.recorder import KEY_FRAME_SECONDS
from edged_control.flight.records import Record, question_of
from edged_control.flight.state import KeyFrame
from edged_control.gate import Mode
from tests.unit.control.inline_solver import answered, solver_factory
from tests.unit.control.pair_rig import FIRST, NAMES, PairRig
from tests.unit.control.recorded_rig import MemoryShelf, Sessions, replay


async def flown(folder: Path) -> tuple[PairRig, MemoryShelf]:
    """A minute with a change, a solver that is gone for a while, and a loop in MAN."""
    sessions = Sessions()
    rig = PairRig(folder, flight=sessions.begin)
    await rig.step(8)
    rig.first.product *= 1.1
    await rig.step(20)
    rig.solver.spoil = answered(fault="gone")
    await rig.step(4)
    rig.solver.spoil = None
    await rig.step(6)
    rig.request(FIRST, Mode.MANUAL)
    await rig.step(6)
    rig.request(FIRST, Mode.AUTOMATIC)
    await rig.step(8, names=NAMES[::-1])
    assert rig.controllers() == ("mpc", "mpc")
    rig.control.close()
    return rig, sessions.shelves[0]


async def test_every_decision_of_both_loops_is_reproduced(tmp_path: Path) -> None:
    rig, shelf = await flown(tmp_path)
    items = list(shelf.items())

    def replayed() -> None:
        report = replay(iter(items), rig.blueprint(), solver_factory([]))
        assert report.cycles == 2 * 52
        assert report.decisions > 50
        assert report.differences == []

    await asyncio.to_thread(replayed)


async def test_behind_a_key_frame_a_solver_of_both_loops_knows_what_it_was_asked(tmp_path: Path) -> None:
    """One of the loops is in MAN meanwhile: of a question it also counts which inputs were free."""
    sessions = Sessions()
    rig = PairRig(tmp_path, flight=sessions.begin)
    await rig.step(8)
    rig.request(FIRST, Mode.MANUAL)
    rig.first.product *= 1.1
    await rig.step(round(KEY_FRAME_SECONDS))
    rig.request(FIRST, Mode.AUTOMATIC)
    await rig.step(12)
    assert rig.controllers() == ("mpc", "mpc")
    rig.control.close()
    items = list(sessions.shelves[0].items())
    (at,) = (number for number, item in enumerate(items) if isinstance(item, KeyFrame))
    before = [item for item in items[:at] if isinstance(item, Record)]
    questions = [question_of(step.told) for item in before for step in item.steps if step.crossing == Crossing.SOLVE]
    assert {question.free for question in questions} == {(True, True), (False, True)}

    def replayed() -> None:
        report = replay(iter(items[at:]), rig.blueprint(), solver_factory([]), solve=True, lead_in=before)
        assert report.cycles > 10
        assert report.differences == []

    await asyncio.to_thread(replayed)

"""Loops that share an MPC meet in the replay as they met in flight (CARD4)."""

from __future__ import annotations

import asyncio
from pathlib import Path

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

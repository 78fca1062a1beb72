"""A push in the middle of things: at every wait, at the death of the daemon, while a command is on its way (CARD4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.ports import Action, Answer, Order, Outcome, Plant, Role
from edged.supervise import start_task
from edged.types import Command, OperatorAction, Sample
from edged_control.gate import Mode
from edged_control.limits.push import unsigned_limits
from tests.unit.control.rig import BELT_LIMITS, MakeRig, Rig, listed_limits, narrower
from tests.unit.control.simulated_plc import BELT, LINE, THICKNESS, Override

WIDE = replace(BELT_LIMITS, high=195.0)
CEILING = replace(BELT_LIMITS, high=200.0)


def busy(make_rig: MakeRig) -> Rig:
    """In AUTO, and moving the belt up in every cycle."""
    rig = make_rig(limits=(narrower(high=180.0),), ceiling=(CEILING,))
    rig.step(5)
    rig.plc.overrides[THICKNESS] = Override(4.6)
    rig.step(8)
    assert rig.mode() is Mode.AUTOMATIC
    return rig


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("wait", range(1, 9))
def test_at_every_wait_of_a_cycle_a_push_holds_for_what_is_sent_after_it(
    make_rig: MakeRig, wait: int, *, late: bool
) -> None:
    rig = busy(make_rig)
    high, sent = rig.plc.belt + 0.05, 0

    def push() -> None:
        nonlocal sent
        if rig.control._loops["thickness"]._output.sending:
            rig.interruption.arm(1, late=late, happens=push)
            return
        assert rig.push(narrower(high=high)).outcome is Outcome.ACCEPTED
        sent = len(rig.own_writes())

    rig.interruption.arm(wait, late=late, happens=push)
    rig.step(2)
    assert sent > 0, "the cycle has so many waits"
    rig.step(10)
    assert all(value <= high for value in rig.own_writes()[sent:])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_a_daemon_that_dies_while_a_push_is_recorded_has_put_it_in_force(
    make_rig: MakeRig, *, signed: bool, late: bool
) -> None:
    """On disk first: the next run holds to it, a signature is used up, and the file still tells who it was."""
    rig = busy(make_rig)
    rig.take_over()
    consent = rig.approval(0.0)
    once = {"identity": consent.identity, "issued": consent.issued} if signed else {}
    limits = WIDE if signed else narrower(high=170.0)
    rig.interruption.arm(1, late=late)
    with pytest.raises(asyncio.CancelledError):
        rig.push(limits, signed_for=LINE if signed else "", **once)
    rig.restart()
    (status,) = rig.control.limits()
    assert status.high == limits.high
    assert status.origin.startswith("pushed by anna")
    rig.step(5)
    if signed:
        assert rig.push(WIDE, signed_for=LINE, **once).reason == "key: it was used before"
    assert rig.mode() is Mode.MANUAL


class SlowWrites:
    """A plant whose writes take as long as the test wants."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        return await self._plant.poll(signals)

    async def write(self, command: Command) -> None:
        if command.signal == BELT:
            self.began.set()
            await self.go_on.wait()
        await self._plant.write(command)


async def test_a_push_is_answered_when_what_was_admitted_before_has_arrived(tmp_path: Path) -> None:
    rig = Rig(tmp_path, clock=VirtualClock())
    rig.plc.request_seconds = rig.road.commit_seconds = 0.0
    slow = SlowWrites(rig.control._loops["thickness"]._output._plant)
    rig.plant = slow
    rig.restart()
    running = start_task("control", rig.control.run())
    await rig.clock.advance(5.5)
    rig.plc.overrides[THICKNESS] = Override(4.6)
    slow.began.clear()
    slow.go_on.clear()
    await rig.clock.advance(3.0)
    assert slow.began.is_set()
    high = rig.plc.belt + 0.001
    text = unsigned_limits((listed_limits(narrower(high=high)),))
    order = Order(Action.LIMITS, LINE, text, "new rollers", "anna", Role.OPERATOR)
    pushing = start_task("push", rig.control.desk.act(order))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rig.control.limits()[0].high == high, "for all that is admitted it holds already"
    assert not pushing.done(), "a command of before is on its way"
    slow.go_on.set()
    assert await pushing == Answer(Outcome.ACCEPTED)
    sent = len(rig.own_writes())
    assert [event for _, event in rig.road.events if isinstance(event, OperatorAction)]
    await rig.clock.advance(10.0)
    assert all(value <= high for value in rig.own_writes()[sent:])
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

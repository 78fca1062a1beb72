"""Two loops at the table of one solver process: one question for both; when it is killed both know at once (CARD4)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from edged.clock import SystemClock
from edged.config import load
from edged.metrics import Metrics
from edged.supervise import start_task
from edged_control.ladder.controllers import Party, load_models, party_of
from edged_control.ladder.round_table import Arrival
from edged_control.limits.envelope import EffectiveLimits
from edged_control.mpc.group import groups_of
from edged_control.solver.messages import Answer
from edged_control.solver.process import SolverProcess
from edged_control.status import ControlMeters

GLASS, THICKNESS = "glass_temperature", "thickness"
LIMITS = {
    GLASS: EffectiveLimits("line_a/furnace/temperature_setpoint", "degC", 1200.0, 1700.0, 50.0 / 3600.0, 100.0),
    THICKNESS: EffectiveLimits("line_a/forming/belt_speed_setpoint", "m/min", 50.0, 200.0, 20.0 / 60.0, 50.0),
}
PATIENCE_SECONDS = 30.0
PERIOD = 5.0


@pytest.fixture
async def party(project: Path) -> AsyncIterator[Party]:
    """That of the coupled example."""
    config = load(project / "configs" / "line-a-coupled.yaml", {}, tolerate_missing=True)
    control = config.settings.control
    assert control is not None
    (group,) = groups_of(control.loops)
    clock = SystemClock()
    found = party_of(
        group,
        LIMITS,
        load_models(config).by_loop,
        lambda name, setup, model: SolverProcess(name, setup, model, clock),
        ControlMeters(Metrics()),
    )
    task = start_task("solver", found.solver.run())
    yield found
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def process(party: Party) -> SolverProcess:
    assert isinstance(party.solver, SolverProcess)
    return party.solver


async def ready(party: Party) -> int:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (pid := process(party).pid) is None:
            await asyncio.sleep(0.01)
    return pid


async def meet(party: Party, period: int, *, furnace: bool = True) -> tuple[Answer, Answer]:
    """Both loops in one period; `furnace` tells whether that loop controls."""
    now = period * PERIOD
    glass = Arrival(now, 1079.0, 1075.0, 1530.0, controls=furnace, fresh=True)
    thickness = Arrival(now, 4.0, 3.95, 150.0, controls=True, fresh=True)
    return await asyncio.gather(party.table.ask(GLASS, glass), party.table.ask(THICKNESS, thickness))


async def test_one_answer_for_both_within_the_limits(party: Party) -> None:
    await ready(party)
    first, second = await meet(party, 1)
    assert first is second
    assert first.fault == ""
    furnace, belt = first.inputs
    assert 1530.0 < furnace <= 1530.0 + PERIOD * 50.0 / 3600.0, "colder glass than wanted"
    assert 150.0 - PERIOD * 20.0 / 60.0 <= belt < 150.0, "thinner glass than wanted"


async def test_a_furnace_that_is_not_controlled_stays(party: Party) -> None:
    await ready(party)
    found, _ = await meet(party, 1, furnace=False)
    assert found.inputs[0] == 1530.0
    assert found.inputs[1] < 150.0


async def test_a_killed_solver_is_known_to_both_in_that_period_and_comes_back(party: Party) -> None:
    pid = await ready(party)
    os.kill(pid, signal.SIGKILL)
    first, second = await meet(party, 1)
    assert first is second
    assert first.inputs == ()
    assert first.fault
    async with asyncio.timeout(PATIENCE_SECONDS):
        period = 2
        while (await meet(party, period))[0].fault:
            await asyncio.sleep(0.05)
            period += 1
    assert process(party).pid not in (None, pid)

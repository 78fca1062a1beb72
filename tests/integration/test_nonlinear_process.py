"""The real process of a nonlinear solver on the simulated furnace: what it costs when it is killed or lacks do-mpc."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bench.control_plants import Path as Way
from bench.furnace_plant import MISMATCHES, FurnacePlant, case_of
from bench.furnace_plant import OUTPUT as GLASS
from edged.clock import SystemClock
from edged.controller_settings import NonlinearMpcSettings
from edged.metrics import Metrics
from edged.settings import LoopSettings
from edged.supervise import start_task
from edged_control.ladder.controllers import SolverFactory, ladder_of, party_of
from edged_control.ladder.ladder import Ladder
from edged_control.ladder.rung import Moment, Rung
from edged_control.limits.envelope import EffectiveLimits
from edged_control.mpc.furnace_model import furnace_hash
from edged_control.mpc.group import groups_of
from edged_control.mpc.settings import proposed
from edged_control.process_model.linear import Artefact, Channel, Port, ProcessModel, encoded
from edged_control.solver.messages import InputRange, Question, Setup
from edged_control.solver.process import COMMAND, SolverProcess
from edged_control.solver.workbench import Workbench
from edged_control.status import ControlMeters
from tests.unit.control.furnace import FURNACE, LIMITS, PERIOD_SECONDS, SETTINGS

PATIENCE_SECONDS = 60.0
PROCESS_VALUE, OUTPUT = "furnace/throat_temperature", "furnace/temperature_setpoint"
MODEL = ProcessModel((Port(OUTPUT, "degC"),), (Port(PROCESS_VALUE, "degC"),), ((Channel(1.1, 750.0, 1700.0, 900.0),),))
ARTEFACT = Artefact(MODEL, PERIOD_SECONDS, (95.0,), (93.0,), (0.3,), "step test", "0" * 64)
LINEAR = proposed(MODEL, Path("furnace.json"), [5.0], PERIOD_SECONDS).model_copy(update={"fallback": SETTINGS.fallback})
ENVELOPE = EffectiveLimits(OUTPUT, "degC", LIMITS.low, LIMITS.high, LIMITS.rate_per_second, 100.0)
LOOP = LoopSettings(
    name="glass",
    process_value=PROCESS_VALUE,
    output=OUTPUT,
    readback=OUTPUT,
    set_point=1169.0,
    period_seconds=PERIOD_SECONDS,
    good_cycles=2,
    controller=SETTINGS.model_copy(update={"fallback": LINEAR}),
)
HASTY = SETTINGS.model_copy(update={"furnace": FURNACE.model_copy(update={"throat_dead_time_seconds": 0.0})})
"""With a period of a millisecond there is no time to solve in."""
WITHOUT = "import sys; sys.modules['do_mpc'] = None; from edged_control.solver.worker import main; main()"

pytestmark = pytest.mark.timeout(180)


def setup_of(settings: NonlinearMpcSettings = SETTINGS, period_seconds: float = PERIOD_SECONDS) -> Setup:
    given = InputRange(low=LIMITS.low, high=LIMITS.high, rate_per_second=LIMITS.rate_per_second)
    return Setup(artefact="", settings=settings, limits=(given,), period_seconds=period_seconds)


def simulated() -> FurnacePlant:
    return FurnacePlant(case_of(Way(1.1, 750.0, 1700.0, 900.0)), MISMATCHES[0], 1)


def rungs_of(build: SolverFactory) -> tuple[Rung, ...]:
    meters = ControlMeters(Metrics())
    limits, models = {LOOP.name: ENVELOPE}, {LOOP.name: ARTEFACT}
    parties = [party_of(group, limits, models, build, meters) for group in groups_of((LOOP,))]
    return ladder_of(LOOP, ENVELOPE, parties)


@asynccontextmanager
async def running(*solvers: SolverProcess) -> AsyncIterator[None]:
    tasks = [start_task("solver", solver.run()) for solver in solvers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def ready(solver: SolverProcess, *, but: int | None = None) -> int:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (pid := solver.pid) in (None, but):
            await asyncio.sleep(0.02)
    assert pid is not None
    return pid


async def test_it_answers_like_the_controller_in_this_process() -> None:
    bench, furnace = Workbench(setup_of()), simulated()
    solver = SolverProcess("glass", setup_of(), furnace_hash(FURNACE), SystemClock())
    async with running(solver):
        await ready(solver)
        for number in range(1, 6):
            question = Question(
                number=number,
                set_points=(GLASS.start + 10.0,),
                outputs=(furnace.measured()[0],),
                applied=(furnace.applied[0],),
                seconds=PERIOD_SECONDS * (number > 1),
                fresh=False,
            )
            answer, expected = await solver.ask(question), bench.answer(question)
            assert answer.fault == ""
            assert answer.inputs == expected.inputs
            assert answer.errors == expected.errors
            furnace.applied = list(answer.inputs)
            furnace.run()


async def test_a_killed_process_hands_over_to_the_linear_one_in_the_same_cycle_and_comes_back() -> None:
    solvers: list[SolverProcess] = []

    def build(name: str, setup: Setup, model_hash: str) -> SolverProcess:
        solvers.append(SolverProcess(name, setup, model_hash, SystemClock()))
        return solvers[-1]

    rungs = rungs_of(build)
    ladder, furnace, now = (
        Ladder([rung.name for rung in rungs], LOOP.good_cycles),
        simulated(),
        0.0,
    )

    async def cycle() -> str:
        """One period: every rung looks, the leader moves the set-point, by no more than the rate allows."""
        nonlocal now
        now += PERIOD_SECONDS
        (shown,), (applied,) = furnace.measured(), furnace.applied
        moment = Moment(GLASS.start + 10.0, shown, applied, now, PERIOD_SECONDS, automatic=True)
        leader = ladder.step([await rung.look(moment) for rung in rungs])
        assert leader is not None
        for position, rung in enumerate(rungs):
            if position != leader:
                rung.track(moment)
        wish = rungs[leader].propose(moment).value
        assert wish is not None
        assert abs(wish - applied) <= LIMITS.rate_per_second * PERIOD_SECONDS * 2.0 + 1e-6
        furnace.applied = [wish]
        furnace.run()
        return ladder.leader

    async with running(*solvers):
        first, _ = [await ready(solver) for solver in solvers]
        assert [await cycle() for _ in range(4)] == ["pid", "nonlinear_mpc", "nonlinear_mpc", "nonlinear_mpc"]
        os.kill(first, signal.SIGKILL)
        assert await cycle() == "mpc"
        assert ladder.reason.startswith("the solver")
        await ready(solvers[0], but=first)
        assert [await cycle() for _ in range(4)] == ["mpc", "mpc", "nonlinear_mpc", "nonlinear_mpc"]


async def test_other_limits_are_those_of_the_next_process() -> None:
    (applied,), rise = simulated().applied, 0.25
    question = Question(
        number=1, set_points=(GLASS.start + 30.0,), outputs=(GLASS.start,), applied=(applied,), seconds=0.0, fresh=True
    )
    solver = SolverProcess("glass", setup_of(), furnace_hash(FURNACE), SystemClock())
    async with running(solver):
        first = await ready(solver)
        (free,) = (await solver.ask(question)).inputs
        assert free > applied + rise
        solver.limit((InputRange(low=LIMITS.low, high=applied + rise, rate_per_second=LIMITS.rate_per_second),))
        await ready(solver, but=first)
        (bound,) = (await solver.ask(question)).inputs
        assert applied < bound <= applied + rise


@pytest.mark.parametrize(
    ("command", "setup", "words"),
    [
        (
            (sys.executable, "-c", WITHOUT),
            setup_of(),
            "refuses: do_mpc is not installed: pip install 'edged[control-nonlinear]'",
        ),
        (COMMAND, setup_of(HASTY, 1e-3), "refuses: no plan for a furnace that stands at 1450 degC"),
    ],
    ids=["library missing", "no time to solve"],
)
async def test_why_there_is_no_solver_is_told_to_whoever_asks(
    command: tuple[str, ...], setup: Setup, words: str
) -> None:
    solver = SolverProcess("glass", setup, "", SystemClock(), command)
    question = Question(number=1, set_points=(1.0,), outputs=(1.0,), applied=(1500.0,), seconds=0.0, fresh=True)
    async with running(solver), asyncio.timeout(PATIENCE_SECONDS):
        while words not in (fault := (await solver.ask(question)).fault):
            assert fault.startswith("the solver"), fault
            await asyncio.sleep(0.02)


def test_the_artefact_of_the_linear_rung_reaches_its_own_process_alone() -> None:
    told: list[Setup] = []

    def build(name: str, setup: Setup, model_hash: str) -> SolverProcess:
        told.append(setup)
        return SolverProcess(name, setup, model_hash, SystemClock())

    rungs_of(build)
    assert [(setup.settings.kind, setup.artefact) for setup in told] == [
        ("nonlinear_mpc", ""),
        ("mpc", encoded(ARTEFACT)),
    ]

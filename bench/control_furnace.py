"""The nonlinear MPC of a furnace against linear MPC and PID, the gate in the loop, on furnaces that none was tuned on.

The linear model is identified from a step test of the nominal furnace, and the PID tuned by it (SIMC).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import uvloop

from bench.control import Score, score, total
from bench.control_contenders import LinearMpc, SimcPid
from bench.control_loop import Controller, run
from bench.control_plants import Case, Path
from bench.control_tunings import PLAIN
from bench.furnace_plant import (
    INPUT,
    MISMATCHES,
    OUTPUT,
    PERIOD_SECONDS,
    SETTINGS,
    STEP_KELVIN,
    FurnaceMismatch,
    FurnacePlant,
    case_of,
)
from bench.report import Bar, Report, percentile
from edged.clock import SystemClock
from edged.supervise import start_task
from edged_control.identification.identify import identify
from edged_control.identification.recording import Recording
from edged_control.mpc.furnace_model import furnace_hash
from edged_control.mpc.linear import Fault, InputLimits
from edged_control.mpc.nonlinear import NonlinearMpc
from edged_control.process_model.linear import Port
from edged_control.solver.messages import InputRange, Question, Setup
from edged_control.solver.process import SolverProcess
from edged_control.solver.workbench import PROCESSOR_SHARE

TEST_KELVIN, TEST_HOURS, HOLD_PERIODS = 15.0, 60, 120
TICK_SECONDS = 0.005
LAG_BAR_MILLISECONDS = 5.0
RANGE = InputRange(low=INPUT.low, high=INPUT.high, rate_per_second=INPUT.rate_per_second)
SETUP = Setup(artefact="", settings=SETTINGS, limits=(RANGE,), period_seconds=PERIOD_SECONDS)


class FurnaceMpc:
    """The nonlinear MPC of the product, in this process."""

    def __init__(self) -> None:
        limits = InputLimits(INPUT.low, INPUT.high, INPUT.rate_per_second)
        self._mpc = NonlinearMpc(SETTINGS, limits, PERIOD_SECONDS, PROCESSOR_SHARE * SETUP.deadline_seconds)
        self._mpc.try_out()
        self.faults = 0

    def propose(self, set_points: Sequence[float], measured: Sequence[float], applied: Sequence[float]) -> list[float]:
        """The first move of the plan; what is applied already when there is none."""
        plan = self._mpc.update(set_points, measured, applied, PERIOD_SECONDS)
        if isinstance(plan, Fault):
            self.faults += 1
            return list(applied)
        return list(plan.inputs)

    def restart(self) -> FurnaceMpc:
        """Knows nothing of the plant before."""
        self._mpc.reset()
        return self


def known_path() -> Path:
    """What a step test of the nominal furnace tells of the way from crown to throat."""
    plant, rng = FurnacePlant(case_of(Path(1.0, 0.0, 1.0, 1.0)), FurnaceMismatch("nominal"), 17), random.Random(18)
    inputs, outputs = [], []
    for period in range(TEST_HOURS * 60):
        if period % HOLD_PERIODS == 0:
            plant.applied = [INPUT.start + TEST_KELVIN * rng.choice((-1.0, 0.0, 1.0))]
        inputs.append(plant.applied)
        outputs.append(plant.measured())
        plant.run()
    ports = (Port(INPUT.signal, INPUT.unit),), (Port(OUTPUT.signal, OUTPUT.unit),)
    found = identify(Recording(PERIOD_SECONDS, *ports, np.array(inputs), np.array(outputs)), "step test").artefact
    assert found is not None
    ((channel,),) = found.model.channels
    return Path(channel.gain, channel.dead_time_seconds, channel.lag_seconds, channel.second_lag_seconds)


def compare(seeds: Sequence[int]) -> Report:
    """Every furnace under every controller."""
    case, nonlinear = case_of(known_path()), FurnaceMpc()
    makers: dict[str, Callable[[], Controller]] = {
        "nonlinear": nonlinear.restart,
        "linear": partial(LinearMpc, case, (PLAIN,)),
        "pid": partial(SimcPid, case),
    }
    columns = (
        "furnace",
        "IAE ratio to PID",
        "linear MPC",
        "travel ratio",
        "linear MPC",
        "offset, noises",
        "linear MPC",
    )
    report, solves = Report("control-furnace", columns), list[float]()
    worst, first, travels, offset = dict.fromkeys(makers, 0.0), dict[str, float](), [0.0, 0.0], 0.0
    for mismatch in MISMATCHES:
        found = {name: _scored(case, mismatch, seeds, make, solves) for name, make in makers.items()}
        ratios = {name: one.error / found["pid"].error for name, one in found.items()}
        worst = {name: max(worst[name], ratio) for name, ratio in ratios.items()}
        first = first or ratios
        offset = max(offset, abs(found["nonlinear"].offset))
        travels = [travels[0] + found["nonlinear"].travel, travels[1] + found["pid"].travel]
        names = ("nonlinear", "linear")
        report.rows.append(
            (
                mismatch.name,
                *(ratios[name] for name in names),
                *(found[name].travel / found["pid"].travel for name in names),
                *(found[name].offset for name in names),
            )
        )
    missed = sum(seconds > SETUP.deadline_seconds for seconds in solves)
    report.figures = {
        "solve_p50_milliseconds": 1e3 * percentile(solves, 0.5),
        "solve_p99_milliseconds": 1e3 * percentile(solves, 0.99),
        "solves": len(solves),
        "missed_deadlines": missed,
        "linear_worst_ratio": worst["linear"],
        "path": f"{case.paths[0][0]}",
    }
    report.bars = [
        Bar("IAE, nominal", first["nonlinear"], 1.0),
        Bar("IAE, worst mismatch", worst["nonlinear"], 1.25),
        Bar("movement", travels[0] / travels[1], 0.75),
        Bar("offset, noise deviations", offset, 2.0),
        Bar("faults", nonlinear.faults, 0),
        Bar("missed deadlines", missed, 0),
    ]
    return report


async def loop_lag(seconds: float) -> tuple[list[float], int]:
    """How late an event loop comes back while it asks a solver's process without a rest; and answers without a plan."""
    solver, lags, unanswered = SolverProcess("furnace", SETUP, furnace_hash(SETTINGS.furnace), SystemClock()), [], 0

    async def watch() -> None:
        while True:
            due = time.perf_counter() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            lags.append(max(0.0, time.perf_counter() - due))

    tasks = [start_task("solver", solver.run())]
    while solver.pid is None:  # noqa: ASYNC110 - polled once, before anything is measured
        await asyncio.sleep(TICK_SECONDS)
    tasks.append(start_task("lag", watch()))
    rng, end, number = random.Random(1), time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        number += 1
        shown = OUTPUT.start + rng.gauss(0.0, OUTPUT.noise)
        question = Question(
            number=number,
            set_points=(OUTPUT.start + STEP_KELVIN,),
            outputs=(shown,),
            applied=(INPUT.start,),
            seconds=PERIOD_SECONDS * (number > 1),
            fresh=False,
        )
        answer = await solver.ask(question)
        unanswered += not answer.inputs
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return lags, unanswered


def main(arguments: Sequence[str]) -> int:
    """Runs the comparison; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench control-furnace", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="noise seeds per furnace (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of watching the event loop (default: %(default)s)")
    options = parser.parse_args(arguments)
    report = compare(range(1, options.seeds + 1))
    lags, unanswered = uvloop.run(loop_lag(options.seconds))
    lag = 1e3 * percentile(lags, 0.99)
    report.figures["loop_lag_p99_milliseconds"] = lag
    report.bars += [
        Bar("event loop lag p99 while it solves, ms", lag, LAG_BAR_MILLISECONDS),
        Bar("answers without a plan", unanswered, 0),
    ]
    return report.show()


def _scored(
    case: Case, mismatch: FurnaceMismatch, seeds: Sequence[int], make: Callable[[], Controller], solves: list[float]
) -> Score:
    """The sums over the seeds, judged by the true glass temperature."""
    scores = []
    for seed in seeds:
        controller = make()
        trace = run(case, mismatch, controller, seed, FurnacePlant)
        scores.append(score(case, trace, 0))
        if isinstance(controller, FurnaceMpc):
            solves += trace.solve_seconds
    return total(scores)

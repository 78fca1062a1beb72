"""How long the daemon thinks: from a sample to the command, with the solver in its process and every decision on disk.

A loop with a period of 0.1 s runs under MPC on a simulated ribbon that never rests, in this process, with the real
outbox, gate, ladder and solver's process. The latency is that from the moment in which the values of a cycle are there
to the moment in which the command leaves, the record on disk and the second look at the plant included.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.report import Bar, Report, percentile
from edged.bus import Bus
from edged.clock import SystemClock
from edged.controller_settings import ControllerSettings
from edged.metrics import Metrics
from edged.outbox import Outbox
from edged.settings import Condition, ControlSettings, LoopSettings, OutboxSettings
from edged.supervise import start_task
from edged.types import Command, Limits, Priority, Sample, Seal, Signal, ValueType
from edged_control.blueprint import Blueprint
from edged_control.executor import ControlExecutor
from edged_control.flight.file import FlightFile
from edged_control.flight.recorder import FlightRecorder
from edged_control.mpc.settings import proposed
from edged_control.process_model.linear import Artefact, Channel, Port, ProcessModel
from edged_control.solver.messages import Answer, InputRange, Question, Setup
from edged_control.solver.process import SolverProcess

LINE, LOOP = "bench", "ribbon"
BELT, THICKNESS, REMOTE = (f"{LINE}/forming/{name}" for name in ("belt", "thickness", "remote"))
PERIOD_SECONDS = 0.1
GAIN, DEAD_TIME_SECONDS, LAG_SECONDS = -0.027, 0.7, 0.15
NOISE_MM, SWING_MM, SWING_SECONDS = 0.002, 0.3, 4.0
"""The load swings faster than the ribbon can be held, so that there is something to write in every cycle."""
START_BELT, SET_POINT, RATE = 150.0, 4.0, 10.0
TICK_SECONDS = 0.005
WARM_UP_SECONDS = 3.0
LATENCY_BAR_SECONDS, LAG_BAR_SECONDS = 0.020, 0.005
SIGNALS = {
    signal.path: signal
    for signal in (
        Signal(THICKNESS, "mm", low=0.0, high=20.0),
        Signal(BELT, "m/min", low=0.0, high=300.0, writable=True),
        Signal(REMOTE, "1", ValueType.BOOL),
    )
}


@dataclass
class Measured:
    """What one run collects, in seconds."""

    latencies: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    solves: list[float] = field(default_factory=list)
    asks: list[float] = field(default_factory=list)
    unanswered: int = 0

    def clear(self) -> None:
        """The warm-up is over."""
        for numbers in (self.latencies, self.lags, self.solves, self.asks):
            numbers.clear()
        self.unanswered = 0


class Ribbon:
    """A plant that answers at once; implements `ports.Plant`."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._rng = random.Random(1)
        self._began = time.monotonic()
        self._belt = START_BELT
        self._moves: deque[tuple[float, float]] = deque([(-math.inf, START_BELT)])
        self._looked = 0.0

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        now = time.time_ns()
        samples = [Sample(signal, self._value(signal), now, now) for signal in signals]
        if time.perf_counter() - self._looked > PERIOD_SECONDS / 2.0:
            self._looked = time.perf_counter()  # the first look of a cycle is what it decides on
        return samples

    async def write(self, command: Command) -> None:
        self._measured.latencies.append(time.perf_counter() - self._looked)
        self._belt = command.value
        self._moves.append((time.monotonic() - self._began, command.value))

    def _value(self, signal: str) -> float | bool:
        if signal == BELT:
            return self._belt
        return self._thickness(time.monotonic() - self._began) if signal == THICKNESS else True

    def _thickness(self, now: float) -> float:
        """The belt as it was one dead time and lag ago, the load and some noise."""
        seen = now - DEAD_TIME_SECONDS - LAG_SECONDS
        while len(self._moves) > 1 and self._moves[1][0] <= seen:
            self._moves.popleft()
        load = SWING_MM * math.sin(math.tau * now / SWING_SECONDS)
        return SET_POINT + GAIN * (self._moves[0][1] - START_BELT) + load + self._rng.gauss(0.0, NOISE_MM)


class TimedSolver:
    """The real solver's process, with a stopwatch."""

    def __init__(self, process: SolverProcess, measured: Measured) -> None:
        self._process = process
        self._measured = measured

    async def run(self) -> None:
        await self._process.run()

    async def ask(self, question: Question) -> Answer:
        began = time.perf_counter()
        answer = await self._process.ask(question)
        self._measured.asks.append(time.perf_counter() - began)
        if answer.inputs:
            self._measured.solves.append(answer.solve_seconds)
        else:
            self._measured.unanswered += 1
        return answer

    def limit(self, limits: Sequence[InputRange]) -> None:
        self._process.limit(limits)


class NoAlarms:
    """Nobody listens."""

    def raise_alarm(self, name: str, source: str, priority: Priority, message: str) -> None:
        """Passes by."""

    def clear_alarm(self, name: str, source: str) -> None:
        """Passes by."""


async def measure(folder: Path, seconds: float, *, under_mpc: bool) -> tuple[Measured, int]:
    """One run; also how many periods were missed."""
    measured, clock, metrics = Measured(), SystemClock(), Metrics()
    outbox = await Outbox.open(folder / "outbox.db", OutboxSettings(), clock, metrics=metrics)
    artefact = _artefact()
    limits = [Limits(BELT, 50.0, 250.0, RATE, 200.0, "m/min")]
    loop = _loop(artefact, under_mpc=under_mpc)
    settings = ControlSettings(advisory=False, ceiling=folder / "ceiling", loops=(loop,))
    blueprint = Blueprint(LINE, "", settings, SIGNALS, limits, limits, {LOOP: artefact})
    flight = FlightFile(folder / "flight.db", settings.flight, blueprint, clock)
    executor = ControlExecutor(
        blueprint,
        plant=Ribbon(measured),
        road=Bus(outbox, clock, metrics),
        recorder_writable=lambda: outbox.writable,
        clock=clock,
        metrics=metrics,
        seal=Seal(),
        state_directory=folder,
        runtime_directory=folder,
        alarms=NoAlarms(),
        build_solver=lambda name, setup, model: TimedSolver(_process(name, setup, model), measured),
        flight=FlightRecorder(flight, clock),
    )
    tasks = [
        start_task("control", executor.run()),
        start_task("flight", flight.run()),
        start_task("lag", _watch_lag(measured)),
    ]
    await asyncio.sleep(WARM_UP_SECONDS)
    measured.clear()
    overruns = _overruns(metrics)
    await asyncio.sleep(seconds)
    overruns = _overruns(metrics) - overruns
    rung = executor.status()[0].controller
    assert rung == ("mpc" if under_mpc else "pid"), executor.status()[0]
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await flight.close()
    await outbox.close()
    return measured, round(overruns)


async def _watch_lag(measured: Measured) -> None:
    """How much later than asked for the event loop comes back."""
    while True:
        due = time.perf_counter() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        measured.lags.append(max(0.0, time.perf_counter() - due))


def _overruns(metrics: Metrics) -> float:
    rows = metrics.render().decode().splitlines()
    return next(float(row.split()[1]) for row in rows if row.startswith("edged_control_overruns_total "))


def _process(name: str, setup: Setup, model_hash: str) -> SolverProcess:
    return SolverProcess(name, setup, model_hash, SystemClock())


def _artefact() -> Artefact:
    model = ProcessModel(
        (Port(BELT, "m/min"),), (Port(THICKNESS, "mm"),), ((Channel(GAIN, DEAD_TIME_SECONDS, LAG_SECONDS),),)
    )
    return Artefact(model, PERIOD_SECONDS, (95.0,), (95.0,), (SWING_MM,), "bench", "")


def _loop(artefact: Artefact, *, under_mpc: bool) -> LoopSettings:
    settings = proposed(artefact.model, Path("bench.json"), [1.0], PERIOD_SECONDS)
    controller: ControllerSettings = settings if under_mpc else settings.fallback
    return LoopSettings(
        name=LOOP,
        process_value=THICKNESS.removeprefix(f"{LINE}/"),
        output=BELT.removeprefix(f"{LINE}/"),
        readback=BELT.removeprefix(f"{LINE}/"),
        set_point=SET_POINT,
        period_seconds=PERIOD_SECONDS,
        readback_tolerance=1e-6,
        good_cycles=3,
        permissives=(Condition(signal=REMOTE.removeprefix(f"{LINE}/")),),
        controller=controller,
    )


def run(seconds: float) -> Report:
    """Both controllers, one after the other."""
    columns = ("controller", "commands", "decision p50 ms", "p99 ms", "loop lag p99 ms", "solve p50 ms", "p99 ms")
    report = Report("control-latency", (*columns, "asked p99 ms", "no answer", "periods missed"))
    for name in ("pid", "mpc"):
        with tempfile.TemporaryDirectory(prefix="edged-latency-") as folder:
            found, missed = uvloop.run(measure(Path(folder), seconds, under_mpc=name == "mpc"))
        middle, worst = (percentile(found.latencies, share) for share in (0.5, 0.99))
        lag, asked = percentile(found.lags, 0.99), percentile(found.asks, 0.99)
        solves = [1e3 * percentile(found.solves, share) for share in (0.5, 0.99)]
        times = (1e3 * middle, 1e3 * worst, 1e3 * lag, *solves, 1e3 * asked)
        report.rows.append((name, len(found.latencies), *times, found.unanswered, missed))
    report.figures = {
        "decision_p50_milliseconds": 1e3 * middle,
        "decision_p99_milliseconds": 1e3 * worst,
        "loop_lag_p99_milliseconds": 1e3 * lag,
        "solve_p50_milliseconds": solves[0],
        "solve_p99_milliseconds": solves[1],
        "unanswered": found.unanswered,
        "missed_periods": missed,
        "load_average": os.getloadavg()[0],
    }
    report.bars = [
        Bar("decision latency p99, ms", 1e3 * worst, 1e3 * LATENCY_BAR_SECONDS),
        Bar("event loop lag p99 while the MPC solves, ms", 1e3 * lag, 1e3 * LAG_BAR_SECONDS),
        Bar("commands, share of the cycles", len(found.latencies) * PERIOD_SECONDS / seconds, 0.8, "at_least"),
    ]
    return report


def main(arguments: Sequence[str]) -> int:
    """Runs the measurement; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench control-latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each controller (default: %(default)s)")
    options = parser.parse_args(arguments)
    return run(options.seconds).show()

"""Loops, orders and wishes as tasks that get in each other's way: the replay keeps their order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edged.clock import SystemClock
from edged.controller_settings import PidSettings
from edged.metrics import Metrics
from edged.ports import Action, Order, Role
from edged.settings import Condition, ControlSettings, LoopSettings
from edged.supervise import start_task
from edged.types import Command, Event, Limits, Proposal, Quality, Sample, Seal, Signal, ValueType
from edged_control.blueprint import Blueprint
from edged_control.executor import ControlExecutor
from edged_control.flight.recorder import FlightRecorder
from edged_control.replay.report import Report
from edged_control.replay.run import replayed
from tests.unit.control.recorded_rig import FAR, MemoryShelf
from tests.unit.control.rig import FakeAlarms

LINE, NAMES, PERIOD_SECONDS, SECONDS = "line_a", ("belt", "fan"), 0.02, 1.0
SIGNALS = {
    signal.path: signal
    for name in NAMES
    for signal in (
        Signal(f"{LINE}/{name}/value", "mm", low=0.0, high=20.0),
        Signal(f"{LINE}/{name}/speed", "m/min", low=0.0, high=200.0, writable=True),
        Signal(f"{LINE}/{name}/remote", "1", ValueType.BOOL),
    )
}
LIMITS = [Limits(f"{LINE}/{name}/speed", 50.0, 190.0, 2.0, 20.0, "m/min") for name in NAMES]


class SlowPlant:
    """Answers after a while that is never the same; somebody turns a knob once in a while."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._clock = SystemClock()
        self.speeds = {f"{LINE}/{name}/speed": 150.0 for name in NAMES}

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        await self._wait()
        return [self._sample(signal) for signal in signals]

    async def write(self, command: Command) -> None:
        await self._wait()
        self.speeds[command.signal] = command.value

    async def _wait(self) -> None:
        await asyncio.sleep(self._random.choice((0.0, 0.0, 0.001, 0.004)))

    def _sample(self, signal: str) -> Sample:
        now = self._clock.now()
        if signal.endswith("remote"):
            return Sample(signal, True, now, now)
        if signal in self.speeds:
            return Sample(signal, self.speeds[signal], now, now)
        return Sample(signal, self._random.gauss(4.05, 0.05), now, now, Quality.GOOD)


class SlowRoad:
    """Commits after a while that is never the same."""

    def __init__(self, random: Random) -> None:
        self._random = random

    async def publish(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> None:
        raise AssertionError("control publishes no samples")

    async def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> None:
        await asyncio.sleep(self._random.choice((0.0, 0.001, 0.003)))

    def last_seen(self, source: str) -> int | None:
        return None

    def marks(self, source: str) -> Sequence[bytes]:
        return ()


def loop(name: str) -> LoopSettings:
    """A quick loop."""
    return LoopSettings(
        name=name,
        process_value=f"{name}/value",
        output=f"{name}/speed",
        readback=f"{name}/speed",
        set_point=4.0,
        period_seconds=PERIOD_SECONDS,
        readback_tolerance=1e-6,
        good_cycles=2,
        permissives=(Condition(signal=f"{name}/remote"),),
        controller=PidSettings(gain=-6.0, integral_seconds=3.0, filter_seconds=0.1),
    )


async def people(control: ControlExecutor, plant: SlowPlant, random: Random) -> None:
    """Orders and wishes at any moment, and a knob that is turned."""

    async def act(action: Action, name: str, value: Any) -> None:
        await control.desk.act(Order(action, name, value, "", "anna", Role.ENGINEER))

    while True:
        await asyncio.sleep(random.uniform(0.0, 0.02))
        name = random.choice(NAMES)
        signal = f"{LINE}/{name}/speed"
        match random.randrange(7):
            case 0:
                await act(Action.MODE, name, "MAN")
            case 1 | 2:
                await act(Action.MODE, name, "AUTO")
            case 3:
                await act(Action.SET_POINT, name, random.uniform(3.9, 4.1))
            case 4:
                await act(Action.OUTPUT, name, random.uniform(140.0, 160.0))
            case 5:
                expires = SystemClock().monotonic() + 1.0
                await control.submit(Proposal("hub", signal, random.uniform(100.0, 180.0), 100, expires))
            case 6:
                plant.speeds[signal] += random.choice((-3.0, 3.0))


@pytest.mark.parametrize("seed", range(3))
async def test_tasks_in_each_others_way_replay(tmp_path: Path, seed: int) -> None:
    random, shelf, clock = Random(seed), MemoryShelf(), SystemClock()
    settings = ControlSettings(advisory=False, ceiling=Path("ceiling.yaml"), loops=tuple(map(loop, NAMES)))
    plant = SlowPlant(random)
    plan = Blueprint(LINE, "", settings, SIGNALS, LIMITS, LIMITS, {})
    control = ControlExecutor(
        plan,
        plant=plant,
        road=SlowRoad(random),
        recorder_writable=lambda: True,
        clock=clock,
        metrics=Metrics(),
        seal=Seal(),
        state_directory=tmp_path,
        runtime_directory=tmp_path,
        alarms=FakeAlarms(),
        flight=FlightRecorder(shelf, clock),
    )
    tasks = [start_task("control", control.run())]
    tasks += [start_task(f"person {number}", people(control, plant, Random(seed + number))) for number in range(3)]
    await asyncio.sleep(SECONDS)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    report = Report()
    await replayed(plan, shelf.items(), _no_solver, 0, FAR, solve=False, report=report)
    assert report.differences == []
    assert report.cycles > 0
    assert report.orders > 0
    assert report.decisions > 0


def _no_solver(*_: Any) -> Any:
    raise AssertionError("no solver is needed")

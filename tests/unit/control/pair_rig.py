"""Two ribbons whose loops share one MPC: the belt of the first also moves the thickness of the second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edged.clock import VirtualClock
from edged.controller_settings import SharedMpcSettings
from edged.metrics import Metrics
from edged.settings import ControlSettings, LoopSettings
from edged.types import Command, Sample, Seal
from edged_control.blueprint import Blueprint
from edged_control.executor import ControlExecutor, LoopStatus
from edged_control.flight.boundary import Flight
from edged_control.gate import Mode
from edged_control.mpc.settings import proposed
from edged_control.process_model.linear import Artefact, Channel, Port, ProcessModel
from tests.unit.control.inline_solver import GAIN, START_SPEED, InlineSolver, solver_factory
from tests.unit.control.rig import BELT_LIMITS, LOOP, PERIOD_SECONDS, SIGNALS, FakeAlarms, FakeRoad
from tests.unit.control.simulated_plc import (
    BELT,
    DELAY_SECONDS,
    LAG_SECONDS,
    LINE,
    NOMINAL_PRODUCT,
    THICKNESS,
    Interruption,
    PlcClient,
    SimulatedPlc,
)

FIRST, SECOND = "thickness", "second"
NAMES = (FIRST, SECOND)
COUPLING = 0.4
"""By how much of its own relative move the first belt changes the flow of the second ribbon."""


def of_second(signal: str) -> str:
    """The signal of the second ribbon."""
    return signal.replace("forming/", "second/")


def pair_artefact(residual: float = 0.01) -> Artefact:
    """What an identification of both ribbons together finds."""
    own, none = Channel(GAIN, DELAY_SECONDS, LAG_SECONDS), Channel(0.0)
    crossed = Channel(COUPLING * NOMINAL_PRODUCT / START_SPEED**2, DELAY_SECONDS, LAG_SECONDS)
    model = ProcessModel(
        (Port(BELT, "m/min"), Port(of_second(BELT), "m/min")),
        (Port(THICKNESS, "mm"), Port(of_second(THICKNESS), "mm")),
        ((own, none), (crossed, own)),
    )
    return Artefact(model, 1.0, (95.0, 95.0), (93.0, 93.0), (residual, residual), "step test", "0" * 64)


def pair_loops(found: Artefact, loop: LoopSettings = LOOP) -> tuple[LoopSettings, LoopSettings]:
    """The loop that describes the MPC, and the one that has its part in it."""
    assert loop.heartbeat is not None
    settings = proposed(found.model, Path("pair.json"), [1.0, 1.0], 1.0).model_copy(
        update={"fallback": LOOP.controller}
    )
    first = loop.model_copy(update={"controller": settings})
    conditions = tuple(entry.model_copy(update={"signal": of_second(entry.signal)}) for entry in loop.permissives)
    assert loop.running is not None
    changes = {field: of_second(getattr(loop, field)) for field in ("process_value", "output", "readback", "heartbeat")}
    second = loop.model_copy(
        update={
            **changes,
            "name": SECOND,
            "permissives": conditions,
            "running": loop.running.model_copy(update={"signal": of_second(loop.running.signal)}),
            "controller": SharedMpcSettings(loop=FIRST, fallback=LOOP.controller),
        }
    )
    return first, second


class PairClock(VirtualClock):
    """Whoever sleeps moves the time, and with it both plants."""

    rig: PairRig

    async def sleep(self, seconds: float) -> None:
        self.rig.advance(max(seconds, 0.0))


class SharedTime(VirtualClock):
    """The time of another clock, which alone moves it."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def now(self) -> int:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def tick(self, seconds: float) -> None:
        """Time is moved once for both."""


class PairClient:
    """One daemon's way to both PLCs: implements `ports.Plant`. A read of a name in `stuck` waits for its event."""

    def __init__(self, first: PlcClient, second: PlcClient) -> None:
        self._first, self._second = first, second
        self.stuck: dict[str, asyncio.Event] = {}

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        for signal in signals:
            if signal in self.stuck:
                await self.stuck[signal].wait()
        ours = [signal for signal in signals if "/second/" not in signal]
        theirs = [signal.replace("/second/", "/forming/") for signal in signals if "/second/" in signal]
        found = list(await self._first.poll(ours)) if ours else []
        others = await self._second.poll(theirs) if theirs else []
        return [*found, *(sample._replace(signal=of_second(sample.signal)) for sample in others)]

    async def write(self, command: Command) -> None:
        if "/second/" in command.signal:
            await self._second.write(replace(command, signal=command.signal.replace("/second/", "/forming/")))
        else:
            await self._first.write(command)


class PairRig:
    """Both plants and the daemons that come and go at them."""

    def __init__(
        self,
        folder: Path,
        loop: LoopSettings = LOOP,
        threshold: float = BELT_LIMITS.approval_threshold,
        flight: Callable[[VirtualClock], Flight] | None = None,
    ) -> None:
        self._folder = folder
        self._flight = flight
        self.artefact = pair_artefact()
        self.loops = pair_loops(self.artefact, loop)
        self.clock = PairClock()
        self.clock.rig = self
        self.seal = Seal()
        self.first = SimulatedPlc(self.clock, self.seal)
        self.second = SimulatedPlc(SharedTime(self.clock), self.seal)
        self.interruption = Interruption()
        self.road = FakeRoad(self.clock, self.interruption)
        self.alarms = FakeAlarms()
        self.solvers: list[InlineSolver] = []
        own = replace(BELT_LIMITS, approval_threshold=threshold)
        self._limits = (own, replace(own, signal=of_second(BELT)))
        self._born = 0
        self.product = NOMINAL_PRODUCT
        self.control = self.build()

    @property
    def solver(self) -> InlineSolver:
        """That of the daemon that lives."""
        return self.solvers[-1]

    def build(self) -> ControlExecutor:
        """A new daemon's control, under a name of its own in the PLCs' journals."""
        self._born += 1
        name = f"daemon {self._born}"
        self.client = PairClient(*(PlcClient(plc, name, self.interruption) for plc in (self.first, self.second)))
        return ControlExecutor(
            self.blueprint(),
            plant=self.client,
            road=self.road,
            recorder_writable=lambda: not self.road.full,
            clock=self.clock,
            metrics=Metrics(),
            seal=self.seal,
            state_directory=self._folder,
            runtime_directory=self._folder / "runtime",
            alarms=self.alarms,
            build_solver=solver_factory(self.solvers),
            flight=self._flight(self.clock) if self._flight else None,
        )

    def blueprint(self) -> Blueprint:
        """What control is built from."""
        signals = dict(SIGNALS)
        signals |= {of_second(path): replace(one, path=of_second(path)) for path, one in SIGNALS.items()}
        settings = ControlSettings(advisory=False, ceiling=Path("ceiling.yaml"), loops=self.loops)
        limits = list(self._limits)
        return Blueprint(LINE, "0123456789abcdef", settings, signals, limits, limits, {FIRST: self.artefact})

    def restart(self) -> None:
        """The daemon ends, and a new one comes up."""
        self.control.close()
        self.alarms.standing.clear()
        self.control = self.build()

    async def step(self, cycles: int = 1, names: Sequence[str] = NAMES) -> None:
        """So many periods, in each of which these loops run a cycle beside each other."""
        for _ in range(cycles):
            due = self.clock.monotonic() + PERIOD_SECONDS
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self.control.step(name))
            self.advance(max(due - self.clock.monotonic(), 0.0) or PERIOD_SECONDS)

    def advance(self, seconds: float) -> None:
        """Moves time and both ribbons on."""
        self.second.product = self.product * (1.0 + COUPLING * (self.first.belt / START_SPEED - 1.0))
        self.second.advance(seconds)
        self.first.advance(seconds)

    def status(self, name: str) -> LoopStatus:
        """The status of one loop."""
        return next(status for status in self.control.status() if status.name == name)

    def controllers(self) -> tuple[str, ...]:
        """Who moves each belt."""
        return tuple(self.status(name).controller for name in NAMES)

    def request(self, name: str, target: Mode) -> None:
        """A person asks for a mode."""
        assert self.control.request_mode(name, target, "anna") is None

    def plc(self, name: str) -> SimulatedPlc:
        """The PLC of a loop."""
        return self.first if name == FIRST else self.second

    def own_writes(self, name: str) -> list[float]:
        """Every value that a daemon sent to that belt."""
        return [write.value for write in self.plc(name).writes if write.by.startswith("daemon")]

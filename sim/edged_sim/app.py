"""Composition of `edged-sim run`: plant, sensors, faults and faces, tick by tick."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson

from edged.clock import Clock, SystemClock
from edged.log import get_logger
from edged.types import NANOSECONDS_PER_MILLISECOND, Value
from edged_sim.faces import FaceChild
from edged_sim.inspection import Unit
from edged_sim.link import LocalSet, Refusal, Security, Setup, Tick, UnitLine
from edged_sim.plant import Plant
from edged_sim.ports import claim_port
from edged_sim.scenario import LateAnswers, LocalChange, ModbusException, Scenario, ServerDeath
from edged_sim.schedule import Due, Sensors, forces_at
from edged_sim.tags import Face, tags_of

MILLISECONDS_PER_SECOND = 1000.0
PROGRESS_SECONDS = 1.0

log = get_logger("sim")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where a run serves and writes; port 0 means any free one, except for the broker's."""

    journal: Path
    opcua_port: int = 0
    modbus_port: int = 0
    mqtt_port: int = 1883
    mqtt_protocol: Literal["5", "3.1.1"] = "5"
    security: Security = field(default_factory=Security)
    restart_seconds: float = 10.0
    ready_file: Path | None = None
    verbose: bool = False


async def run(scenario: Scenario, options: RunOptions) -> None:
    """Runs the line until SIGINT, SIGTERM or the scenario's duration."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.ready_file is not None:
        options.ready_file.unlink(missing_ok=True)
    options.journal.mkdir(parents=True, exist_ok=True)
    simulation = Simulation(scenario, options, SystemClock())
    try:
        async with asyncio.TaskGroup() as group:
            children = [group.create_task(child.run(), name=f"face.{face}") for face, child in simulation.faces.items()]
            pace = group.create_task(simulation.run(stop), name="sim.pace")
            ended = group.create_task(stop.wait(), name="sim.stop")
            await asyncio.wait({pace, ended}, return_when=asyncio.FIRST_COMPLETED)
            for task in (pace, ended, *children):
                task.cancel()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        if options.ready_file is not None:
            options.ready_file.unlink(missing_ok=True)


class Simulation:
    """The plant and its faces on one clock. Ticks count from the moment when every face first answered."""

    def __init__(self, scenario: Scenario, options: RunOptions, clock: Clock) -> None:
        self._scenario = scenario
        self._options = options
        self._clock = clock
        prefix = f"{clock.now() // NANOSECONDS_PER_MILLISECOND:x}-"
        self._plant = Plant(scenario.seed, prefix, scenario.glass_flow)
        self._sensors = Sensors(scenario.seed, scenario.faults)
        self._due = Due(scenario.faults)
        self._stalled: list[tuple[float, FaceChild]] = []
        self._started_at = 0
        self._stamp = 0
        self._now = 0.0
        self._running = False
        self.faces = {
            Face.OPCUA: self._child(Face.OPCUA, claim_port(options.opcua_port)),
            Face.MODBUS: self._child(Face.MODBUS, claim_port(options.modbus_port)),
            Face.MQTT: self._child(Face.MQTT, options.mqtt_port),
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Ticks at the scenario's pace; a late tick is made up for without a burst."""
        period = self._scenario.sample_milliseconds / MILLISECONDS_PER_SECOND
        origin = self._clock.monotonic()
        due = origin
        progress = 0.0
        while not stop.is_set() and not self._over():
            periods = 1 + int((self._clock.monotonic() - due) / period)
            self._offer([unit for _ in range(periods) for unit in self._advance(period)])
            due += period * periods
            if self._options.verbose and self._now >= progress:
                progress = self._now + PROGRESS_SECONDS
                self._print_progress()
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))

    def _child(self, face: Face, port: int) -> FaceChild:
        options = self._options
        setup = Setup(face, port, str(options.journal.resolve()), options.mqtt_protocol, options.security)
        return FaceChild(setup, self._clock, options.restart_seconds, self._plant.write, self._face_ready)

    def _advance(self, period: float) -> list[Unit]:
        """One period of the plant. Until every face answers the plant stands still and only its state is offered."""
        if not self._running:
            return []
        self._now += period
        self._happen()
        self._plant.forces.active = forces_at(self._scenario.faults, self._now)
        return self._plant.advance(period * self._scenario.speed)

    def _happen(self) -> None:
        """Faults that concern a process or the panel."""
        for until, child in self._stalled[:]:
            if self._now >= until:
                child.resume()
                self._stalled.remove((until, child))
        for fault in self._due.take(self._now):
            log.info("fault", kind=fault.kind, at_seconds=fault.at_seconds)
            if isinstance(fault, LocalChange):
                self._plant.write(fault.signal, fault.value)
                for child in self.faces.values():
                    child.local_set(LocalSet(fault.signal, fault.value))
            elif isinstance(fault, ServerDeath):
                self.faces[fault.face].kill(fault.seconds)
            else:
                self.faces[fault.face].stall()
                self._stalled.append((self._now + fault.seconds, self.faces[fault.face]))

    def _offer(self, units: list[Unit]) -> None:
        self._stamp = max(self._clock.now() // NANOSECONDS_PER_MILLISECOND, self._stamp + 1)
        readings = self._sensors.read(self._plant.readings(), self._now)
        for face, child in self.faces.items():
            child.feed(self._tick(face, readings, units))

    def _tick(self, face: Face, readings: Mapping[str, Value | None], units: list[Unit]) -> Tick:
        values = [readings.get(tag.path, 0) for tag in tags_of(face)]
        if face is Face.MQTT:
            return Tick(self._stamp, values, [UnitLine(*unit) for unit in units])
        if face is Face.OPCUA:
            return Tick(self._stamp, values)
        acting = [
            fault
            for fault in self._scenario.faults
            if isinstance(fault, ModbusException | LateAnswers) and fault.active(self._now)
        ]
        refusals = [Refusal(f.table, f.first, f.last, f.code) for f in acting if isinstance(f, ModbusException)]
        delay = max((fault.delay_milliseconds for fault in acting if isinstance(fault, LateAnswers)), default=0.0)
        return Tick(self._stamp, values, refusals=refusals, delay_seconds=delay / MILLISECONDS_PER_SECOND)

    def _over(self) -> bool:
        duration = self._scenario.duration_seconds
        return duration is not None and self._now >= duration

    def _face_ready(self) -> None:
        if not all(child.ready for child in self.faces.values()):
            return
        if not self._running:
            self._running = True
            self._started_at = self._clock.now()
        self._write_ready_file()

    def _write_ready_file(self) -> None:
        """Replaced in one step, so that a reader never sees half of it."""
        if self._options.ready_file is None:
            return
        document = {
            "started_at": self._started_at,
            "pid": os.getpid(),
            "ports": {face.value: child.setup.port for face, child in self.faces.items()},
            "faces": {face.value: child.pid for face, child in self.faces.items()},
        }
        partial = self._options.ready_file.with_suffix(".partial")
        partial.write_bytes(orjson.dumps(document))
        partial.replace(self._options.ready_file)

    def _print_progress(self) -> None:
        shaping, inspection = self._plant.shaping, self._plant.inspection
        missed = {face.value: child.missed_ticks for face, child in self.faces.items() if child.missed_ticks}
        print(
            f"{self._now:8.1f} s  thickness {shaping.thickness:5.3f} mm  belt {shaping.belt_speed:6.2f} m/min  "
            f"furnace {self._plant.melting.temperature:7.1f} degC  units {inspection.units_total}  "
            f"defects {inspection.defects_total}" + (f"  missed {missed}" if missed else ""),
            file=sys.stderr,
        )

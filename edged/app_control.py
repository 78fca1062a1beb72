"""Control as a part of the daemon: the loops, what records them, what judges them, and the pages of their operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edged.alarms import Alarms
from edged.bus import Bus
from edged.ceiling import trust
from edged.clock import Clock
from edged.config import LineConfig
from edged.control_pages import ControlPages
from edged.faults import Faults
from edged.metrics import Metrics
from edged.operators import Operators
from edged.supervise import Supervisor
from edged.types import Sample, Seal
from edged_connectors.south.plant import PlantRouter
from edged_connectors.south.runner import SourceRunner
from edged_control.blueprint import Blueprint, blueprint_of
from edged_control.executor import ControlExecutor
from edged_control.flight.file import FlightFile, flight_path
from edged_control.flight.recorder import FlightRecorder
from edged_control.kpi.service import LoopKpis
from edged_control.solver.process import SolverProcess

OPERATORS_FILE = "operators.json"
"""In the data directory, where the configuration names no other place."""


@dataclass(frozen=True, slots=True)
class Around:
    """What control needs of the daemon around it. `runtime_directory` is the same for all daemons of the box."""

    runners: Mapping[str, SourceRunner]
    road: Bus
    alarms: Alarms
    latest: Callable[[str], Sample | None]
    writable: Callable[[], bool]
    clock: Clock
    metrics: Metrics
    seal: Seal
    runtime_directory: Path


@dataclass(frozen=True, slots=True)
class LineControl:
    """The parts of control that run; what the configuration leaves out is None."""

    executor: ControlExecutor
    flight: FlightFile | None
    kpis: LoopKpis | None

    def start(self, services: Supervisor) -> None:
        """Starts them; the daemon is not healthy without its loops."""
        services.start("control", self.executor.run, essential=True)
        if self.flight:
            services.start("flight", self.flight.run)
        if self.kpis:
            services.start("loop_kpis", self.kpis.run)

    async def stop(self, services: Supervisor, grace_seconds: float) -> None:
        """Outputs stay where they are. The recorder runs on until it is closed, so that it has the last cycle too."""
        await services.stop("control", grace_seconds)
        if self.kpis:
            await services.stop("loop_kpis", grace_seconds)

    async def close(self) -> None:
        """Writes what was recorded last."""
        if self.flight:
            await self.flight.close()


def build_control(config: LineConfig, around: Around) -> LineControl | None:
    """None for a line without control. Raises ConfigError for limits, models or a ceiling that will not do."""
    settings = config.settings.control
    if settings is None:
        return None
    if not settings.advisory:
        _require_a_ceiling_of_root(config, settings.ceiling)
    blueprint = blueprint_of(config)
    flight = _build_flight(config, blueprint, around.clock)
    routes = {
        binding.signal.path: around.runners[source.name] for source in config.sources for binding in source.bindings
    }
    executor = ControlExecutor(
        blueprint,
        plant=PlantRouter(routes),
        road=around.road,
        recorder_writable=around.writable,
        clock=around.clock,
        metrics=around.metrics,
        seal=around.seal,
        state_directory=config.settings.data_directory,
        runtime_directory=around.runtime_directory,
        alarms=around.alarms,
        engineering_keys=settings.engineering_keys,
        latest=around.latest,
        build_solver=lambda name, setup, model_hash: SolverProcess(name, setup, model_hash, around.clock),
        flight=FlightRecorder(flight, around.clock) if flight else None,
    )
    return LineControl(executor, flight, _build_kpis(config, executor, around))


def control_pages(config: LineConfig, control: LineControl, status: Callable[[], object]) -> ControlPages:
    """What operators can ask of control; without a file of operators every call is answered with 403."""
    settings = config.settings.control
    assert settings is not None
    place = settings.operators or config.settings.data_directory / OPERATORS_FILE
    return ControlPages(Operators(place), control.executor.desk, status)


def _build_flight(config: LineConfig, blueprint: Blueprint, clock: Clock) -> FlightFile | None:
    """The recorder of everything that comes into control; what there are no loops for needs none."""
    settings = blueprint.settings
    if not (settings.flight.enabled and settings.loops):
        return None
    path = flight_path(config.settings.data_directory, blueprint.line)
    return FlightFile(path, settings.flight, blueprint, clock)


def _build_kpis(config: LineConfig, executor: ControlExecutor, around: Around) -> LoopKpis | None:
    settings = config.settings.control
    if settings is None or settings.kpis is None:
        return None
    return LoopKpis(
        settings.kpis,
        settings.loops,
        line=config.settings.line,
        limits=executor.limits,
        status=executor.status,
        road=around.road,
        clock=around.clock,
    )


def _require_a_ceiling_of_root(config: LineConfig, ceiling: Path) -> None:
    """Nothing is written by limits that whoever takes over this process could widen. Raises ConfigError."""
    fault = trust(ceiling).fault
    if fault:
        faults = Faults()
        faults.add(config.control, ("control", "ceiling"), fault)
        raise faults.error()

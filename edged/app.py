"""The composition root of the daemon: the only place that knows every concrete class."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop
from aiohttp import web

from edged import __version__, garbage, systemd
from edged.alarms import Alarms
from edged.app_control import Around, LineControl, build_control, control_pages
from edged.bus import Bus
from edged.clock import Clock, SystemClock
from edged.config import LineConfig, SourceConfig
from edged.errors import EdgedError
from edged.http import StatusServer
from edged.log import get_logger
from edged.metrics import Metrics
from edged.outbox import Outbox, OutboxStatus
from edged.ports import ProposalDesk
from edged.registry import SourceSetup
from edged.supervise import ServiceStatus, Supervisor
from edged.tags import Tags
from edged.types import Alarm, Lane, Priority, Sample, Seal
from edged_cloud_sync.commands import HubCommands
from edged_cloud_sync.uplink import Uplink, UplinkStatus
from edged_connectors.north.host import hold_seconds
from edged_connectors.north.node import NodeStatus, SparkplugNode
from edged_connectors.south.runner import SourceRunner
from edged_connectors.south.status import SourceStatus
from edged_control.executor import LoopStatus
from edged_control.kpi.service import LoopKpiStatus
from edged_control.limits.live import LimitsStatus
from edged_inference.slot import ModelSlot, SlotStatus

STOP_GRACE_SECONDS = 5.0
FLUSH_SECONDS = 3.0
WATCH_SECONDS = 1.0
SINK_PATIENCE_SECONDS = 10.0
LOCK_FILE = "lock"
HUB_SINK = "hub"
SPARKPLUG_SINK = "sparkplug"

log = get_logger("app")


class AlreadyRunning(EdgedError):
    """Another edged uses this data directory: stop it, or give this line a directory of its own."""


class NoDataDirectory(EdgedError):
    """The data directory cannot be used: name one in the configuration that edged may write to."""


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """What /status shows."""

    version: str
    site: str
    line: str
    config_hash: str
    advisory: bool
    started: int
    now: int
    samples: int
    sources: tuple[SourceStatus, ...]
    outbox: OutboxStatus
    hub: UplinkStatus | None
    sparkplug: NodeStatus | None
    models: tuple[SlotStatus, ...]
    loops: tuple[LoopStatus, ...]
    limits: tuple[LimitsStatus, ...]
    loop_kpis: tuple[LoopKpiStatus, ...]
    alarms: tuple[Alarm, ...]
    services: tuple[ServiceStatus, ...]
    warnings: tuple[str, ...]


class Daemon:
    """One line's daemon: built from its configuration, run until told to stop."""

    def __init__(self, config: LineConfig, outbox: Outbox, clock: Clock, metrics: Metrics) -> None:
        self._config = config
        self._settings = config.settings
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._seal = Seal()
        self._started = clock.now()
        self._samples = 0
        self._away: dict[str, float] = {}
        self._received = metrics.counter("edged_samples_received_total", "Samples that connectors returned")
        self._tags = Tags()
        self._bus = Bus(outbox, clock, metrics)
        self._alarms = Alarms(self._settings.alarms, config.full, clock, self._bus.record)
        self._bus.subscribe(self._tags.update)
        self._bus.subscribe(self._alarms.update)
        self._bus.subscribe(self._count)
        self._supervisor = Supervisor(clock)
        self._runners = {source.name: self._build_runner(source) for source in config.sources}
        self._models = self._build_models()
        self._control = self._build_control()
        self._uplink = self._build_uplink()
        self._node = self._build_node()
        self._pages = StatusServer(
            self._settings.http,
            metrics=metrics.render,
            healthy=self._supervisor.healthy,
            ready=self._ready,
            status=self.status,
            own_guard=self._control_routes(),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Starts outbox, sinks, then sources; on `stop` winds down: intake, outputs to hold, flush, grace, cancel."""
        try:
            async with self._supervisor as services:
                self._start(services)
                systemd.notify(f"READY=1\nSTATUS={self._summary()}")
                log.info("running", line=self._settings.line, sources=len(self._runners), config=self._config.hash)
                await stop.wait()
                systemd.notify("STOPPING=1")
                log.info("stopping")
                await self._wind_down(services)
        finally:
            if self._control:
                await self._control.close()
            await self._outbox.close()
            log.info("stopped")

    def status(self) -> DaemonStatus:
        """A snapshot for /status."""
        control = self._control
        return DaemonStatus(
            version=__version__,
            site=self._settings.site,
            line=self._settings.line,
            config_hash=self._config.hash,
            advisory=self._settings.control.advisory if self._settings.control else True,
            started=self._started,
            now=self._clock.now(),
            samples=self._samples,
            sources=tuple(runner.status() for runner in self._runners.values()),
            outbox=self._outbox.status(),
            hub=self._uplink.status() if self._uplink else None,
            sparkplug=self._node.status() if self._node else None,
            models=tuple(slot.status() for slot in self._models),
            loops=control.executor.status() if control else (),
            limits=control.executor.limits() if control else (),
            loop_kpis=control.kpis.status() if control and control.kpis else (),
            alarms=tuple(self._alarms.active()),
            services=self._supervisor.status(),
            warnings=self._config.warnings,
        )

    def _start(self, services: Supervisor) -> None:
        services.start("watchdog", lambda: systemd.feed_watchdog(self._clock, services.healthy, self._summary))
        services.start("status_pages", self._pages.run)
        services.start("alarms", self._alarms.run)
        services.start("health", self._watch_health)
        if self._uplink:
            services.start("hub", self._uplink.run)
            services.start("hub_commands", self._uplink.commands.submit)
        if self._node:
            services.start("sparkplug", self._node.run)
        for name, runner in self._runners.items():
            services.start(f"source:{name}", runner.run, essential=True)
        for slot in self._models:
            services.start(f"model:{slot.name}", slot.run)
        if self._control:
            self._control.start(services)

    async def _wind_down(self, services: Supervisor) -> None:
        if self._uplink:
            await services.stop("hub_commands", STOP_GRACE_SECONDS)
        if self._control:
            await self._control.stop(services, STOP_GRACE_SECONDS)
        for slot in self._models:
            await services.stop(f"model:{slot.name}", STOP_GRACE_SECONDS)
        await asyncio.gather(*(services.stop(f"source:{name}", STOP_GRACE_SECONDS) for name in self._runners))
        await self._outbox.flush()
        deadline = self._clock.monotonic() + FLUSH_SECONDS
        while self._clock.monotonic() < deadline and self._backlog():
            await self._clock.sleep(0.05)
        if self._node:
            await services.stop("sparkplug", STOP_GRACE_SECONDS)
        if self._uplink:
            await services.stop("hub", STOP_GRACE_SECONDS)

    async def _watch_health(self) -> None:
        """Raises an alarm while a part of the daemon itself cannot do its work; all of them heal by themselves."""
        while True:
            degraded = self._outbox.status().degraded
            self._raise_while(bool(degraded), "outbox_degraded", Priority.CRITICAL, degraded)
            self._raise_while(bool(self._pages.fault), "status_pages_closed", Priority.LOW, self._pages.fault)
            flight = self._control.flight.fault if self._control and self._control.flight else ""
            self._raise_while(bool(flight), "flight_not_kept", Priority.LOW, flight)
            if self._uplink:
                hub = self._uplink.status()
                self._raise_while(hub.refused_identity, "hub_refuses_identity", Priority.HIGH, hub.last_error)
                self._raise_when_long(not hub.connected, "hub_offline", hub.last_error)
            if self._node:
                node = self._node.status()
                self._raise_when_long(not node.online, "sparkplug_offline", f"not born at {node.broker}")
            await self._clock.sleep(WATCH_SECONDS)

    def _raise_when_long(self, away: bool, name: str, message: str) -> None:
        """A sink that is away for a moment is no news: the outbox holds what it will get."""
        now = self._clock.monotonic()
        since = self._away.setdefault(name, now) if away else self._away.pop(name, now)
        self._raise_while(away and now - since >= SINK_PATIENCE_SECONDS, name, Priority.MEDIUM, message)

    def _raise_while(self, condition: bool, name: str, priority: Priority, message: str) -> None:
        if condition:
            self._alarms.raise_alarm(name, self._settings.line, priority, message)
        else:
            self._alarms.clear_alarm(name, self._settings.line)

    def _backlog(self) -> bool:
        """Whether a sink that is online still has something to send."""
        hub = self._uplink is not None and self._uplink.status().connected and self._depth(HUB_SINK)
        sparkplug = self._node is not None and self._node.status().online and self._depth(SPARKPLUG_SINK)
        return bool(hub or sparkplug)

    def _depth(self, name: str) -> int:
        sink = self._outbox.sink(name)
        return sum(sink.depth(lane) for lane in Lane) if name == HUB_SINK else sink.depth(Lane.PROCESS)

    def _count(self, samples: Sequence[Sample]) -> None:
        self._samples += len(samples)
        self._received.inc(len(samples))

    def _ready(self) -> bool:
        return self._outbox.writable and any(runner.online for runner in self._runners.values())

    def _summary(self) -> str:
        online = sum(runner.online for runner in self._runners.values())
        return f"{online}/{len(self._runners)} sources online, {self._samples} samples"

    def _build_runner(self, source: SourceConfig) -> SourceRunner:
        setup = SourceSetup(
            name=source.name,
            options=source.options,
            bindings=source.bindings,
            clock=self._clock,
            seal=self._seal,
            state_directory=self._settings.data_directory,
        )
        return SourceRunner(
            name=source.name,
            signals=[binding.signal for binding in source.bindings],
            build=lambda: source.kind.build(setup),
            road=self._bus,
            clock=self._clock,
            metrics=self._metrics,
            silence_seconds=source.silence_seconds,
            skew_limit_seconds=self._settings.skew_limit_seconds,
            alarms=self._alarms,
        )

    def _build_models(self) -> tuple[ModelSlot, ...]:
        return tuple(
            ModelSlot(
                settings,
                output=self._config.full(settings.output),
                signals=self._config.signals,
                line=self._settings.line,
                road=self._bus,
                subscribe=self._bus.subscribe,
                clock=self._clock,
                metrics=self._metrics,
            )
            for settings in self._settings.models
        )

    def _build_control(self) -> LineControl | None:
        around = Around(
            runners=self._runners,
            road=self._bus,
            alarms=self._alarms,
            latest=self._tags.get,
            writable=lambda: self._outbox.writable,
            clock=self._clock,
            metrics=self._metrics,
            seal=self._seal,
            runtime_directory=runtime_directory(),
        )
        return build_control(self._config, around)

    def _control_routes(self) -> tuple[web.RouteDef, ...]:
        return control_pages(self._config, self._control, self.status).routes() if self._control else ()

    def _desk(self) -> ProposalDesk | None:
        """Where wishes from outside go."""
        return self._control.executor if self._control else None

    def _build_uplink(self) -> Uplink | None:
        settings, line = self._settings.hub, self._settings.line
        if settings is None:
            return None
        commands = HubCommands(
            self._desk(), self._config.signals, line, self._clock, self._metrics, allowed=settings.commands
        )
        return Uplink(settings, line, self._outbox.sink(HUB_SINK), commands, self._clock, self._metrics)

    def _build_node(self) -> SparkplugNode | None:
        settings = self._settings.sparkplug
        if settings is None:
            return None
        sink = self._outbox.sink(
            SPARKPLUG_SINK,
            cap_age_seconds=self._settings.outbox.sparkplug_cap_age_seconds,
            hold_seconds=hold_seconds(settings),
            lanes=(Lane.PROCESS,),
        )
        return SparkplugNode(
            settings,
            site=self._settings.site,
            line=self._settings.line,
            signals=list(self._config.signals.values()),
            sink=sink,
            latest=self._tags.get,
            desk=self._desk(),
            clock=self._clock,
            metrics=self._metrics,
            state_directory=self._settings.data_directory,
        )


def run(config: LineConfig) -> int:
    """Runs the daemon until SIGTERM or SIGINT; the exit status."""
    return uvloop.run(_serve(config))


async def _serve(config: LineConfig) -> int:
    directory = config.settings.data_directory
    held = _take_directory(directory)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for warning in config.warnings:
        log.warning("configuration", warning=warning)
    clock, metrics = SystemClock(), Metrics()
    outbox = await Outbox.open(directory / "outbox.db", config.settings.outbox, clock, metrics=metrics)
    try:
        daemon = Daemon(config, outbox, clock, metrics)
    except BaseException:
        await outbox.close()
        raise
    garbage.settle()
    await daemon.run(stop)
    os.close(held)
    return 0


def runtime_directory() -> Path:
    """Where this box keeps what ends with its daemons: systemd's, else one for each user of the box."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    session = os.environ.get("XDG_RUNTIME_DIR")
    return Path(session) / "edged" if session else Path(tempfile.gettempdir()) / f"edged-{os.getuid()}"


def _take_directory(directory: Path) -> int:
    """Holds the data directory for this process, on a full disk too. Raises AlreadyRunning or NoDataDirectory."""
    lock = directory / LOCK_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        reason = "is not a directory" if isinstance(fault, FileExistsError) else fault.strerror
        raise NoDataDirectory(f"data_directory {directory}: {reason}") from fault
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(held)
        owner = lock.read_text(encoding="utf-8").strip() or "unknown"
        raise AlreadyRunning(f"data_directory {directory} is in use by process {owner}") from fault
    with suppress(OSError):
        lock.write_text(str(os.getpid()), encoding="utf-8")
    return held

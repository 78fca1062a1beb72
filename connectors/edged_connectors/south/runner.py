"""The one runner of every source: reconnects, watches for silence, records gaps, confirms readings, gives access."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import NoReturn, Protocol

from edged.clock import Clock
from edged.errors import (
    EdgedError,
    SourceSilent,
    SourceUnreachable,
    WriteFailed,
    WriteUnknown,
)
from edged.log import get_logger
from edged.metrics import Metrics
from edged.ports import Acknowledger, Connection, Connector, Historian, Poller, Reading, Resumer, SourceRoad, Writer
from edged.supervise import HEALTHY_AFTER_SECONDS, Backoff
from edged.types import NANOSECONDS_PER_SECOND, Command, Priority, Sample, Signal
from edged_connectors.south.deadline import deadline, within
from edged_connectors.south.intake import SOURCE_OFFLINE, Intake
from edged_connectors.south.receipts import Receipts
from edged_connectors.south.status import FaultCount, SourceMeters, SourceState, SourceStatus

CONNECT_SECONDS = 60.0
CLOSE_SECONDS = 5.0
DRAIN_SECONDS = 2.0
NOT_POLLABLE = "not_pollable"
RESTART = "restart"

log = get_logger("source")


class AlarmBoard(Protocol):
    """Where the runner says that a source is away; `edged.alarms.Alarms` is the real one."""

    def raise_alarm(self, name: str, source: str, priority: Priority, message: str) -> None: ...

    def clear_alarm(self, name: str, source: str) -> None: ...


class SourceRunner:
    """Owns one source from the first connection to the last; a new connector is built for every attempt."""

    def __init__(
        self,
        *,
        name: str,
        signals: Sequence[Signal],
        build: Callable[[], Connector],
        road: SourceRoad,
        clock: Clock,
        metrics: Metrics,
        silence_seconds: float,
        skew_limit_seconds: float,
        alarms: AlarmBoard | None = None,
        rng: Random | None = None,
    ) -> None:
        self.name = name
        self._signals = len(signals)
        self._build = build
        self._road = road
        self._clock = clock
        self._silence = silence_seconds
        self._alarms = alarms
        self._meters = SourceMeters(name, metrics)
        self._receipts = Receipts(name, road, clock)
        limit = round(skew_limit_seconds * NANOSECONDS_PER_SECOND)
        paths = [signal.path for signal in signals]
        self._intake = Intake(name, paths, road, clock, self._meters, self._receipts, limit)
        self._backoff = Backoff(rng=rng)
        self._connector: Connector | None = None
        self._state = SourceState.DISCONNECTED
        self._since = clock.now()
        self._waiting_since: float | None = None
        self._lost_because = RESTART

    @property
    def online(self) -> bool:
        """True while a connection stands."""
        return self._connector is not None

    def status(self) -> SourceStatus:
        """A snapshot."""
        meters = self._meters
        return SourceStatus(
            name=self.name,
            state=self._state,
            since=self._since,
            sessions=meters.sessions,
            last_data=meters.last_data,
            signals=self._signals,
            accepted=self._intake.accepted,
            refused=self._intake.refused,
            faults=tuple(FaultCount(kind, count) for kind, count in sorted(meters.faults.items())),
            last_fault=meters.last_fault,
            samples=meters.samples,
            gaps=meters.gaps,
            skewed=meters.skewed,
            skew_seconds=meters.skew_seconds,
            outstanding=self._receipts.outstanding,
            rejections=meters.rejections,
        )

    async def run(self) -> None:
        """Keeps the source connected until cancelled; then confirms what is durable and closes in good order."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receipts.run(), name=f"source:{self.name}:receipts")
                await self._keep_connected()
        finally:
            self._enter(SourceState.DISCONNECTED)

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        """Reads the signals at the source now, in that order; what cannot be read is a BAD sample.

        All is published: now, or with the report that brings it again.
        """
        connector = self._connector
        if connector is None:
            return self._intake.bad(signals, SOURCE_OFFLINE)
        if not isinstance(connector, Poller):
            return self._intake.bad(signals, NOT_POLLABLE)
        try:
            reading = await connector.poll(signals)
        except (EdgedError, OSError) as fault:
            return self._intake.take_polled(Reading(), signals, _reason(fault))
        return self._intake.take_polled(reading, signals)

    async def write(self, command: Command) -> None:
        """Hands a sealed command to the connector. Raises WriteFailed, also while offline, or WriteUnknown."""
        connector = self._connector
        if connector is None:
            raise WriteFailed(f"{self.name} is offline: {command.signal} was not written")
        if not isinstance(connector, Writer):
            raise WriteFailed(f"{self.name} cannot write: {command.signal} was not written")
        try:
            await connector.write(command)
        except OSError as fault:
            raise WriteUnknown(f"{command.signal}: the connection broke while writing: {fault}") from fault

    async def _keep_connected(self) -> None:
        if self._meters.sessions:
            self._intake.lost()
        while True:
            started = self._clock.monotonic()
            fault = await self._session()
            if self._clock.monotonic() - started >= HEALTHY_AFTER_SECONDS:
                self._backoff.reset()
            self._enter(SourceState.WAITING)
            await self._clock.sleep(self._backoff.next(fault))

    async def _session(self) -> EdgedError | OSError:
        """One connection from its building to its end; returns why it ended."""
        self._enter(SourceState.CONNECTING)
        connector: Connector | None = None
        try:
            connector = self._build()
            await self._resume(connector)
            connection = await self._connect(connector)
            self._go_online(connector, connection)
            async with self._intake.backfill.running(connector if isinstance(connector, Historian) else None):
                await self._read(connector)
        except (EdgedError, OSError) as fault:
            self._go_offline(fault)
            return fault
        except asyncio.CancelledError:
            await self._confirm_rest()
            raise
        finally:
            await self._leave(connector)

    async def _resume(self, connector: Connector) -> None:
        if isinstance(connector, Resumer):
            await self._receipts.settled()
            connector.resume(self._road.marks(self.name))

    async def _connect(self, connector: Connector) -> Connection:
        try:
            async with deadline(self._clock, within(self._clock, CONNECT_SECONDS)):
                connection = await connector.connect()
        except TimeoutError:
            raise SourceUnreachable(f"{self.name} did not answer within {CONNECT_SECONDS:.0f} s") from None
        return connection

    async def _read(self, connector: Connector) -> NoReturn:
        try:
            with suppress(TimeoutError):
                async with deadline(self._clock, self._silent_at):
                    while True:
                        self._waiting_since = self._clock.monotonic()
                        reading = await connector.read()
                        self._waiting_since = None
                        await self._intake.take(reading)
        finally:
            self._waiting_since = None
        raise SourceSilent(f"{self.name} gave no sign of life for {self._silence:g} s")

    def _silent_at(self) -> float:
        since = self._waiting_since
        return (self._clock.monotonic() if since is None else since) + self._silence

    def _go_online(self, connector: Connector, connection: Connection) -> None:
        self._connector = connector
        self._receipts.connected(connector if isinstance(connector, Acknowledger) else None)
        self._intake.connected(connection, self._lost_because)
        self._enter(SourceState.ONLINE)
        log.info("source_online", source=self.name, signals=len(connection.signals), refused=len(self._intake.refused))
        if self._alarms is not None:
            self._alarms.clear_alarm(SOURCE_OFFLINE, self.name)

    def _go_offline(self, fault: BaseException) -> None:
        if self._connector is not None:
            self._lost_because = _reason(fault)
            self._connector = None
        sentence = f"{type(fault).__name__}: {fault}"
        if sentence != self._meters.last_fault or self._state is SourceState.ONLINE:
            log.warning("source_offline", source=self.name, fault=sentence)
        self._meters.failed(type(fault).__name__, sentence)
        self._intake.lost()
        if self._alarms is not None:
            self._alarms.raise_alarm(SOURCE_OFFLINE, self.name, Priority.HIGH, sentence)

    async def _confirm_rest(self) -> None:
        """On the way out: what was read is committed and acknowledged, if that takes no longer than usual."""
        with suppress(TimeoutError):
            async with deadline(self._clock, within(self._clock, DRAIN_SECONDS)):
                await self._receipts.settled()

    async def _leave(self, connector: Connector | None) -> None:
        self._connector = None
        self._receipts.connected(None)
        self._meters.disconnected()
        if connector is None:
            return
        try:
            async with deadline(self._clock, within(self._clock, CLOSE_SECONDS)):
                await connector.close()
        except TimeoutError:
            log.warning("source_close_timed_out", source=self.name, seconds=CLOSE_SECONDS)

    def _enter(self, state: SourceState) -> None:
        self._state = state
        self._since = self._clock.now()


def _reason(fault: BaseException) -> str:
    """SourceLost -> source_lost."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(fault).__name__).lower()

"""The one runner of every source: reconnects, watches for silence, records gaps, confirms readings, gives access."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import NoReturn, Protocol

from edged.clock import Clock
from edged.errors import (
    AccessRefused,
    ConfigError,
    EdgedError,
    SourceSilent,
    SourceUnreachable,
    WriteFailed,
    WriteUnknown,
)
from edged.log import get_logger
from edged.metrics import Metrics
from edged.ports import Acknowledger, Connection, Connector, Poller, Reading, Resumer, Road, SignalStatus, Writer
from edged.supervise import HEALTHY_AFTER_SECONDS, Backoff
from edged.types import NANOSECONDS_PER_SECOND, Command, Gap, Priority, Quality, Sample, Signal
from edged_connectors.south.deadline import deadline, within
from edged_connectors.south.receipts import Receipts
from edged_connectors.south.skew import is_skewed, without_skew
from edged_connectors.south.status import FaultCount, SourceMeters, SourceState, SourceStatus

CONNECT_SECONDS = 60.0
CLOSE_SECONDS = 5.0
DRAIN_SECONDS = 2.0
GAP_MARGIN_NANOSECONDS = NANOSECONDS_PER_SECOND
"""A value may have been made at the source and lost a moment before the last one that came: the gap covers it."""

SOURCE_OFFLINE = "source_offline"
NOT_POLLABLE = "not_pollable"
NOT_READ = "not_read"
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
        road: Road,
        clock: Clock,
        metrics: Metrics,
        silence_seconds: float,
        skew_limit_seconds: float,
        alarms: AlarmBoard | None = None,
        rng: Random | None = None,
    ) -> None:
        self.name = name
        self._paths = tuple(signal.path for signal in signals)
        self._build = build
        self._road = road
        self._clock = clock
        self._silence = silence_seconds
        self._skew_limit = round(skew_limit_seconds * NANOSECONDS_PER_SECOND)
        self._alarms = alarms
        self._meters = SourceMeters(name, metrics)
        self._receipts = Receipts(name, road, clock)
        self._backoff = Backoff(rng=rng)
        self._connector: Connector | None = None
        self._state = SourceState.DISCONNECTED
        self._since = clock.now()
        self._waiting_since: float | None = None
        self._announced_offline = False
        self._last_fault: BaseException | None = None
        self._last_sentence = ""
        self._last_data: int | None = None
        self._open_gap: Gap | None = None
        self._statuses: tuple[SignalStatus, ...] = ()
        self._refused: dict[str, SignalStatus] = {}
        self._reported: dict[str, str] = {}

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
            signals=len(self._paths),
            accepted=len(self._statuses) - len(self._refused),
            refused=tuple(self._refused.values()),
            faults=tuple(FaultCount(kind, count) for kind, count in sorted(meters.faults.items())),
            last_fault=meters.last_fault,
            samples=meters.samples,
            gaps=meters.gaps,
            skewed=meters.skewed,
            skew_seconds=meters.skew_seconds,
            outstanding=self._receipts.outstanding,
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
        """Reads the signals at the source now, in that order; what cannot be read is a BAD sample. All is published."""
        connector = self._connector
        if connector is None:
            return self._bad(signals, SOURCE_OFFLINE)
        if not isinstance(connector, Poller):
            return self._bad(signals, NOT_POLLABLE)
        try:
            reading = await connector.poll(signals)
        except (EdgedError, OSError) as fault:
            reading = Reading(self._bad(signals, _reason(fault)))
        samples = self._admit(reading.samples)
        found = {sample.signal: sample for sample in samples}
        missing = self._bad([signal for signal in signals if signal not in found], NOT_READ)
        found.update((sample.signal, sample) for sample in missing)
        self._publish([*samples, *missing])
        self._keep_gaps(reading.gaps)
        return [found[signal] for signal in signals]

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
            self._announce_offline()
        while True:
            started = self._clock.monotonic()
            fault = await self._session()
            self._meters.failed(type(fault).__name__, str(fault))
            if self._clock.monotonic() - started >= HEALTHY_AFTER_SECONDS or _slow(fault) != _slow(self._last_fault):
                self._backoff.reset()
            self._last_fault = fault
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
                        await self._take(reading)
        finally:
            self._waiting_since = None
        raise SourceSilent(f"{self.name} gave no sign of life for {self._silence:g} s")

    def _silent_at(self) -> float:
        since = self._waiting_since
        return (self._clock.monotonic() if since is None else since) + self._silence

    async def _take(self, reading: Reading) -> None:
        commit = None
        if reading.samples:
            samples = self._admit(reading.samples)
            self._last_data = samples[-1].receive_time
            self._close_gap(samples[0].receive_time)
            commit = self._publish(samples, reading.marks)
        if reading.gaps:
            self._keep_gaps(reading.gaps)
        if reading.receipt is not None or reading.events or reading.marks:
            await self._receipts.put(reading, commit)

    def _admit(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Counts what came, corrects impossible source times, and clears refusals that data has disproved."""
        if not samples:
            return samples
        self._meters.received(len(samples), samples[-1])
        if is_skewed(samples, self._skew_limit):
            before, samples = samples, without_skew(samples, self._skew_limit)
            self._meters.disbelieved(sum(old is not new for old, new in zip(before, samples, strict=True)))
        if self._refused:
            for path in {sample.signal for sample in samples if sample.quality}.intersection(self._refused):
                del self._refused[path]
                self._reported.pop(path, None)
                log.info("signal_accepted", source=self.name, signal=path)
            self._meters.refuses(len(self._refused))
        return samples

    def _publish(self, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        return self._road.publish(self.name, samples, marks)

    def _go_online(self, connector: Connector, connection: Connection) -> None:
        self._connector = connector
        self._announced_offline = False
        self._receipts.connected(connector if isinstance(connector, Acknowledger) else None)
        self._statuses = tuple(connection.signals)
        self._refused = {status.signal: status for status in self._statuses if not status.accepted}
        self._meters.connected(len(self._refused))
        if not connection.resumed:
            self._expect_gap()
        self._enter(SourceState.ONLINE)
        log.info("source_online", source=self.name, signals=len(self._statuses), refused=len(self._refused))
        self._report_refused()
        if self._alarms is not None:
            self._alarms.clear_alarm(SOURCE_OFFLINE, self.name)

    def _report_refused(self) -> None:
        now = self._clock.now()
        for path, status in self._refused.items():
            if self._reported.get(path) != status.reason:
                self._reported[path] = status.reason
                log.warning("signal_refused", source=self.name, signal=path, reason=status.reason)
        if self._refused:
            refused = self._refused.values()
            self._publish([Sample(s.signal, None, now, now, Quality.BAD, s.reason) for s in refused])

    def _go_offline(self, fault: BaseException) -> None:
        self._connector = None
        self._meters.disconnected()
        sentence = f"{type(fault).__name__}: {fault}"
        if not self._announced_offline or sentence != self._last_sentence:
            log.warning("source_offline", source=self.name, fault=sentence)
        self._last_sentence = sentence
        self._announce_offline()
        if self._alarms is not None:
            self._alarms.raise_alarm(SOURCE_OFFLINE, self.name, Priority.HIGH, sentence)

    def _announce_offline(self) -> None:
        """Every signal turns BAD, once, so that nobody trusts a value that is not refreshed any more."""
        if not self._announced_offline:
            self._announced_offline = True
            self._publish(self._bad(self._paths, SOURCE_OFFLINE))

    def _expect_gap(self) -> None:
        """What lies between the last sample and the next one is lost, as far as the source tells."""
        seen = self._last_data if self._last_data is not None else self._road.last_seen(self.name)
        if seen is None or self._open_gap is not None:
            return
        reason = RESTART if self._last_fault is None else _reason(self._last_fault)
        self._open_gap = Gap(self.name, seen - GAP_MARGIN_NANOSECONDS, seen, reason)

    def _close_gap(self, end: int) -> None:
        if self._open_gap is not None:
            self._keep_gaps([replace(self._open_gap, end=max(end, self._open_gap.end))])
            self._open_gap = None

    def _keep_gaps(self, gaps: Sequence[Gap]) -> None:
        if gaps:
            self._meters.lost(len(gaps))
            self._receipts.keep(gaps)

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

    def _bad(self, paths: Sequence[str], reason: str) -> list[Sample]:
        now = self._clock.now()
        return [Sample(path, None, now, now, Quality.BAD, reason) for path in paths]


def _slow(fault: BaseException | None) -> bool:
    """Whether only a person can mend it, so that hurrying is no use."""
    return isinstance(fault, AccessRefused | ConfigError)


def _reason(fault: BaseException) -> str:
    """SourceLost -> source_lost."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(fault).__name__).lower()

"""The Sparkplug B edge node: births from the configuration, data from the outbox, commands to the proposal desk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiomqtt

from edged.clock import Clock
from edged.errors import EdgedError
from edged.log import get_logger
from edged.metrics import Metrics
from edged.ports import ProposalDesk, Sink
from edged.settings import BrokerSettings, SparkplugSettings
from edged.types import Sample, Signal
from edged_connectors.north.births import Certificates, SequenceNumber
from edged_connectors.north.catalog import Catalog
from edged_connectors.north.commands import CommandReader
from edged_connectors.north.connection import Connection
from edged_connectors.north.data import DataEncoder
from edged_connectors.north.host import HostState, PrimaryHost
from edged_connectors.north.inbox import Inbox
from edged_connectors.north.outflow import Outflow
from edged_connectors.north.state import StateFile
from edged_connectors.north.topics import Topics

HOST_WAIT_SECONDS = 5.0
DEATH_QOS = 1
BIRTH_QOS = 0

log = get_logger("sparkplug")


class HostAway(EdgedError):
    """The primary host is not there: data is stored, and the next broker of the list is tried."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How the node is doing; counts are since the start of the daemon, values are single metrics."""

    online: bool
    broker: str
    host: HostState
    births: int
    rebirths: int
    published: int
    historical: int
    confirmed: int
    sent_again: int
    seq: int
    bdseq: int | None
    accepted_commands: int
    refused_commands: int


class SparkplugNode:
    """One edge node. `run` is supervised from outside: it raises when the connection is lost and is run again."""

    def __init__(
        self,
        settings: SparkplugSettings,
        site: str,
        line: str,
        signals: Sequence[Signal],
        sink: Sink,
        latest: Callable[[str], Sample | None],
        desk: ProposalDesk | None,
        clock: Clock,
        metrics: Metrics,
        state_directory: Path,
    ) -> None:
        self._settings = settings
        self._identifier = f"edged-{site}-{line}-sparkplug"
        self._topics = Topics(site, line)
        self._sink = sink
        self._clock = clock
        self._catalog = Catalog.of(signals)
        self._sequence = SequenceNumber()
        self._certificates = Certificates(self._catalog, settings.profile, latest)
        self._state = StateFile(state_directory)
        held = self._state.held
        self._host = PrimaryHost(
            settings.primary_host, settings.keep_alive_seconds, held.host_timestamp, held.host_seen
        )
        reader = CommandReader(self._topics, self._catalog, writes=settings.commands and desk is not None)
        self._inbox = Inbox(reader, self._host, desk, clock, metrics)
        encoder = DataEncoder(self._catalog, settings.profile, self._sequence)
        self._outflow = Outflow(settings, sink, encoder, self._topics, clock, metrics)
        self._reserved: int | None = None
        self._attempts = 0
        self._broker = ""
        self._online = False
        self._births = 0
        self._rebirths = 0
        self._birth_counter = metrics.counter("edged_sparkplug_births_total", "Complete birth sequences published")
        self._online_gauge = metrics.gauge("edged_sparkplug_online", "1 while born at a broker")

    async def run(self) -> None:
        """Connects to the next broker and publishes until the connection is lost. Raises SourceUnreachable, SourceLost
        or AccessRefused; a primary host that goes away is no fault: the next session waits for it."""
        while True:
            try:
                await self._session(self._next_broker())
            except HostAway as absence:
                log.info("host_away", broker=self._broker, reason=str(absence))

    def status(self) -> NodeStatus:
        """A snapshot for /status."""
        return NodeStatus(
            online=self._online,
            broker=self._broker,
            host=self._host.state,
            births=self._births,
            rebirths=self._rebirths,
            published=self._outflow.published,
            historical=self._outflow.historical,
            confirmed=self._outflow.confirmed,
            sent_again=self._outflow.sent_again,
            seq=self._sequence.last,
            bdseq=self._state.held.bdseq,
            accepted_commands=self._inbox.accepted,
            refused_commands=self._inbox.refused,
        )

    def _next_broker(self) -> BrokerSettings:
        brokers = self._settings.brokers
        broker = brokers[self._attempts % len(brokers)]
        self._attempts += 1
        return broker

    def _reserve_bdseq(self) -> int:
        """A new number per CONNECT; one that never left for a broker is used by the next attempt."""
        return self._state.next_bdseq() if self._reserved is None else self._reserved

    async def _session(self, broker: BrokerSettings) -> None:
        """One connection, from its will to its farewell."""
        bdseq = self._reserve_bdseq()
        death = self._topics.of_node("NDEATH")
        will = aiomqtt.Will(death, self._certificates.node_death(bdseq, self._clock.now()), DEATH_QOS, retain=False)
        connection = Connection(broker, self._identifier, self._settings.keep_alive_seconds, will)
        self._broker = connection.name
        try:
            await connection.open()
        finally:
            self._reserved = None if connection.greeted else bdseq
        self._host.connected()
        self._outflow.connected(connection)
        try:
            await self._serve(connection, bdseq)
        finally:
            self._outflow.abandon()
            self._set_online(online=False)
            self._part_from_host()
            await connection.close((death, self._certificates.node_death(bdseq, self._clock.now())))

    async def _serve(self, connection: Connection, bdseq: int) -> None:
        await connection.subscribe((*self._inbox.topics, *self._host.topics))
        log.info("broker_connected", broker=connection.name, bdseq=bdseq)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._inbox.listen(connection), name="sparkplug-listen")
                group.create_task(self._inbox.submit(), name="sparkplug-commands")
                group.create_task(self._publish(connection, bdseq), name="sparkplug-publish")
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None

    async def _publish(self, connection: Connection, bdseq: int) -> None:
        await self._await_host()
        self._sink.reopen()
        await self._give_birth(connection, bdseq)
        self._set_online(online=True)
        log.info("born", broker=connection.name, bdseq=bdseq, devices=len(self._catalog.devices))
        while self._host.ready:
            if self._inbox.take_rebirth():
                await self._give_birth(connection, bdseq)
                self._rebirths += 1
            await self._send_doubtful_again()
            await self._outflow.round()
            await self._outflow.rest()
        await self._send_doubtful_again()
        raise HostAway(f"primary host {self._settings.primary_host} went offline")

    async def _await_host(self) -> None:
        """Stays for good where there is one broker, else moves on after a while."""
        patience = None if len(self._settings.brokers) == 1 else HOST_WAIT_SECONDS
        deadline = None if patience is None else self._clock.monotonic() + patience
        while not self._host.ready:
            await self._send_doubtful_again()
            if deadline is not None and self._clock.monotonic() >= deadline:
                raise HostAway(f"primary host {self._settings.primary_host} is not online there")
            await self._clock.sleep(self._settings.publish_period_seconds)

    async def _give_birth(self, connection: Connection, bdseq: int) -> None:
        """NBIRTH and a DBIRTH per device; no data goes out in between."""
        certificates, now = self._certificates, self._clock.now()
        birth = certificates.node_birth(bdseq, self._sequence.restart(), now)
        await connection.publish(self._topics.of_node("NBIRTH"), birth, BIRTH_QOS)
        for device in self._catalog.devices:
            birth = certificates.device_birth(device, self._sequence.next(), now)
            await connection.publish(self._topics.of_device("DBIRTH", device), birth, BIRTH_QOS)
        self._births += 1
        self._birth_counter.inc()

    async def _send_doubtful_again(self) -> None:
        """What the broker confirmed while the host was perhaps gone becomes backlog, to be sent on its return."""
        doubt = self._host.doubt(self._clock.now())
        batches = await self._sink.unconfirm(doubt.since, doubt.until) if doubt is not None else 0
        if batches:
            self._outflow.sent_again += batches
            log.info("host_may_have_missed", batches=batches)

    def _part_from_host(self) -> None:
        now = self._clock.now()
        self._host.lost(now)
        if self._host.seen is not None:
            self._state.note_host(self._host.timestamp, self._host.seen)

    def _set_online(self, *, online: bool) -> None:
        if self._online and not online:
            log.info("node_offline", broker=self._broker)
        self._online = online
        self._online_gauge.set(online)

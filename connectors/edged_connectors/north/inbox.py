"""What arrives from the broker: rebirth requests, commands, and the state of the primary host."""

from __future__ import annotations

from functools import partial

import aiomqtt

from edged.clock import Clock
from edged.log import get_logger
from edged.metrics import Metrics
from edged.ports import ProposalDesk
from edged.proposals import ProposalQueue
from edged.types import Refused, Verdict
from edged_connectors.north.commands import CommandReader, Refusal
from edged_connectors.north.connection import Connection
from edged_connectors.north.host import PrimaryHost

log = get_logger("sparkplug")


class Inbox:
    """Sorts messages; refusals are counted by kind and logged once per kind."""

    def __init__(
        self, reader: CommandReader, host: PrimaryHost, desk: ProposalDesk | None, clock: Clock, metrics: Metrics
    ) -> None:
        self._reader = reader
        self._host = host
        self._clock = clock
        self._queue = ProposalQueue(desk)
        self._rebirth = False
        self._told: set[str] = set()
        counter = metrics.counter("edged_sparkplug_commands_total", "Commands by what became of them", ("outcome",))
        self._counters = {kind: counter.labels(kind.value) for kind in Refusal}
        self._accepted_counter = counter.labels("accepted")
        self.accepted = 0
        self.refused = 0

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to for commands."""
        return tuple(self._reader.topics)

    async def listen(self, connection: Connection) -> None:
        """Takes messages until the connection is lost."""
        self._rebirth = False
        async for message in connection.messages():
            self._take(message)

    async def submit(self) -> None:
        """Hands proposals to the desk, one after the other; one that cannot be judged counts as refused."""
        await self._queue.submit()

    def take_rebirth(self) -> bool:
        """Whether a rebirth was asked for since the last call; many requests make one rebirth."""
        asked, self._rebirth = self._rebirth, False
        return asked

    def _take(self, message: aiomqtt.Message) -> None:
        topic = message.topic.value
        payload = message.payload if isinstance(message.payload, bytes) else b""
        if topic in self._host.topics:
            if not self._host.hear(topic, payload, retained=message.retain, now=self._clock.now()):
                self._refuse(Refusal.GARBAGE, topic, "not a STATE payload")
            return
        order = self._reader.read(topic, payload, retained=message.retain, now=self._clock.monotonic())
        self._rebirth = self._rebirth or order.rebirth
        for refusal in order.refusals:
            self._refuse(refusal, topic)
        for proposal in order.proposals:
            if not self._queue.offer(proposal, partial(self._note, proposal.signal)):
                self._refuse(Refusal.OVERLOADED, topic)

    def _note(self, signal: str, verdict: Verdict) -> None:
        if isinstance(verdict, Refused):
            self._refuse(Refusal.BY_GATE, signal, verdict.reason)
        else:
            self.accepted += 1
            self._accepted_counter.inc()

    def _refuse(self, kind: Refusal, where: str, reason: str = "") -> None:
        self.refused += 1
        self._counters[kind].inc()
        if kind not in self._told:
            self._told.add(kind)
            log.warning("command_refused", kind=kind.value, where=where, reason=reason)

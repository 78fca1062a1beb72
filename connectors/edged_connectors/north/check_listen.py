"""Listens to everything that Sparkplug says at a broker, as it was published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import aiomqtt

from edged.clock import Clock
from edged.errors import SourceLost
from edged.settings import BrokerSettings
from edged.supervise import start_task
from edged_connectors.north.births import REBIRTH_METRIC
from edged_connectors.north.check_capture import Captured
from edged_connectors.north.codec import DataType, milliseconds
from edged_connectors.north.connection import Connection
from edged_connectors.north.sparkplug_pb2 import Payload
from edged_connectors.north.topics import LEGACY_STATE, NAMESPACE, Topics

KEEP_ALIVE_SECONDS = 30
WATCH_QOS = 2
"""Whatever is published arrives with the QoS of its publisher."""
MOST_WAITING = 200_000
"""Messages waiting to be graded; beyond it the check ends, because a message left out looks like a violation."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What to listen to; `rebirth` asks every node whose session is joined late for its births."""

    broker: BrokerSettings
    version: aiomqtt.ProtocolVersion
    group: str | None
    node: str | None
    seconds: float
    rebirth: bool

    def topics(self) -> tuple[str, ...]:
        """Filters for the nodes asked for, and for hosts when all are."""
        if self.group is None and self.node is None:
            return f"{NAMESPACE}/#", f"{LEGACY_STATE}/#"
        return (f"{NAMESPACE}/{self.group or '+'}/+/{self.node or '+'}/#",)


UNLIMITED = 0


class TooMuch(SourceLost):
    """More arrived than could be graded: listen to one --group or --node, or to a less busy broker."""


class Watch:
    """One stay at one broker. `take` gets every message, `unborn` names the nodes to ask for a rebirth."""

    def __init__(
        self,
        watched: Watched,
        clock: Clock,
        take: Callable[[Captured], None],
        unborn: Callable[[], list[tuple[str, str]]],
    ) -> None:
        self._watched = watched
        self._clock = clock
        self._take = take
        self._unborn = unborn
        self._connection = Connection(
            watched.broker,
            "",
            KEEP_ALIVE_SECONDS,
            None,
            version=watched.version,
            most_queued=UNLIMITED,
        )
        self._sees_retain = watched.version is aiomqtt.ProtocolVersion.V5

    async def run(self, stop: asyncio.Event) -> None:
        """Listens for the time given, or until `stop`. Raises SourceUnreachable, AccessRefused or SourceLost."""
        await self._connection.open()
        try:
            await self._connection.subscribe(self._watched.topics(), qos=WATCH_QOS, as_published=self._sees_retain)
            listening = start_task("sparkplug-check", self._listen())
            stopping = start_task("sparkplug-check-stop", stop.wait())
            await asyncio.wait({listening, stopping}, timeout=self._watched.seconds, return_when="FIRST_COMPLETED")
            for task in (listening, stopping):
                task.cancel()
            await asyncio.wait({listening, stopping})
            if not listening.cancelled():
                listening.result()
        finally:
            await self._connection.close(None)

    async def _listen(self) -> None:
        watched = self._watched
        if watched.rebirth and watched.group and watched.node:
            await self._ask(watched.group, watched.node)
        async for message in self._connection.messages():
            payload = message.payload if isinstance(message.payload, bytes) else b""
            retain = message.retain or (False if self._sees_retain else None)
            self._take(Captured(self._clock.now(), message.topic.value, payload, message.qos, retain))
            if self._connection.waiting > MOST_WAITING:
                raise TooMuch(f"more than {MOST_WAITING} messages wait to be graded")
            for group, node in self._unborn():
                if watched.rebirth:
                    await self._ask(group, node)

    async def _ask(self, group: str, node: str) -> None:
        stamp = milliseconds(self._clock.now())
        request = Payload(timestamp=stamp)
        request.metrics.add(name=REBIRTH_METRIC, timestamp=stamp, datatype=DataType.BOOLEAN, boolean_value=True)
        await self._connection.publish(Topics(group, node).of_node("NCMD"), request.SerializeToString(), 0)

"""A host for the tests: it records every message of the node, speaks STATE, and sends commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import aiomqtt

from edged_connectors.north.sparkplug_pb2 import Payload

READY_SECONDS = 10.0


class Heard(NamedTuple):
    """One message as the broker delivered it."""

    topic: str
    payload: bytes
    retain: bool
    qos: int

    @property
    def kind(self) -> str:
        """NBIRTH, DDATA and so on; empty outside the Sparkplug namespace."""
        parts = self.topic.split("/")
        return parts[2] if parts[0] == "spBv1.0" and len(parts) > 3 else ""

    @property
    def device(self) -> str:
        """The device, empty for messages of the node."""
        parts = self.topic.split("/")
        return parts[4] if len(parts) > 4 else ""

    def decoded(self) -> Payload:
        return Payload.FromString(self.payload)


class RecordingHost:
    """Subscribed to everything at one broker, with a persistent session if asked to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: list[Heard] = []
        self._news = asyncio.Event()
        self._client: aiomqtt.Client | None = None

    async def listen(self, ready: asyncio.Event) -> None:
        """Records until the broker goes away or the task is cancelled."""
        async with aiomqtt.Client("127.0.0.1", self.port) as client:
            self._client = client
            await client.subscribe([("spBv1.0/#", 1), ("STATE/#", 1), ("edged/#", 1)])
            ready.set()
            async for message in client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                self.heard.append(Heard(message.topic.value, payload, message.retain, message.qos))
                self._news.set()

    async def send(self, topic: str, payload: bytes | str, *, qos: int = 0, retain: bool = False) -> None:
        assert self._client is not None
        await self._client.publish(topic, payload, qos, retain)

    async def state(self, host: str, *, online: bool, timestamp: int | None) -> None:
        """Sparkplug 3.0 with a timestamp (ms), the legacy form without."""
        if timestamp is None:
            await self.send(f"STATE/{host}", "ONLINE" if online else "OFFLINE", qos=1, retain=True)
            return
        document = json.dumps({"online": online, "timestamp": timestamp})
        await self.send(f"spBv1.0/STATE/{host}", document, qos=1, retain=True)

    def of(self, kind: str) -> list[Heard]:
        return [message for message in self.heard if message.kind == kind]

    async def until(self, condition: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Waits for messages until the condition holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await self._news.wait()


@contextlib.asynccontextmanager
async def recording_host(port: int) -> AsyncIterator[RecordingHost]:
    """A host that listens while the block runs; a broker that goes away in between ends its record."""
    host = RecordingHost(port)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_patient(host, ready), name="recording-host")
        await asyncio.wait_for(ready.wait(), READY_SECONDS)
        try:
            yield host
        finally:
            task.cancel()


async def _patient(host: RecordingHost, ready: asyncio.Event) -> None:
    """Connects again when the broker comes back."""
    while True:
        try:
            await host.listen(ready)
        except aiomqtt.MqttError:
            await asyncio.sleep(0.05)

"""The MQTT face: publishes the lehr and the inspection machine, QoS 1; keeps what the broker has not acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import aiomqtt
import orjson

from edged.clock import Clock
from edged.log import get_logger
from edged.supervise import Backoff, start_task
from edged.types import Value
from edged_sim.journal import Journal
from edged_sim.link import LocalSet, Tick, UnitLine
from edged_sim.tags import PRODUCTION_LINE, TOPIC, Status, Tag

UNIT_TOPIC = f"{TOPIC}/inspection/unit"
QUEUE_MESSAGES = 50_000
"""About forty minutes of the demo."""
KEEP_ALIVE_SECONDS = 10
TIMEOUT_SECONDS = 5.0
STOP_SECONDS = 2.0
MILLISECONDS_PER_SECOND = 1000

_PROTOCOLS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
_SEVERITY = (Status.OK, Status.WARNING, Status.CRITICAL, Status.ERROR)

log = get_logger("mqtt_face")


class _Letter(NamedTuple):
    milliseconds: int
    topic: str
    payload: bytes


class MqttFace:
    """One JSON document per equipment and tick, one per inspected unit, in order, none forgotten while it fits."""

    def __init__(
        self,
        tags: Sequence[Tag],
        journal: Journal,
        clock: Clock,
        port: int,
        protocol: str = "5",
        queue_messages: int = QUEUE_MESSAGES,
    ) -> None:
        self._tags = tags
        self._journal = journal
        self._clock = clock
        self._port = port
        self._protocol = _PROTOCOLS[protocol]
        self._queue_messages = queue_messages
        self._queue: deque[_Letter] = deque()
        self._arrived = asyncio.Event()
        self._unit_stamp = 0
        self._dropping = False
        self._backoff = Backoff()
        self._sender: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Begins to publish; an absent broker is waited for without end."""
        self._sender = start_task("mqtt_face.sender", self._send_forever())

    async def tick(self, tick: Tick) -> None:
        """Queues the documents of one moment: journal first."""
        documents: dict[str, dict[Tag, Value | None]] = {}
        for tag, value in zip(self._tags, tick.values, strict=True):
            documents.setdefault(tag.topic, {})[tag] = value
        for topic, values in documents.items():
            self._journal.document(tick.t, topic, {tag.signal: value for tag, value in values.items()})
            self._put(_Letter(tick.t, topic, _document(tick.t, values)))
        for unit in tick.units:
            self._unit_stamp = max(tick.t, self._unit_stamp + 1)
            self._journal.unit(
                self._unit_stamp, UNIT_TOPIC, unit.unit_id, passed=unit.passed, defect_type=unit.defect_type
            )
            self._put(_Letter(self._unit_stamp, UNIT_TOPIC, _unit_document(self._unit_stamp, unit)))

    async def local_set(self, message: LocalSet) -> None:
        """Nothing here can be set."""

    async def stop(self) -> None:
        """Gives what is queued a moment to leave, then disconnects."""
        deadline = self._clock.monotonic() + STOP_SECONDS
        while self._queue and self._clock.monotonic() < deadline:
            await self._clock.sleep(0.05)
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait({self._sender})

    def _put(self, letter: _Letter) -> None:
        if len(self._queue) >= self._queue_messages:
            lost = self._queue.popleft()
            self._journal.dropped(lost.milliseconds, lost.topic)
            if not self._dropping:
                log.warning("queue_full", messages=self._queue_messages, dropping="oldest")
            self._dropping = True
        self._queue.append(letter)
        self._arrived.set()

    async def _send_forever(self) -> None:
        while True:
            try:
                await self._connection()
            except* aiomqtt.MqttError as faults:
                log.warning("broker_lost", port=self._port, fault=str(faults.exceptions[0]), waiting=len(self._queue))
            await self._clock.sleep(self._backoff.next())

    async def _connection(self) -> None:
        """Publishes until the connection breaks; only who listens hears of a silent loss at once."""
        async with self._client() as client, asyncio.TaskGroup() as group:
            log.info("broker_connected", port=self._port, waiting=len(self._queue))
            self._backoff.reset()
            group.create_task(_listen(client), name="mqtt_face.listener")
            await self._publish_forever(client)

    async def _publish_forever(self, client: aiomqtt.Client) -> None:
        while True:
            while self._queue:
                letter = self._queue[0]
                await client.publish(letter.topic, letter.payload, qos=1)
                self._journal.acknowledged(letter.milliseconds, letter.topic)
                if self._queue and self._queue[0] is letter:
                    self._queue.popleft()
            self._dropping = False
            self._arrived.clear()
            await self._arrived.wait()

    def _client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            "127.0.0.1",
            self._port,
            protocol=self._protocol,
            identifier="edged-sim-cold-end",
            keepalive=KEEP_ALIVE_SECONDS,
            timeout=TIMEOUT_SECONDS,
        )


async def _listen(client: aiomqtt.Client) -> None:
    async for _ in client.messages:
        pass


def _document(milliseconds: int, values: Mapping[Tag, Value | None]) -> bytes:
    equipment = next(iter(values)).equipment
    worst = max((tag.status(value) for tag, value in values.items()), key=_SEVERITY.index)
    return orjson.dumps(
        {
            "timestamp": _iso(milliseconds),
            "equipment": equipment,
            "status": worst,
            "production_line": PRODUCTION_LINE,
            "values": {tag.name: value for tag, value in values.items()},
        }
    )


def _unit_document(milliseconds: int, unit: UnitLine) -> bytes:
    return orjson.dumps(
        {
            "timestamp": _iso(milliseconds),
            "unit_id": unit.unit_id,
            "passed": unit.passed,
            "defect_type": unit.defect_type,
            "production_line": PRODUCTION_LINE,
        }
    )


def _iso(milliseconds: int) -> str:
    time = datetime.fromtimestamp(milliseconds / MILLISECONDS_PER_SECOND, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")

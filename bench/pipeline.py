"""The daemon's way of a value in one thread, on the same notifications every time: what the perf gate measures.

Decoding, the subscription, the intake, tags and alarms, the outbox's transaction, the wire and Sparkplug are the
daemon's own code; sockets, timers and the other thread are left out, so that CPU time repeats. The floor beside it does
the job of `bench.floor` on the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from bench.notification import Block, Notification, encode_notification, filetime
from edged.alarms import Alarms
from edged.bus import Bus
from edged.clock import SystemClock
from edged.metrics import Metrics
from edged.outbox_schema import connect, create, new_stream
from edged.outbox_store import Store
from edged.outbox_types import Piece, RawBatch, Transaction
from edged.settings import AlarmSettings, HostProfile, Synchronous
from edged.tags import Tags
from edged.types import Event, Priority, Sample, Signal, ValueType
from edged_cloud_sync.wire import Envelope, WireBatch, encode_envelope
from edged_connectors.north.births import SequenceNumber
from edged_connectors.north.catalog import Catalog
from edged_connectors.north.data import DataEncoder
from edged_connectors.south.inbox import Inbox
from edged_connectors.south.intake import Intake
from edged_connectors.south.opcua_connector import INBOX_SAMPLES
from edged_connectors.south.opcua_decode import Published, decode
from edged_connectors.south.opcua_items import Item
from edged_connectors.south.opcua_options import NodeReference, OpcUaOptions
from edged_connectors.south.opcua_subscription import Subscription
from edged_connectors.south.opcua_values import CONVERTERS
from edged_connectors.south.receipts import Receipts
from edged_connectors.south.status import SourceMeters

SOURCE, LINE = "counters", "line_a"
SIGNALS = 1_000
GROUPS = 5
"""A fifth of the signals changes between two notifications: 1,000 values/s at 200 ms."""
SIGNALS_PER_ALARM = 10
NOTIFICATIONS = 40
"""Of one turn."""
PER_POST = 5
SKEW_LIMIT_NANOSECONDS = 10**18
SUBSCRIPTION = 1


class Turn(NamedTuple):
    """CPU seconds of one turn, and of each list in it: from its bytes to the outbox, the floor's to its database."""

    seconds: float
    lists: Sequence[float]


def notifications(seed: int) -> list[bytes]:
    """The bodies of one turn's publish responses; `seed` counts the turns, so that values and times go on."""
    now = time.time_ns() // 1_000_000
    bodies = []
    for number in range(NOTIFICATIONS):
        count = seed * NOTIFICATIONS + number
        block = Block(range(count % GROUPS, SIGNALS, GROUPS), [(count, filetime(now + number))])
        bodies.append(encode_notification(Notification(SUBSCRIPTION, count + 1, count, [block])))
    return bodies


class StandIn:
    """A session that grants everything and whose publish responses are handed in."""

    def __init__(self) -> None:
        self.deliver: Callable[[Published], None] = lambda _: None

    async def subscribe(self, _: ua.CreateSubscriptionParameters, deliver: Callable[[Published], None]) -> int:
        """Keeps the way to the subscription."""
        self.deliver = deliver
        return SUBSCRIPTION

    async def monitor(self, _: int, requests: Sequence[Any]) -> list[Any]:
        """Grants every item."""
        return [ua.MonitoredItemCreateResult() for _ in requests]

    def resolve(self, reference: NodeReference) -> ua.NodeId:
        """Some node."""
        return ua.NodeId(reference.identifier, 1)


class Pieces:
    """The outbox's queue: takes lists, gives them to the transaction."""

    writable = True

    def __init__(self) -> None:
        self.held: list[Piece] = []
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._done.set_result(None)

    def append(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Takes a list."""
        self.held.append(Piece(source, samples, marks))
        return self._done

    def record(self, _: Sequence[Event], __: str = "", ___: Sequence[bytes] = ()) -> Awaitable[None]:
        """No events come here."""
        return self._done

    def last_seen(self, _: str) -> int | None:
        """Nothing was seen before."""
        return None

    def marks(self, _: str) -> Sequence[bytes]:
        """None."""
        return ()


class Pipeline:
    """Everything between the socket of the source and the sockets of hub and broker."""

    def __init__(self, folder: Path) -> None:
        clock, metrics = SystemClock(), Metrics()
        signals = [Signal(f"{LINE}/{SOURCE}/c{number}", ValueType.FLOAT) for number in range(SIGNALS)]
        items = [Item(one, NodeReference(one.name, None, 1), 100.0, 10, CONVERTERS[ValueType.FLOAT]) for one in signals]
        self._clock = clock
        self._inbox = Inbox(SOURCE, INBOX_SAMPLES)
        self._session = StandIn()
        options = OpcUaOptions(endpoint="opc.tcp://localhost/")
        self._subscription = Subscription(SOURCE, self._session, items, options, self._inbox, clock)  # type: ignore[arg-type]
        self._pieces = Pieces()
        bus, tags = Bus(self._pieces, clock, metrics), Tags()
        alarms = [
            AlarmSettings(name=f"high_{number}", signal=f"{SOURCE}/c{number}", priority=Priority.LOW, above=1e15)
            for number in range(0, SIGNALS, SIGNALS_PER_ALARM)
        ]
        bus.subscribe(tags.update)
        bus.subscribe(Alarms(alarms, lambda name: f"{LINE}/{name}", clock, bus.record).update)
        receipts = Receipts(SOURCE, bus, clock)
        paths = [signal.path for signal in signals]
        meters = SourceMeters(SOURCE, metrics)
        self._intake = Intake(SOURCE, paths, bus, clock, meters, receipts, SKEW_LIMIT_NANOSECONDS)
        path = folder / "outbox.db"
        create(path, new_stream(), clock.now())
        self._store = Store(path, connect(path, Synchronous.NORMAL), "bench")
        self._store.load()
        self._encoder = DataEncoder(Catalog.of(signals), HostProfile.SPEC, SequenceNumber())
        self.values = 0
        """That reached a Sparkplug message."""

    async def start(self) -> None:
        """Sets up every signal."""
        await self._subscription.create()

    async def run(self, bodies: Sequence[bytes]) -> Turn:
        """One turn."""
        lists: list[float] = []
        unsent: list[RawBatch] = []
        began = time.thread_time()
        for body in bodies:
            received = time.thread_time()
            await self.receive(body)
            lists.append(time.thread_time() - received)
            unsent += self.commit()
            if len(unsent) >= PER_POST:
                self.send(unsent)
                unsent.clear()
        return Turn(time.thread_time() - began, lists)

    async def receive(self, body: bytes) -> None:
        """From the bytes of a publish response until the outbox has its list."""
        self._session.deliver(decode(body))
        await self._intake.take(await self._inbox.take())

    def commit(self) -> Sequence[RawBatch]:
        """What the outbox has becomes batches; Sparkplug makes its messages of them."""
        now = self._clock.now()
        done = self._store.commit(Transaction(now=now, pieces=tuple(self._pieces.held)))
        self._pieces.held.clear()
        for batch in done.batches:
            for message in self._encoder.messages(batch.samples or (), historical=False, now=now):
                self.values += message.rows
        return done.batches

    def send(self, batches: Sequence[RawBatch]) -> None:
        """The POST of the batches."""
        encode_envelope(Envelope(LINE, [WireBatch(batch.key, batch.rows, batch.blob) for batch in batches]))


class Floor:
    """asyncua's decoder, one SQLite transaction and one JSON message per notification."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self._connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        self._connection.execute("CREATE TABLE samples (handle INTEGER, time INTEGER, value REAL)")

    def run(self, bodies: Sequence[bytes]) -> Turn:
        """One turn."""
        lists: list[float] = []
        began = time.thread_time()
        for body in bodies:
            received = time.thread_time()
            response = struct_from_binary(ua.PublishResponse, Buffer(body))
            for notification in response.Parameters.NotificationMessage.NotificationData:
                items = notification.MonitoredItems
                rows = [(i.ClientHandle, i.Value.SourceTimestamp.timestamp(), i.Value.Value.Value) for i in items]
                self._connection.execute("BEGIN")
                self._connection.executemany("INSERT INTO samples VALUES (?, ?, ?)", rows)
                self._connection.execute("COMMIT")
                json.dumps(rows)
            lists.append(time.thread_time() - received)
        return Turn(time.thread_time() - began, lists)

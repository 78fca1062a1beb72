"""What a subscription makes of publish responses, with a scripted session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from edged.clock import VirtualClock
from edged.errors import SourceLost
from edged.ports import Reading
from edged.types import NANOSECONDS_PER_SECOND, Gap, Quality, Signal
from edged_connectors.south.inbox import Inbox
from edged_connectors.south.opcua_decode import Published, decode
from edged_connectors.south.opcua_items import Item
from edged_connectors.south.opcua_options import NodeReference, OpcUaOptions
from edged_connectors.south.opcua_reader import RETRY_SECONDS
from edged_connectors.south.opcua_session import Session
from edged_connectors.south.opcua_subscription import HEARTBEAT_NODE, Subscription
from edged_connectors.south.opcua_values import to_float

OPTIONS = OpcUaOptions(endpoint="opc.tcp://127.0.0.1:1/", publishing_milliseconds=200, keep_alive_seconds=2)
QUEUE_SIZE = 24
ITEMS = [
    Item(Signal(f"line_a/plc/{name}", "1"), NodeReference(f"s={name}", "urn:plc", 0), 50.0, QUEUE_SIZE, to_float)
    for name in ("a", "b")
]
HEARTBEAT = len(ITEMS)
OVERFLOW = 0x0480


class ScriptedSession(Session):
    """A session without a server: takes every request down and answers as told."""

    def __init__(self) -> None:
        super().__init__(OPTIONS, lambda _: None)
        self.refuses: dict[str, int] = {}
        self.namespaces: dict[str, int] = {"urn:plc": 4}
        self.requested: list[ua.MonitoredItemCreateRequest] = []
        self.parameters: Any = None
        self.deliver: Callable[[Published], None] = lambda _: None
        self.gone = False
        self.queue_size = 0

    async def subscribe(self, parameters: Any, deliver: Callable[[Published], None]) -> int:
        self.parameters, self.deliver = parameters, deliver
        return 7

    async def monitor(self, subscription: int, requests: Sequence[Any]) -> list[Any]:
        assert subscription == 7
        if self.gone:
            raise SourceLost("gone")
        self.requested += requests
        codes = [self.refuses.get(request.ItemToMonitor.NodeId.Identifier, 0) for request in requests]
        return [
            ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(code), RevisedQueueSize=self.queue_size)
            for code in codes
        ]

    async def read_namespaces(self) -> None:
        return

    def resolve(self, reference: NodeReference) -> ua.NodeId | None:
        index = self.namespaces.get(reference.uri or "")
        return None if index is None else ua.NodeId.from_string(f"ns={index};{reference.identifier}")


class Bench:
    """A subscription and everything around it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.session = ScriptedSession()
        self.inbox = Inbox("plc", 1000)
        self.subscription = Subscription("plc", self.session, ITEMS, OPTIONS, self.inbox, self.clock)
        self._sequence = 0

    def change(
        self, handle: int, value: float, code: int = 0, age_seconds: float = 0.0
    ) -> ua.MonitoredItemNotification:
        now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.clock.now() // 1000)
        source = now - timedelta(seconds=age_seconds)
        data = ua.DataValue(
            ua.Variant(value), StatusCode=ua.StatusCode(code), SourceTimestamp=source, ServerTimestamp=now
        )
        return ua.MonitoredItemNotification(handle, data)

    def publish(self, *notifications: Any, skip: int = 0) -> None:
        self._sequence += 1 + skip
        message = ua.NotificationMessage(self._sequence, NotificationData=list(notifications))
        self.respond(ua.PublishResult(7, NotificationMessage=message))

    def respond(self, result: ua.PublishResult) -> None:
        """The result, as the server sends it."""
        self.session.deliver(decode(struct_to_binary(ua.PublishResponse(Parameters=result))))

    def publish_changes(self, *changes: Any, skip: int = 0) -> None:
        self.publish(ua.DataChangeNotification(list(changes)), skip=skip)

    async def started(self) -> None:
        """First values have come."""
        await self.subscription.create()
        self.publish_changes(self.change(0, 0.0), self.change(1, 0.0))
        await self.inbox.take()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.subscription.close()


async def test_items_are_asked_for_with_their_queues_and_a_heartbeat(bench: Bench) -> None:
    statuses = await bench.subscription.create()
    assert [(s.signal, s.accepted) for s in statuses] == [("line_a/plc/a", True), ("line_a/plc/b", True)]
    heartbeat, first, _ = bench.session.requested
    assert heartbeat.ItemToMonitor.NodeId == HEARTBEAT_NODE
    wanted = first.RequestedParameters
    assert (wanted.ClientHandle, wanted.SamplingInterval, wanted.QueueSize, wanted.DiscardOldest) == (0, 50.0, 24, True)
    assert first.ItemToMonitor.NodeId == ua.NodeId("a", 4)
    parameters = bench.session.parameters
    assert (parameters.RequestedPublishingInterval, parameters.RequestedMaxKeepAliveCount) == (200, 10)
    assert parameters.RequestedLifetimeCount * 0.2 == OPTIONS.lifetime_seconds


async def test_a_notification_becomes_one_list(bench: Bench) -> None:
    await bench.started()
    bench.publish_changes(bench.change(1, 2.0), bench.change(0, 1.0), bench.change(1, 3.0))
    samples = (await bench.inbox.take()).samples
    assert [(s.signal[-1], s.value) for s in samples] == [("b", 2.0), ("a", 1.0), ("b", 3.0)]


async def test_heartbeats_and_keep_alives_are_signs_of_life(bench: Bench) -> None:
    await bench.started()
    bench.publish_changes(bench.change(HEARTBEAT, 1.0))
    assert await bench.inbox.take() == Reading((), [])
    bench.respond(ua.PublishResult(7))
    assert await bench.inbox.take() == Reading((), [])


async def test_handles_we_never_gave_are_ignored(bench: Bench) -> None:
    await bench.started()
    bench.publish_changes(bench.change(4711, 1.0), bench.change(0, 1.0))
    assert len((await bench.inbox.take()).samples) == 1


async def test_the_overflow_bit_is_a_gap_since_the_last_notification(bench: Bench) -> None:
    await bench.started()
    before = bench.clock.now()
    await bench.clock.advance(3.0)
    bench.publish_changes(bench.change(0, 1.0, OVERFLOW), bench.change(1, 1.0))
    reading = await bench.inbox.take()
    assert list(reading.gaps) == [Gap("plc", before, bench.clock.now(), "server_queue_overflow")]
    assert [(s.quality, s.reason) for s in reading.samples] == [(Quality.GOOD, "")] * 2


async def test_a_queue_that_comes_full_and_begins_late_is_a_gap_since_the_last_value(bench: Bench) -> None:
    """A server that drops values and sets no overflow bit, and a notification that waited for us (CARD1)."""
    await bench.started()
    before = bench.clock.now()
    await bench.clock.advance(4.0)
    bench.publish_changes(bench.change(0, 1.0, age_seconds=3.9), bench.change(1, 1.0, age_seconds=3.9))
    kept = [bench.change(0, float(n), age_seconds=2.4 - n / 10) for n in range(QUEUE_SIZE)]
    bench.publish_changes(*kept, bench.change(1, 2.0))
    reading = await bench.inbox.take()
    second = NANOSECONDS_PER_SECOND
    assert list(reading.gaps) == [Gap("plc", before + second // 10, bench.clock.now(), "server_queue_overflow")]
    assert len(reading.samples) == 2 + QUEUE_SIZE + 1


async def test_old_values_behind_a_new_one_make_no_gap_longer(bench: Bench) -> None:
    """A sensor that stamps its values late comes last in each notification; the newest of all tells how far it goes."""
    await bench.started()
    await bench.clock.advance(4.0)
    late = [bench.change(1, float(n), age_seconds=3600.0) for n in range(QUEUE_SIZE // 2)]
    bench.publish_changes(bench.change(0, 1.0), *late)
    before = bench.clock.now()
    await bench.inbox.take()
    await bench.clock.advance(1.0)
    bench.publish_changes(bench.change(0, 2.0, OVERFLOW))
    assert list((await bench.inbox.take()).gaps) == [Gap("plc", before, bench.clock.now(), "server_queue_overflow")]


@pytest.mark.parametrize(("count", "oldest_seconds"), [(QUEUE_SIZE, 2.3), (QUEUE_SIZE - 1, 2.2)])
async def test_a_queue_that_holds_all_since_the_last_value_is_no_gap(
    bench: Bench, count: int, oldest_seconds: float
) -> None:
    await bench.started()
    await bench.clock.advance(2.4 if count == QUEUE_SIZE else 9.0)
    bench.publish_changes(*(bench.change(0, float(n), age_seconds=oldest_seconds - n / 10) for n in range(count)))
    assert not (await bench.inbox.take()).gaps


async def test_a_queue_of_one_tells_nothing(bench: Bench) -> None:
    bench.session.queue_size = 1
    await bench.started()
    await bench.clock.advance(9.0)
    bench.publish_changes(bench.change(0, 1.0), bench.change(1, 1.0))
    assert not (await bench.inbox.take()).gaps


async def test_a_jump_of_the_sequence_number_is_a_gap(bench: Bench) -> None:
    await bench.started()
    bench.publish_changes(bench.change(0, 1.0))
    bench.publish_changes(bench.change(0, 3.0), skip=1)
    assert [gap.reason for gap in (await bench.inbox.take()).gaps] == ["notification_lost"]


async def test_the_end_of_the_subscription_is_a_loss(bench: Bench) -> None:
    await bench.started()
    bench.publish(ua.StatusChangeNotification(ua.StatusCode(ua.StatusCodes.BadTimeout)))
    with pytest.raises(SourceLost, match="BadTimeout"):
        await bench.inbox.take()


async def test_an_old_first_value_counts_from_when_it_was_seen_a_later_one_does_not(bench: Bench) -> None:
    await bench.subscription.create()
    bench.publish_changes(bench.change(0, 1.0, age_seconds=7200), bench.change(0, 2.0, age_seconds=7200))
    first, later = (await bench.inbox.take()).samples
    assert first.receive_time - first.source_time == 0
    assert later.receive_time - later.source_time == 7200 * NANOSECONDS_PER_SECOND


async def test_a_refused_item_is_asked_for_again_each_minute_alone(bench: Bench) -> None:
    bench.session.refuses["b"] = ua.StatusCodes.BadNodeIdUnknown
    statuses = await bench.subscription.create()
    assert [(s.accepted, s.reason) for s in statuses] == [(True, ""), (False, "BadNodeIdUnknown")]
    bench.session.requested.clear()
    await bench.clock.advance(RETRY_SECONDS)
    assert [r.RequestedParameters.ClientHandle for r in bench.session.requested] == [1]
    bench.session.refuses.clear()
    await bench.clock.advance(RETRY_SECONDS)
    assert len(bench.session.requested) == 2
    await bench.clock.advance(10 * RETRY_SECONDS)
    assert len(bench.session.requested) == 2


async def test_an_unknown_namespace_is_refused_and_found_when_it_comes(bench: Bench) -> None:
    bench.session.namespaces.clear()
    assert [s.reason for s in await bench.subscription.create()] == ["namespace_unknown"] * 2
    bench.session.namespaces["urn:plc"] = 9
    await bench.clock.advance(RETRY_SECONDS)
    assert {r.ItemToMonitor.NodeId.NamespaceIndex for r in bench.session.requested[1:]} == {9}


async def test_a_session_that_is_gone_while_retrying_is_a_loss(bench: Bench) -> None:
    bench.session.refuses["b"] = ua.StatusCodes.BadNodeIdUnknown
    await bench.subscription.create()
    bench.session.gone = True
    await bench.clock.advance(RETRY_SECONDS)
    with pytest.raises(SourceLost):
        await bench.inbox.take()

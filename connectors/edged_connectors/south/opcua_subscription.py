"""A subscription whose notifications are taken as whole lists, each item with its own status."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

from asyncua import ua

from edged.clock import Clock
from edged.errors import SourceLost
from edged.log import get_logger
from edged.ports import SignalStatus
from edged.supervise import start_task
from edged.types import Gap, Sample
from edged_connectors.south.inbox import Inbox
from edged_connectors.south.opcua_decode import Published
from edged_connectors.south.opcua_items import Item, as_seen, plain_samples, sample_of
from edged_connectors.south.opcua_options import OpcUaOptions
from edged_connectors.south.opcua_reader import NAMESPACE_UNKNOWN, RETRY_SECONDS
from edged_connectors.south.opcua_session import Session
from edged_connectors.south.opcua_values import Change, overflowed, to_float

HEARTBEAT_NODE = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
HEARTBEAT_SAMPLING_MILLISECONDS = 1000.0

HANDLE = itemgetter(0)
"""Of a change."""
SOURCE_TIME = itemgetter(2)
"""Of a sample."""

SERVER_QUEUE_OVERFLOW = "server_queue_overflow"
NOTIFICATION_LOST = "notification_lost"

log = get_logger("opcua")


class Subscription:
    """Client handles are positions in `items`; the one after the last is the server's clock, our sign of life."""

    def __init__(
        self, source: str, session: Session, items: Sequence[Item], options: OpcUaOptions, inbox: Inbox, clock: Clock
    ) -> None:
        self._source = source
        self._session = session
        self._items = items
        self._targets = [(item.path, item.convert) for item in items]
        self._floats = {handle: item.path for handle, item in enumerate(items) if item.convert is to_float}
        self._options = options
        self._inbox = inbox
        self._clock = clock
        self._id = 0
        self._awaited: set[int] = set()
        self._refused: dict[int, str] = {}
        self._queues: dict[int, int] = {}
        self._shortest_queue = 0
        self._last_notification = 0
        self._told_until = 0
        self._last_sequence: int | None = None
        self._retrying: asyncio.Task[None] | None = None

    async def create(self) -> list[SignalStatus]:
        """Subscribes to the heartbeat and to every item; a status for each item. Raises SourceLost."""
        options = self._options
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=options.publishing_milliseconds,
            RequestedLifetimeCount=options.lifetime_count(),
            RequestedMaxKeepAliveCount=options.keep_alive_count(),
        )
        self._last_notification = self._told_until = self._clock.now()
        self._id = await self._session.subscribe(parameters, self._published)
        heartbeat = _request(HEARTBEAT_NODE, len(self._items), HEARTBEAT_SAMPLING_MILLISECONDS, 1)
        await self._session.monitor(self._id, [heartbeat])
        await self._monitor(range(len(self._items)))
        if self._refused:
            self._retrying = start_task(f"opcua:{self._source}:retry", self._retry())
        return [
            SignalStatus(item.path, handle not in self._refused, self._refused.get(handle, ""))
            for handle, item in enumerate(self._items)
        ]

    async def close(self) -> None:
        """Stops retrying; the subscription itself goes with its session."""
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.wait({self._retrying})

    async def _monitor(self, handles: Sequence[int]) -> None:
        """Adds items and notes which ones the server refuses, and why."""
        requests, asked = [], []
        for handle in handles:
            item = self._items[handle]
            node = self._session.resolve(item.reference)
            if node is None:
                self._refused[handle] = NAMESPACE_UNKNOWN
            else:
                requests.append(_request(node, handle, item.sampling_milliseconds, item.queue_size))
                asked.append(handle)
        self._awaited.update(asked)
        for handle, result in zip(asked, await self._session.monitor(self._id, requests), strict=True):
            if result.StatusCode.is_good():
                self._refused.pop(handle, None)
                self._queues[handle] = result.RevisedQueueSize or self._items[handle].queue_size
            else:
                self._refused[handle] = result.StatusCode.name
                self._awaited.discard(handle)
        self._shortest_queue = min((size for size in self._queues.values() if size > 1), default=0)

    async def _retry(self) -> None:
        """Asks for the refused items again, for as long as there are any."""
        try:
            while self._refused:
                await self._clock.sleep(RETRY_SECONDS)
                await self._session.read_namespaces()
                await self._monitor(sorted(self._refused))
        except SourceLost as fault:
            self._inbox.fail(fault)

    def _published(self, published: Published) -> None:
        """Takes one publish response: data, a keep-alive, or the end of the subscription."""
        received = self._clock.now()
        if published.keep_alive:
            self._inbox.put(())
        else:
            self._check_sequence(published.sequence, received)
            self._take(published.changes, received)
        if published.ended:
            self._inbox.fail(SourceLost(f"the server ended the subscription: {published.ended}"))
        self._last_notification = received

    def _check_sequence(self, sequence: int, received: int) -> None:
        last, self._last_sequence = self._last_sequence, sequence
        if last is not None and sequence not in (last + 1, 1):
            self._inbox.tell(Gap(self._source, self._last_notification, received, NOTIFICATION_LOST))

    def _take(self, changes: Sequence[Change], received: int) -> None:
        samples = plain_samples(self._floats, changes, received) if changes and not self._awaited else None
        overflow = False
        if samples is None:
            samples, overflow = self._samples(changes, received)
        if overflow or self._came_full(changes):
            self._inbox.tell(Gap(self._source, self._emptied(), received, SERVER_QUEUE_OVERFLOW))
        self._inbox.put(samples)
        self._told_until = max(map(SOURCE_TIME, samples), default=received)

    def _samples(self, changes: Sequence[Change], received: int) -> tuple[list[Sample], bool]:
        """The samples, and whether the server says that it dropped values."""
        targets, awaited, samples, overflow = self._targets, self._awaited, [], False
        for change in changes:
            handle, _, code, _, _ = change
            if handle >= len(targets):
                continue
            path, convert = targets[handle]
            sample = sample_of(path, convert, change, received)
            if code and overflowed(code):
                overflow = True
            if awaited and handle in awaited:
                sample = self._first(sample, change)
            samples.append(sample)
        return samples, overflow

    def _came_full(self, changes: Sequence[Change]) -> bool:
        """Whether an item's queue was full and began late: not every server tells of what it drops."""
        if not 0 < self._shortest_queue <= len(changes):
            return False
        counts = Counter(map(HANDLE, changes))
        if max(counts.values()) < self._shortest_queue:
            return False
        full = [handle for handle, count in counts.items() if count >= self._queues.get(handle, sys.maxsize) > 1]
        return any(self._begins_late([change for change in changes if change.handle == handle]) for handle in full)

    def _begins_late(self, queue: Sequence[Change]) -> bool:
        """Whether more time lies before the first value of a queue than two in it, twice the mean."""
        times = [change.source_time for change in queue if change.source_time]
        if len(times) < len(queue):
            return True
        return times[0] - self._emptied() > 2 * (times[-1] - times[0]) / (len(times) - 1)

    def _emptied(self) -> int:
        """When all queues were empty last (ns UTC): no later than the newest value that came then.

        The receive time alone could be too late: a notification may have waited on its way here.
        """
        return min(self._last_notification, self._told_until)

    def _first(self, sample: Sample, change: Change) -> Sample:
        """An item's first value is what it was before we came."""
        self._awaited.discard(change.handle)
        return as_seen(sample, change)


def _request(
    node: ua.NodeId, handle: int, sampling_milliseconds: float, queue_size: int
) -> ua.MonitoredItemCreateRequest:
    wanted = ua.MonitoringParameters(
        ClientHandle=handle, SamplingInterval=sampling_milliseconds, QueueSize=queue_size, DiscardOldest=True
    )
    return ua.MonitoredItemCreateRequest(
        ua.ReadValueId(node, ua.AttributeIds.Value), ua.MonitoringMode.Reporting, wanted
    )

"""From the outbox to the broker: live data each period, backlog behind or before it, a fence after both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edged.clock import Clock
from edged.errors import DamagedRecord
from edged.log import get_logger
from edged.metrics import Metrics
from edged.ports import Sink, StoredBatch
from edged.settings import HistoryOrder, SparkplugSettings
from edged.types import Lane, Sample
from edged_connectors.north.data import DataEncoder
from edged_connectors.north.fence import Fence, Wire
from edged_connectors.north.history import Pace
from edged_connectors.north.topics import Topics

LIVE_BATCHES_PER_ROUND = 64
HISTORY_BATCHES_PER_TAKE = 16
HISTORY_TAKES_PER_ROUND = 16
TAKE_BYTES = 1_000_000

log = get_logger("sparkplug")


class Outflow:
    """Publishes rounds over the current connection. Counts values since the start of the daemon."""

    def __init__(
        self,
        settings: SparkplugSettings,
        sink: Sink,
        encoder: DataEncoder,
        topics: Topics,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._encoder = encoder
        self._topics = topics
        self._clock = clock
        self._data_topics: dict[str, str] = {}
        self._wire: Wire | None = None
        self._fence: Fence | None = None
        self._pace = self._new_pace()
        self._draining = True
        self._round_began = clock.monotonic()
        counter = metrics.counter("edged_sparkplug_values_total", "Values published", ("kind",))
        self._live_counter = counter.labels("live")
        self._history_counter = counter.labels("historical")
        self._confirmed_counter = metrics.counter("edged_sparkplug_confirmed_values_total", "Values behind a fence")
        self._damaged_counter = metrics.counter("edged_sparkplug_damaged_batches_total", "Batches that do not decode")
        unfit = metrics.counter("edged_sparkplug_unfit_values_total", "Values that are not as configured", ("reason",))
        self._mistyped_counter = unfit.labels("mistyped")
        self._stranger_counter = unfit.labels("not_configured")
        self._told_unfit = False
        self.published = 0
        self.historical = 0
        self.confirmed = 0
        self.sent_again = 0

    def connected(self, wire: Wire) -> None:
        """A new connection: a new fence, and the backlog first if the order asks for it."""
        self._wire = wire
        self._fence = Fence(self._sink, wire, self._topics.fence)
        self._draining = True
        self._pace = self._new_pace()

    def abandon(self) -> None:
        """The connection is gone."""
        if self._fence is not None:
            self._fence.abandon()
        self._fence = self._wire = None

    async def round(self) -> None:
        """Publishes what is due and waits until the broker has it. Raises SourceLost."""
        assert self._fence is not None
        self._round_began = self._clock.monotonic()
        in_order = self._settings.history_order == HistoryOrder.IN_ORDER
        if in_order:
            await self._send_history()
        if not (in_order and self._draining):
            await self._send_live()
        if not in_order:
            await self._send_history()
        confirmed = await self._fence.settle()
        self.confirmed += confirmed
        self._confirmed_counter.inc(confirmed)

    async def rest(self) -> None:
        """Waits for the next period, and for something to send."""
        period = self._settings.publish_period_seconds
        await self._clock.sleep(period - (self._clock.monotonic() - self._round_began))
        if not self._sink.depth(Lane.PROCESS):
            await self._sink.wait(period)

    async def _send_live(self) -> None:
        batches = await self._take(live=True, count=LIVE_BATCHES_PER_ROUND)
        rows = self._send(batches, historical=False)
        self.published += rows
        self._live_counter.inc(rows)

    async def _send_history(self) -> None:
        """Oldest first, no faster than the setting."""
        for _ in range(HISTORY_TAKES_PER_ROUND):
            if not self._pace.open(self._clock.monotonic()):
                return
            batches = await self._take(live=False, count=HISTORY_BATCHES_PER_TAKE)
            self._draining = bool(batches)
            if not batches:
                return
            rows = self._send(batches, historical=True)
            self._pace.spend(rows)
            self.historical += rows
            self._history_counter.inc(rows)
            await asyncio.sleep(0)

    async def _take(self, *, live: bool, count: int) -> Sequence[StoredBatch]:
        assert self._fence is not None
        batches = await self._sink.take(Lane.PROCESS, live=live, max_batches=count, max_bytes=TAKE_BYTES)
        self._fence.cover(batches)
        return batches

    def _send(self, batches: Sequence[StoredBatch], *, historical: bool) -> int:
        assert self._wire is not None
        samples: list[Sample] = []
        for batch in batches:
            samples += self._open(batch)
        rows = 0
        for message in self._encoder.messages(samples, historical=historical, now=self._clock.now()):
            self._wire.send(self._topic(message.device), message.payload)
            rows += message.rows
        self._note_unfit()
        return rows

    def _note_unfit(self) -> None:
        encoder = self._encoder
        if not (encoder.mistyped or encoder.strangers):
            return
        if not self._told_unfit:
            log.warning("values_not_as_configured", mistyped=encoder.mistyped, not_configured=encoder.strangers)
            self._told_unfit = True
        self._mistyped_counter.inc(encoder.mistyped)
        self._stranger_counter.inc(encoder.strangers)
        encoder.mistyped = encoder.strangers = 0

    def _open(self, batch: StoredBatch) -> Sequence[Sample]:
        """A damaged batch has nothing to send; it is confirmed with the others, its loss is the outbox's to record."""
        try:
            return batch.samples()
        except DamagedRecord as fault:
            self._damaged_counter.inc()
            log.warning("batch_damaged", seq=batch.key.seq, fault=str(fault))
            return ()

    def _topic(self, device: str) -> str:
        topic = self._data_topics.get(device)
        if topic is None:
            topic = self._data_topics[device] = self._topics.of_device("DDATA", device)
        return topic

    def _new_pace(self) -> Pace:
        settings = self._settings
        return Pace(settings.history_samples_per_second, settings.publish_period_seconds, self._clock.monotonic())

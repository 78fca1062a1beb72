"""The uplink: takes batches from the outbox, posts them to the hub, confirms what the hub has committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edged.clock import Clock
from edged.errors import AccessRefused, HubUnavailable
from edged.log import get_logger
from edged.metrics import Metrics
from edged.ports import Announcer, Sink, StoredBatch
from edged.settings import HubSettings
from edged.types import NANOSECONDS_PER_SECOND, BatchKey, Lane, SeqRange
from edged_cloud_sync.client import HubBusy, HubClient, NotUnderstood, PostTooLarge, check_address
from edged_cloud_sync.commands import HubCommands
from edged_cloud_sync.pace import BacklogPace
from edged_cloud_sync.wire import BATCH_OVERHEAD_BYTES, MAX_BODY_BYTES, MAX_OFFERS, Answer, Envelope, WireBatch

BATCHES_PER_TAKE = 1000
"""Four takes make one POST at most, which stays below the wire's limit of batches."""
HEARTBEAT_SECONDS = 10.0
"""With nothing to send the hub is asked this often, so that `connected` is true."""
POST_BYTES = MAX_BODY_BYTES // 2
RIDE_ALONG_SHARE = 0.5
"""Process values join a POST that events cause once this share of their period has passed."""

log = get_logger("uplink")


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """How the uplink is doing. `last_ok` is when the hub last answered well, ns UTC, 0 before the first time."""

    url: str
    connected: bool
    last_ok: int
    posts: int
    batches: int
    refused_batches: int
    backlog: int
    last_error: str
    refused_identity: bool
    accepted_commands: int
    refused_commands: int
    lacks: tuple[SeqRange, ...] = ()


class Uplink:
    """Delivers one sink's batches to the hub: events at once, process values about once a second, backlog behind."""

    def __init__(
        self, settings: HubSettings, node: str, sink: Sink, commands: HubCommands, clock: Clock, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._node = node
        self._sink = sink
        self.commands = commands
        """What the hub's users ask of the line; their way to the gate is a service of its own."""
        self._clock = clock
        check_address(settings)
        most = min(settings.backlog_batches_per_post, BATCHES_PER_TAKE)
        self._pace = BacklogPace(most, settings.process_period_seconds)
        self._carried = 0
        self._posts = 0
        self._batches = 0
        self._refused = 0
        self._last_ok = 0
        self._last_error = ""
        self._connected = False
        self._refused_identity = False
        self._lacks: tuple[SeqRange, ...] = ()
        self._post_seconds = metrics.histogram("edged_uplink_post_seconds", "Time from a POST to the hub's answer")
        self._confirmed = metrics.counter("edged_uplink_batches_total", "Batches that the hub confirmed")
        self._rejected = metrics.counter("edged_uplink_refused_batches_total", "Batches that the hub could not read")
        self._online = metrics.gauge("edged_uplink_connected", "1 while the hub answers")
        self._depth = metrics.gauge("edged_uplink_backlog_batches", "Batches that the hub has not confirmed yet")

    async def run(self) -> None:
        """Delivers until cancelled. Raises AccessRefused when our identity is refused, HubUnavailable on any fault."""
        try:
            async with HubClient(self._settings, self._node) as client:
                began = self._clock.monotonic()
                await self._post(client, [])
                self._pace.posted(0, self._clock.monotonic() - began)
                self._sink.reopen()
                self._set_connected(True)
                log.info("hub_connected", url=self._settings.url)
                await self._deliver(client)
        except (AccessRefused, HubUnavailable) as fault:
            self._refused_identity = isinstance(fault, AccessRefused)
            self._last_error = str(fault)
            raise
        finally:
            self._set_connected(False)

    def status(self) -> UplinkStatus:
        """A snapshot."""
        return UplinkStatus(
            url=self._settings.url,
            connected=self._connected,
            last_ok=self._last_ok,
            posts=self._posts,
            batches=self._batches,
            refused_batches=self._refused,
            backlog=self._backlog(),
            last_error=self._last_error,
            refused_identity=self._refused_identity,
            accepted_commands=self.commands.accepted,
            refused_commands=self.commands.refused,
            lacks=self._lacks,
        )

    async def _deliver(self, client: HubClient) -> None:
        """The delivery loop: one POST at a time, paced by the two periods."""
        next_process = next_events = heard = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            taken: list[StoredBatch] = []
            self._carried = 0
            if now >= next_events:
                taken = await self._take(Lane.EVENTS, POST_BYTES // 2)
                if taken:
                    next_events = now + self._settings.events_period_seconds
            lead = self._settings.process_period_seconds * RIDE_ALONG_SHARE if taken else 0.0
            if now >= next_process - lead:
                taken += await self._take(Lane.PROCESS, POST_BYTES - _size(taken))
                next_process = now + self._settings.process_period_seconds
            if taken or self.commands.judged or now >= heard + HEARTBEAT_SECONDS:
                await self._send(client, taken)
                self._pace.posted(self._carried, self._clock.monotonic() - now)
                heard = now
                self._depth.set(self._backlog())
            else:
                await self._pause(next_process, next_events)

    async def _pause(self, next_process: float, next_events: float) -> None:
        """Waits for a commit or the next turn of the process values; not less than the events' period apart."""
        now = self._clock.monotonic()
        if now < next_events:
            await self._clock.sleep(next_events - now)
        else:
            await self._sink.wait(max(0.0, next_process - now))

    async def _take(self, lane: Lane, budget: int) -> list[StoredBatch]:
        """Live batches first, then as much backlog as its pace allows, within `budget` bytes."""
        taken = list(await self._sink.take(lane, live=True, max_batches=BATCHES_PER_TAKE, max_bytes=budget))
        rest = budget - _size(taken)
        if rest > 0:
            waited = await self._sink.take(lane, live=False, max_batches=self._pace.batches, max_bytes=rest)
            self._carried += len(waited)
            taken += waited
        return taken

    async def _send(self, client: HubClient, batches: Sequence[StoredBatch]) -> None:
        """Posts until each batch is answered for or given back; smaller pieces where the hub takes no more at once."""
        waiting = [batches]
        try:
            while waiting:
                part = waiting[-1]
                try:
                    await self._post(client, part)
                except PostTooLarge as fault:
                    waiting.pop()
                    waiting += self._split(part, fault)
                except HubBusy as fault:
                    self._last_error = str(fault)
                    self._give_back(waiting)
                    waiting = []
                    await self._clock.sleep(fault.seconds)
                else:
                    waiting.pop()
        finally:
            self._give_back(waiting)

    def _split(self, part: Sequence[StoredBatch], fault: PostTooLarge) -> list[Sequence[StoredBatch]]:
        """The two halves, to be sent first half first; a single batch stays out until the next connection."""
        if len(part) > 1:
            half = len(part) // 2
            return [part[half:], part[:half]]
        self._last_error = str(fault)
        for batch in part:
            log.error("batch_too_large_for_hub", key=batch.key, bytes=len(batch.blob), fault=str(fault))
        return []

    def _give_back(self, waiting: Sequence[Sequence[StoredBatch]]) -> None:
        keys = [batch.key for part in waiting for batch in part]
        if keys:
            self._sink.release(keys)

    async def _post(self, client: HubClient, batches: Sequence[StoredBatch]) -> None:
        """One POST and its answer; confirms what the hub committed, and lines up the commands that came with it."""
        wire = [WireBatch(batch.key, batch.rows, batch.blob) for batch in batches]
        offers = self._sink.offers()[:MAX_OFFERS] if isinstance(self._sink, Announcer) else ()
        started, wall = self._clock.monotonic(), self._clock.now()
        answer = await self._exchange(client, Envelope(self._node, wire, offers, self.commands.take_verdicts()))
        seconds = self._clock.monotonic() - started
        suspended = max(0.0, (self._clock.now() - wall) / NANOSECONDS_PER_SECOND - seconds)
        self.commands.take(answer.commands, started - suspended)
        self._post_seconds.observe(seconds)
        self._posts += 1
        self._last_ok = self._clock.now()
        self._last_error = ""
        self._refused_identity = False
        self._note_lacks(answer.lacks)
        await self._settle({batch.key for batch in wire}, answer)

    async def _exchange(self, client: HubClient, envelope: Envelope) -> Answer:
        """The hub's answer. Verdicts that did not arrive are told again, but not to a hub that knows none."""
        try:
            return await client.post(envelope)
        except (AccessRefused, HubUnavailable) as fault:
            if not isinstance(fault, NotUnderstood):
                self.commands.give_back(envelope.verdicts)
            raise

    async def _settle(self, sent: set[BatchKey], answer: Answer) -> None:
        """Confirms what the hub holds or has put aside as unreadable; gives back what it did not answer for."""
        held = [key for key in answer.accepted if key in sent]
        refused = [refusal for refusal in answer.refused if refusal.key in sent]
        for refusal in refused:
            log.error("hub_refused_batch", key=refusal.key, reason=refusal.reason)
        done = held + [refusal.key for refusal in refused]
        if done:
            await self._sink.confirm(done)
        unanswered = sent.difference(done)
        if unanswered:
            self._sink.release(sorted(unanswered))
        self._batches += len(held)
        self._confirmed.inc(len(held))
        self._refused += len(refused)
        self._rejected.inc(len(refused))

    def _note_lacks(self, lacks: Sequence[SeqRange]) -> None:
        """Says once which batches neither side has any more."""
        new = set(lacks).difference(self._lacks)
        if new:
            log.warning("hub_lacks_batches", ranges=sorted(new))
        self._lacks = tuple(lacks)

    def _set_connected(self, connected: bool) -> None:
        self._connected = connected
        self._online.set(1 if connected else 0)

    def _backlog(self) -> int:
        return sum(self._sink.depth(lane) for lane in Lane)


def _size(batches: Sequence[StoredBatch]) -> int:
    return sum(len(batch.blob) + BATCH_OVERHEAD_BYTES for batch in batches)

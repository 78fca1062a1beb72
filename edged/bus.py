"""The one road of plant data: every listener sees a batch at once, the outbox makes it durable."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from edged.clock import Clock
from edged.metrics import PIPELINE_BUCKETS_SECONDS, Metrics
from edged.ports import EventListener, Recorder, SampleListener
from edged.types import NANOSECONDS_PER_SECOND, Event, Sample


class DurableRecorder(Recorder, Protocol):
    """A recorder that also remembers when each source was last heard."""

    def last_seen(self, source: str) -> int | None: ...

    def marks(self, source: str) -> Sequence[bytes]: ...


class Bus:
    """Listeners are synchronous and quick; they run in the order of subscription, on the loop, before the commit."""

    def __init__(self, outbox: DurableRecorder, clock: Clock, metrics: Metrics) -> None:
        self._outbox = outbox
        self._clock = clock
        self._pipeline = metrics.histogram(
            "edged_pipeline_seconds",
            "From the receipt of a list's first value until the outbox has the list, its commit apart",
            buckets=PIPELINE_BUCKETS_SECONDS,
        )
        self._sample_listeners: list[SampleListener] = []
        self._event_listeners: list[EventListener] = []

    def subscribe(self, listener: SampleListener) -> None:
        """`listener` gets every list of samples."""
        self._sample_listeners.append(listener)

    def subscribe_events(self, listener: EventListener) -> None:
        """`listener` gets every list of events."""
        self._event_listeners.append(listener)

    def publish(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Done when the samples are durable, or their loss is recorded."""
        for listener in self._sample_listeners:
            listener(samples)
        durable = self._outbox.append(source, samples, marks)
        if samples:
            taken = (self._clock.now() - samples[0].receive_time) / NANOSECONDS_PER_SECOND
            self._pipeline.observe(max(0.0, taken))
        return durable

    def restore(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Done when the samples of the past are durable, or their loss is recorded; no listener gets them."""
        return self._outbox.append(source, samples, marks)

    def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Done when the events are durable. Raises OutboxUnavailable while the outbox is degraded."""
        for listener in self._event_listeners:
            listener(events)
        return self._outbox.record(events, source, marks)

    def last_seen(self, source: str) -> int | None:
        """Receive time (ns UTC) of the source's last durable sample."""
        return self._outbox.last_seen(source)

    def marks(self, source: str) -> Sequence[bytes]:
        """The source's last durable marks, oldest first."""
        return self._outbox.marks(source)

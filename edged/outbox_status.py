"""How the outbox is doing: for /status and for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Gauge

from edged.metrics import Metrics
from edged.outbox_types import Committed


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """What the current stream holds in one lane."""

    lane: str
    head: int
    batches: int
    samples: int


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """How far one sink is behind. `oldest_age_seconds` is None while it owes nothing of the current stream."""

    name: str
    process_batches: int
    events_batches: int
    oldest_age_seconds: float | None


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """What /status shows. `degraded` is the reason, empty while all is well; `ring_samples` wait in memory."""

    stream: str
    bytes: int
    free_pages: int
    lanes: tuple[LaneStatus, ...]
    sinks: tuple[SinkStatus, ...]
    old_streams: int
    commits: int
    last_commit_milliseconds: float
    degraded: str
    ring_samples: int
    dropped_samples: int


class Meters:
    """What Prometheus sees of the outbox."""

    def __init__(self, metrics: Metrics) -> None:
        self.samples = metrics.counter("edged_outbox_samples_total", "Samples that became durable")
        self.dropped = metrics.counter("edged_outbox_dropped_samples_total", "Samples dropped while it was unwritable")
        self.commit_seconds = metrics.histogram("edged_outbox_commit_seconds", "Time of one commit on its thread")
        self.wait_seconds = metrics.histogram("edged_outbox_wait_seconds", "From a group's first value to its commit")
        self.bytes = metrics.gauge("edged_outbox_bytes", "Bytes in use in the outbox file")
        self.degraded = metrics.gauge("edged_outbox_degraded", "1 while the outbox cannot be written")
        self.ring = metrics.gauge("edged_outbox_ring_samples", "Samples in memory that are not durable yet")
        self._depth = metrics.gauge("edged_outbox_sink_batches", "Batches that a sink has not confirmed", ("sink",))
        self._depths: dict[str, Gauge] = {}

    def committed(self, samples: int, done: Committed, waiting: int) -> None:
        """After each commit."""
        self.samples.inc(samples)
        self.commit_seconds.observe(done.seconds)
        self.bytes.set(done.used_bytes)
        self.ring.set(waiting)

    def depth(self, sink: str, batches: int) -> None:
        """Batches of all lanes."""
        child = self._depths.get(sink)
        if child is None:
            child = self._depths[sink] = self._depth.labels(sink)
        child.set(batches)

"""The durable outbox: what is appended is committed in groups, numbered, kept until every sink has confirmed it.

Nothing else in edged makes data durable. One thread owns the file, one hop per group; docs/adr/0002-delivery.md says
what is promised and why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Sequence
from pathlib import Path

from edged.clock import Clock
from edged.metrics import Metrics
from edged.outbox_schema import LANES
from edged.outbox_shelf import Volume
from edged.outbox_sink import OutboxSink
from edged.outbox_status import LaneStatus, Meters, OutboxStatus, SinkStatus
from edged.outbox_types import EventPiece, Piece
from edged.outbox_writer import Writer
from edged.records import encode_events
from edged.settings import OutboxSettings
from edged.types import NANOSECONDS_PER_SECOND, BatchKey, Event, Lane, Sample

__all__ = ["Outbox", "OutboxStatus"]

MILLISECONDS = 1000.0


class Outbox:
    """Implements `edged.ports.Recorder`. Made by `Outbox.open`; every sink is registered before data flows."""

    def __init__(self, writer: Writer, sinks: dict[str, OutboxSink], clock: Clock) -> None:
        self._writer = writer
        self._sinks = sinks
        self._clock = clock

    @classmethod
    async def open(
        cls, path: Path, settings: OutboxSettings, clock: Clock, *, metrics: Metrics | None = None
    ) -> Outbox:
        """Opens or makes the file; a damaged one is set aside. Degraded on a full disk. Raises OutboxTooNew."""
        sinks: dict[str, OutboxSink] = {}
        writer = Writer(path, settings, clock, Meters(metrics or Metrics()), sinks)
        await writer.start()
        return cls(writer, sinks, clock)

    @property
    def stream(self) -> str:
        """The stream that new batches belong to."""
        return self._writer.files.stream

    @property
    def writable(self) -> bool:
        """False while degraded: then no decision is made."""
        return not self._writer.degraded

    def sink(
        self,
        name: str,
        *,
        cap_age_seconds: float | None = None,
        hold_seconds: float = 0.0,
        lanes: Collection[Lane] = LANES,
    ) -> OutboxSink:
        """The sink of that name; the options count when it is first asked for.

        A sink with `cap_age_seconds` is a secondary one that pins nothing for longer. What it confirmed stays for
        `hold_seconds`, for `unconfirm`. Lanes that it does not take are not kept for it. A sink of earlier runs that
        nobody asks for pins nothing.
        """
        sink = self._sinks.get(name)
        if sink is None:
            sink = self._sinks[name] = OutboxSink(
                name,
                self._writer.shelf,
                self._clock,
                cap_age_seconds=cap_age_seconds,
                hold_seconds=hold_seconds,
                lanes=lanes,
                touch=self._writer.touch,
                lose=self._writer.retention.lose,
            )
            sink.set_volumes(self._writer.shelf.volumes, self._writer.files.sink_rows)
        return sink

    def append(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Takes samples at once, and the list with them; done when they are durable, or their loss is recorded."""
        return self._writer.append(Piece(source, samples, marks))

    def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Takes events at once; the awaitable raises OutboxUnavailable. Raises ValueError for what is no event."""
        return self._writer.record(EventPiece(events, encode_events(events), source, marks))

    def last_seen(self, source: str) -> int | None:
        """Receive time (ns UTC) of the source's last durable sample, also of earlier runs."""
        return self._writer.files.sources.last_seen(source)

    def marks(self, source: str) -> Sequence[bytes]:
        """The source's last durable marks, oldest first, also of earlier runs."""
        return self._writer.files.sources.marks(source)

    def status(self) -> OutboxStatus:
        """A snapshot."""
        writer, last = self._writer, self._writer.last
        return OutboxStatus(
            stream=writer.files.stream,
            bytes=last.used_bytes if last else 0,
            free_pages=last.free_pages if last else 0,
            lanes=self._lanes(),
            sinks=tuple(self._sink_status(sink) for sink in self._sinks.values()),
            old_streams=sum(old.aside is not None for old in writer.shelf.volumes),
            commits=writer.commits,
            last_commit_milliseconds=last.seconds * MILLISECONDS if last else 0.0,
            degraded=writer.degraded,
            ring_samples=writer.rows,
            dropped_samples=writer.losses.samples,
        )

    async def flush(self) -> None:
        """Commits what is there now; returns after one attempt, also when the disk refuses."""
        await self._writer.flush()

    async def close(self) -> None:
        """Flushes and marks a clean stop; what the disk still refuses is refused with OutboxUnavailable."""
        await self._writer.stop()

    def _lanes(self) -> tuple[LaneStatus, ...]:
        volume, last = self._writer.shelf.current, self._writer.last
        if volume is None or last is None:
            return ()
        return tuple(
            LaneStatus(lane.value, volume.heads[lane], len(volume.stored[lane]), last.rows[lane]) for lane in LANES
        )

    def _sink_status(self, sink: OutboxSink) -> SinkStatus:
        volume = self._writer.shelf.current
        times = [self._committed(volume, *place) for place in sink.oldest(volume)] if volume is not None else []
        known = [time for time in times if time is not None]
        age = (self._clock.now() - min(known)) / NANOSECONDS_PER_SECOND if known else None
        return SinkStatus(sink.name, sink.depth(Lane.PROCESS), sink.depth(Lane.EVENTS), age)

    def _committed(self, volume: Volume, lane: Lane, seq: int) -> int | None:
        """When a batch was committed, as far as memory or the last commit tells; else the oldest that those know."""
        held = self._writer.shelf.recent.get(BatchKey(volume.stream, lane, seq))
        asked = self._writer.last.oldest if self._writer.last else {}
        return held.committed if held else asked.get((lane, seq), min(asked.values(), default=None))

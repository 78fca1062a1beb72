"""One consumer's view of the outbox. Nothing here waits for the disk but reading what is no longer in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from edged.clock import Clock
from edged.errors import OutboxUnavailable
from edged.intervals import IntervalSet
from edged.outbox_shelf import Shelf, Volume
from edged.outbox_track import Track
from edged.outbox_types import Fetched, RawBatch, SinkRow
from edged.records import decode_events, decode_samples
from edged.supervise import start_task
from edged.types import NANOSECONDS_PER_SECOND, BatchKey, Event, Lane, Sample, SeqRange

COMMIT_SLACK_NS = 5 * NANOSECONDS_PER_SECOND
"""A sample is committed, and confirmed, at most so long after it was received, for `unconfirm`."""


class Batch:
    """A durable batch, handed to a sink."""

    __slots__ = ("_raw", "live")

    def __init__(self, raw: RawBatch, *, live: bool) -> None:
        self._raw = raw
        self.live = live

    @property
    def key(self) -> BatchKey:
        return self._raw.key

    @property
    def blob(self) -> bytes:
        return self._raw.blob

    @property
    def rows(self) -> int:
        return self._raw.rows

    def samples(self) -> Sequence[Sample]:
        """Raises DamagedRecord."""
        return self._raw.samples if self._raw.samples is not None else decode_samples(self._raw.blob)

    def events(self) -> Sequence[Event]:
        """Raises DamagedRecord."""
        return self._raw.events if self._raw.events is not None else decode_events(self._raw.blob)


class _Held(NamedTuple):
    """Confirmed numbers that stay a while. `until` is monotonic seconds, `confirmed` ns UTC."""

    until: float
    confirmed: int
    stream: str
    lane: Lane
    seqs: IntervalSet


class OutboxSink:
    """Implements `edged.ports.Sink` and `edged.ports.Announcer`."""

    def __init__(
        self,
        name: str,
        shelf: Shelf,
        clock: Clock,
        *,
        cap_age_seconds: float | None,
        hold_seconds: float,
        lanes: Collection[Lane],
        touch: Callable[[], None],
        lose: Callable[[Volume, Lane, Sequence[int]], Awaitable[None]],
    ) -> None:
        self.name = name
        self.cap_age_seconds = cap_age_seconds
        self.lanes = tuple(lanes)
        self._shelf = shelf
        self._clock = clock
        self._hold_seconds = hold_seconds
        self._touch = touch
        self._lose = lose
        self._tracks: dict[tuple[str, Lane], Track] = {}
        self._held: deque[_Held] = deque()
        self._news = asyncio.Event()
        self._session = 0

    def set_volumes(self, volumes: Sequence[Volume], rows: Iterable[SinkRow]) -> None:
        """Takes up the streams that there are, each with what is already known of it."""
        known = [row for row in rows if row.sink == self.name]
        self._tracks = {
            (volume.stream, lane): self._begin(volume, lane, known) for volume in volumes for lane in self.lanes
        }
        self._news.set()

    def drop_volume(self, volume: Volume) -> None:
        """An old stream has drained."""
        for lane in self.lanes:
            self._tracks.pop((volume.stream, lane), None)

    def committed(self, batch: RawBatch) -> None:
        """A new batch is durable; it is live once the sink was online."""
        track = self._tracks.get(batch.key[:2])
        if track is not None:
            track.committed(batch.key.seq, live=self._session > 0)
            self._news.set()

    def track(self, volume: Volume, lane: Lane) -> Track | None:
        """The account of one lane; None when this sink does not take it."""
        return self._tracks.get((volume.stream, lane))

    def needed(self, volume: Volume, lane: Lane) -> IntervalSet:
        """What must stay in the file for this sink."""
        track = self._tracks.get((volume.stream, lane))
        if track is None:
            return IntervalSet()
        needed = track.pending()
        self._ripen()
        for held in self._held:
            if (held.stream, held.lane) == (volume.stream, lane):
                needed.update(held.seqs)
        return needed

    def changed_rows(self) -> list[SinkRow]:
        """What is to be written, for every account that changed since the last call."""
        rows = []
        for (stream, lane), track in self._tracks.items():
            if track.changed:
                rows.append(SinkRow(self.name, stream, lane, str(track.confirmed), str(track.forgone)))
                track.changed = False
        return rows

    def every_row(self) -> list[SinkRow]:
        """All that is known, for a new file."""
        return [
            SinkRow(self.name, stream, lane, str(track.confirmed), str(track.forgone))
            for (stream, lane), track in self._tracks.items()
        ]

    def change_again(self, rows: Iterable[SinkRow]) -> None:
        """These could not be written."""
        for row in rows:
            track = self._tracks.get((row.stream, row.lane))
            if row.sink == self.name and track is not None:
                track.changed = True

    async def take(self, lane: Lane, *, live: bool, max_batches: int, max_bytes: int) -> Sequence[Batch]:
        """Empty when there is nothing, or the file cannot be read now."""
        taken: list[Batch] = []
        for volume in self._sources(live=live):
            track = self._tracks.get((volume.stream, lane))
            if track is None or len(taken) >= max_batches or max_bytes <= 0:
                continue
            batches = await self._take_from(volume, lane, track, max_batches - len(taken), max_bytes, live=live)
            max_bytes -= sum(len(batch.blob) for batch in batches)
            taken += [Batch(batch, live=live) for batch in batches]
        return taken

    async def wait(self, seconds: float) -> None:
        """Returns when something new was committed since the last wait, or after the time."""
        if seconds > 0 and not self._news.is_set():
            timer = start_task(f"wait:{self.name}", self._wake_after(seconds))
            try:
                await self._news.wait()
            finally:
                timer.cancel()
                await asyncio.wait({timer})
        self._news.clear()

    async def confirm(self, keys: Sequence[BatchKey]) -> None:
        """In memory at once, durable with the next group: after a crash in between, these are sent once more."""
        for (stream, lane), seqs in _by_lane(keys):
            track = self._tracks.get((stream, lane))
            new = IntervalSet() if track is None else track.confirm(seqs)
            if new:
                self._hold(stream, lane, new, confirmed_at=self._clock.now())
                self._touch()

    def release(self, keys: Sequence[BatchKey]) -> None:
        """These did not arrive; they will be taken again, as backlog."""
        for place, seqs in _by_lane(keys):
            if place in self._tracks:
                self._tracks[place].release(seqs)

    def reopen(self) -> None:
        """Everything unconfirmed so far becomes backlog, what comes now is live."""
        self._session += 1
        for track in self._tracks.values():
            track.reopen()

    async def unconfirm(self, since: int, until: int) -> int:
        """Also what was confirmed in since..until, whatever its samples' times: it was sent then."""
        again: dict[str, IntervalSet] = {volume.stream: IntervalSet() for volume in self._shelf.volumes}
        for held in self._held:
            if (
                held.lane is Lane.PROCESS
                and since <= held.confirmed <= until + COMMIT_SLACK_NS
                and held.stream in again
            ):
                again[held.stream].update(held.seqs)
        store, current = self._shelf.store, self._shelf.current
        if store is not None and current is not None:
            found = await self._shelf.run(store.between, since, until, COMMIT_SLACK_NS)
            again[current.stream].update(IntervalSet.of(found))
        count = 0
        for volume in self._shelf.volumes:
            track = self._tracks.get((volume.stream, Lane.PROCESS))
            if track is not None and volume.stream in again:
                seqs = again[volume.stream].intersection(volume.stored[Lane.PROCESS])
                count += track.unconfirm(seqs.head(len(seqs)))
        if count:
            self._touch()
        return count

    def depth(self, lane: Lane) -> int:
        """Batches not confirmed yet."""
        return sum(track.depth for (_, of_lane), track in self._tracks.items() if of_lane is lane)

    def oldest(self, volume: Volume) -> list[tuple[Lane, int]]:
        """The oldest batch of each lane of a stream that is not confirmed yet."""
        tracks = [(lane, self._tracks.get((volume.stream, lane))) for lane in self.lanes]
        return [(lane, track.oldest) for lane, track in tracks if track is not None and track.oldest is not None]

    def offers(self) -> Sequence[SeqRange]:
        """Per stream and lane the span from the oldest unconfirmed batch to the newest number given out."""
        offers = []
        for volume in self._shelf.volumes:
            for lane in self.lanes:
                track = self._tracks.get((volume.stream, lane))
                oldest = None if track is None else track.oldest
                if oldest is not None:
                    offers.append(SeqRange(volume.stream, lane, oldest, volume.heads[lane]))
        return offers

    def _begin(self, volume: Volume, lane: Lane, rows: Iterable[SinkRow]) -> Track:
        confirmed, forgone = IntervalSet(), IntervalSet()
        for row in rows:
            if (row.stream, row.lane) == (volume.stream, lane):
                confirmed.update(IntervalSet.parse(row.confirmed))
                forgone.update(IntervalSet.parse(row.forgone))
        self._hold(volume.stream, lane, confirmed.intersection(volume.stored[lane]), confirmed_at=0)
        track = Track(volume.stored[lane], confirmed, forgone)
        track.changed = volume.aside is not None and bool(confirmed or forgone)
        return track

    async def _take_from(
        self, volume: Volume, lane: Lane, track: Track, count: int, max_bytes: int, *, live: bool
    ) -> Sequence[RawBatch]:
        session = self._session
        while seqs := track.take(count, live=live):
            found = Fetched([], [], seqs)
            try:
                found = await self._shelf.fetch(volume, lane, seqs, max_bytes)
            except OutboxUnavailable:
                return ()
            finally:
                if session == self._session:
                    track.untake(found.rest, live=live)
            if found.damaged:
                await self._lose(volume, lane, found.damaged)
            if session != self._session:
                return ()
            if found.batches:
                return found.batches
        return ()

    def _sources(self, *, live: bool) -> Sequence[Volume]:
        if not live:
            return tuple(self._shelf.volumes)
        return () if self._shelf.current is None else (self._shelf.current,)

    def _hold(self, stream: str, lane: Lane, seqs: IntervalSet, *, confirmed_at: int) -> None:
        if self._hold_seconds > 0 and seqs:
            until = self._clock.monotonic() + self._hold_seconds
            self._held.append(_Held(until, confirmed_at, stream, lane, seqs))

    def _ripen(self) -> None:
        now = self._clock.monotonic()
        while self._held and self._held[0].until <= now:
            self._held.popleft()

    async def _wake_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._news.set()


def _by_lane(keys: Iterable[BatchKey]) -> Iterator[tuple[tuple[str, Lane], list[int]]]:
    places: dict[tuple[str, Lane], list[int]] = {}
    for key in keys:
        places.setdefault((key.stream, key.lane), []).append(key.seq)
    yield from places.items()

"""What may leave the file: what every sink is done with, and, by the caps, what is too much or too old."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

from edged.clock import Clock
from edged.intervals import IntervalSet
from edged.log import get_logger
from edged.outbox_ages import Ages
from edged.outbox_open import GAP_SOURCE
from edged.outbox_schema import LANES
from edged.outbox_shelf import Shelf, Volume
from edged.outbox_sink import OutboxSink
from edged.outbox_track import Track
from edged.outbox_types import AgeMark, Span
from edged.settings import OutboxSettings
from edged.types import NANOSECONDS_PER_SECOND, Gap, Lane

CAP_BYTES = "cap_bytes"
CAP_AGE = "cap_age"
RECORD_DAMAGED = "record_damaged"
SPARE_SHARE = 0.05
"""Below the cap of bytes this much is made free at once, so that it does not happen with every commit."""
AGE_CHECKS_PER_CAP = 100
AGE_CHECK_CAP_SECONDS = 3600.0

log = get_logger("outbox")


class Retention:
    """Decides what is removed and records what is given up. A sink without a cap of its own is a main one:
    batches that it lacks are a loss of the road, named by their numbers; what others lack is named by time only."""

    def __init__(
        self,
        shelf: Shelf,
        sinks: Mapping[str, OutboxSink],
        settings: OutboxSettings,
        clock: Clock,
        record: Callable[[Sequence[Gap]], None],
    ) -> None:
        self._shelf = shelf
        self._sinks = sinks
        self._settings = settings
        self._clock = clock
        self._record = record
        self._ages = Ages(clock)
        self._next_age_check = 0.0

    def oldest(self, now: int) -> int:
        """A time (ns UTC) before anything that is kept."""
        return now - round(max(self._caps()) * NANOSECONDS_PER_SECOND)

    def begin(self, volume: Volume, marks: Sequence[AgeMark]) -> None:
        """A file was opened: what it holds now is of earlier runs, of which `marks` tell."""
        self._ages.begin(volume.heads, marks)

    def ages(self) -> Sequence[AgeMark]:
        """What the next run has to know of the ages."""
        return self._ages.kept()

    def new_ages(self) -> Sequence[AgeMark]:
        """The same, when there is more to know than at the last call."""
        return self._ages.kept() if self._ages.take_news() else ()

    def restore_ages(self) -> None:
        """What `new_ages` gave could not be written."""
        self._ages.restore_news()

    def removals(self, volume: Volume) -> list[Span]:
        """What nobody waits for; it counts as removed from now on."""
        spans: list[Span] = []
        for lane in LANES:
            stored = volume.stored[lane]
            idle = stored.copy()
            if self._sinks:
                for sink in self._sinks.values():
                    idle.subtract(sink.needed(volume, lane))
            else:
                idle = IntervalSet()
            idle.update(stored.intersection(volume.gone[lane]))
            volume.gone[lane] = IntervalSet()
            stored.subtract(idle)
            spans += [Span(lane, first, last) for first, last in idle.intervals()]
        return spans

    def keep(self, volume: Volume, spans: Iterable[Span]) -> None:
        """These could not be removed after all."""
        for span in spans:
            volume.stored[span.lane].add(span.first, span.last)

    def drained(self) -> list[Volume]:
        """Old files of which nobody waits for anything."""
        if not self._sinks:
            return []
        return [
            volume
            for volume in self._shelf.volumes
            if volume.aside is not None
            and not any(sink.needed(volume, lane) for sink in self._sinks.values() for lane in LANES)
        ]

    async def lose(self, volume: Volume, lane: Lane, seqs: Sequence[int]) -> None:
        """These cannot be read: nobody gets them."""
        gone = IntervalSet.of(seqs).intersection(volume.stored[lane])
        if gone:
            log.error("batches_damaged", stream=volume.stream, lane=lane.value, seqs=str(gone))
        await self._give_up(volume, lane, gone, self._sinks.values(), RECORD_DAMAGED)
        for sink in self._sinks.values():
            track = sink.track(volume, lane)
            if track is not None:
                track.forgo(IntervalSet.of(seqs))

    async def apply_caps(self, used_bytes: int) -> None:
        """Gives up the oldest batches when there are too many bytes, and what is older than the caps of age."""
        volume, store = self._shelf.current, self._shelf.store
        if volume is None or store is None:
            return
        try:
            if used_bytes > self._settings.cap_bytes:
                await self._cap_bytes(volume, used_bytes)
            now = self._clock.monotonic()
            self._ages.note(volume.heads, self._age_check_seconds())
            if now >= self._next_age_check:
                self._next_age_check = now + self._age_check_seconds()
                await self._cap_age(volume)
        except sqlite3.Error as fault:
            log.warning("caps_not_applied", fault=str(fault))

    async def _cap_bytes(self, volume: Volume, used_bytes: int) -> None:
        store = self._shelf.store
        assert store is not None
        surplus = used_bytes - round(self._settings.cap_bytes * (1 - SPARE_SHARE))
        for lane in LANES:
            last, freed = await self._shelf.run(store.last_of_oldest, lane, surplus)
            if last is not None:
                gone = _up_to(volume.stored[lane], last)
                volume.gone[lane].update(gone)
                await self._give_up(volume, lane, gone, self._sinks.values(), CAP_BYTES)
            surplus -= freed
            if surplus <= 0:
                return

    async def _cap_age(self, volume: Volume) -> None:
        """By monotonic time for batches since the machine was started, by wall time for those of before."""
        store = self._shelf.store
        assert store is not None
        caps: dict[float, list[OutboxSink]] = {}
        for sink in self._sinks.values():
            caps.setdefault(sink.cap_age_seconds or self._settings.cap_age_seconds, []).append(sink)
        caps.setdefault(self._settings.cap_age_seconds, [])
        for cap, sinks in sorted(caps.items()):
            aged, before = self._ages.older_than(cap), self._ages.before()
            limit = self._ages.wall() - round(cap * NANOSECONDS_PER_SECOND)
            for lane in LANES:
                last = await self._shelf.run(store.last_before, lane, limit)
                gone = _up_to(volume.stored[lane], max(aged[lane], min(last or 0, before[lane])))
                if not self._sinks:
                    volume.gone[lane].update(gone)
                await self._give_up(volume, lane, gone, sinks, CAP_AGE)
        self._ages.forget_beyond(max(caps))

    def _caps(self) -> list[float]:
        own = [sink.cap_age_seconds for sink in self._sinks.values() if sink.cap_age_seconds is not None]
        return [self._settings.cap_age_seconds, *own]

    def _age_check_seconds(self) -> float:
        return min(AGE_CHECK_CAP_SECONDS, min(self._caps()) / AGE_CHECKS_PER_CAP)

    async def _give_up(
        self, volume: Volume, lane: Lane, gone: IntervalSet, sinks: Iterable[OutboxSink], reason: str
    ) -> None:
        """Forgoes these for the given sinks and records what that means, so that one commit takes both or neither."""
        by_sink = {sink: track for sink in sinks if (track := sink.track(volume, lane)) is not None}
        gaps: list[Gap] = []
        told: list[tuple[str, IntervalSet]] = []
        while (owed := _owed(by_sink, gone)) != told:
            told = owed  # what a sink confirms while the times are looked up is no loss: then once more
            gaps = [
                await self._gap(volume, Span(lane, *span), source, reason)
                for source, seqs in told
                for span in seqs.intervals()
            ]
        for track in by_sink.values():
            track.forgo(gone)
        if gaps:
            ranges = {source: str(seqs) for source, seqs in told}
            log.warning("batches_given_up", reason=reason, lane=lane.value, seqs=ranges)
            self._record(gaps)

    async def _gap(self, volume: Volume, span: Span, source: str, reason: str) -> Gap:
        known = await self._shelf.extent(volume, span)
        now = self._clock.now()
        start = known.start if known and known.start is not None else self.oldest(now)
        end = known.end if known and known.end is not None else now
        samples = known.rows if known else None
        if source != GAP_SOURCE:
            return Gap(source, start, end, reason, samples=samples)
        return Gap(source, start, end, reason, volume.stream, span.lane.value, span.first, span.last, samples)


def _owed(by_sink: Mapping[OutboxSink, Track], gone: IntervalSet) -> list[tuple[str, IntervalSet]]:
    """What of these is still owed, by the source that its Gap names: the road's first, then what only others lack."""
    road, others = IntervalSet(), list[tuple[str, IntervalSet]]()
    for sink, track in by_sink.items():
        owed = track.pending().intersection(gone)
        if sink.cap_age_seconds is None:
            road.update(owed)
        else:
            others.append((f"{GAP_SOURCE}/{sink.name}", owed))
    for _, owed in others:
        owed.subtract(road)
    return [(source, owed) for source, owed in [(GAP_SOURCE, road), *others] if owed]


def _up_to(stored: IntervalSet, last: int) -> IntervalSet:
    below = stored.copy()
    if below.last is not None and below.last > last:
        below.remove(last + 1, below.last)
    return below

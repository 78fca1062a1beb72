"""What becomes of a reading on its way to the road: impossible times, repeats, refusals, gaps, counts."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace

from edged.clock import Clock
from edged.log import get_logger
from edged.ports import Connection, Reading, SignalStatus, SourceRoad
from edged.types import NANOSECONDS_PER_SECOND, Gap, Quality, Sample
from edged_connectors.south.backfill import Backfill
from edged_connectors.south.receipts import Receipts
from edged_connectors.south.seen import Seen
from edged_connectors.south.skew import is_skewed, without_skew
from edged_connectors.south.status import SourceMeters

GAP_MARGIN_NANOSECONDS = NANOSECONDS_PER_SECOND
"""A value may have been made at the source and lost a moment before the last one that came: the gap covers it."""

SOURCE_OFFLINE = "source_offline"
NOT_READ = "not_read"

log = get_logger("source")


class Intake:
    """One source's way to the road."""

    def __init__(
        self,
        name: str,
        paths: Sequence[str],
        road: SourceRoad,
        clock: Clock,
        meters: SourceMeters,
        receipts: Receipts,
        skew_limit_nanoseconds: int,
    ) -> None:
        self._name = name
        self._paths = tuple(paths)
        self._road = road
        self._clock = clock
        self._meters = meters
        self._receipts = receipts
        self._skew_limit = skew_limit_nanoseconds
        self._seen = Seen()
        self.backfill = Backfill(name, road, clock, meters, receipts, self._seen, skew_limit_nanoseconds)
        self._last_data: int | None = None
        self._open_gap: Gap | None = None
        self._offline = False
        self._accepted = 0
        self._refused: dict[str, SignalStatus] = {}
        self._reported: dict[str, str] = {}

    @property
    def accepted(self) -> int:
        """Signals that the source delivers."""
        return self._accepted

    @property
    def refused(self) -> tuple[SignalStatus, ...]:
        """Signals that the source denies, and why."""
        return tuple(self._refused.values())

    def connected(self, connection: Connection, lost_because: str) -> None:
        """A connection stands: refused signals turn BAD, and a gap begins unless the source kept everything."""
        self._offline = False
        self._refused = {status.signal: status for status in connection.signals if not status.accepted}
        self._accepted = len(connection.signals) - len(self._refused)
        self._meters.connected(len(self._refused))
        self.backfill.remember()
        if not connection.resumed:
            self._expect_gap(lost_because, connection.recall_seconds)
        self._report_refused()

    def lost(self) -> None:
        """No connection: every signal turns BAD, once, so that nobody trusts a value that is not refreshed."""
        if not self._offline:
            self._offline = True
            self._seen.doubt(self._paths)
            self._publish(self.bad(self._paths, SOURCE_OFFLINE))

    async def take(self, reading: Reading) -> None:
        """Puts a reading on the road; waits only while too many readings await their receipt."""
        commit = None
        if reading.rejected:
            self._meters.rejected(reading.rejected)
        if reading.past:
            self._meters.received(len(reading.past), reading.past[-1])
            commit = self._road.restore(self._name, reading.past, () if reading.samples else reading.marks)
        if reading.samples:
            commit = self._take_samples(reading.samples, reading.marks)
        self.keep(reading.gaps)
        if reading.receipt is not None or reading.events or reading.marks:
            await self._receipts.put(reading, commit)

    def take_polled(self, reading: Reading, signals: Sequence[str], missing_because: str = NOT_READ) -> list[Sample]:
        """Puts a direct read on the road and returns a sample per signal asked for, in that order.

        What a report will bring is left to it: it would overtake older values, and the history get out of order.
        """
        samples = self._believable(reading.samples)
        found = {sample.signal: sample for sample in samples}
        missing = self.bad([signal for signal in signals if signal not in found], missing_because)
        found.update((sample.signal, sample) for sample in missing)
        own = self._unreported(samples) if reading.come_again else samples
        new = [*self._seen.note_polled(own), *missing]
        self._seen.doubt(sample.signal for sample in missing)
        if new:
            self._meters.received(len(new), new[-1])
            self._publish(new)
        self.keep(reading.gaps)
        return [found[signal] for signal in signals]

    def _unreported(self, samples: Sequence[Sample]) -> list[Sample]:
        return [one for one in samples if one.signal in self._refused or not self._seen.is_reported(one.signal)]

    def keep(self, gaps: Sequence[Gap]) -> None:
        """Records known losses."""
        if gaps:
            self._meters.lost(len(gaps))
            self._receipts.keep(gaps)

    def bad(self, paths: Sequence[str], reason: str) -> list[Sample]:
        """A BAD sample per signal, of now."""
        now = self._clock.now()
        return [Sample(path, None, now, now, Quality.BAD, reason) for path in paths]

    def _take_samples(self, samples: Sequence[Sample], marks: Sequence[bytes]) -> Awaitable[None] | None:
        if self.backfill.waiting:
            marks = (*marks, *self.backfill.note(samples))
        samples = self._seen.revived(self._believable(self._seen.without_polled(samples)))
        if samples:
            self._last_data = samples[-1].receive_time
            self._close_gap(samples[0].receive_time)
            self._clear_refused(samples)
            self._meters.received(len(samples), samples[-1])
            self._seen.note(samples)
        return self._publish(samples, marks) if samples or marks else None

    def _publish(self, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        return self._road.publish(self._name, samples, marks)

    def _believable(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        if not is_skewed(samples, self._skew_limit):
            return samples
        corrected = without_skew(samples, self._skew_limit)
        self._meters.disbelieved(sum(old is not new for old, new in zip(samples, corrected, strict=True)))
        return corrected

    def _clear_refused(self, samples: Sequence[Sample]) -> None:
        """Data disproves a refusal."""
        if not self._refused:
            return
        for path in {sample.signal for sample in samples if sample.quality}.intersection(self._refused):
            del self._refused[path]
            self._reported.pop(path, None)
            self._accepted += 1
            log.info("signal_accepted", source=self._name, signal=path)
        self._meters.refuses(len(self._refused))

    def _report_refused(self) -> None:
        if not self._refused:
            return
        for path, status in self._refused.items():
            if self._reported.get(path) != status.reason:
                self._reported[path] = status.reason
                log.warning("signal_refused", source=self._name, signal=path, reason=status.reason)
        self._publish([self.bad([path], status.reason)[0] for path, status in self._refused.items()])

    def _expect_gap(self, reason: str, recall_seconds: float) -> None:
        """What lies between the last sample and the next one is lost, as far as the source tells and keeps."""
        if recall_seconds and self._last_data is not None:
            paths = [path for path in self._paths if path not in self._refused or self._seen.knows(path)]
            gap = Gap(self._name, self._last_data - GAP_MARGIN_NANOSECONDS, self._last_data, reason)
            self.backfill.expect(gap, paths, recall_seconds)
            return
        seen = self._last_data if self._last_data is not None else self._road.last_seen(self._name)
        if seen is not None and self._open_gap is None:
            self._open_gap = Gap(self._name, seen - GAP_MARGIN_NANOSECONDS, seen, reason)

    def _close_gap(self, end: int) -> None:
        if self._open_gap is not None:
            self.keep([replace(self._open_gap, end=max(end, self._open_gap.end))])
            self._open_gap = None

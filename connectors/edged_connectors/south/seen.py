"""What a source has said last of each signal: tells a repeated value from a new one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edged.types import Sample
from edged_connectors.south.skew import CLOCK_SKEW

UNCHANGED = "unchanged"


class Seen:
    """The newest sample per signal, and those that direct reads brought before their report."""

    def __init__(self) -> None:
        self._newest: dict[str, Sample] = {}
        self._polled: dict[str, Sample] = {}
        self._doubted: set[str] = set()
        self._stamped: dict[str, tuple[Sample, int | None]] = {}

    def note(self, samples: Sequence[Sample]) -> None:
        """These are on the road now."""
        newest = self._newest
        for sample in samples:
            newest[sample[0]] = sample

    def told_until(self, signal: str) -> int | None:
        """Source time (ns UTC) of the newest sample as the source stamped it; None where that is not known."""
        newest = self._newest.get(signal)
        if newest is None or CLOCK_SKEW in newest.reason:
            return None
        stamped, before = self._stamped.get(signal, (None, None))
        return before if newest is stamped else newest.source_time

    def knows(self, signal: str) -> bool:
        """Whether any sample of the signal was on the road."""
        return signal in self._newest

    def is_reported(self, signal: str) -> bool:
        """Whether reports bring the signal: they did, and nothing has made it doubtful since."""
        return signal in self._newest and signal not in self._doubted

    def note_polled(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those of the samples just read that neither a report nor a read has brought yet, or that were doubted."""
        new = [sample for sample in samples if sample.signal in self._doubted or not self._was_brought(sample)]
        self._polled.update((sample.signal, sample) for sample in samples)
        return list(self.revived(new))

    def without_polled(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """The reported samples less those that a direct read brought already."""
        if not self._polled:
            return samples
        return [sample for sample in samples if not _same(sample, self._polled.get(sample[0]))]

    def doubt(self, signals: Iterable[str]) -> None:
        """These were declared BAD: their next value counts from when it is seen, even if it is as old as before."""
        for signal in signals:
            self._doubted.add(signal)
            self._polled.pop(signal, None)

    def revived(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """The samples; one that only repeats what was known before the doubt is stamped with its receive time."""
        if not self._doubted:
            return samples
        return [self._revive(sample) for sample in samples]

    def _was_brought(self, sample: Sample) -> bool:
        return any(_same(sample, brought.get(sample.signal)) for brought in (self._newest, self._polled))

    def _revive(self, sample: Sample) -> Sample:
        if sample.signal not in self._doubted:
            return sample
        self._doubted.discard(sample.signal)
        before = self._newest.get(sample.signal)
        if before is None or sample.source_time > before.source_time:
            return sample
        stamped = sample._replace(source_time=sample.receive_time, reason=sample.reason or UNCHANGED)
        self._stamped[sample.signal] = stamped, self.told_until(sample.signal)
        return stamped


def _same(sample: Sample, other: Sample | None) -> bool:
    return other is not None and sample[2] == other[2] and sample[1] == other[1] and sample[4] == other[4]

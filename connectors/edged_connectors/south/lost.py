"""One gap between two connections, signal by signal, and the marks by which it outlives a crash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edged.ports import Span
from edged.types import Gap, Sample

OPENED = b"gap-opened"
SETTLED = b"gap-settled"


@dataclass(slots=True)
class _Lack:
    """Source times that one signal lacks; `after` moves on as they arrive. `returned` is a receive time."""

    first: int
    after: int
    until: int
    returned: int


class Lost:
    """Each awaited signal's last source time, None where nobody knows it, until its next value ends its part."""

    def __init__(self, gap: Gap, awaited: Mapping[str, int | None]) -> None:
        self.gap = gap
        self.awaited = dict(awaited)
        self.filled = 0
        self._begun = False
        self._failures = 0
        self._filled_at_failure = 0
        self._lacks: dict[str, _Lack] = {}
        self._rest: tuple[int, int] | None = None

    def begin(self, received: int) -> bool:
        """The first value since: the gap ends there. False when it had ended already."""
        if self._begun:
            return False
        self._begun = True
        self.gap = replace(self.gap, end=max(received, self.gap.end))
        return True

    def returned(self, sample: Sample, *, believable: bool) -> None:
        """A signal's first value, as it came: what lies before it is to be filled, or cannot be."""
        after = self.awaited.pop(sample.signal)
        if after is None or not believable or sample.source_time < after:
            self._lose(self.gap.start, sample.receive_time)
        elif sample.source_time > after:
            self._lacks[sample.signal] = _Lack(after, after, sample.source_time, sample.receive_time)

    def stop_waiting(self) -> None:
        """Signals that have not come back stay lost until the first that did."""
        if self.awaited:
            self._lose(self.gap.start, self.gap.end)
            self.awaited.clear()

    def failed(self) -> int:
        """The history could not be read to the end; how often so since a value was filled."""
        self._failures = self._failures + 1 if self.filled == self._filled_at_failure else 1
        self._filled_at_failure = self.filled
        return self._failures

    def give_up(self) -> None:
        """Nothing more will be filled."""
        self.stop_waiting()
        for span in self.spans():
            self.missing(span)

    def forget_before(self, window: int) -> None:
        """Of a gap that is longer, only its last `window` ns are to be filled."""
        oldest = self.gap.end - window
        if self.gap.start < oldest:
            self._lose(self.gap.start, oldest)
            for lack in self._lacks.values():
                lack.after = max(lack.after, min(oldest, lack.until))

    def spans(self) -> list[Span]:
        """What is to be filled."""
        return [Span(path, lack.after, lack.until) for path, lack in self._lacks.items() if lack.until - lack.after > 1]

    def missing(self, hole: Span) -> None:
        """The source did not keep this."""
        lack = self._lacks.get(hole.signal)
        if lack is None:
            return
        whole = hole.until >= lack.until
        start = self.gap.start if hole.after <= lack.first else max(self.gap.start, hole.after)
        self._lose(start, lack.returned if whole else min(lack.returned, max(hole.until, start)))
        if whole:
            lack.until = min(lack.until, hole.after + 1)

    def new(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those of the samples that fill it, each once."""
        found = []
        for sample in samples:
            lack = self._lacks.get(sample.signal)
            if lack is not None and lack.after < sample.source_time < lack.until:
                lack.after = sample.source_time
                found.append(sample)
        self.filled += len(found)
        return found

    def rest(self) -> Gap | None:
        """What remains of the gap, None when nothing does."""
        return None if self._rest is None else replace(self.gap, start=self._rest[0], end=self._rest[1])

    def _lose(self, start: int, end: int) -> None:
        held = self._rest or (start, end)
        self._rest = min(held[0], start), max(held[1], end)


def opened(gap: Gap) -> bytes:
    """A mark: this gap waits for the source's history."""
    return b" ".join((OPENED, b"%d" % gap.start, b"%d" % gap.end, gap.reason.encode()))


def settled(gap: Gap) -> bytes:
    """A mark: the gap that begins there is filled, or recorded."""
    return b" ".join((SETTLED, b"%d" % gap.start))


def untold(source: str, marks: Sequence[bytes]) -> list[Gap]:
    """The gaps among a source's marks that were opened and never settled."""
    found: dict[int, Gap] = {}
    for mark in marks:
        if mark.startswith(OPENED):
            _, start, end, reason = mark.split(b" ", 3)
            found[int(start)] = Gap(source, int(start), int(end), reason.decode())
        elif mark.startswith(SETTLED):
            found.pop(int(mark.split(b" ")[1]), None)
    return list(found.values())

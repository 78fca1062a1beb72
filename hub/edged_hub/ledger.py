"""Which sequence numbers are accounted for: intervals, and what is missing between them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Sequence numbers `first..last`, both included."""

    first: int
    last: int


class Intervals:
    """A set of whole numbers kept as sorted, disjoint, never touching spans."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in spans:
            self.add(first, last)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number) - 1
        return place >= 0 and number <= self._lasts[place]

    def __len__(self) -> int:
        """How many spans."""
        return len(self._firsts)

    @property
    def spans(self) -> Sequence[Span]:
        """In ascending order."""
        return [Span(first, last) for first, last in zip(self._firsts, self._lasts, strict=True)]

    @property
    def top(self) -> int:
        """The highest number, 0 when empty."""
        return self._lasts[-1] if self._lasts else 0

    def copy(self) -> Intervals:
        """An independent set with the same numbers."""
        twin = Intervals()
        twin._firsts = self._firsts.copy()
        twin._lasts = self._lasts.copy()
        return twin

    def add(self, first: int, last: int | None = None) -> None:
        """Adds `first..last` (or `first` alone), joining spans that then touch."""
        last = first if last is None else last
        start = bisect_left(self._lasts, first - 1)
        stop = bisect_right(self._firsts, last + 1)
        if start < stop:
            first = min(first, self._firsts[start])
            last = max(last, self._lasts[stop - 1])
        self._firsts[start:stop] = [first]
        self._lasts[start:stop] = [last]

    def missing(self, low: int, high: int) -> Sequence[Span]:
        """The numbers of `low..high` that are not in the set."""
        holes: list[Span] = []
        at = low
        for first, last in zip(self._firsts, self._lasts, strict=True):
            if at > high or first > high:
                break
            if last < at:
                continue
            if first > at:
                holes.append(Span(at, first - 1))
            at = last + 1
        if at <= high:
            holes.append(Span(at, high))
        return holes

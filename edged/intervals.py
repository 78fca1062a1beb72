"""Sets of sequence numbers, kept as intervals: small however many numbers they hold."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class IntervalSet:
    """A mutable set of whole numbers. Every change costs about the logarithm of the number of intervals."""

    __slots__ = ("_count", "_firsts", "_lasts")

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._count = 0
        for first, last in intervals:
            self.add(first, last)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> IntervalSet:
        """The set of single numbers; cheapest when they come in order."""
        made = cls()
        for first, last in spans(numbers):
            made.add(first, last)
        return made

    @classmethod
    def parse(cls, text: str) -> IntervalSet:
        """Reads what `str` wrote: `1-500,600,602-610`. Raises ValueError."""
        made = cls()
        for part in filter(None, text.split(",")):
            first, dash, last = part.partition("-")
            made.add(int(first), int(last) if dash else int(first))
        return made

    def copy(self) -> IntervalSet:
        made = IntervalSet()
        made._firsts, made._lasts, made._count = self._firsts.copy(), self._lasts.copy(), self._count
        return made

    def add(self, first: int, last: int) -> None:
        """Adds `first..last`, both included."""
        if first > last:
            raise ValueError(f"an interval must not end before it begins, got {first}-{last}")
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._replace(low, high, [(first, last)])

    def remove(self, first: int, last: int) -> None:
        """Removes `first..last`, both included, as far as they are there."""
        low = bisect_left(self._lasts, first)
        high = bisect_right(self._firsts, last)
        if low >= high:
            return
        before, after = self._firsts[low], self._lasts[high - 1]
        rest = [(before, first - 1)] if before < first else []
        if after > last:
            rest.append((last + 1, after))
        self._replace(low, high, rest)

    def update(self, other: IntervalSet) -> None:
        """Adds every number of `other`."""
        for first, last in other.intervals():
            self.add(first, last)

    def subtract(self, other: IntervalSet) -> None:
        """Removes every number of `other`."""
        for first, last in other.intervals():
            self.remove(first, last)

    def intersection(self, other: IntervalSet) -> IntervalSet:
        """The numbers that both hold."""
        made = IntervalSet()
        for first, last in other.intervals():
            for index in range(bisect_left(self._lasts, first), bisect_right(self._firsts, last)):
                made.add(max(first, self._firsts[index]), min(last, self._lasts[index]))
        return made

    def head(self, count: int) -> list[int]:
        """The lowest numbers, at most `count`, in order."""
        numbers: list[int] = []
        for first, last in self.intervals():
            numbers += range(first, min(last, first + count - len(numbers) - 1) + 1)
            if len(numbers) >= count:
                break
        return numbers

    def intervals(self) -> Iterator[tuple[int, int]]:
        """The intervals in order; they neither touch nor overlap."""
        return zip(self._firsts, self._lasts, strict=True)

    @property
    def first(self) -> int | None:
        """The lowest number."""
        return self._firsts[0] if self._firsts else None

    @property
    def last(self) -> int | None:
        """The highest number."""
        return self._lasts[-1] if self._lasts else None

    def __contains__(self, number: int) -> bool:
        index = bisect_left(self._lasts, number)
        return index < len(self._firsts) and self._firsts[index] <= number

    def __len__(self) -> int:
        """How many numbers, not how many intervals."""
        return self._count

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IntervalSet):
            return NotImplemented
        return self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.intervals())

    def __repr__(self) -> str:
        return f"IntervalSet({self})"

    def _replace(self, low: int, high: int, pieces: list[tuple[int, int]]) -> None:
        for index in range(low, high):
            self._count -= self._lasts[index] - self._firsts[index] + 1
        for first, last in pieces:
            self._count += last - first + 1
        self._firsts[low:high] = [first for first, _ in pieces]
        self._lasts[low:high] = [last for _, last in pieces]


def spans(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers, in the order given."""
    first = last = None
    for number in numbers:
        if last is not None and number == last + 1:
            last = number
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = number
    if first is not None and last is not None:
        yield first, last

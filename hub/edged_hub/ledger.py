"""The account of every lane: which sequence numbers are held, which are known to be lost, which nobody has any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from edged.intervals import IntervalSet
from edged.types import Lane, SeqRange

MAX_LACKS = 100
"""Missing ranges named in one answer; the rest follows with later ones."""


class LaneKey(NamedTuple):
    """One numbered lane of one stream of one node."""

    node: str
    stream: str
    lane: Lane


@dataclass(slots=True)
class LaneAccount:
    """What is known of one lane. `held` is in the ledger; `accounted` adds what was refused or given up."""

    stream_id: int
    held: IntervalSet = field(default_factory=IntervalSet)
    accounted: IntervalSet = field(default_factory=IntervalSet)

    def copy(self) -> LaneAccount:
        """An independent account with the same numbers."""
        return LaneAccount(self.stream_id, self.held.copy(), self.accounted.copy())

    def hold(self, first: int, last: int) -> None:
        """These batches are in the ledger."""
        self.held.add(first, last)
        self.accounted.add(first, last)


def missing(known: IntervalSet) -> IntervalSet:
    """The numbers from 1 to the highest known one that are not known."""
    holes = IntervalSet([(1, known.last)] if known.last else ())
    holes.subtract(known)
    return holes


def lacking(accounts: Mapping[LaneKey, LaneAccount], node: str, offers: Sequence[SeqRange]) -> list[SeqRange]:
    """In the lanes that an edge announced: what is neither held nor lost nor announced, at most MAX_LACKS."""
    return list(islice(_lacking(accounts, node, offers), MAX_LACKS))


def _lacking(accounts: Mapping[LaneKey, LaneAccount], node: str, offers: Sequence[SeqRange]) -> Iterator[SeqRange]:
    known: dict[LaneKey, IntervalSet] = {}
    for offer in offers:
        key = LaneKey(node, offer.stream, offer.lane)
        if key not in known:
            known[key] = accounts[key].accounted.copy() if key in accounts else IntervalSet()
        known[key].add(offer.first, offer.last)
    for key, numbers in known.items():
        for first, last in missing(numbers).intervals():
            yield SeqRange(key.stream, key.lane, first, last)

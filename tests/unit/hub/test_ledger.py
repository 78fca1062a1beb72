"""The account of a lane against the plain sets that it stands for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edged.intervals import IntervalSet
from edged.types import Lane, SeqRange
from edged_hub.ledger import LaneAccount, LaneKey, lacking, missing

KEY = LaneKey("line_a", "s", Lane.PROCESS)
NUMBERS = st.sets(st.integers(1, 40))
RANGES = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 10)).map(lambda pair: (pair[0], sum(pair))), max_size=4)


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(NUMBERS)
def test_missing_is_what_is_not_known_below_the_highest(known: set[int]) -> None:
    holes = numbers(list(missing(IntervalSet.of(sorted(known))).intervals()))
    assert holes == set(range(1, max(known, default=0) + 1)) - known


@given(NUMBERS, NUMBERS, RANGES)
def test_lacking_is_what_is_neither_accounted_for_nor_announced(
    held: set[int], lost: set[int], announced: list[tuple[int, int]]
) -> None:
    account = LaneAccount(1)
    for seq in held:
        account.hold(seq, seq)
    for seq in lost:
        account.accounted.add(seq, seq)
    offers = [SeqRange(KEY.stream, KEY.lane, *each) for each in announced]
    found = [(first, last) for _, _, first, last in lacking({KEY: account}, KEY.node, offers)]
    known = held | lost | numbers(announced)
    assert numbers(found) == (set(range(1, max(known) + 1)) - known if announced else set())
    assert account.held == IntervalSet.of(sorted(held))


def test_of_an_unknown_lane_everything_below_the_announcement_is_lacking() -> None:
    offer = SeqRange("new", Lane.EVENTS, 5, 9)
    assert list(lacking({}, "line_a", [offer])) == [SeqRange("new", Lane.EVENTS, 1, 4)]


def test_a_copy_is_independent() -> None:
    account = LaneAccount(1)
    account.copy().hold(1, 5)
    assert len(account.held) == len(account.accounted) == 0

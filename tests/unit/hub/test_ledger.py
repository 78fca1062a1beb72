"""Intervals against the plain set that they stand for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edged_hub.ledger import Intervals, Span

HIGHEST = 60
SPANS = st.lists(
    st.tuples(st.integers(1, HIGHEST), st.integers(0, 12)).map(lambda pair: Span(pair[0], pair[0] + pair[1])),
    max_size=25,
)


def plain(spans: list[Span]) -> set[int]:
    return {number for first, last in spans for number in range(first, last + 1)}


@given(SPANS)
def test_spans_are_sorted_disjoint_and_hold_exactly_what_was_added(spans: list[Span]) -> None:
    kept = Intervals(spans).spans
    assert all(left.last + 1 < right.first for left, right in pairwise(kept))
    assert plain(list(kept)) == plain(spans)


@given(SPANS, st.integers(0, 2 * HIGHEST))
def test_membership(spans: list[Span], number: int) -> None:
    assert (number in Intervals(spans)) == (number in plain(spans))


@given(SPANS, st.integers(1, HIGHEST), st.integers(0, 30))
def test_what_is_missing_is_the_rest(spans: list[Span], low: int, length: int) -> None:
    missing = Intervals(spans).missing(low, low + length)
    assert plain(list(missing)) == set(range(low, low + length + 1)) - plain(spans)
    assert all(left.last + 1 < right.first for left, right in pairwise(missing))


@given(SPANS, st.integers(1, HIGHEST))
def test_a_copy_is_independent(spans: list[Span], number: int) -> None:
    original = Intervals(spans)
    before = original.spans
    original.copy().add(number)
    assert original.spans == before


def test_numbers_in_order_stay_one_span() -> None:
    held = Intervals()
    for number in range(1, 1001):
        held.add(number)
    assert held.spans == [Span(1, 1000)]
    assert held.top == 1000
    assert len(held) == 1


def test_an_empty_set_has_no_top() -> None:
    assert Intervals().top == 0
    assert list(Intervals().missing(1, 0)) == []

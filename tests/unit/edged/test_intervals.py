"""Interval sets behave like sets of numbers, whatever is done to them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.intervals import IntervalSet, spans

numbers = st.integers(1, 40)
intervals = st.tuples(numbers, st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), intervals), max_size=30)


def built(changes: list[tuple[str, tuple[int, int]]]) -> tuple[IntervalSet, set[int]]:
    made, model = IntervalSet(), set[int]()
    for change, (first, last) in changes:
        if change == "add":
            made.add(first, last)
            model |= set(range(first, last + 1))
        else:
            made.remove(first, last)
            model -= set(range(first, last + 1))
    return made, model


def members(made: IntervalSet) -> set[int]:
    return {number for first, last in made.intervals() for number in range(first, last + 1)}


@given(steps)
def test_behaves_like_a_set_of_numbers(changes: list[tuple[str, tuple[int, int]]]) -> None:
    made, model = built(changes)
    assert members(made) == model
    assert len(made) == len(model)
    assert bool(made) == bool(model)
    assert made.first == min(model, default=None)
    assert made.last == max(model, default=None)
    assert all((number in made) == (number in model) for number in range(51))
    assert IntervalSet.of(sorted(model)) == made


@given(steps)
def test_intervals_neither_touch_nor_overlap(changes: list[tuple[str, tuple[int, int]]]) -> None:
    found = list(built(changes)[0].intervals())
    assert all(first <= last for first, last in found)
    assert all(before + 1 < after for (_, before), (after, _) in itertools.pairwise(found))


@given(steps, steps)
def test_algebra_of_two_sets(one: list[tuple[str, tuple[int, int]]], other: list[tuple[str, tuple[int, int]]]) -> None:
    (made, model), (second, second_model) = built(one), built(other)
    assert members(made.intersection(second)) == model & second_model
    joined, rest = made.copy(), made.copy()
    joined.update(second)
    rest.subtract(second)
    assert members(joined) == model | second_model
    assert members(rest) == model - second_model
    assert members(made) == model


@given(steps, st.integers(0, 60))
def test_head_gives_the_lowest_numbers(changes: list[tuple[str, tuple[int, int]]], count: int) -> None:
    made, model = built(changes)
    assert made.head(count) == sorted(model)[:count]


@given(steps)
def test_text_form_is_read_back(changes: list[tuple[str, tuple[int, int]]]) -> None:
    made = built(changes)[0]
    assert IntervalSet.parse(str(made)) == made


def test_text_form_is_short() -> None:
    assert str(IntervalSet([(1, 500), (600, 600), (602, 610)])) == "1-500,600,602-610"
    assert str(IntervalSet()) == ""


@pytest.mark.parametrize("text", ["x", "1-", "-3", "5-2", "1-2-3"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        IntervalSet.parse(text)


def test_an_interval_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="3-2"):
        IntervalSet().add(3, 2)


def test_spans_are_runs_of_consecutive_numbers() -> None:
    assert list(spans([1, 2, 3, 7, 9, 10])) == [(1, 3), (7, 7), (9, 10)]
    assert list(spans([])) == []

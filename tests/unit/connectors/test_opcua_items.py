"""Lists of plain values are made a column at a time: the same samples as one by one, or not at all (CARD2)."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_connectors.south.opcua_items import plain_samples, sample_of
from edged_connectors.south.opcua_values import Change, to_float

FLOATS = {0: "line_a/furnace/temperature", 3: "line_a/furnace/pressure"}
RECEIVED = 1_767_225_600_000_000_000
GOOD, UNCERTAIN, OVERFLOW = 0, 0x40000000, 0x0480

TIMES = st.none() | st.sampled_from([0, -1]) | st.integers(1, 2**62)
RAWS = st.floats() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.none() | st.text(max_size=3)
CHANGES = st.builds(
    Change, st.sampled_from([0, 3]), RAWS, st.sampled_from([GOOD] * 9 + [UNCERTAIN, OVERFLOW]), TIMES, TIMES
)


@given(st.lists(CHANGES, min_size=1, max_size=20))
def test_a_column_at_a_time_is_the_same_as_one_by_one(changes: list[Change]) -> None:
    plain = plain_samples(FLOATS, changes, RECEIVED)
    expected = [sample_of(FLOATS[change.handle], to_float, change, RECEIVED) for change in changes]
    ordinary = all(
        type(change.raw) is float
        and math.isfinite(change.raw)
        and change.code == GOOD
        and change.source_time is not None
        and change.source_time > 0
        for change in changes
    )
    assert plain is None or (plain == expected and ordinary)
    assert [type(one) for one in plain or ()] == [type(one) for one in expected][: len(plain or ())]


def test_plain_values_are_taken() -> None:
    changes = [Change(0, 1.5, GOOD, 10, 11), Change(3, -2.0, GOOD, 12, None)]
    assert plain_samples(FLOATS, changes, RECEIVED) == [
        sample_of(FLOATS[change.handle], to_float, change, RECEIVED) for change in changes
    ]


@pytest.mark.parametrize(
    "odd",
    [
        Change(1, 1.0, GOOD, 10, 10),
        Change(0, 1, GOOD, 10, 10),
        Change(0, datetime(2026, 1, 1, tzinfo=UTC), GOOD, 10, 10),
        Change(0, math.nan, GOOD, 10, 10),
        Change(0, math.inf, GOOD, 10, 10),
        Change(0, 1.0, OVERFLOW, 10, 10),
        Change(0, 1.0, GOOD, None, 10),
        Change(0, 1.0, GOOD, 0, 10),
    ],
    ids=["not a float signal", "integer", "time", "nan", "infinite", "overflow bit", "no source time", "time 0"],
)
def test_one_that_is_not_plain_leaves_the_list_to_the_other_way(odd: Change) -> None:
    assert plain_samples(FLOATS, [Change(0, 1.5, GOOD, 10, 11), odd], RECEIVED) is None

"""Rows as a binary COPY: the fast way says the same as the plain one, and every value survives."""

from __future__ import annotations

import struct
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.columns import INT64_MAX, INT64_MIN
from edged.types import Quality, Sample, Value
from edged_hub.postgres_rows import (
    DAY_NANOSECONDS,
    LAST_DAY,
    NO_DAY,
    SampleColumns,
    _Columns,
    _pack_planes,
    _pack_rows,
    _tail,
    days_of,
    loaded_value,
    newest_days,
    pack_samples,
    slice_of,
    stored_value,
)

INT64 = st.integers(INT64_MIN, INT64_MAX)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
ROW = st.tuples(st.integers(0, 2**31 - 1), INT64, INT64, st.integers(0, 6), st.integers(0, 2**15 - 1), FINITE)
VALUES = st.one_of(st.none(), st.booleans(), FINITE, st.integers(-(2**70), 2**70), st.text(max_size=20))


@given(st.lists(ROW, min_size=1, max_size=50), st.integers(0, 2**31 - 1), st.integers(0, INT64_MAX))
def test_planes_and_rows_are_the_same_bytes(
    rows: list[tuple[int, int, int, int, int, float]], stream_id: int, seq: int
) -> None:
    *columns, numbers = zip(*rows, strict=True)
    tails = map(_tail, numbers, repeat(None), repeat(""))
    assert _pack_planes(_Columns(*columns), stream_id, seq, numbers) == _pack_rows(
        _Columns(*columns), stream_id, seq, tails
    )


@given(VALUES)
def test_every_value_comes_back_with_its_type(value: Value | None) -> None:
    held = loaded_value(*stored_value(value))
    assert (held, type(held)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "reason", "end"),
    [
        (1.5, "", struct.pack("!idii", 8, 1.5, -1, 0)),
        (None, "", struct.pack("!iii", -1, -1, 0)),
        ("é", "", struct.pack("!ii2si", -1, 2, "é".encode(), 0)),
        (True, "off", struct.pack("!idii3s", 8, 1.0, -1, 3, b"off")),
        (2**53 + 1, "", struct.pack("!idi16si", 8, float(2**53), 16, b"9007199254740993", 0)),
    ],
)
def test_a_row_ends_with_number_text_and_reason(value: Value | None, reason: str, end: bytes) -> None:
    packed = pack_samples(SampleColumns.of([Sample("s", value, 7, 8, Quality.GOOD, reason)]), [5], 3, 4)
    head = struct.unpack_from("!hiiiqiqiiiqiiihih", packed)
    assert head[2::2][:6] == (5, 7, 8, 3, 4, 0)
    assert packed[struct.calcsize("!hiiiqiqiiiqiiihih") :] == end


@given(st.lists(INT64, min_size=1, max_size=20))
def test_every_time_belongs_to_one_slice(times: list[int]) -> None:
    newest = newest_days([1] * len(times), times, days_of(times), {})
    first, last = slice_of(max(times))
    assert newest == ([(1, first, last)] if first > INT64_MIN else [])
    assert first <= max(times) <= last
    for time in times:
        day = time // DAY_NANOSECONDS
        assert (day if 0 <= day < LAST_DAY else NO_DAY) in days_of(times)


def test_the_newest_day_of_each_signal_is_named_when_it_moves_on() -> None:
    ids, times = [1, 2, 1, 3], [5, DAY_NANOSECONDS, 7, DAY_NANOSECONDS + 1]
    assert days_of(times) == {0, 1}
    second_day = (DAY_NANOSECONDS, 2 * DAY_NANOSECONDS - 1)
    found = newest_days(ids, times, {0, 1}, {2: 0, 3: DAY_NANOSECONDS})
    assert found == [(1, 0, DAY_NANOSECONDS - 1), (2, *second_day)]
    assert newest_days([2, 3], [DAY_NANOSECONDS] * 2, {1}, {2: 0, 3: DAY_NANOSECONDS}) == [(2, *second_day)]

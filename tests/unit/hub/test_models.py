"""Times in and out of the API, names and statuses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edged_hub.models import LATEST_TIME, HistoryQuery, Status, iso_time, line_name, parse_time, status_of

SECOND = 1_000_000_000


@given(st.integers(-LATEST_TIME + SECOND, LATEST_TIME - SECOND))
def test_a_time_written_is_the_time_read(time: int) -> None:
    assert parse_time(iso_time(time)) == time


@given(st.integers(0, LATEST_TIME // SECOND))
def test_whole_seconds_agree_with_the_standard_library(seconds: int) -> None:
    expected = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert iso_time(seconds * SECOND) == expected


@given(st.integers(-(10**12), 10**12))
def test_milliseconds_are_since_1970(milliseconds: int) -> None:
    assert parse_time(str(milliseconds)) == milliseconds * 1_000_000


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01", SECOND),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.5Z", SECOND // 2),
        ("1970-01-01T00:00:00,000000001Z", 1),
        ("1970-01-01 00:00:00.123456789+00:00", 123_456_789),
    ],
)
def test_forms_of_iso_8601(given_text: str, expected: int) -> None:
    assert parse_time(given_text) == expected


@pytest.mark.parametrize("wrong", ["", "now", "12:00", "9999-01-01", "2026-13-01", "9" * 30, "1.5"])
def test_what_is_no_time_is_a_fault(wrong: str) -> None:
    with pytest.raises(ValidationError, match="from"):
        HistoryQuery.model_validate({"signal": "a", "from": wrong})


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_fault(text: str) -> None:
    try:
        query = HistoryQuery.model_validate({"signal": "a", "from": text})
    except ValidationError:
        return
    assert abs(query.start) <= LATEST_TIME + SECOND


@pytest.mark.parametrize(
    ("quality", "status"), [(192, Status.OK), (216, Status.OK), (64, Status.WARNING), (0, Status.ERROR)]
)
def test_status_follows_quality(quality: int, status: Status) -> None:
    assert status_of(quality) is status


def test_a_line_is_named_as_the_records_want_it() -> None:
    assert line_name("line_a") == "Line_A"

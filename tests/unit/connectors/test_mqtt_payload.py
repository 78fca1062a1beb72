"""JSON paths, times, values and topic filters."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.types import ValueType
from edged_connectors.south.mqtt_payload import (
    CONVERTERS,
    MISSING,
    BadPayload,
    JsonPath,
    check_filter,
    matches,
    misfit,
    parse_json,
    parse_time,
    plain,
)

DOCUMENT: Any = {"a": {"b": [10, {"c d": 20}]}, "x": None, "text": "abc", "0": "zero"}
NAME = st.text("abcxyz_ 09-", min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", DOCUMENT),
        ("$.a.b[0]", 10),
        ('$.a.b[1]["c d"]', 20),
        ("$.a['b'][1]['c d']", 20),
        ("$.x", None),
        ("$.0", "zero"),
        ("$.a.b[2]", MISSING),
        ("$.a.b.c", MISSING),
        ("$.text[0]", MISSING),
        ("$.a[0]", MISSING),
        ("$.x.y", MISSING),
        ("$.text.length", MISSING),
    ],
)
def test_paths(path: str, found: Any) -> None:
    assert JsonPath.parse(path).find(DOCUMENT) == found


@pytest.mark.parametrize(
    "path", ["", "a", "$a", "$.", "$..a", "$[", "$[x]", "$[-1]", "$.a[", "$.a b[0", "$[*]", '$["a]']
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match=r"path begins|expected"):
        JsonPath.parse(path)


@given(st.lists(st.one_of(NAME, st.integers(0, 99)), max_size=6))
def test_every_written_path_is_read_back(steps: list[str | int]) -> None:
    text = "$" + "".join(f"[{step}]" if isinstance(step, int) else f'["{step}"]' for step in steps)
    assert JsonPath.parse(text).steps == tuple(steps)


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        (1_767_225_600, 1_767_225_600_000_000_000),
        (1_767_225_600.25, 1_767_225_600_250_000_000),
        (1_767_225_600_123, 1_767_225_600_123_000_000),
        (1_767_225_600_123_456, 1_767_225_600_123_456_000),
        (1_767_225_600_123_456_789, 1_767_225_600_123_456_789),
        ("2026-01-01T00:00:00Z", 1_767_225_600_000_000_000),
        ("2026-01-01T01:00:00.5+01:00", 1_767_225_600_500_000_000),
        ("2026-01-01 00:00:00", 1_767_225_600_000_000_000),
        ("2026-01-01T00:00:00.123456789Z", 1_767_225_600_123_456_000),
        ("yesterday", None),
        ("", None),
        (0, None),
        (-5, None),
        (True, None),
        (None, None),
        (MISSING, None),
        (math.nan, None),
        (math.inf, None),
        (1e300, None),
        (10**30, None),
        ([1], None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_times(value: Any, nanoseconds: int | None) -> None:
    assert parse_time(value) == nanoseconds


@given(st.integers(10**15, 7 * 10**15), st.integers(-14 * 60, 14 * 60))
def test_iso_times_are_exact_to_the_microsecond(microseconds: int, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert parse_time(moment.astimezone(zone).isoformat()) == microseconds * 1000


@given(st.integers(1_000_000_000_000, 9_223_372_036_854))
def test_epoch_milliseconds_are_exact(milliseconds: int) -> None:
    assert parse_time(milliseconds) == milliseconds * 1_000_000


@pytest.mark.parametrize(
    ("kind", "value", "converted"),
    [
        (ValueType.FLOAT, 3, 3.0),
        (ValueType.FLOAT, 2.5, 2.5),
        (ValueType.FLOAT, True, None),
        (ValueType.FLOAT, "2.5", None),
        (ValueType.FLOAT, math.inf, None),
        (ValueType.INT, 3, 3),
        (ValueType.INT, 3.0, 3),
        (ValueType.INT, 3.5, None),
        (ValueType.INT, 2**63, None),
        (ValueType.INT, False, None),
        (ValueType.BOOL, True, True),
        (ValueType.BOOL, 0, False),
        (ValueType.BOOL, 2, None),
        (ValueType.BOOL, "true", None),
        (ValueType.STRING, "x", "x"),
        (ValueType.STRING, 1, None),
        (ValueType.STRING, None, None),
        (ValueType.FLOAT, {}, None),
        (ValueType.FLOAT, MISSING, None),
    ],
)
def test_conversions(kind: ValueType, value: Any, converted: Any) -> None:
    found = CONVERTERS[kind](value)
    assert found == converted
    assert type(found) is type(converted)
    if converted is None:
        assert misfit(value, kind)


@pytest.mark.parametrize(
    ("payload", "kind", "value"),
    [
        (b"21.5", ValueType.FLOAT, 21.5),
        (b" -3 \n", ValueType.INT, -3),
        (b"+4e2", ValueType.FLOAT, 400.0),
        (b"ON", ValueType.BOOL, True),
        (b"0", ValueType.BOOL, False),
        (b"A 7", ValueType.STRING, "A 7"),
    ],
)
def test_plain_payloads(payload: bytes, kind: ValueType, value: Any) -> None:
    assert CONVERTERS[kind](plain(payload, kind)) == value


@pytest.mark.parametrize("payload", [b"", b"nan", b"inf", b"1_0", b"1e999", b"0x10", b"21,5", b"{}"])
def test_plain_payloads_that_are_no_number(payload: bytes) -> None:
    for kind in (ValueType.FLOAT, ValueType.INT, ValueType.BOOL):
        assert CONVERTERS[kind](plain(payload, kind)) is None


def test_plain_payloads_that_are_no_text() -> None:
    with pytest.raises(BadPayload, match="not UTF-8 text"):
        plain(b"\xff", ValueType.STRING)


@pytest.mark.parametrize("payload", [b"", b"{", b"NaN", b'{"a": Infinity}', b"\xff", b"[" * 100_000, b'"\xed\xa0\x80"'])
def test_what_is_not_json(payload: bytes) -> None:
    with pytest.raises(BadPayload, match="not JSON"):
        parse_json(payload)


@pytest.mark.parametrize(
    ("pattern", "topic", "fits"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("+", "/a", False),
        ("+/+", "/a", True),
        ("#", "$SYS/broker", False),
        ("+/broker", "$SYS/broker", False),
        ("$SYS/#", "$SYS/broker", True),
        ("a/+/c", "a//c", True),
        ("a/#", "a/+", True),
        ("a/+", "a/#", False),
        ("a/+/c", "a/b/c", True),
        ("a/b/c", "a/+/c", False),
        ("A", "a", False),
    ],
)
def test_filters(pattern: str, topic: str, fits: bool) -> None:
    assert matches(pattern, topic) is fits


@pytest.mark.parametrize("text", ["", "a+", "a/#/b", "#a", "a\0", "x" * 70_000, "+a/b"])
def test_filters_that_mqtt_does_not_know(text: str) -> None:
    with pytest.raises(ValueError, match=r"level|bytes"):
        check_filter(text)


LEVELS = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4)


@given(LEVELS, LEVELS, st.lists(st.booleans(), min_size=4, max_size=4), st.booleans())
def test_a_wider_filter_takes_all_that_a_narrower_one_takes(
    topic: list[str], other: list[str], wild: list[bool], rest: bool
) -> None:
    narrow = "/".join(topic)
    wide = "/".join(["+" if is_wild else level for level, is_wild in zip(topic, wild, strict=False)])
    assert matches(wide, narrow)
    if rest:
        assert matches(f"{wide}/#", narrow)
    candidate = "/".join(other)
    if matches(narrow, candidate):
        assert matches(wide, candidate)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_times_and_conversions_never_raise(value: Any) -> None:
    parse_time(value)
    for kind, convert in CONVERTERS.items():
        found = convert(value)
        assert found is None or not isinstance(found, float) or math.isfinite(found)
        assert misfit(value, kind)


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: orjson.dumps(text)))
def test_parsing_raises_nothing_else(payload: bytes) -> None:
    with suppress(BadPayload):
        assert orjson.dumps(parse_json(payload))

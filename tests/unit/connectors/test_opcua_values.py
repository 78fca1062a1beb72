"""How OPC UA data values become samples: types, qualities, times."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from edged.types import NANOSECONDS_PER_SECOND, Quality, Sample, ValueType
from edged_connectors.south.opcua_items import as_seen, sample_of
from edged_connectors.south.opcua_values import CONVERTERS, Change, change_of, nanoseconds, overflowed, quality_of

NOW = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
RECEIVED = nanoseconds(NOW)
OVERFLOW = 0x0000_0480


def data(
    value: object,
    code: int = 0,
    source: datetime | None = NOW,
    server: datetime | None = NOW,
    kind: ua.VariantType | None = None,
) -> Change:
    value = ua.Variant(value, kind)
    data_value = ua.DataValue(value, StatusCode=ua.StatusCode(code), SourceTimestamp=source, ServerTimestamp=server)
    return change_of(0, data_value)


def convert(kind: ValueType, value: object, code: int = 0) -> Sample:
    return sample_of("s", CONVERTERS[kind], data(value, code), RECEIVED)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (ValueType.FLOAT, 1.5, 1.5),
        (ValueType.FLOAT, 3, 3.0),
        (ValueType.INT, 2**63 - 1, 2**63 - 1),
        (ValueType.INT, 0, 0),
        (ValueType.BOOL, False, False),
        (ValueType.STRING, "", ""),
        (ValueType.STRING, ua.LocalizedText("glass"), "glass"),
    ],
)
def test_a_value_of_the_declared_type_is_good(kind: ValueType, raw: object, value: object) -> None:
    sample = convert(kind, raw)
    assert sample.value == value
    assert type(sample.value) is type(value)
    assert (sample.quality, sample.reason) == (Quality.GOOD, "")


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (ValueType.FLOAT, True),
        (ValueType.FLOAT, "1.0"),
        (ValueType.FLOAT, [1.0, 2.0]),
        (ValueType.INT, 1.0),
        (ValueType.INT, True),
        (ValueType.BOOL, 1),
        (ValueType.STRING, 1),
        (ValueType.STRING, b"bytes"),
    ],
)
def test_a_value_of_another_type_is_bad(kind: ValueType, raw: object) -> None:
    sample = convert(kind, raw)
    assert (sample.value, sample.quality, sample.reason) == (None, Quality.BAD, "wrong_type")


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_never_travels(raw: float) -> None:
    sample = convert(ValueType.FLOAT, raw)
    assert (sample.value, sample.quality, sample.reason) == (None, Quality.BAD, "not_a_number")


def test_an_empty_value_is_bad() -> None:
    sample = sample_of("s", CONVERTERS[ValueType.FLOAT], change_of(0, ua.DataValue()), RECEIVED)
    assert (sample.value, sample.quality, sample.reason) == (None, Quality.BAD, "no_value")
    assert sample.source_time == RECEIVED


@pytest.mark.parametrize(
    ("code", "value", "quality", "reason"),
    [
        (ua.StatusCodes.Good, 1.0, Quality.GOOD, ""),
        (OVERFLOW, 1.0, Quality.GOOD, ""),
        (ua.StatusCodes.GoodLocalOverride, 1.0, Quality.GOOD, "GoodLocalOverride"),
        (ua.StatusCodes.UncertainLastUsableValue, 1.0, Quality.UNCERTAIN, "UncertainLastUsableValue"),
        (ua.StatusCodes.UncertainLastUsableValue | OVERFLOW, 1.0, Quality.UNCERTAIN, "UncertainLastUsableValue"),
        (ua.StatusCodes.BadSensorFailure, None, Quality.BAD, "BadSensorFailure"),
        (0xC000_0000, None, Quality.BAD, None),
    ],
)
def test_the_status_code_becomes_quality_and_reason(
    code: int, value: float | None, quality: Quality, reason: str | None
) -> None:
    sample = convert(ValueType.FLOAT, 1.0, code)
    assert (sample.value, sample.quality) == (value, quality)
    if reason is not None:
        assert sample.reason == reason


def test_a_wrong_type_stays_bad_under_an_uncertain_status() -> None:
    sample = convert(ValueType.FLOAT, "x", ua.StatusCodes.UncertainLastUsableValue)
    assert (sample.value, sample.quality, sample.reason) == (None, Quality.BAD, "wrong_type")


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_any_status_code_gives_a_quality_that_agrees_with_its_severity(code: int) -> None:
    quality, _ = quality_of(code)
    assert quality == {0: Quality.GOOD, 1: Quality.UNCERTAIN}.get(code >> 30, Quality.BAD)


@given(
    st.one_of(st.floats(), st.integers(), st.booleans(), st.text(), st.none(), st.binary(), st.lists(st.floats())),
    st.sampled_from(list(ValueType)),
    st.sampled_from([0, OVERFLOW, ua.StatusCodes.UncertainSensorNotAccurate, ua.StatusCodes.BadOutOfService]),
)
def test_a_sample_has_a_finite_value_or_a_reason(raw: object, kind: ValueType, code: int) -> None:
    value, reason = CONVERTERS[kind](raw)
    sample = sample_of("s", lambda _: (value, reason), data(1.0, code), RECEIVED)
    assert (sample.value is None) == (sample.quality == Quality.BAD)
    if sample.value is None:
        assert sample.reason
    elif isinstance(sample.value, float):
        assert math.isfinite(sample.value)


@given(st.integers(0, 7_258_118_400_000_000))
def test_times_are_exact_to_the_microsecond(microseconds: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert nanoseconds(moment) == microseconds * 1000


def test_the_source_time_goes_before_the_servers_and_that_before_ours() -> None:
    earlier = NOW - timedelta(seconds=1)
    float_ = CONVERTERS[ValueType.FLOAT]
    assert sample_of("s", float_, data(1.0, source=earlier), RECEIVED).source_time == nanoseconds(earlier)
    assert sample_of("s", float_, data(1.0, source=None, server=earlier), RECEIVED).source_time == nanoseconds(earlier)
    assert sample_of("s", float_, data(1.0, source=None, server=None), RECEIVED).source_time == RECEIVED
    unset = datetime(1601, 1, 1, tzinfo=UTC)
    assert sample_of("s", float_, data(1.0, source=unset), RECEIVED).source_time == RECEIVED


@pytest.mark.parametrize(
    ("age_seconds", "server_off_by", "stamped_as_seen"),
    [(59, 0, False), (61, 0, True), (86_400, 2, True), (86_400, 3600, False)],
)
def test_an_old_value_that_was_looked_up_is_stamped_when_the_server_saw_it(
    age_seconds: int, server_off_by: int, *, stamped_as_seen: bool
) -> None:
    server = NOW - timedelta(seconds=server_off_by)
    old = data(1.0, source=NOW - timedelta(seconds=age_seconds), server=server)
    sample = as_seen(sample_of("s", CONVERTERS[ValueType.FLOAT], old, RECEIVED), old)
    age = RECEIVED - sample.source_time
    expected = server_off_by if stamped_as_seen else age_seconds
    assert age == expected * NANOSECONDS_PER_SECOND


def test_the_overflow_bit_counts_only_with_its_info_type() -> None:
    assert overflowed(OVERFLOW)
    assert overflowed(ua.StatusCodes.UncertainLastUsableValue | OVERFLOW)
    assert not overflowed(0x0000_0080)
    assert not overflowed(0x0000_0400)
    assert not overflowed(ua.StatusCodes.Good)

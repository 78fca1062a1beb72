"""Batches are lossless, small, quick to refuse, and never anything but DamagedRecord."""

from __future__ import annotations

import math
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edged.columns import INT64_MAX, INT64_MIN
from edged.errors import DamagedRecord
from edged.records import (
    MAX_BODY_BYTES,
    MAX_INT_BITS,
    MAX_ROWS,
    MAX_TEXT_BYTES,
    BatchTooLong,
    NotStorable,
    decode,
    decode_events,
    decode_samples,
    encode_events,
    encode_samples,
)
from edged.repair import BAD_TIME, NOT_FINITE, NOT_STORABLE, repaired
from edged.types import (
    Alarm,
    AlarmState,
    Decision,
    DecisionPhase,
    Event,
    Gap,
    OperatorAction,
    Prediction,
    Priority,
    Quality,
    QualityResult,
    Sample,
    Value,
    WriteOutcome,
)

int64 = st.integers(INT64_MIN, INT64_MAX)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
values: st.SearchStrategy[Value | None] = (
    finite | int64 | st.integers(-(2**200), 2**200) | st.booleans() | texts | st.none()
)
samples = st.builds(Sample, texts, values, int64, int64, st.sampled_from(Quality) | st.integers(0, 255), texts)
quick_times = st.integers(1_700_000_000_000_000_000, 1_700_000_010_000_000_000)
plain_samples = st.builds(
    Sample, st.sampled_from("abc"), finite, quick_times, quick_times, st.just(Quality.GOOD), st.just("")
)
optional = st.none() | finite
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Gap, texts, int64, int64, texts, texts, texts, int64, int64, st.none() | int64),
    st.builds(
        Alarm, texts, texts, st.sampled_from(AlarmState), st.sampled_from(Priority), texts, int64, optional, optional
    ),
    st.builds(Prediction, texts, texts, texts, int64, optional, finite, texts, texts),
    st.builds(
        Decision,
        texts,
        st.sampled_from(DecisionPhase),
        texts,
        texts,
        int64,
        texts,
        texts,
        *[optional] * 4,
        texts,
        texts,
        optional,
        optional,
        st.sampled_from(WriteOutcome),
        texts,
        texts,
    ),
    st.builds(QualityResult, texts, int64, st.booleans(), texts, texts),
    st.builds(OperatorAction, texts, texts, texts, texts, texts, int64, texts),
)

SAMPLE = Sample("line_a/furnace/temperature", 1500.0, 1_767_225_600_000_000_000, 1_767_225_600_001_000_000)
T0 = 1_767_225_600_000_000_000
VERSION_1_SAMPLES = [
    Sample("line_a/furnace/temperature", 1500.0, T0, T0 + 1_000_000),
    Sample("line_a/forming/running", True, T0, T0 + 2_000_000),
    Sample("line_a/forming/scan", 7, T0 + 100_000_000, T0 + 102_000_000, 64, "skew"),
    Sample("line_a/mik_1/defect", None, T0 + 100_000_000, T0 + 102_000_000, 0, "source_offline"),
    Sample("line_a/mik_1/defect", "crack", T0 + 200_000_000, T0 + 202_000_000),
]
VERSION_1_SAMPLES_BLOB = bytes.fromhex(
    "0180f700000078015d8e4d0ac2400c8533d319d48d8a05112f51bc41e90ddcb82dc3984aa99d96698b37f00a5e287bcfe00174e7c695a95417"
    "e6911ff2e541b412a4d6cb30a4dd3177989a28ebbc3316a316cb1abd693b8f5f52f9327787c877ce71ffdb36d6b86155e645ba89f698a16d05"
    "69103208aeabb3dfde5f008ae6d0c78df56469d01ff6982431b39851c26c36b011fb03a1348d7b13d497589018716ad2d61b5b00b1a42029032e"
    "31c8dfaca6b4680a3c3555e72da65596f5fff11188371fb04b79"
)
VERSION_1_EVENTS: list[Event] = [
    Gap("opcua", 1, 2, "source_overflow"),
    Alarm(
        "hot",
        "line_a/furnace/temperature",
        AlarmState.UNACKNOWLEDGED,
        Priority.HIGH,
        "too hot",
        3,
        1650.5,
        1600.0,
    ),
]
VERSION_1_EVENTS_BLOB = bytes.fromhex(
    "0101020009a56f706375610102af736f757263655f6f766572666c6f77a0a00000c00108a3686f74ba6c696e655f612f6675726e6163652f7465"
    "6d7065726174757265ae756e61636b6e6f776c6564676564a448494748a7746f6f20686f7403cb4099ca0000000000cb4099000000000000"
)
"""What version 1 wrote: files and hubs are full of it, so it has to be read for ever."""


def shown(value: Value | None) -> tuple[type, str]:
    """Tells -0.0 from 0.0 and True from 1."""
    return type(value), repr(value)


@given(st.lists(samples, max_size=40) | st.lists(plain_samples, max_size=200))
@example([Sample("a", -0.0, 0, 0), Sample("a", 0.0, 0, 0)])
@example([Sample("a", True, 0, 0), Sample("a", 1, 0, 0), Sample("a", 1.0, 0, 0), Sample("a", "1", 0, 0)])
@example([Sample("a", INT64_MAX, INT64_MAX, INT64_MIN), Sample("a", INT64_MIN, INT64_MIN, INT64_MAX)])
@example([Sample("a", INT64_MAX + 1, 0, 0), Sample("a", INT64_MIN - 1, 0, 0), Sample("a", 2**MAX_INT_BITS - 1, 0, 0)])
@example([Sample("", "", 0, 0, 64, "r"), Sample("", None, 0, 0, 0, "")])
def test_samples_come_back_as_they_were(batch: list[Sample]) -> None:
    read = decode_samples(encode_samples(batch))
    assert read == batch
    assert [shown(sample.value) for sample in read] == [shown(sample.value) for sample in batch]
    assert decode(encode_samples(batch)) == batch
    assert all(type(sample) is Sample for sample in read)


@given(st.lists(events, max_size=10))
def test_events_come_back_as_they_were(batch: list[Event]) -> None:
    read = decode_events(encode_events(batch))
    assert read == batch
    assert list(map(type, read)) == list(map(type, batch))
    assert not batch or decode(encode_events(batch)) == batch


def test_what_version_1_wrote_is_read() -> None:
    assert decode(VERSION_1_SAMPLES_BLOB) == VERSION_1_SAMPLES
    assert decode(VERSION_1_EVENTS_BLOB) == VERSION_1_EVENTS
    assert encode_events(VERSION_1_EVENTS) == VERSION_1_EVENTS_BLOB


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x01")
@example(b"\x01\x00")
@example(b"\x01\x80\xff\xff\xff\xff")
def test_any_bytes_decode_or_are_damaged(blob: bytes) -> None:
    for read in (decode, decode_samples, decode_events):
        try:
            read(blob)
        except DamagedRecord:
            continue


@given(st.lists(samples, min_size=1, max_size=8), st.lists(events, min_size=1, max_size=4), st.data())
def test_changed_bytes_decode_or_are_damaged(batch: list[Sample], happened: list[Event], data: st.DataObject) -> None:
    blob = bytearray(data.draw(st.sampled_from([encode_samples(batch), encode_events(happened)])))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    blob = blob[: data.draw(st.integers(0, len(blob)))]
    try:
        read = decode(bytes(blob))
    except DamagedRecord:
        return
    for record in read:
        if isinstance(record, Sample) and isinstance(record.value, float):
            assert math.isfinite(record.value)


@given(st.binary(max_size=60), st.sampled_from([0, 1]))
def test_any_stream_behind_a_good_header_decodes_or_is_damaged(stream: bytes, kind: int) -> None:
    try:
        decode(bytes([1, kind]) + stream)
    except DamagedRecord:
        return


@pytest.mark.parametrize("stream", [bytes(200 * 1024 * 1024), b"\x90" * (8 * 1024 * 1024), b"\xdd\xff\xff\xff\xff"])
@pytest.mark.parametrize("claim", [0, 100, MAX_BODY_BYTES, 2**32 - 1])
def test_memory_stays_bounded_whatever_is_claimed(stream: bytes, claim: int) -> None:
    blob = bytes([1, 0x80]) + struct.pack("<I", claim) + zlib.compress(stream, 1)
    tracemalloc.start()
    with pytest.raises(DamagedRecord):
        decode(blob)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MAX_BODY_BYTES


def test_rows_of_nothing_are_bounded() -> None:
    claims = b"\xce\xff\xff\xff\xff" + b"\x01" + b"\x00\xc4\x00" * 40
    with pytest.raises(DamagedRecord):
        decode_samples(bytes([1, 0]) + claims)


def test_the_other_kind_is_damaged() -> None:
    with pytest.raises(DamagedRecord):
        decode_events(encode_samples([SAMPLE]))
    with pytest.raises(DamagedRecord):
        decode_samples(encode_events([Gap("a", 0, 1, "r")]))


def test_a_later_version_is_refused_by_name() -> None:
    blob = b"\x02" + encode_samples([SAMPLE])[1:]
    with pytest.raises(DamagedRecord, match="version 2"):
        decode(blob)


def test_left_over_bytes_are_damage() -> None:
    with pytest.raises(DamagedRecord, match="left over"):
        decode(encode_samples([SAMPLE]) + b"\x00")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("company", [(), (1.5,), (True, None, "x")])
def test_numbers_that_are_not_finite_are_refused_and_repaired(value: float, company: tuple[Value | None, ...]) -> None:
    batch = [SAMPLE._replace(value=other) for other in (*company, value)]
    with pytest.raises(NotStorable):
        encode_samples(batch)
    mended = repaired(batch)
    assert mended[-1] == SAMPLE._replace(value=None, quality=Quality.BAD, reason=NOT_FINITE)
    assert mended[:-1] == batch[:-1]
    assert decode_samples(encode_samples(mended)) == mended


@pytest.mark.parametrize(
    "value",
    [b"bytes", [1], object(), 2 ** (MAX_INT_BITS + 1), "x" * (MAX_TEXT_BYTES + 1), "\ud800"],
    ids=["bytes", "list", "object", "integer", "text", "surrogate"],
)
def test_values_that_are_no_values_are_refused_and_repaired(value: object) -> None:
    batch = [SAMPLE._replace(value=value), SAMPLE]  # type: ignore[arg-type]  # that is the point
    with pytest.raises(NotStorable):
        encode_samples(batch)
    assert repaired(batch) == [SAMPLE._replace(value=None, quality=Quality.BAD, reason=NOT_STORABLE), SAMPLE]


class Whole(int):
    """An integer of another type, as libraries have them."""


def test_subtypes_of_values_are_stored_as_the_plain_type() -> None:
    (mended,) = repaired([SAMPLE._replace(value=Whole(7))])
    assert type(mended.value) is int
    assert mended.value == 7
    assert mended.quality == Quality.GOOD


def test_times_outside_int64_are_refused_and_repaired() -> None:
    batch = [SAMPLE, SAMPLE._replace(source_time=2**70), SAMPLE._replace(receive_time=-(2**70))]
    with pytest.raises(NotStorable):
        encode_samples(batch)
    mended = repaired(batch)
    assert mended[0] == SAMPLE
    assert mended[1] == SAMPLE._replace(source_time=INT64_MAX, quality=Quality.UNCERTAIN, reason=BAD_TIME)
    assert mended[2] == SAMPLE._replace(receive_time=INT64_MIN, quality=Quality.UNCERTAIN, reason=BAD_TIME)
    assert decode_samples(encode_samples(mended)) == mended


@given(st.lists(st.tuples(*[st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.booleans()] * 6)))
def test_whatever_is_in_a_sample_can_be_stored_after_repair(rows: list[tuple[object, ...]]) -> None:
    mended = repaired([Sample(*row) for row in rows])  # type: ignore[arg-type]  # that is the point
    assert decode_samples(encode_samples(mended)) == mended
    assert len(mended) == len(rows)


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(BatchTooLong):
        encode_samples([SAMPLE] * (MAX_ROWS + 1))
    assert len(decode_samples(encode_samples([SAMPLE] * MAX_ROWS))) == MAX_ROWS


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(BatchTooLong):
        encode_samples([SAMPLE._replace(value=str(number) * 40_000) for number in range(10, 100)])


def test_optional_numbers_of_events_become_none_others_are_refused() -> None:
    alarm = Alarm("hot", "s", AlarmState.NORMAL, Priority.LOW, "\ud800 m", 1, math.nan, math.inf)
    (read,) = decode_events(encode_events([alarm]))
    assert read == Alarm("hot", "s", AlarmState.NORMAL, Priority.LOW, "? m", 1, None, None)
    with pytest.raises(NotStorable):
        encode_events([Prediction("m", "1", "s", 1, 0.5, math.inf)])
    with pytest.raises(NotStorable):
        encode_events([Gap("s", 2**63, 0, "r")])
    with pytest.raises(NotStorable):
        encode_events([SAMPLE])  # type: ignore[list-item]  # that is the point


def test_an_event_of_a_later_dataclass_is_read_and_one_of_an_earlier_takes_defaults() -> None:
    longer = b"\x01\x01" + b"\x01" + b"\x00\x0a" + b"\xa1s\x01\x02\xa1r\xa0\xa0\x00\x00\xc0" + b"\xa3new"
    assert decode_events(longer) == [Gap("s", 1, 2, "r")]
    shorter = b"\x01\x01" + b"\x01" + b"\x00\x04" + b"\xa1s\x01\x02\xa1r"
    assert decode_events(shorter) == [Gap("s", 1, 2, "r")]
    with pytest.raises(DamagedRecord):
        decode_events(b"\x01\x01" + b"\x01" + b"\x00\x03" + b"\xa1s\x01\x02")


def test_a_thousand_steady_samples_are_small() -> None:
    batch = [
        SAMPLE._replace(signal=f"line_a/furnace/t{row % 20}", value=1500.0 + row % 7, source_time=row * 10**8)
        for row in range(1000)
    ]
    assert len(encode_samples(batch)) < 4 * len(batch)

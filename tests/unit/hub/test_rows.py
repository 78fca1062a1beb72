"""Values and events as columns, and back."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from edged.columns import INT64_MAX, INT64_MIN
from edged.errors import DamagedRecord
from edged.records import encode_events, encode_samples
from edged.types import BatchKey, Gap, Lane, OperatorAction, QualityResult, Sample, Value
from edged_cloud_sync.wire import WireBatch
from edged_hub.rows import ValueKind, decode, event_row, load_value, store_value

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(VALUES)
def test_a_value_comes_back_with_its_type(value: Value | None) -> None:
    back = load_value(*store_value(value))
    assert back == value
    assert type(back) is type(value)


@given(st.integers())
def test_numbers_fit_into_64_bits_or_are_text(value: int) -> None:
    stored = store_value(value)
    assert stored.number is None or INT64_MIN <= stored.number <= INT64_MAX
    assert (stored.kind is ValueKind.BIG_INT) == (stored.text is not None)


def test_times_of_a_batch_are_its_first_and_last() -> None:
    rows = [Sample("a/b/c", 1.0, time, 9) for time in (5, 3, 8)]
    decoded = decode(WireBatch(BatchKey("s", Lane.PROCESS, 1), 3, encode_samples(rows)))
    assert (decoded.first_time, decoded.last_time) == (3, 8)
    assert list(decoded.samples) == rows


def test_a_gap_is_an_event_row_and_a_gap_row() -> None:
    gap = Gap("furnace", 5, 9, "silent")
    result = QualityResult("u1", 7, True, "", "inspection")
    decoded = decode(WireBatch(BatchKey("s", Lane.EVENTS, 1), 2, encode_events([result, gap])))
    assert [row.kind for row in decoded.events] == ["QualityResult", "Gap"]
    assert [(row.row, row.gap) for row in decoded.gaps] == [(1, gap)]
    assert (decoded.first_time, decoded.last_time) == (5, 7)


def test_the_body_of_an_event_is_its_fields() -> None:
    row = event_row(QualityResult("u1", 7, False, "crack", "inspection"))
    assert orjson.loads(row.body) == {
        "unit_identity": "u1",
        "time": 7,
        "passed": False,
        "defect_type": "crack",
        "source": "inspection",
    }


def test_what_an_operator_did_is_kept_under_its_loop() -> None:
    action = OperatorAction("anna", "mode", "thickness", "AUTO", "shift begins", 7, "accepted")
    decoded = decode(WireBatch(BatchKey("s", Lane.EVENTS, 1), 1, encode_events([action])))
    (row,) = decoded.events
    assert (row.kind, row.time, row.source) == ("OperatorAction", 7, "thickness")
    assert orjson.loads(row.body)["outcome"] == "accepted"


@given(st.binary(max_size=200), st.sampled_from(Lane), st.integers(0, 10))
def test_any_bytes_are_rows_or_damaged(blob: bytes, lane: Lane, rows: int) -> None:
    try:
        decoded = decode(WireBatch(BatchKey("s", lane, 1), rows, blob))
    except DamagedRecord:
        return
    assert len(decoded.samples) + len(decoded.events) == rows

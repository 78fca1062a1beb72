"""Decoding whole messages: one sample per bound signal whatever comes, and marks that tell messages apart."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.types import Quality, QualityResult, ValueType
from edged_connectors.south.mqtt_messages import MARK_BYTES, NO_TIME, OLD_VALUE, Decoder, Message, ResultTarget, Target
from edged_connectors.south.mqtt_payload import JsonPath

RECEIVED = 1_767_225_700_000_000_001
STAMP = 1_767_225_600_123
TARGETS = (
    Target("l/u/number", ValueType.INT, "works/lehr", JsonPath.parse("$.values.number")),
    Target("l/u/speed", ValueType.FLOAT, "works/lehr", JsonPath.parse("$.values.speed")),
    Target("l/u/zone", ValueType.FLOAT, "+/lehr", JsonPath.parse("$.zones[1]")),
    Target("l/u/state", ValueType.STRING, "works/lehr", JsonPath.parse("$.state")),
    Target("l/u/whole", ValueType.FLOAT, "works/number", JsonPath.parse("$")),
    Target("l/u/plain", ValueType.FLOAT, "works/plain/#", None),
    Target("l/u/switch", ValueType.BOOL, "works/plain/switch", None),
)
RESULTS = ResultTarget("works/unit", JsonPath.parse("$.id"), JsonPath.parse("$.ok"), JsonPath.parse("$.defect"))
LEHR_SIGNALS = ["l/u/number", "l/u/speed", "l/u/zone", "l/u/state"]


def decoder(time_path: str | None = "$.t", most: int = 10_000) -> Decoder:
    path = JsonPath.parse(time_path) if time_path else None
    return Decoder("cold_end", TARGETS, time_path=path, results=RESULTS, max_payload_bytes=most)


def message(payload: Any, topic: str = "works/lehr", **more: Any) -> Message:
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return (
        Message(topic, raw, RECEIVED, qos=1, mid=7, **more)
        if "mid" not in more
        else Message(topic, raw, RECEIVED, 1, **more)
    )


def lehr(**more: Any) -> dict[str, Any]:
    return {"t": STAMP, "values": {"number": 4, "speed": 2}, "zones": [1, 2.5], "state": "run", **more}


def test_a_good_message() -> None:
    decoded = decoder().decode(message(lehr()))
    values = {sample.signal: sample.value for sample in decoded.samples}
    assert values == {"l/u/number": 4, "l/u/speed": 2.0, "l/u/zone": 2.5, "l/u/state": "run"}
    assert {(s.source_time, s.receive_time, s.quality) for s in decoded.samples} == {
        (STAMP * 1_000_000, RECEIVED, Quality.GOOD)
    }
    assert decoded.timed
    assert not decoded.fault


def test_without_a_time_the_receive_time_stands_in_and_says_so() -> None:
    decoded = decoder().decode(message(lehr(t="soon")))
    assert {(s.source_time, s.quality, s.reason) for s in decoded.samples} == {(RECEIVED, Quality.UNCERTAIN, NO_TIME)}
    assert not decoded.timed
    plain = decoder(None).decode(message(lehr()))
    assert {(s.source_time, s.quality) for s in plain.samples} == {(RECEIVED, Quality.GOOD)}


def test_a_wildcard_feeds_its_signal_from_every_topic() -> None:
    decoded = decoder().decode(message({"t": STAMP, "zones": [0, 9]}, "other/lehr"))
    assert [(sample.signal, sample.value) for sample in decoded.samples] == [("l/u/zone", 9.0)]


def test_whole_documents_and_plain_payloads() -> None:
    assert decoder().decode(message(b"4.5", "works/number")).samples[0].value == 4.5
    assert decoder().decode(message(b"4.5", "works/plain")).samples[0].value == 4.5
    switch = decoder().decode(message(b"ON", "works/plain/switch"))
    assert [(s.signal, s.value, s.quality) for s in switch.samples] == [
        ("l/u/plain", None, Quality.BAD),
        ("l/u/switch", True, Quality.GOOD),
    ]


def test_a_retained_value_without_time_is_of_unknown_age() -> None:
    sample = decoder().decode(message(b"4.5", "works/plain", retain=True)).samples[0]
    assert (sample.value, sample.quality, sample.reason) == (4.5, Quality.UNCERTAIN, OLD_VALUE)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"t": STAMP, "values": {"number": "4"}}, "expected int, got text"),
        ({"t": STAMP, "values": {"number": None}}, "null"),
        ({"t": STAMP, "values": {}}, "missing in the payload"),
        ({"t": STAMP, "values": []}, "missing in the payload"),
        ({"t": STAMP}, "missing in the payload"),
        ([], "missing in the payload"),
        ({"t": STAMP, "values": {"number": 1e300}}, "expected int, got a number"),
        ({"t": STAMP, "values": {"number": {}}}, "expected int, got an object"),
    ],
)
def test_one_bad_value_has_its_own_reason(payload: Any, reason: str) -> None:
    sample = decoder().decode(message(payload)).samples[0]
    assert (sample.signal, sample.value, sample.quality, sample.reason) == ("l/u/number", None, Quality.BAD, reason)


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[" * 5000, b'{"values": NaN}', b"x" * 20_000])
def test_a_bad_payload_is_quarantined(payload: bytes) -> None:
    decoded = decoder().decode(message(payload))
    assert [sample.signal for sample in decoded.samples] == LEHR_SIGNALS
    assert all(s.value is None and s.quality == Quality.BAD and s.reason == decoded.fault for s in decoded.samples)
    assert decoded.fault
    assert len(decoded.sample_mark) == MARK_BYTES


def test_an_unbound_topic_says_so() -> None:
    decoded = decoder().decode(message(b"1", "elsewhere"))
    assert decoded.fault == "no signal is bound to this topic"
    assert not decoded.samples


def test_results() -> None:
    unit = {"t": STAMP, "id": "U7", "ok": False, "defect": "bubble"}
    assert decoder().decode(message(unit, "works/unit")).result == QualityResult(
        "U7", STAMP * 1_000_000, False, "bubble", "cold_end"
    )
    number = decoder().decode(message({"t": STAMP, "id": 7, "ok": 1, "defect": None}, "works/unit")).result
    assert number is not None
    assert (number.unit_identity, number.passed, number.defect_type) == ("7", True, "")


@pytest.mark.parametrize("unit", [{"ok": True}, {"id": "U", "ok": "yes"}, {"id": True, "ok": True}, [], "x"])
def test_results_that_say_nothing(unit: Any) -> None:
    decoded = decoder().decode(message(unit, "works/unit"))
    assert decoded.result is None
    assert decoded.fault


def test_marks() -> None:
    def mark(payload: Any, topic: str = "works/lehr", mid: int = 1) -> bytes:
        return decoder().decode(message(payload, topic, mid=mid)).sample_mark

    assert mark(lehr()) == mark(lehr(), mid=2)
    assert mark(lehr()) != mark(lehr(t=STAMP + 1))
    assert mark(lehr()) != mark(lehr(), "other/lehr")
    assert mark(b"4.5", "works/plain") == mark(b"4.5", "works/plain")
    assert mark(b"4.5", "works/plain") != mark(b"4.5", "works/plain", mid=2)
    assert mark(b"5", "works/plain/1") != mark(b"15", "works/plain/")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["values", "number", "speed", "zones", "t", "id", "ok"]), inner, max_size=5)
    ),
    max_leaves=20,
)


def dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        return repr(value).encode(errors="replace")


@given(
    st.binary(max_size=300) | JSON.map(dumped), st.sampled_from(["works/lehr", "works/unit", "works/plain/switch", "x"])
)
def test_whatever_comes_every_bound_signal_gets_one_sample(payload: bytes, topic: str) -> None:
    decoded = decoder(most=250).decode(message(payload, topic))
    bound = {"works/lehr": LEHR_SIGNALS, "works/plain/switch": ["l/u/plain", "l/u/switch"]}
    assert sorted(sample.signal for sample in decoded.samples) == sorted(bound.get(topic, []))
    for sample in decoded.samples:
        assert (sample.value is None) == (sample.quality == Quality.BAD)
        assert sample.value is not None or sample.reason
        assert not isinstance(sample.value, float) or math.isfinite(sample.value)
        assert 0 < sample.source_time < 2**63

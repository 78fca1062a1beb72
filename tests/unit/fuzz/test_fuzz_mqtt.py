"""MQTT messages that resemble good ones: every bound signal gets one sample, with a finite value or a reason."""

from __future__ import annotations

import math
from collections.abc import Sequence

import orjson
from hypothesis import strategies as st

from edged.records import decode_samples, encode_samples
from edged.types import Quality, QualityResult, ValueType
from edged_connectors.south.mqtt_messages import MARK_BYTES, Decoder, Message, ResultTarget, Target
from edged_connectors.south.mqtt_payload import JsonPath
from tests.unit.fuzz.tiers import bent, tiers

NOW = 1_767_225_600_000_000_000
PATHS = {
    "speed": (ValueType.FLOAT, "$.values.speed"),
    "count": (ValueType.INT, "$.values.count"),
    "running": (ValueType.BOOL, "$.state.running"),
    "recipe": (ValueType.STRING, "$.state.recipe"),
    "zone": (ValueType.FLOAT, "$.zones[2]"),
    "whole": (ValueType.FLOAT, "$"),
}
TARGETS = [Target(f"l/u/{name}", kind, "lehr/#", JsonPath.parse(path)) for name, (kind, path) in PATHS.items()]
PLAIN = [Target(f"l/p/{kind}", kind, "plain/+", None) for kind in ValueType]
RESULTS = ResultTarget("unit", JsonPath.parse("$.unit"), JsonPath.parse("$.passed"), JsonPath.parse("$.defect"))
DOCUMENTS = [
    b'{"t":1767225600123,"values":{"speed":12.5,"count":7},"state":{"running":true,"recipe":"A"},"zones":[1,2,3.5]}',
    b'{"t":"2026-01-01T00:00:00.123Z","values":{"speed":1e308,"count":9007199254740993},"zones":[[],{},-0.0]}',
    b'{"t":"0001-01-01T00:00:00+14:00","values":[],"state":null,"zones":{"2":5}}',
    b'{"unit":"u-17","passed":false,"defect":"bubble","t":1767225600}',
    b"12.5",
    b"true",
    b"-1e400",
    b" on ",
    b"\xff\xfe",
]
TIMES = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.floats(), st.datetimes().map(str), st.text(max_size=12), st.none()
)
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
shaped = st.fixed_dictionaries(
    {},
    optional={
        "t": TIMES,
        "values": st.fixed_dictionaries({}, optional={"speed": VALUES, "count": VALUES}) | VALUES,
        "state": st.fixed_dictionaries({}, optional={"running": VALUES, "recipe": VALUES}) | VALUES,
        "zones": st.lists(VALUES, max_size=4) | VALUES,
        "unit": VALUES,
        "passed": VALUES,
        "defect": VALUES,
    },
).map(orjson.dumps)
messages = st.builds(
    Message,
    st.sampled_from(("lehr/1", "lehr", "plain/x", "unit", "elsewhere", "")),
    bent(DOCUMENTS) | shaped | st.binary(max_size=100),
    st.just(NOW),
    qos=st.integers(0, 1),
    mid=st.integers(0, 65_535),
    dup=st.booleans(),
    retain=st.booleans(),
)
BOUND = {"lehr/1": TARGETS, "lehr": TARGETS, "plain/x": PLAIN, "unit": [], "elsewhere": [], "": []}


def decode_anything(stream: Sequence[Message], timed: bool) -> None:
    path = JsonPath.parse("$.t") if timed else None
    decoder = Decoder("cold_end", [*TARGETS, *PLAIN], time_path=path, results=RESULTS, max_payload_bytes=150)
    for message in stream:
        decoded = decoder.decode(message)
        assert sorted(sample.signal for sample in decoded.samples) == sorted(t.signal for t in BOUND[message.topic])
        for sample in decoded.samples:
            assert (sample.value is None) == (sample.quality == Quality.BAD)
            assert sample.quality == Quality.GOOD or sample.reason
            assert not isinstance(sample.value, float) or math.isfinite(sample.value)
        assert decode_samples(encode_samples(list(decoded.samples))) == list(decoded.samples)
        assert len(decoded.sample_mark) == (MARK_BYTES if decoded.samples else 0)
        assert decoded.result is None or isinstance(decoded.result, QualityResult)
        assert decoder.decode(message) == decoded


test_decoder, test_decoder_long = tiers(decode_anything, stream=st.lists(messages, max_size=6), timed=st.booleans())

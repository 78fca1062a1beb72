"""Whole Sparkplug sessions of any content, as a host hears them: samples of bound signals, or a fault, never raised."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import strategies as st

from edged.records import decode_samples, encode_samples
from edged.types import Quality, Sample, ValueType
from edged_connectors.south.mqtt_messages import Message
from edged_connectors.south.mqtt_sparkplug import Point, SparkplugIngest
from tests.unit.connectors.sparkplug_line import NOW, SIGNALS
from tests.unit.fuzz.test_fuzz_sparkplug import CLEAN, TOPICS, contents
from tests.unit.fuzz.tiers import tiers

GROUP, NODE = "glassworks", "line_a"
POINTS = [Point(signal.path, signal.type, GROUP, NODE, signal.equipment, signal.name) for signal in SIGNALS]
POINTS.append(Point("line_a/node/bdseq", ValueType.INT, GROUP, NODE, "", "bdSeq"))
KINDS = {point.signal: point.type for point in POINTS}
TYPES = {ValueType.FLOAT: float, ValueType.INT: int, ValueType.STRING: str, ValueType.BOOL: bool}
MAX_BYTES = 1000
BEYOND = ("spBv1.0/glassworks/NBIRTH/line_a/x/y", "spBv1.0/glassworks//line_a", "spBv1.0", "spBv1.0/glassworks/DDATA")
clean = [Message(message.topic, message.payload, NOW, message.qos) for message in CLEAN]
messages = st.sampled_from(clean) | st.builds(
    Message,
    st.sampled_from([*TOPICS, *BEYOND]),
    contents,
    st.integers(NOW, NOW + 10**12),
    qos=st.integers(0, 1),
    retain=st.sampled_from((False, False, False, True)),
)


def judge(samples: Sequence[Sample]) -> None:
    for sample in samples:
        kind = KINDS[sample.signal]
        assert sample.value is None or type(sample.value) is TYPES[kind]
        assert (sample.value is None) == (sample.quality == Quality.BAD)
        assert sample.quality == Quality.GOOD or sample.reason
        assert not isinstance(sample.value, float) or math.isfinite(sample.value)
    assert decode_samples(encode_samples(list(samples))) == list(samples)


def hear_anything(stream: Sequence[Message]) -> None:
    ingest = SparkplugIngest("source", POINTS, max_payload_bytes=MAX_BYTES, interval=10.0)
    for number, message in enumerate(stream):
        if not ingest.hears(message.topic):
            continue
        heard = ingest.take(message, float(number))
        judge(heard.samples)
        judge(heard.past)
        judge(ingest.overdue(float(number), message.received))
        assert all(sample.source_time < sample.receive_time for sample in heard.past)
        assert all(gap.start <= gap.end for gap in heard.gaps)
        assert set(ingest.commands(float(number))) <= {"spBv1.0/glassworks/NCMD/line_a"}


streams = st.tuples(st.integers(0, len(clean)), st.lists(messages, max_size=20)).map(
    lambda session: clean[: session[0]] + session[1]
)
test_ingest, test_ingest_long = tiers(hear_anything, short=60, stream=streams)

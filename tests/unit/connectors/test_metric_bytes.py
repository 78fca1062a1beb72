"""Messages put together of pieces are the bytes that the protobuf library writes (CARD6)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edged.settings import HostProfile
from edged.types import Sample, Signal, ValueType
from edged_connectors.north.births import SequenceNumber
from edged_connectors.north.catalog import Catalog
from edged_connectors.north.data import DataEncoder
from edged_connectors.north.metric_bytes import metric_bytes, payload_bytes, varint
from edged_connectors.north.sparkplug_pb2 import Payload

SIGNALS = [Signal(f"line_a/furnace/s{number}", ValueType.FLOAT) for number in range(300)]
NOW_MILLISECONDS = 1_767_225_600_123
MILLISECOND = 1_000_000


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_the_librarys(number: int) -> None:
    assert Payload(seq=number).SerializeToString() == b"\x18" + varint(number)


@given(st.text(), st.integers(0, 2**64 - 1), st.floats(allow_nan=False))
def test_any_metric_is_a_field_of_its_payload(name: str, alias: int, value: float) -> None:
    metric = Payload.Metric(name=name, alias=alias, double_value=value)
    whole = Payload(timestamp=7, metrics=[metric, metric], seq=9).SerializeToString()
    assert payload_bytes(7, [metric_bytes(metric)] * 2, 9) == whole


ROWS = st.tuples(
    st.integers(0, len(SIGNALS) - 1), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**62)
)


@given(st.lists(ROWS, min_size=1, max_size=30), st.booleans())
def test_doubles_are_written_as_the_library_writes_them(rows: list[tuple[int, float, int]], historical: bool) -> None:
    catalog = Catalog.of(SIGNALS)
    for point in catalog.by_path.values():
        point.code = 192
    encoder = DataEncoder(catalog, HostProfile.SPEC, SequenceNumber())
    samples = [Sample(SIGNALS[number].path, value, time, time) for number, value, time in rows]
    now = NOW_MILLISECONDS * MILLISECOND
    messages = list(encoder.messages(samples, historical=historical, now=now))
    expected = Payload(timestamp=NOW_MILLISECONDS)
    newest: dict[str, int] = {}
    for sample in sorted(samples, key=lambda one: one.source_time):
        stamp = sample.source_time // MILLISECOND
        alias = catalog.by_path[sample.signal].alias
        metric = expected.metrics.add(alias=alias, timestamp=stamp, double_value=sample.value)
        if historical or stamp < newest.get(sample.signal, 0):
            metric.is_historical = True
        newest[sample.signal] = max(stamp, newest.get(sample.signal, 0))
    expected.seq = 1
    assert [message.payload for message in messages] == [expected.SerializeToString()]
    assert messages[0].rows == len(rows)

"""Sparkplug ingest, with our own node as the sender: values, history, quality, deaths, gaps, rebirths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from edged.settings import HostProfile
from edged.types import Quality, Sample, ValueType
from edged_connectors.north.births import BDSEQ_METRIC
from edged_connectors.north.codec import DataType
from edged_connectors.north.sparkplug_pb2 import Payload
from edged_connectors.south.mqtt_edge_node import (
    DEVICE_BIRTH_SECONDS,
    DEVICE_OFFLINE,
    NO_BIRTH,
    NODE_OFFLINE,
    NOT_BORN,
    SEQUENCE_GAP,
    Heard,
)
from edged_connectors.south.mqtt_messages import NO_TIME, Message
from edged_connectors.south.mqtt_options import MqttAddress
from edged_connectors.south.mqtt_sparkplug import RETAINED, Point, SparkplugIngest, rebirth_request
from edged_connectors.south.seen import UNCHANGED
from tests.unit.connectors.sparkplug_line import (
    COUNT,
    DEFECT,
    MILLISECOND,
    NOW,
    RUNNING,
    SIGNALS,
    TEMPERATURE,
    LineNode,
    Published,
    sample,
)

SECOND = 1_000_000_000
INTERVAL = 10.0
POINTS = [
    Point(f"host/{signal.path}", signal.type, "glassworks", "line_a", signal.equipment, signal.name)
    for signal in SIGNALS
]
FIRST = [sample(TEMPERATURE, 1500.5), sample(RUNNING, True), sample(COUNT, 7), sample(DEFECT, "none")]


class Host:
    """An ingest that hears messages, one a millisecond after another."""

    def __init__(self, points: Iterable[Point] = POINTS) -> None:
        self.ingest = SparkplugIngest("source", list(points), max_payload_bytes=10_000, interval=INTERVAL)
        self.received = NOW + SECOND
        self.now = 100.0
        self.heard: list[Heard] = []

    def hear(self, *messages: Published) -> Heard:
        """The last of what they say."""
        for message in messages:
            assert self.ingest.hears(message.topic)
            self.received += MILLISECOND
            raw = Message(message.topic, message.payload, self.received, message.qos, retain=message.retain)
            self.heard.append(self.ingest.take(raw, self.now))
        return self.heard[-1]

    @property
    def samples(self) -> list[Sample]:
        return [one for heard in self.heard for one in heard.samples]

    def last(self, path: str) -> Sample:
        return next(one for one in reversed(self.samples) if one.signal == f"host/{path}")


def born(**more: Any) -> tuple[Host, LineNode]:
    host, node = Host(), LineNode(latest=FIRST, **more)
    host.hear(*node.births())
    return host, node


def payload(*metrics: Payload.Metric, seq: int | None = None) -> bytes:
    return Payload(metrics=metrics, seq=seq, timestamp=NOW // MILLISECOND).SerializeToString()


def test_a_birth_tells_every_value_with_its_time() -> None:
    host, _ = born()
    values = {one.signal: (one.value, one.source_time, one.quality) for one in host.samples}
    assert values == {
        f"host/{TEMPERATURE}": (1500.5, NOW, 192),
        f"host/{RUNNING}": (True, NOW, 192),
        f"host/{COUNT}": (7, NOW, 192),
        f"host/{DEFECT}": ("none", NOW, 192),
        f"host/{SIGNALS[1].path}": (None, NOW - 3_600_000 * MILLISECOND, 0),
    }
    assert not any(heard.fault or heard.gaps or heard.rebirth for heard in host.heard)


def test_data_by_alias_arrives_as_it_was_sent() -> None:
    host, node = born()
    host.heard.clear()
    sent = [sample(TEMPERATURE, 1500.0 + number, number) for number in range(600)]
    for number in range(0, 600, 2):
        host.hear(*node.data(sent[number : number + 2]))
    assert [said(one) for one in host.samples] == [one[:3] for one in sent]
    assert not any(heard.fault or heard.gaps or heard.rebirth for heard in host.heard)


def said(one: Sample) -> tuple[object, ...]:
    return (one.signal.removeprefix("host/"), one.value, one.source_time)


def test_data_by_name_and_of_the_node_itself() -> None:
    host = Host([Point("host/load", ValueType.INT, "g", "n", "", "load")])
    metric = Payload.Metric(name="load", datatype=DataType.INT16, int_value=(1 << 32) - 5, timestamp=NOW // MILLISECOND)
    host.hear(Published("spBv1.0/g/NBIRTH/n", payload(metric, seq=0)))
    host.hear(Published("spBv1.0/g/NDATA/n", payload(Payload.Metric(name="load", int_value=0xFFFB), seq=1)))
    assert [one.value for one in host.samples] == [-5, -5]
    assert host.samples[1].source_time == NOW


@pytest.mark.parametrize("profile", HostProfile)
def test_quality_and_null_come_through(profile: HostProfile) -> None:
    host, node = born(profile=profile)
    told = [(1501.0, 192), (1502.0, 64), (None, 0), (1503.0, 192), (1504.0, 192)]
    for number, (value, quality) in enumerate(told, 1):
        host.hear(*node.data([sample(TEMPERATURE, value, number, quality)]))
    came = [one for one in host.samples if one.signal == f"host/{TEMPERATURE}"][1:]
    assert [(one.value, one.quality) for one in came] == told
    assert all(one.quality == Quality.GOOD or one.reason for one in came)


def test_history_keeps_its_time_and_is_no_news() -> None:
    host, node = born()
    heard = host.hear(*node.data([sample(TEMPERATURE, 1490.0, -86_400_000)], historical=True))
    assert not heard.samples
    assert [said(one) for one in heard.past] == [(TEMPERATURE, 1490.0, NOW - 86_400_000 * MILLISECOND)]
    assert host.last(TEMPERATURE).value == 1500.5


def test_a_rebirth_repeats_nothing_and_asks_for_nothing() -> None:
    host, node = born()
    host.heard.clear()
    host.hear(*node.births())
    assert host.samples == []
    node.latest[TEMPERATURE] = sample(TEMPERATURE, 1501.0, 5)
    host.hear(*node.births())
    assert [one.value for one in host.samples] == [1501.0]


def test_a_lost_message_is_a_gap_and_asks_for_a_rebirth_once_an_interval() -> None:
    host, node = born()
    before = host.received
    node.data([sample(TEMPERATURE, 1501.0, 1)])
    heard = host.hear(*node.data([sample(TEMPERATURE, 1502.0, 2)]))
    assert [one.value for one in heard.samples] == [1502.0]
    (gap,) = heard.gaps
    assert (gap.source, gap.start, gap.end, gap.reason) == ("source", before, host.received, SEQUENCE_GAP)
    assert heard.rebirth
    assert host.ingest.commands(200.0) == ["spBv1.0/glassworks/NCMD/line_a"]
    assert host.ingest.commands(200.0 + INTERVAL / 2) == []
    assert host.ingest.commands(200.0 + INTERVAL) == ["spBv1.0/glassworks/NCMD/line_a"]
    assert not host.hear(*node.data([sample(TEMPERATURE, 1503.0, 3)])).gaps
    host.hear(*node.births())
    assert host.ingest.commands(200.0 + 2 * INTERVAL) == []


def test_the_death_of_a_node_turns_everything_bad_until_it_is_born_again() -> None:
    host, node = born()
    assert host.hear(node.death(bdseq=9)).fault == "the death of session 9 while 0 lives"
    heard = host.hear(node.death())
    assert {(one.quality, one.reason, one.value) for one in heard.samples} == {(0, NODE_OFFLINE, None)}
    assert len(heard.samples) == len(POINTS)
    assert not host.hear(node.death()).samples
    host.hear(*node.births(bdseq=1))
    again = host.last(TEMPERATURE)
    assert (again.value, again.reason, again.source_time) == (1500.5, UNCHANGED, again.receive_time)
    host.heard.clear()
    host.hear(*node.births(bdseq=1))
    assert host.samples == []


def test_the_death_of_a_device_turns_its_signals_bad() -> None:
    host, node = born()
    topic = node.topics.of_device("DDEATH", "furnace")
    heard = host.hear(Published(topic, Payload(seq=node.sequence.next()).SerializeToString()))
    assert {one.signal for one in heard.samples} == {f"host/{TEMPERATURE}", f"host/{SIGNALS[1].path}"}
    heard = host.hear(*node.data([sample(TEMPERATURE, 1501.0, 1)]))
    assert heard.fault == "data of furnace, which is not born"
    assert heard.rebirth


def test_a_new_session_without_a_death_and_devices_that_do_not_follow() -> None:
    host, node = born()
    reborn = node.births(bdseq=1)
    heard = host.hear(reborn[0])
    assert {one.reason for one in heard.samples} == {DEVICE_OFFLINE}
    host.hear(*reborn[1:])
    host.hear(*node.births(bdseq=1)[:2])
    assert host.ingest.overdue(host.now + DEVICE_BIRTH_SECONDS / 2, host.received) == []
    late = host.ingest.overdue(host.now + DEVICE_BIRTH_SECONDS, host.received)
    assert {one.signal for one in late} == {f"host/{path}" for path in (RUNNING, COUNT, DEFECT)}
    assert host.ingest.overdue(host.now + DEVICE_BIRTH_SECONDS, host.received) == []


def test_data_before_any_birth_is_a_gap_until_the_birth() -> None:
    host, node = Host(), LineNode(latest=FIRST)
    births = node.births()
    first = host.hear(*node.data([sample(TEMPERATURE, 1501.0, 1)]))
    assert (first.samples, first.rebirth, first.fault) == ((), True, "data of a node that is not born")
    assert [gap.reason for gap in first.gaps] == [NO_BIRTH]
    second = host.hear(*node.data([sample(TEMPERATURE, 1502.0, 2)]))
    assert second.gaps == []
    assert second.fault
    (gap,) = host.hear(births[0]).gaps
    assert (gap.start, gap.end, gap.reason) == (first.gaps[0].end, host.received, NO_BIRTH)
    assert host.ingest.commands(host.now) == []


def test_every_node_is_asked_at_the_beginning_and_no_more_until_it_is_misunderstood() -> None:
    host, node = Host(), LineNode()
    assert host.ingest.first_commands(1.0) == ["spBv1.0/glassworks/NCMD/line_a"]
    assert host.ingest.commands(1.0 + INTERVAL) == []
    host.hear(node.births()[1])
    assert host.ingest.commands(1.0 + INTERVAL) == ["spBv1.0/glassworks/NCMD/line_a"]
    host.hear(node.death())
    assert host.ingest.commands(1.0 + 2 * INTERVAL) == []


def test_an_unknown_alias_is_counted_and_harms_no_other_metric() -> None:
    host, node = born()
    (message,) = node.data([sample(TEMPERATURE, 1501.0, 1)])
    spoiled = Payload.FromString(message.payload)
    spoiled.metrics.add(alias=999, double_value=1.0)
    heard = host.hear(Published(message.topic, spoiled.SerializeToString()))
    assert [one.value for one in heard.samples] == [1501.0]
    assert heard.fault == "alias 999 is in no birth"
    assert heard.rebirth
    assert [gap.reason for gap in heard.gaps] == [NO_BIRTH]


def test_a_bound_metric_that_is_not_born_is_bad() -> None:
    strange = POINTS[0]._replace(signal="host/x", metric="no_such")
    host = Host([*POINTS, strange])
    host.hear(*LineNode(latest=FIRST).births())
    assert [(one.quality, one.reason) for one in host.samples if one.signal == "host/x"] == [(0, NOT_BORN)]


def test_garbage_doubts_what_its_sender_told() -> None:
    host, node = born()
    topic = node.topics.of_device("DDATA", "furnace")
    heard = host.hear(Published(topic, b"\xff\xff"))
    assert {one.reason for one in heard.samples} == {"not a Sparkplug payload"}
    assert heard.rebirth
    assert host.hear(Published(topic, bytes(20_000))).fault == "20000 bytes are more than max_payload_bytes"
    retained = host.hear(node.births()[0]._replace(retain=True))
    assert (retained.samples, retained.fault) == ((), RETAINED)


@pytest.mark.parametrize(
    ("metric", "value", "reason"),
    [
        (Payload.Metric(double_value=2.5), 2.5, ""),
        (Payload.Metric(float_value=2.5), 2.5, ""),
        (Payload.Metric(string_value="2.5"), None, "the birth says DOUBLE, got string_value"),
        (Payload.Metric(), None, "the birth says DOUBLE, got no value"),
        (Payload.Metric(is_null=True), None, "null"),
        (Payload.Metric(double_value=float("nan")), None, "expected float, got a number"),
        (Payload.Metric(datatype=DataType.INT32, long_value=7), 7.0, ""),
        (Payload.Metric(datatype=DataType.UINT64, long_value=2**64 - 1), float(2**64 - 1), ""),
        (Payload.Metric(datatype=DataType.DATETIME, long_value=5), 5.0, ""),
        (Payload.Metric(datatype=DataType.BYTES, bytes_value=b"x"), None, "Sparkplug type BYTES fits no signal"),
        (Payload.Metric(datatype=99, int_value=1), None, "Sparkplug type 99 fits no signal"),
        (Payload.Metric(datatype=DataType.BOOLEAN, boolean_value=True), None, "expected float, got a truth value"),
    ],
)
def test_values_of_every_type(metric: Payload.Metric, value: float | None, reason: str) -> None:
    host = Host([Point("host/v", ValueType.FLOAT, "g", "n", "", "v")])
    birth = Payload.Metric(name="v", datatype=DataType.DOUBLE, double_value=1.0, timestamp=1)
    host.hear(Published("spBv1.0/g/NBIRTH/n", payload(birth, seq=0)))
    metric.name = "v"
    host.hear(Published("spBv1.0/g/NDATA/n", payload(metric, seq=1)))
    assert (host.samples[-1].value, host.samples[-1].reason) == (value, reason)
    assert host.samples[-1].quality == (Quality.BAD if value is None else Quality.GOOD)


def test_a_value_without_any_time_is_uncertain() -> None:
    host = Host([Point("host/v", ValueType.FLOAT, "g", "n", "", "v")])
    bare = Payload(seq=0, metrics=[Payload.Metric(name="v", datatype=DataType.DOUBLE, double_value=1.0)])
    host.hear(Published("spBv1.0/g/NBIRTH/n", bare.SerializeToString()))
    (only,) = host.samples
    assert (only.quality, only.reason, only.source_time) == (Quality.UNCERTAIN, NO_TIME, host.received)


def test_what_is_subscribed_to_and_what_is_asked() -> None:
    host = Host()
    assert len(host.ingest.filters) == len(set(host.ingest.filters)) == 6
    assert "spBv1.0/glassworks/DDATA/line_a/+" in host.ingest.filters
    assert not host.ingest.hears("spBv1.0/glassworks/NDATA/line_b")
    assert not host.ingest.hears("works/lehr")
    request = Payload.FromString(rebirth_request(NOW))
    (metric,) = request.metrics
    assert (metric.name, metric.boolean_value, metric.datatype) == ("Node Control/Rebirth", True, DataType.BOOLEAN)
    assert BDSEQ_METRIC not in {one.name for one in request.metrics}


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ({}, "missing: topic, or group, node and metric"),
        ({"group": "g", "metric": "m"}, "missing: node"),
        (
            {"topic": "t", "group": "g", "metric": "m"},
            "either a topic or a Sparkplug metric, got topic and group, metric",
        ),
        ({"group": "g", "node": "n", "metric": "m", "path": "$.x"}, "path leads into JSON"),
        ({"group": "g/h", "node": "n", "metric": "m"}, "one level of a topic"),
        ({"group": "g", "node": "", "metric": "m"}, "one level of a topic"),
        ({"topic": "a/#/b"}, "# for all the rest"),
    ],
)
def test_faults_of_an_address(address: dict[str, str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        MqttAddress.model_validate(address)

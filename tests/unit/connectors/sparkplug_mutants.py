"""A clean Sparkplug capture, and captures with one change each that break one rule by name."""

from __future__ import annotations

import json
from collections.abc import Callable

from edged_connectors.north.check_capture import Captured
from edged_connectors.north.rulebook import Rule
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.unit.connectors.sparkplug_line import (
    COUNT,
    DEFECT,
    MILLISECOND,
    NOW,
    RUNNING,
    TEMPERATURE,
    LineNode,
    Published,
    sample,
)

NBIRTH, DBIRTH_FURNACE, DBIRTH_FORMING, DBIRTH_INSPECTION = 0, 1, 2, 3
FIRST_DATA, SECOND_DATA, HISTORY, DEATH, SECOND_NBIRTH = 4, 5, 6, 7, 8
THIRD_NBIRTH, REQUEST, REBIRTH, REBIRTH_LAST, REBORN_DATA, HOST_ONLINE, OLD_HOST = 14, 18, 19, 22, 23, 25, 27
Capture = list[Captured]
Mutate = Callable[[Capture], None]

REBIRTH_REQUEST = Payload(metrics=[Payload.Metric(name="Node Control/Rebirth", boolean_value=True)])
STEP = 100 * MILLISECOND
PAUSE = 200_000 * MILLISECOND
"""Between the second and the third session: long enough for every will to have come."""


def clean() -> Capture:
    """Three sessions, a rebirth in the last, and the states of two hosts."""
    node = LineNode(latest=[sample(TEMPERATURE, 1.0, -5), sample(RUNNING, True, -4), sample(COUNT, 1, -3)])
    early = [
        *node.births(bdseq=3),
        *node.data([sample(TEMPERATURE, 2.0, 1), sample(TEMPERATURE, 3.0, 2)]),
        *node.data([sample(RUNNING, False, 3), sample(COUNT, None, 4, 0)]),
        *node.data([sample(DEFECT, "bubble", -9)], historical=True),
        node.death(bdseq=3),
        *node.births(bdseq=4),
        *node.data([sample(TEMPERATURE, 4.0, 5)]),
        node.death(bdseq=4),
    ]
    late = [
        *node.births(bdseq=5),
        Published("spBv1.0/glassworks/NCMD/line_a", REBIRTH_REQUEST.SerializeToString()),
        *node.births(bdseq=5),
        *node.data([sample(TEMPERATURE, 5.0, 6)]),
        node.death(bdseq=5),
        state("spBv1.0/STATE/scada", {"online": True, "timestamp": NOW // MILLISECOND}),
        state("spBv1.0/STATE/scada", {"online": False, "timestamp": NOW // MILLISECOND}),
        Published("STATE/old", b"ONLINE", 1, retain=True),
    ]
    messages = [(NOW, message) for message in early] + [(NOW + PAUSE, message) for message in late]
    return [
        Captured(start + number * STEP, message.topic, message.payload, message.qos, message.retain)
        for number, (start, message) in enumerate(messages)
    ]


def state(topic: str, document: object) -> Published:
    return Published(topic, json.dumps(document).encode(), 1, retain=True)


def change(index: int, edit: Callable[[Payload], object]) -> Mutate:
    """A capture with one edit of one message."""

    def mutate(capture: Capture) -> None:
        payload = Payload.FromString(capture[index].payload)
        edit(payload)
        capture[index] = capture[index]._replace(payload=payload.SerializeToString())

    return mutate


def envelope(index: int, **fields: object) -> Mutate:
    def mutate(capture: Capture) -> None:
        capture[index] = capture[index]._replace(**fields)  # type: ignore[arg-type]  # topic, qos or retain

    return mutate


def host_says(payload: bytes) -> Mutate:
    return envelope(HOST_ONLINE, payload=payload)


def remove(index: int) -> Mutate:
    def mutate(capture: Capture) -> None:
        del capture[index]

    return mutate


def ignore_request(capture: Capture) -> None:
    """The request comes after the births, and data goes on."""
    capture.insert(REBIRTH_LAST, capture.pop(REQUEST))
    for index in (REBORN_DATA, REBORN_DATA + 1):
        capture[index] = capture[index]._replace(at=capture[index].at + 11_000 * MILLISECOND)


def data_before_the_last_birth(capture: Capture) -> None:
    """The rebirth's last DBIRTH and the first data change places, with their numbers."""
    capture[REBIRTH_LAST], capture[REBORN_DATA] = capture[REBORN_DATA], capture[REBIRTH_LAST]
    change(REBIRTH_LAST, lambda payload: setattr(payload, "seq", 3))(capture)
    change(REBORN_DATA, lambda payload: setattr(payload, "seq", 4))(capture)


def insert_device_death(capture: Capture) -> None:
    """DDEATH of the furnace right before its data; the numbers behind it shift."""
    dead = Payload(timestamp=1_790_000_000_000, seq=4).SerializeToString()
    capture.insert(FIRST_DATA, Captured(NOW, "spBv1.0/glassworks/DDEATH/line_a/furnace", dead))
    for index in (FIRST_DATA + 1, FIRST_DATA + 2, FIRST_DATA + 3):
        change(index, lambda payload: setattr(payload, "seq", payload.seq + 1))(capture)


def swap_metrics(payload: Payload) -> None:
    first, second = (Payload.Metric.FromString(metric.SerializeToString()) for metric in payload.metrics)
    del payload.metrics[:]
    payload.metrics.extend([second, first])


def copy_metric(payload: Payload, **fields: object) -> None:
    copied = payload.metrics.add()
    copied.CopyFrom(payload.metrics[0])
    for name, value in fields.items():
        setattr(copied, name, value)


def quality(payload: Payload, **fields: int) -> None:
    for name, value in fields.items():
        setattr(payload.metrics[0].properties.values[0], name, value)


def add_property(payload: Payload) -> None:
    payload.metrics[0].properties.keys.append("colour")
    payload.metrics[0].properties.values.add(type=12, string_value="red")


def set_metric(index: int, metric: int, **fields: object) -> Mutate:
    def edit(payload: Payload) -> None:
        for name, value in fields.items():
            if value is None:
                payload.metrics[metric].ClearField(name)
            else:
                setattr(payload.metrics[metric], name, value)

    return change(index, edit)


MUTANTS: list[tuple[str, Rule, Mutate]] = [
    ("retained birth", Rule.RETAINED, envelope(NBIRTH, retain=True)),
    ("data with QoS 1", Rule.QOS, envelope(FIRST_DATA, qos=1)),
    ("death with QoS 0", Rule.QOS, envelope(DEATH, qos=0)),
    ("unknown message type", Rule.TOPIC, envelope(FIRST_DATA, topic="spBv1.0/glassworks/XDATA/line_a/furnace")),
    ("device in a node topic", Rule.TOPIC, envelope(NBIRTH, topic="spBv1.0/glassworks/NBIRTH/line_a/furnace")),
    ("bytes that are no payload", Rule.UNDECODABLE, envelope(FIRST_DATA, payload=b"\xff\xff")),
    ("birth with seq 1", Rule.SEQ_BIRTH, change(NBIRTH, lambda p: setattr(p, "seq", 1))),
    ("seq repeated", Rule.SEQ_ORDER, change(SECOND_DATA, lambda p: setattr(p, "seq", p.seq - 1))),
    ("message lost", Rule.SEQ_ORDER, remove(FIRST_DATA)),
    ("data without seq", Rule.SEQ_MISSING, change(FIRST_DATA, lambda p: p.ClearField("seq"))),
    ("death with seq", Rule.SEQ_IN_DEATH, change(DEATH, lambda p: setattr(p, "seq", 7))),
    ("birth without bdSeq", Rule.BDSEQ_MISSING, change(NBIRTH, lambda p: p.metrics.pop(0))),
    ("bdSeq as a text", Rule.BDSEQ_TYPE, set_metric(NBIRTH, 0, string_value="3")),
    ("death of another session", Rule.BDSEQ_MISMATCH, set_metric(DEATH, 0, long_value=9)),
    ("bdSeq unchanged in a new session", Rule.BDSEQ_UNCHANGED, set_metric(SECOND_NBIRTH, 0, long_value=3)),
    ("death with other metrics", Rule.DEATH_METRICS, change(DEATH, copy_metric)),
    ("no rebirth control", Rule.REBIRTH_CONTROL, change(NBIRTH, lambda p: p.metrics.pop(1))),
    ("rebirth control true", Rule.REBIRTH_CONTROL, set_metric(NBIRTH, 1, boolean_value=True)),
    ("rebirth control with alias", Rule.REBIRTH_CONTROL, set_metric(NBIRTH, 1, alias=99)),
    ("message without time", Rule.TIMESTAMP_MISSING, change(FIRST_DATA, lambda p: p.ClearField("timestamp"))),
    ("metric without time", Rule.TIMESTAMP_MISSING, set_metric(NBIRTH, 0, timestamp=None)),
    ("time in seconds", Rule.TIMESTAMP_UNIT, set_metric(HISTORY, 0, timestamp=1_790_000_000)),
    ("message time in microseconds", Rule.TIMESTAMP_UNIT, change(DEATH - 1, lambda p: setattr(p, "timestamp", 10**15))),
    ("older than held", Rule.TIMESTAMP_BACKWARDS, set_metric(FIRST_DATA, 0, timestamp=1_789_999_990_000)),
    ("not in chronological order", Rule.TIMESTAMP_BACKWARDS, change(FIRST_DATA, swap_metrics)),
    ("history not marked", Rule.TIMESTAMP_BACKWARDS, set_metric(SECOND_DATA, 0, timestamp=1_789_999_999_000)),
    ("the same value twice", Rule.TIMESTAMP_TWICE, change(HISTORY, copy_metric)),
    ("metric without a name", Rule.NAME_MISSING, set_metric(DBIRTH_FORMING, 0, name="")),
    ("two metrics of one name", Rule.NAME_TWICE, change(DBIRTH_INSPECTION, lambda p: copy_metric(p, alias=77))),
    ("two metrics of one alias", Rule.ALIAS_TWICE, set_metric(DBIRTH_FORMING, 0, alias=1)),
    ("data with a name", Rule.NAME_IN_DATA, set_metric(FIRST_DATA, 0, name="temperature")),
    ("birth without datatype", Rule.DATATYPE_MISSING, set_metric(DBIRTH_FURNACE, 0, datatype=None)),
    ("data with datatype", Rule.DATATYPE_IN_DATA, set_metric(FIRST_DATA, 0, datatype=10)),
    ("data without a value", Rule.VALUE_MISSING, set_metric(FIRST_DATA, 0, double_value=None)),
    ("birth without a value", Rule.VALUE_MISSING, set_metric(DBIRTH_FURNACE, 1, double_value=None)),
    ("value against its datatype", Rule.VALUE_TYPE, set_metric(FIRST_DATA, 0, float_value=2.0)),
    ("birth value against its datatype", Rule.VALUE_TYPE, set_metric(DBIRTH_FURNACE, 1, long_value=2)),
    ("NaN", Rule.VALUE_NOT_FINITE, set_metric(FIRST_DATA, 0, double_value=float("nan"))),
    ("alias that was not born", Rule.UNKNOWN_METRIC, set_metric(FIRST_DATA, 0, alias=99)),
    ("alias of another device", Rule.UNKNOWN_METRIC, set_metric(FIRST_DATA, 0, alias=3)),
    ("data without device birth", Rule.UNBORN, remove(DBIRTH_FURNACE)),
    ("everything before the node birth", Rule.UNBORN, remove(NBIRTH)),
    ("data after device death", Rule.AFTER_DEATH, insert_device_death),
    ("quality that no profile knows", Rule.QUALITY, change(DBIRTH_FURNACE, lambda p: quality(p, int_value=191))),
    ("quality of another type", Rule.QUALITY, change(DBIRTH_FURNACE, lambda p: quality(p, type=4))),
    ("keys without values", Rule.PROPERTY, change(DBIRTH_FURNACE, lambda p: p.metrics[0].properties.values.pop())),
    ("property that was not born", Rule.PROPERTY_UNDECLARED, change(FIRST_DATA, add_property)),
    ("request without an answer", Rule.REBIRTH_IGNORED, ignore_request),
    ("rebirth with another bdSeq", Rule.REBIRTH_BDSEQ, set_metric(REBIRTH, 0, long_value=6)),
    ("data in the middle of a rebirth", Rule.REBIRTH_INTERRUPTED, data_before_the_last_birth),
    ("rebirth control that is no Boolean", Rule.REBIRTH_CONTROL, set_metric(NBIRTH, 1, datatype=3, int_value=0)),
    ("rebirth that goes on counting", Rule.SEQ_BIRTH, change(REBIRTH, lambda p: setattr(p, "seq", 4))),
    ("session that never died", Rule.DEATH_MISSING, remove(DEATH)),
    ("bdSeq that goes back", Rule.BDSEQ_ORDER, set_metric(THIRD_NBIRTH, 0, long_value=2)),
    ("bdSeq beyond 255", Rule.BDSEQ_TYPE, set_metric(THIRD_NBIRTH, 0, long_value=256)),
    ("retained death", Rule.RETAINED, envelope(DEATH, retain=True)),
    ("retained command", Rule.RETAINED, envelope(REQUEST, retain=True)),
    ("command with QoS 1", Rule.QOS, envelope(REQUEST, qos=1)),
    ("birth with QoS 2", Rule.QOS, envelope(DBIRTH_FORMING, qos=2)),
    ("death in seconds", Rule.TIMESTAMP_UNIT, set_metric(DEATH, 0, timestamp=1_790_000_000)),
    (
        "data by name although there is an alias",
        Rule.NAME_IN_DATA,
        set_metric(FIRST_DATA, 0, alias=None, name="temperature"),
    ),
    ("number too large for its type", Rule.VALUE_RANGE, set_metric(DBIRTH_FURNACE, 1, datatype=5, int_value=300)),
    ("state not retained", Rule.NOT_RETAINED, envelope(HOST_ONLINE, retain=False)),
    ("state with QoS 0", Rule.QOS, envelope(HOST_ONLINE, qos=0)),
    ("state in words in the new form", Rule.STATE_FORM, host_says(b"ONLINE")),
    (
        "state with a text for online",
        Rule.STATE_FORM,
        host_says(b'{"online":"true","timestamp":1}'),
    ),
    ("state without a time", Rule.STATE_FORM, host_says(b'{"online":true}')),
    ("state in seconds", Rule.TIMESTAMP_UNIT, host_says(b'{"online":true,"timestamp":1790000000}')),
    (
        "state that goes back",
        Rule.TIMESTAMP_BACKWARDS,
        host_says(b'{"online":true,"timestamp":1790000000001}'),
    ),
    ("state of no host", Rule.TOPIC, envelope(HOST_ONLINE, topic="spBv1.0/STATE")),
    ("old state in lower case", Rule.STATE_FORM, envelope(OLD_HOST, payload=b"online")),
    ("empty data", Rule.EMPTY, change(FIRST_DATA, lambda p: p.ClearField("metrics"))),
]

"""The rules pass a clean capture and name each single fault planted in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_connectors.north.rulebook import Rule
from edged_connectors.north.rules import SparkplugRules, Violation
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.unit.connectors.sparkplug_line import (
    COUNT,
    DEFECT,
    RUNNING,
    TEMPERATURE,
    LineNode,
    Published,
    sample,
)

NBIRTH, DBIRTH_FURNACE, DBIRTH_FORMING, DBIRTH_INSPECTION = 0, 1, 2, 3
FIRST_DATA, SECOND_DATA, HISTORY, DEATH, SECOND_NBIRTH = 4, 5, 6, 7, 8
Capture = list[Published]


def clean() -> Capture:
    """Two sessions: births, live data, history, death, births again."""
    node = LineNode(latest=[sample(TEMPERATURE, 1.0, -5), sample(RUNNING, True, -4), sample(COUNT, 1, -3)])
    return [
        *node.births(bdseq=3),
        *node.data([sample(TEMPERATURE, 2.0, 1), sample(TEMPERATURE, 3.0, 2)]),
        *node.data([sample(RUNNING, False, 3), sample(COUNT, None, 4, 0)]),
        *node.data([sample(DEFECT, "bubble", -9)], historical=True),
        node.death(bdseq=3),
        *node.births(bdseq=4),
        *node.data([sample(TEMPERATURE, 4.0, 5)]),
        node.death(bdseq=4),
    ]


def check(capture: Capture) -> list[Violation]:
    rules = SparkplugRules()
    return [
        violation
        for message in capture
        for violation in rules.check(message.topic, message.payload, retain=message.retain, qos=message.qos)
    ]


def test_a_clean_capture_breaks_no_rule() -> None:
    assert check(clean()) == []


def change(index: int, edit: Callable[[Payload], object]) -> Callable[[Capture], None]:
    """A capture with one edit of one message."""

    def mutate(capture: Capture) -> None:
        payload = Payload.FromString(capture[index].payload)
        edit(payload)
        capture[index] = capture[index]._replace(payload=payload.SerializeToString())

    return mutate


def envelope(index: int, **fields: object) -> Callable[[Capture], None]:
    def mutate(capture: Capture) -> None:
        capture[index] = capture[index]._replace(**fields)  # type: ignore[arg-type]  # topic, qos or retain

    return mutate


def remove(index: int) -> Callable[[Capture], None]:
    def mutate(capture: Capture) -> None:
        del capture[index]

    return mutate


def insert_device_death(capture: Capture) -> None:
    """DDEATH of the furnace right before its data; the numbers behind it shift."""
    dead = Payload(timestamp=1_790_000_000_000, seq=4).SerializeToString()
    capture.insert(FIRST_DATA, Published("spBv1.0/glassworks/DDEATH/line_a/furnace", dead))
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


def set_metric(index: int, metric: int, **fields: object) -> Callable[[Capture], None]:
    def edit(payload: Payload) -> None:
        for name, value in fields.items():
            if value is None:
                payload.metrics[metric].ClearField(name)
            else:
                setattr(payload.metrics[metric], name, value)

    return change(index, edit)


MUTANTS: list[tuple[str, Rule, Callable[[Capture], None]]] = [
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
    ("empty data", Rule.EMPTY, change(FIRST_DATA, lambda p: p.ClearField("metrics"))),
]


@pytest.mark.parametrize(("rule", "mutate"), [mutant[1:] for mutant in MUTANTS], ids=[mutant[0] for mutant in MUTANTS])
def test_one_change_is_found_by_name(rule: Rule, mutate: Callable[[Capture], None]) -> None:
    capture = clean()
    mutate(capture)
    assert rule in {violation.rule for violation in check(capture)}


def test_every_rule_has_a_mutant() -> None:
    assert {rule for _, rule, _ in MUTANTS} == set(Rule)


def test_data_after_the_node_death_is_found() -> None:
    capture = clean()
    capture.insert(DEATH + 1, capture[SECOND_DATA])
    assert {violation.rule for violation in check(capture)} == {Rule.AFTER_DEATH}


def test_a_rebirth_in_the_same_session_keeps_bdseq() -> None:
    node = LineNode()
    assert check([*node.births(bdseq=3), *node.births(bdseq=3), node.death(bdseq=3)]) == []


def test_other_topics_and_commands_are_none_of_its_business() -> None:
    rules = SparkplugRules()
    assert not rules.check("spBv1.0/STATE/scada", b"{}", retain=True, qos=1)
    assert not rules.check("edged/glassworks/line_a/fence", b"1", retain=False, qos=1)
    assert not rules.check("spBv1.0/glassworks/NCMD/line_a", b"", retain=False, qos=0)


@given(
    st.sampled_from(("NBIRTH/n", "DBIRTH/n/d", "DDATA/n/d", "NDATA/n", "NDEATH/n", "DDEATH/n/d", "NCMD/n", "x")),
    st.binary(max_size=120),
    st.booleans(),
)
def test_no_bytes_can_raise(kind: str, payload: bytes, retain: bool) -> None:
    rules = SparkplugRules()
    for message in clean()[:FIRST_DATA]:
        rules.check(message.topic, message.payload, retain=message.retain, qos=message.qos)
    assert isinstance(rules.check(f"spBv1.0/g/{kind}", payload, retain=retain, qos=0), list)

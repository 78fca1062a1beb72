"""The rules pass a clean capture and name each single fault planted in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_connectors.north.check_capture import Captured
from edged_connectors.north.rulebook import Rule
from edged_connectors.north.rules import SparkplugRules, Violation
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.unit.connectors.sparkplug_line import TEMPERATURE, LineNode, Published, sample
from tests.unit.connectors.sparkplug_mutants import (
    DEATH,
    FIRST_DATA,
    MUTANTS,
    SECOND_DATA,
    SECOND_NBIRTH,
    Capture,
    Mutate,
    change,
    clean,
    set_metric,
)


def check(capture: Capture, *, from_birth: bool = True) -> list[Violation]:
    rules = SparkplugRules(from_birth=from_birth)
    return [
        violation
        for at, topic, payload, qos, retain in capture
        for violation in rules.check(topic, payload, retain=retain, qos=qos, at=at)
    ]


def captured(messages: list[Published]) -> Capture:
    return [Captured(0, *message) for message in messages]


def test_a_clean_capture_breaks_no_rule() -> None:
    assert check(clean()) == []


@pytest.mark.parametrize(("rule", "mutate"), [mutant[1:] for mutant in MUTANTS], ids=[mutant[0] for mutant in MUTANTS])
def test_one_change_is_found_by_name(rule: Rule, mutate: Mutate) -> None:
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
    assert check(captured([*node.births(bdseq=3), *node.births(bdseq=3), node.death(bdseq=3)])) == []


def test_the_number_goes_round_after_255() -> None:
    node = LineNode()
    messages = node.births()
    for millisecond in range(600):
        messages += node.data([sample(TEMPERATURE, 1.0, millisecond)])
    capture = captured(messages)
    assert check(capture) == []
    assert [Payload.FromString(message.payload).seq for message in capture[254:258]] == [254, 255, 0, 1]
    change(256, lambda payload: setattr(payload, "seq", 256))(capture)
    assert next(violation.detail for violation in check(capture)) == "256 after 255"


def test_a_session_joined_late_is_judged_as_far_as_it_can_be() -> None:
    late = clean()[FIRST_DATA:]
    assert check(late, from_birth=False) == []
    assert {violation.rule for violation in check(late)} >= {Rule.UNBORN}
    broken = clean()[FIRST_DATA:]
    change(0, lambda payload: setattr(payload.metrics[0], "timestamp", 5))(broken)
    change(2, lambda payload: setattr(payload, "seq", 77))(broken)
    assert [violation.rule for violation in check(broken, from_birth=False)] == [Rule.TIMESTAMP_UNIT, Rule.SEQ_ORDER]


def test_after_its_death_a_late_session_is_late_no_more() -> None:
    capture = clean()[FIRST_DATA:]
    capture.insert(DEATH - FIRST_DATA + 1, clean()[SECOND_DATA])
    assert [violation.rule for violation in check(capture, from_birth=False)] == [Rule.AFTER_DEATH]


def test_the_will_of_a_half_open_connection_may_come_after_the_next_birth() -> None:
    capture = clean()
    capture.insert(SECOND_NBIRTH + 3, capture.pop(DEATH))
    assert check(capture) == []


def test_a_session_after_a_restart_may_begin_at_zero_again() -> None:
    node = LineNode()
    for later, rules in ((0, set()), (8, set()), (6, {Rule.BDSEQ_ORDER}), (7, {Rule.BDSEQ_UNCHANGED})):
        sessions = [*node.births(bdseq=7), node.death(bdseq=7), *node.births(bdseq=later)]
        assert {violation.rule for violation in check(captured(sessions))} == rules


def test_what_nobody_could_see_is_not_held_against_anyone() -> None:
    assert check([message._replace(retain=None) for message in clean()]) == []


def test_array_types_and_codes_of_ignition_are_known() -> None:
    capture = clean()

    def edit(payload: Payload) -> None:
        payload.metrics[0].ClearField("is_null")
        payload.metrics[0].datatype = 31
        payload.metrics[0].bytes_value = b"\0" * 8
        payload.metrics[0].properties.values[0].int_value = 0x80000000 | 516

    change(1, edit)(capture)
    assert check(capture) == []


def test_a_violation_says_where() -> None:
    capture = clean()
    set_metric(FIRST_DATA, 0, float_value=2.0)(capture)
    assert check(capture) == [
        Violation(
            Rule.VALUE_TYPE,
            "spBv1.0/glassworks/DDATA/line_a/furnace",
            "float_value for datatype DOUBLE",
            metric="temperature",
            seq=4,
        )
    ]


def test_other_topics_and_commands_are_none_of_its_business() -> None:
    rules = SparkplugRules()
    assert not rules.check("STATE", b"{}", retain=True, qos=1)
    assert not rules.check("edged/glassworks/line_a/fence", b"1", retain=False, qos=1)
    assert not rules.check("spBv1.0/glassworks/NCMD/line_a", b"", retain=False, qos=0)


@given(
    st.sampled_from(
        ("NBIRTH/n", "DBIRTH/n/d", "DDATA/n/d", "NDATA/n", "NDEATH/n", "DDEATH/n/d", "NCMD/n", "x", "STATE/n")
    ),
    st.binary(max_size=120),
    st.booleans(),
)
def test_no_bytes_can_raise(kind: str, payload: bytes, retain: bool) -> None:
    rules = SparkplugRules()
    for message in clean()[:FIRST_DATA]:
        rules.check(message.topic, message.payload, retain=message.retain, qos=message.qos)
    assert isinstance(rules.check(f"spBv1.0/g/{kind}", payload, retain=retain, qos=0), list)

"""Commands become proposals or named refusals; nothing that arrives can raise."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_connectors.north.commands import MAX_COMMAND_BYTES, CommandReader, Order, Refusal
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.unit.connectors.sparkplug_line import COUNT, DEFECT, RUNNING, SETPOINT, LineNode

NODE = LineNode()
READER = CommandReader(NODE.topics, NODE.catalog, writes=True)
FURNACE = "spBv1.0/glassworks/DCMD/line_a/furnace"
FORMING = "spBv1.0/glassworks/DCMD/line_a/forming"
NCMD = "spBv1.0/glassworks/NCMD/line_a"


def command(*metrics: Payload.Metric) -> bytes:
    return Payload(metrics=metrics).SerializeToString()


def read(topic: str, payload: bytes, *, retained: bool = False) -> Order:
    return READER.read(topic, payload, retained=retained, now=100.0)


def setpoint(**value: float) -> Payload.Metric:
    return Payload.Metric(name="temperature_setpoint", **value)  # type: ignore[arg-type]  # one field of the oneof


def test_a_device_command_becomes_a_proposal() -> None:
    order = read(FURNACE, command(setpoint(double_value=1505.5)))
    (proposal,) = order.proposals
    assert (proposal.source, proposal.signal, proposal.value) == ("sparkplug", SETPOINT, 1505.5)
    assert proposal.expires > 100.0
    assert not order.refusals
    assert not order.rebirth


def test_a_command_by_alias_becomes_a_proposal() -> None:
    alias = NODE.catalog.by_path[SETPOINT].alias
    order = read(FURNACE, command(Payload.Metric(alias=alias, double_value=1505.5)))
    assert [proposal.signal for proposal in order.proposals] == [SETPOINT]


def test_an_alias_of_another_device_is_unknown() -> None:
    alias = NODE.catalog.by_path[SETPOINT].alias
    assert read(FORMING, command(Payload.Metric(alias=alias, double_value=1.0))).refusals == [Refusal.UNKNOWN_METRIC]


def test_a_node_command_may_name_the_equipment() -> None:
    order = read(NCMD, command(Payload.Metric(name="forming/zone/count", int_value=5)))
    assert [(proposal.signal, proposal.value) for proposal in order.proposals] == [(COUNT, 5.0)]


def test_a_rebirth_request_works_without_any_timestamp() -> None:
    order = read(NCMD, command(Payload.Metric(name="Node Control/Rebirth", boolean_value=True)))
    assert (order.rebirth, order.proposals, order.refusals) == (True, [], [])


@pytest.mark.parametrize(
    ("path", "metric", "value"),
    [
        (COUNT, Payload.Metric(name="zone/count", long_value=(1 << 64) - 7), -7.0),
        (COUNT, Payload.Metric(name="zone/count", int_value=(1 << 32) - 7), -7.0),
        (COUNT, Payload.Metric(name="zone/count", datatype=1, int_value=0xF9), -7.0),
        (COUNT, Payload.Metric(name="zone/count", datatype=7, int_value=(1 << 32) - 7), float((1 << 32) - 7)),
        (COUNT, Payload.Metric(name="zone/count", datatype=7, long_value=(1 << 32) - 7), float((1 << 32) - 7)),
        (COUNT, Payload.Metric(name="zone/count", double_value=4.0), 4.0),
        (RUNNING, Payload.Metric(name="running", boolean_value=True), 1.0),
        (RUNNING, Payload.Metric(name="running", boolean_value=False), 0.0),
    ],
)
def test_numbers_are_taken_in_every_form_that_hosts_send(path: str, metric: Payload.Metric, value: float) -> None:
    (proposal,) = read(FORMING, command(metric)).proposals
    assert (proposal.signal, proposal.value) == (path, value)


@pytest.mark.parametrize(
    ("topic", "payload", "refusal"),
    [
        (FURNACE, b"not protobuf", Refusal.GARBAGE),
        (FURNACE, b"\x12\x04\x0a\x02\xff\xfe", Refusal.GARBAGE),
        (FURNACE, b"", Refusal.EMPTY),
        (FURNACE, b"\x00" * (MAX_COMMAND_BYTES + 1), Refusal.TOO_LARGE),
        (FURNACE, command(Payload.Metric(name="nonsense", double_value=1.0)), Refusal.UNKNOWN_METRIC),
        (FURNACE, command(Payload.Metric(alias=999, double_value=1.0)), Refusal.UNKNOWN_METRIC),
        (FURNACE, command(Payload.Metric(double_value=1.0)), Refusal.UNKNOWN_METRIC),
        (FURNACE, command(Payload.Metric(name="temperature", double_value=1500.0)), Refusal.READ_ONLY),
        (FURNACE, command(setpoint(string_value="hot")), Refusal.WRONG_TYPE),  # type: ignore[arg-type]
        (FURNACE, command(setpoint(boolean_value=True)), Refusal.WRONG_TYPE),
        (FURNACE, command(setpoint(double_value=math.nan)), Refusal.WRONG_TYPE),
        (FURNACE, command(setpoint(float_value=math.inf)), Refusal.WRONG_TYPE),
        (FURNACE, command(setpoint()), Refusal.WRONG_TYPE),
        (FURNACE, command(setpoint(is_null=True)), Refusal.WRONG_TYPE),
        (FORMING, command(Payload.Metric(name="zone/count", double_value=1.5)), Refusal.WRONG_TYPE),
        (FORMING, command(Payload.Metric(name="running", int_value=1)), Refusal.WRONG_TYPE),
        (
            "spBv1.0/glassworks/DCMD/line_a/inspection",
            command(Payload.Metric(name="last_defect", string_value="x")),
            Refusal.WRONG_TYPE,
        ),
        (NCMD, command(Payload.Metric(name="Node Control/Rebirth", boolean_value=False)), Refusal.WRONG_TYPE),
        ("spBv1.0/glassworks/DCMD/line_a/nowhere", command(setpoint(double_value=1.0)), Refusal.FOREIGN_TOPIC),
        ("spBv1.0/glassworks/DCMD/line_b/furnace", command(setpoint(double_value=1.0)), Refusal.FOREIGN_TOPIC),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(topic: str, payload: bytes, refusal: Refusal) -> None:
    order = read(topic, payload)
    assert order.refusals == [refusal]
    assert not order.proposals
    assert not order.rebirth


def test_retained_commands_are_refused_even_a_rebirth() -> None:
    rebirth = command(Payload.Metric(name="Node Control/Rebirth", boolean_value=True))
    order = read(NCMD, rebirth, retained=True)
    assert (order.rebirth, order.refusals) == (False, [Refusal.RETAINED])
    order = read(FURNACE, command(setpoint(double_value=1500.0)), retained=True)
    assert (order.proposals, order.refusals) == ([], [Refusal.RETAINED])


def test_a_good_part_of_a_command_is_taken_beside_a_bad_one() -> None:
    order = read(FURNACE, command(Payload.Metric(name="nonsense"), setpoint(double_value=1500.0)))
    assert [proposal.value for proposal in order.proposals] == [1500.0]
    assert order.refusals == [Refusal.UNKNOWN_METRIC]


def test_switched_off_only_the_rebirth_is_known() -> None:
    reader = CommandReader(NODE.topics, NODE.catalog, writes=False)
    assert reader.topics == (NCMD,)
    named = Payload.Metric(name="forming/zone/count", int_value=5)
    rebirth = Payload.Metric(name="Node Control/Rebirth", boolean_value=True)
    order = reader.read(NCMD, command(named, rebirth), retained=False, now=0.0)
    assert (order.rebirth, order.proposals, order.refusals) == (True, [], [Refusal.SWITCHED_OFF])


@given(st.binary(max_size=200), st.sampled_from((FURNACE, FORMING, NCMD, "", "spBv1.0")), st.booleans())
def test_no_bytes_can_raise(payload: bytes, topic: str, retained: bool) -> None:
    order = read(topic, payload, retained=retained)
    assert all(math.isfinite(proposal.value) for proposal in order.proposals)


@given(
    st.builds(
        Payload.Metric,
        name=st.sampled_from(("temperature_setpoint", "", "x", "forming/running")),
        alias=st.integers(0, 9),
        datatype=st.integers(0, 40),
        is_null=st.booleans(),
    ),
    st.one_of(
        st.tuples(st.just("int_value"), st.integers(0, (1 << 32) - 1)),
        st.tuples(st.just("long_value"), st.integers(0, (1 << 64) - 1)),
        st.tuples(st.just("double_value"), st.floats()),
        st.tuples(st.just("boolean_value"), st.booleans()),
        st.tuples(st.just("string_value"), st.text(st.characters(codec="utf-8"))),
        st.tuples(st.just("bytes_value"), st.binary()),
    ),
    st.sampled_from((FURNACE, FORMING, NCMD)),
)
def test_any_metric_is_a_finite_proposal_for_a_writable_signal_or_refused(
    metric: Payload.Metric, value: tuple[str, object], topic: str
) -> None:
    setattr(metric, *value)
    order = read(topic, command(metric))
    assert len(order.proposals) + len(order.refusals) == 1
    for proposal in order.proposals:
        assert proposal.signal in (SETPOINT, COUNT, RUNNING, DEFECT)
        assert math.isfinite(proposal.value)

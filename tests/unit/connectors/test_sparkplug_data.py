"""DDATA holds every sample it was given, by alias and in order, and breaks no rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.settings import HostProfile
from edged.types import Sample, Value
from edged_connectors.north.data import MAX_METRICS_PER_MESSAGE
from edged_connectors.north.rules import SparkplugRules
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.unit.connectors.sparkplug_line import (
    COUNT,
    DEFECT,
    MILLISECOND,
    RUNNING,
    SIGNALS,
    TEMPERATURE,
    LineNode,
    Published,
    sample,
)

FITTING: dict[str, st.SearchStrategy[Value]] = {
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "int": st.integers(-(1 << 63), (1 << 63) - 1),
    "bool": st.booleans(),
    "string": st.text(st.characters(codec="utf-8"), max_size=8),
}


@st.composite
def batches(draw: st.DrawFn) -> list[tuple[bool, list[Sample]]]:
    """Live and historical lists; every signal has its own time for each value, in any order."""
    made = []
    stamps = draw(st.lists(st.integers(-5000, 5000), unique=True, max_size=60))
    while stamps:
        cut = draw(st.integers(1, len(stamps)))
        part, stamps = stamps[:cut], stamps[cut:]
        rows = []
        for stamp in part:
            signal = draw(st.sampled_from(SIGNALS))
            value = draw(st.one_of(st.none(), FITTING[signal.type.value]))
            rows.append(sample(signal.path, value, stamp, draw(st.sampled_from((0, 64, 192)))))
        made.append((draw(st.booleans()), rows))
    return made


def value_of(metric: Payload.Metric) -> Value | None:
    kind = metric.WhichOneof("value")
    if kind is None:
        return None
    value: Value = getattr(metric, kind)
    return value - (1 << 64) if kind == "long_value" and isinstance(value, int) and value >> 63 else value


def read(node: LineNode, messages: list[Published]) -> list[tuple[str, int, Value | None]]:
    """(path, ms, value) of every metric."""
    found = []
    for message in messages:
        for metric in Payload.FromString(message.payload).metrics:
            assert not metric.name
            assert not metric.HasField("datatype")
            found.append((node.catalog.by_alias[metric.alias].signal.path, metric.timestamp, value_of(metric)))
    return found


@given(batches(), st.sampled_from(HostProfile))
def test_every_sample_travels_once_and_no_rule_is_broken(
    lists: list[tuple[bool, list[Sample]]], profile: HostProfile
) -> None:
    node, rules = LineNode(profile), SparkplugRules()
    messages = node.births()
    expected = []
    for historical, rows in lists:
        messages += node.data(rows, historical=historical)
        expected += [
            (row.signal, row.source_time // MILLISECOND, row.value if row.quality >= 64 else None) for row in rows
        ]
    messages.append(node.death())
    broken = [
        violation
        for message in messages
        for violation in rules.check(message.topic, message.payload, retain=message.retain, qos=message.qos)
    ]
    assert broken == []
    assert sorted(read(node, messages[4:-1]), key=str) == sorted(expected, key=str)
    assert (node.encoder.strangers, node.encoder.mistyped) == (0, 0)


def metrics(messages: list[Published]) -> list[Payload.Metric]:
    return [metric for message in messages for metric in Payload.FromString(message.payload).metrics]


def test_quality_is_told_only_while_it_is_not_good_and_once_when_it_is_good_again() -> None:
    node = LineNode(latest=[sample(TEMPERATURE, 1.0)])
    node.births()
    told = metrics(
        node.data([sample(TEMPERATURE, 2.0, 1)])
        + node.data([sample(TEMPERATURE, None, 2, 0)])
        + node.data([sample(TEMPERATURE, 3.0, 3, 64)])
        + node.data([sample(TEMPERATURE, 4.0, 4)])
        + node.data([sample(TEMPERATURE, 5.0, 5)])
    )
    codes = [[value.int_value for value in metric.properties.values] for metric in told]
    assert codes == [[], [0], [500], [192], []]
    assert [metric.is_null for metric in told] == [False, True, False, False, False]


def test_live_values_older_than_what_the_host_holds_are_marked_historical() -> None:
    node = LineNode(latest=[sample(TEMPERATURE, 1.0, 100)])
    node.births()
    told = metrics(
        node.data([sample(TEMPERATURE, 2.0, 50), sample(TEMPERATURE, 3.0, 100), sample(TEMPERATURE, 4.0, 150)])
    )
    assert [metric.is_historical for metric in told] == [True, False, False]
    assert not told[1].HasField("is_historical")


def test_backlog_is_historical_and_does_not_move_what_the_host_holds() -> None:
    node = LineNode(latest=[sample(TEMPERATURE, 1.0, 0)])
    node.births()
    (old,) = metrics(node.data([sample(TEMPERATURE, 2.0, 500)], historical=True))
    (live,) = metrics(node.data([sample(TEMPERATURE, 3.0, 400)]))
    assert (old.is_historical, live.is_historical) == (True, False)


def test_values_that_do_not_fit_travel_as_null_of_bad_quality_and_are_counted() -> None:
    node = LineNode(latest=[sample(signal.path, None, 0, 0) for signal in SIGNALS])
    node.births()
    unfit: list[tuple[str, Value]] = [
        (TEMPERATURE, "hot"),
        (COUNT, 1.5),
        (COUNT, 1 << 63),
        (RUNNING, 2),
        (DEFECT, "\ud800"),
    ]
    told = metrics(node.data([sample(path, value, 1 + row) for row, (path, value) in enumerate(unfit)]))
    assert node.encoder.mistyped == len(unfit)
    assert all(metric.is_null and metric.properties.values[0].int_value == 0 for metric in told)


@pytest.mark.parametrize("value", [1.0, None])
def test_a_time_before_1970_stops_nothing(value: float | None) -> None:
    impossible = Sample(TEMPERATURE, value, -1, 0, 192)
    node = LineNode(latest=[impossible])
    node.births()
    assert [metric.is_null for metric in metrics(node.data([impossible, sample(TEMPERATURE, 2.0)]))] == [True, False]


def test_a_signal_that_is_not_configured_is_counted_and_left_out() -> None:
    node = LineNode()
    node.births()
    assert node.data([sample("line_a/elsewhere/level", 1.0)]) == []
    assert node.encoder.strangers == 1


def test_long_backlog_is_cut_into_messages() -> None:
    node = LineNode()
    node.births()
    count = 2 * MAX_METRICS_PER_MESSAGE + 1
    sizes = [
        len(Payload.FromString(message.payload).metrics)
        for message in node.data([sample(TEMPERATURE, float(row), row) for row in range(count)], historical=True)
    ]
    assert sizes == [MAX_METRICS_PER_MESSAGE, MAX_METRICS_PER_MESSAGE, 1]

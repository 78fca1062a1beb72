"""Births come from the configuration, with current values; deaths carry bdSeq alone."""

from __future__ import annotations

import pytest

from edged.settings import HostProfile
from edged_connectors.north.catalog import Catalog
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.unit.connectors.sparkplug_line import (
    COUNT,
    DEFECT,
    MILLISECOND,
    NOW,
    RUNNING,
    SETPOINT,
    SIGNALS,
    TEMPERATURE,
    LineNode,
    Published,
    sample,
)

NOW_MILLISECONDS = NOW // MILLISECOND


def decoded(message: Published) -> Payload:
    return Payload.FromString(message.payload)


def born(messages: list[Published]) -> dict[str, Payload.Metric]:
    """Every metric of every device by device/name."""
    return {
        f"{message.topic.rsplit('/', 1)[1]}/{metric.name}": metric
        for message in messages[1:]
        for metric in decoded(message).metrics
    }


def properties(metric: Payload.Metric) -> dict[str, Payload.PropertyValue]:
    return dict(zip(metric.properties.keys, metric.properties.values, strict=True))


def test_a_birth_is_one_node_then_every_device_in_sequence() -> None:
    messages = LineNode().births(bdseq=7)
    assert [message.topic for message in messages] == [
        "spBv1.0/glassworks/NBIRTH/line_a",
        "spBv1.0/glassworks/DBIRTH/line_a/furnace",
        "spBv1.0/glassworks/DBIRTH/line_a/forming",
        "spBv1.0/glassworks/DBIRTH/line_a/inspection",
    ]
    assert [decoded(message).seq for message in messages] == [0, 1, 2, 3]
    assert {decoded(message).timestamp for message in messages} == {NOW_MILLISECONDS}


def test_the_node_is_born_with_bdseq_and_the_rebirth_control() -> None:
    bdseq, rebirth = decoded(LineNode().births(bdseq=7)[0]).metrics
    assert (bdseq.name, bdseq.datatype, bdseq.long_value, bdseq.timestamp) == ("bdSeq", 4, 7, NOW_MILLISECONDS)
    assert (rebirth.name, rebirth.datatype, rebirth.boolean_value) == ("Node Control/Rebirth", 11, False)
    assert rebirth.WhichOneof("value") == "boolean_value"
    assert not rebirth.HasField("alias")


def test_a_birth_carries_current_values_types_aliases_and_times() -> None:
    node = LineNode(
        latest=[
            sample(TEMPERATURE, 1500.5, -40),
            sample(RUNNING, True, -30),
            sample(COUNT, -3, -20),
            sample(DEFECT, "bubble", -10),
        ]
    )
    metrics = born(node.births())
    assert metrics["furnace/temperature"].double_value == 1500.5
    assert metrics["furnace/temperature"].timestamp == NOW_MILLISECONDS - 40
    assert metrics["forming/running"].boolean_value is True
    assert metrics["forming/zone/count"].long_value == (1 << 64) - 3
    assert metrics["inspection/last_defect"].string_value == "bubble"
    assert metrics["furnace/temperature"].datatype == 10
    assert metrics["forming/zone/count"].datatype == 4
    assert metrics["forming/running"].datatype == 11
    assert metrics["inspection/last_defect"].datatype == 12
    assert len({metric.alias for metric in metrics.values()}) == len(SIGNALS)


def test_without_a_value_yet_a_metric_is_null_and_old_enough_for_any_first_value() -> None:
    node = LineNode()
    metric = born(node.births())["furnace/temperature"]
    assert metric.is_null
    assert metric.WhichOneof("value") is None
    first = node.data([sample(TEMPERATURE, 1500.0, -60_000)])
    assert not decoded(first[0]).metrics[0].is_historical


def test_properties_describe_the_signal() -> None:
    held = properties(born(LineNode(latest=[sample(TEMPERATURE, 1500.0)]).births())["furnace/temperature"])
    assert {key: value.type for key, value in held.items()} == {
        "Quality": 3,
        "engUnit": 12,
        "engLow": 10,
        "engHigh": 10,
        "documentation": 12,
    }
    assert held["engUnit"].string_value == "degC"
    assert (held["engLow"].double_value, held["engHigh"].double_value) == (1200.0, 1700.0)
    assert held["documentation"].string_value == "crown"


@pytest.mark.parametrize(
    ("profile", "quality", "code", "null"),
    [
        (HostProfile.SPEC, 192, 192, False),
        (HostProfile.SPEC, 64, 500, False),
        (HostProfile.SPEC, 0, 0, True),
        (HostProfile.IGNITION, 192, 192, False),
        (HostProfile.IGNITION, 64, 0x80000204, False),
        (HostProfile.IGNITION, 0, 0x80000200, True),
    ],
)
def test_quality_is_told_in_the_words_of_the_host(profile: HostProfile, quality: int, code: int, null: bool) -> None:
    node = LineNode(profile, [sample(SETPOINT, 1500.0, 0, quality)])
    metric = born(node.births())["furnace/temperature_setpoint"]
    assert properties(metric)["Quality"].int_value == code
    assert metric.is_null is null


def test_a_value_of_the_wrong_type_is_born_as_null_of_bad_quality() -> None:
    metric = born(LineNode(latest=[sample(COUNT, "many")]).births())["forming/zone/count"]
    assert metric.is_null
    assert properties(metric)["Quality"].int_value == 0


def test_the_values_of_a_birth_are_in_chronological_order() -> None:
    node = LineNode(latest=[sample(TEMPERATURE, 1.0, 500), sample(SETPOINT, 1.0, 100)])
    stamps = [metric.timestamp for metric in decoded(node.births()[1]).metrics]
    assert stamps == sorted(stamps)


def test_a_death_carries_bdseq_alone_and_no_seq() -> None:
    payload = decoded(LineNode().death(bdseq=255))
    assert not payload.HasField("seq")
    (metric,) = payload.metrics
    assert (metric.name, metric.long_value, metric.timestamp) == ("bdSeq", 255, NOW_MILLISECONDS)


def test_a_path_configured_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="configured twice"):
        Catalog.of((SIGNALS[0], SIGNALS[0]))


def test_sequence_numbers_go_round_after_255() -> None:
    node = LineNode()
    node.births()
    numbers = [
        decoded(message).seq for count in range(600) for message in node.data([sample(TEMPERATURE, 1.0, 1 + count)])
    ]
    assert numbers == [(4 + count) % 256 for count in range(600)]

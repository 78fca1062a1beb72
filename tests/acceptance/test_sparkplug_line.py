"""Every Sparkplug message of a running line: read by a decoder of other hands, no rule broken, nothing missing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.checker import read_rows
from bench.line import LineStack
from bench.processes import PROJECT, mosquitto
from edged_connectors.north.rules import SparkplugRules, Violation
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.integration.sparkplug_host import Heard, RecordingHost, recording_host
from tests.integration.sparkplug_peer import decoded_by_peer

SECONDS_BEFORE_REBIRTH = 8.0
SECONDS_AFTER_REBIRTH = 8.0
SCENARIO = PROJECT / "configs" / "scenarios" / "demo.yaml"
NCMD = "spBv1.0/glassworks/NCMD/line_a"
REBIRTH = Payload(metrics=[Payload.Metric(name="Node Control/Rebirth", boolean_value=True)]).SerializeToString()
DEVICES = {"furnace", "forming", "annealing", "inspection", "quality", "loops"}
LEAST_VALUES = 5000
VALUE_FIELDS = {"long_value": "Int64", "double_value": "Double", "boolean_value": "Boolean", "string_value": "String"}

Value = float | int | bool | str | None

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.mosquitto,
    pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed"),
]


class Life(NamedTuple):
    """What a host heard from the first birth to the death, and what the hub holds of the same line."""

    heard: list[Heard]
    held: set[tuple[str, int, Value]]
    exit_status: int

    @property
    def published(self) -> list[Heard]:
        """The messages of the node."""
        return [message for message in self.heard if message.kind and message.kind != "NCMD"]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """The whole line, with one rebirth in the middle and a clean stop."""
    return asyncio.run(whole_life(tmp_path_factory.mktemp("sparkplug") / "line"))


async def whole_life(folder: Path) -> Life:
    with LineStack(folder) as line:
        await asyncio.to_thread(line.start_broker)
        await asyncio.to_thread(line.start_hub)
        async with recording_host(line.mqtt_port) as host:
            await asyncio.to_thread(line.start_plant, SCENARIO)
            line.start_edge()
            await asyncio.to_thread(line.wait_for_data)
            await asyncio.sleep(SECONDS_BEFORE_REBIRTH)
            await force_rebirth(host)
            await asyncio.sleep(SECONDS_AFTER_REBIRTH)
            status = await asyncio.to_thread(line.stop_edge)
            await host.until(lambda: bool(host.of("NDEATH")))
        rows = read_rows(line.hub_data / "hub.db", line.node)
    held: set[tuple[str, int, Value]] = set()
    for path, kept in rows.items():
        held |= {(path, row.time, row.value) for row in kept if row.value is not None}
    return Life(host.heard, held, status)


async def force_rebirth(host: RecordingHost) -> None:
    births = len(host.of("DBIRTH"))
    await host.send(NCMD, REBIRTH)
    await host.until(lambda: len(host.of("DBIRTH")) == births + len(DEVICES))


def test_the_life_of_the_line_is_whole(life: Life) -> None:
    kinds = [message.kind for message in life.published]
    assert kinds[: 1 + len(DEVICES)] == ["NBIRTH"] + ["DBIRTH"] * len(DEVICES)
    assert (kinds.count("NBIRTH"), kinds.count("NDEATH"), kinds[-1]) == (2, 1, "NDEATH")
    assert {message.device for message in life.published if message.kind == "DBIRTH"} == DEVICES
    assert life.exit_status == 0


def test_no_rule_is_broken(life: Life) -> None:
    rules = SparkplugRules()
    broken: list[Violation] = []
    for message in life.heard:
        broken += rules.check(message.topic, message.payload, retain=message.retain, qos=message.qos)
    assert broken == []


def test_what_the_hub_holds_a_host_heard_too(life: Life) -> None:
    names: dict[int, str] = {}
    heard = set()
    for message in life.published:
        for metric in message.decoded().metrics:
            if message.kind == "DBIRTH":
                names[metric.alias] = f"line_a/{message.device}/{metric.name}"
            if message.kind in ("DBIRTH", "DDATA") and our_value(metric) is not None:
                heard.add((names[metric.alias], metric.timestamp, our_value(metric)))
    assert len(life.held) > LEAST_VALUES
    assert sorted(life.held - heard, key=str)[:5] == []


@pytest.mark.node
async def test_a_decoder_of_other_hands_reads_every_value_alike(life: Life) -> None:
    theirs = await decoded_by_peer(life.published)
    assert len(theirs) == len(life.published)
    compared = 0
    for message, reading in zip(life.published, theirs, strict=True):
        ours = message.decoded()
        assert int(reading["timestamp"]) == ours.timestamp
        assert message.kind == "NDEATH" or int(reading["seq"]) == ours.seq
        for metric, their_metric in zip(ours.metrics, reading["metrics"], strict=True):
            assert as_read_by_peer(their_metric) == as_read_by_us(metric), message.topic
            compared += 1
    assert compared > LEAST_VALUES


def our_value(metric: Payload.Metric) -> Value:
    """The value as a host takes it: Int64 is signed."""
    field = metric.WhichOneof("value")
    if field is None or metric.is_null:
        return None
    value: Value = getattr(metric, field)
    return signed(int(metric.long_value)) if field == "long_value" else value


def as_read_by_us(metric: Payload.Metric) -> dict[str, Any]:
    field = metric.WhichOneof("value")
    return {
        "name": metric.name,
        "alias": metric.alias if metric.HasField("alias") else None,
        "timestamp": metric.timestamp,
        "type": VALUE_FIELDS[field] if field else None,
        "value": our_value(metric),
        "historical": metric.is_historical,
        "properties": dict(zip(metric.properties.keys, map(our_property, metric.properties.values), strict=True)),
    }


def as_read_by_peer(metric: dict[str, Any]) -> dict[str, Any]:
    value = metric.get("value")
    return {
        "name": metric.get("name", ""),
        "alias": int(metric["alias"]) if "alias" in metric else None,
        "timestamp": int(metric["timestamp"]),
        "type": metric["type"] if value is not None else None,
        "value": signed(int(value)) if metric["type"] == "Int64" and value is not None else value,
        "historical": metric.get("isHistorical", False),
        "properties": {key: held["value"] for key, held in metric.get("properties", {}).items()},
    }


def our_property(held: Payload.PropertyValue) -> Value:
    field = held.WhichOneof("value")
    assert field is not None
    value: Value = getattr(held, field)
    return value


def signed(number: int) -> int:
    """A 64-bit field as two's complement."""
    return number - (1 << 64) if number >> 63 else number

"""Sparkplug ingest at a real broker: our own node and the npm package sparkplug-payload are the senders."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from edged.clock import SystemClock
from edged.metrics import Metrics
from edged.registry import Binding, SourceSetup
from edged.settings import BrokerSettings
from edged.types import Lane, Quality, Seal, Signal, Value, ValueType
from edged_connectors.north.rules import SparkplugRules
from edged_connectors.south.mqtt import KIND
from edged_connectors.south.mqtt_edge_node import NODE_OFFLINE, SEQUENCE_GAP
from edged_connectors.south.mqtt_messages import Message
from edged_connectors.south.mqtt_options import MqttAddress, MqttOptions
from edged_connectors.south.mqtt_sparkplug import Point, SparkplugIngest
from edged_connectors.south.runner import SourceRunner
from tests.integration.brokers import MosquittoBroker, mosquitto_broker
from tests.integration.recording_road import RecordingRoad
from tests.integration.sparkplug_bench import Bench, offered
from tests.integration.sparkplug_host import recording_host
from tests.integration.sparkplug_peer import encoded_by_peer
from tests.unit.connectors.sparkplug_line import COUNT, SIGNALS, TEMPERATURE, LineNode, sample

MILLISECOND = 1_000_000
VALUES = 60
FIRST_STAMP = 1_790_000_000_000
PLAIN = [Signal(signal.path, signal.unit, signal.type) for signal in SIGNALS]


@contextlib.asynccontextmanager
async def host(broker: MosquittoBroker, road: RecordingRoad) -> AsyncIterator[SourceRunner]:
    """A source at work that listens to the node of the test line."""
    bindings = [
        Binding(one, MqttAddress(group="glassworks", node="line_a", device=one.equipment, metric=one.name))
        for one in PLAIN
    ]
    options = MqttOptions.model_validate(
        {
            "broker": {"port": broker.port},
            "client_id": "host",
            "keep_alive_seconds": 1,
            "sparkplug": {"rebirth_interval_seconds": 0.5},
        }
    )
    setup = SourceSetup("host", options, tuple(bindings), SystemClock(), Seal(), Path())
    runner = SourceRunner(
        name="host",
        signals=PLAIN,
        build=lambda: KIND.build(setup),
        road=road,
        clock=SystemClock(),
        metrics=Metrics(),
        silence_seconds=10.0,
        skew_limit_seconds=3600.0,
    )
    task = asyncio.get_running_loop().create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.wait({task})


def came(road: RecordingRoad) -> set[tuple[str, int, Value]]:
    """(path, ms, value) of everything that arrived in good quality."""
    return {
        (one.signal, one.source_time // MILLISECOND, one.value)
        for one in road.samples
        if one.quality == Quality.GOOD and one.value is not None
    }


def rows(bench: Bench, newest: int) -> set[tuple[str, int, Value]]:
    """What the newest batches hold, as `came` tells it."""
    kept = bench.put_in[-newest * len(PLAIN) :]
    return {(one.signal, one.source_time // MILLISECOND, one.value) for one in kept if one.value is not None}


def all_bad(road: RecordingRoad, reason: str) -> bool:
    newest = [road.of(one.path)[-1:] for one in PLAIN]
    return all(samples and (samples[0].quality, samples[0].reason) == (Quality.BAD, reason) for samples in newest)


def put(bench: Bench, *numbers: int) -> None:
    """Batches with a value for every signal."""
    for number in numbers:
        values: dict[ValueType, Value] = {
            ValueType.FLOAT: number / 4,
            ValueType.INT: number - 30,
            ValueType.BOOL: number % 2 == 0,
            ValueType.STRING: f"bubble {number}",
        }
        bench.put(*[(one.path, values[one.type]) for one in PLAIN])


@pytest.mark.mosquitto
async def test_every_value_of_our_own_node_arrives_through_rebirth_death_and_history(tmp_path: Path) -> None:
    road = RecordingRoad()
    async with mosquitto_broker(tmp_path / "broker") as broker:
        bench = Bench(tmp_path, [BrokerSettings(port=broker.port)])
        put(bench, 0)
        async with bench.running(), recording_host(broker.port) as others:
            await others.until(lambda: bench.node.status().online and bench.sink.depth(Lane.PROCESS) == 0)
            async with host(broker, road):
                await road.until(lambda: offered(bench) <= came(road))
                assert bench.node.status().rebirths == 1
                put(bench, *range(1, VALUES))
                await road.until(lambda: offered(bench) <= came(road))
                assert road.gaps == []
                await broker.kill()
                await road.until(lambda: all_bad(road, "source_offline"))
                put(bench, VALUES)
                await broker.start()
                await road.until(lambda: not all_bad(road, "source_offline"), 20.0)
                put(bench, VALUES + 1)
                await road.until(lambda: rows(bench, 1) <= came(road))
                missed = {stamp * MILLISECOND for _, stamp, _ in offered(bench) - came(road)}
                assert road.gaps
                assert all(any(gap.start <= stamp <= gap.end for gap in road.gaps) for stamp in missed)
        assert {one.signal for one in road.samples} == {one.path for one in PLAIN}


@pytest.mark.mosquitto
async def test_the_death_of_the_node_is_told_and_what_it_kept_meanwhile_comes_as_history(tmp_path: Path) -> None:
    road = RecordingRoad()
    async with mosquitto_broker(tmp_path / "broker") as broker, host(broker, road):
        bench = Bench(tmp_path, [BrokerSettings(port=broker.port)])
        async with bench.running():
            put(bench, 1)
            await road.until(lambda: offered(bench) <= came(road))
        await road.until(lambda: all_bad(road, NODE_OFFLINE))
        put(bench, 2, 3)
        async with bench.running():
            await road.until(lambda: offered(bench) <= came(road))
        assert {one.value for one in road.restored if one.signal == COUNT} >= {2 - 30}


@pytest.mark.mosquitto
async def test_a_lost_message_is_told_and_one_sound_rebirth_request_is_sent(tmp_path: Path) -> None:
    road, node = RecordingRoad(), LineNode(latest=[sample(TEMPERATURE, 1500.0)])
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as others:
        async with host(broker, road), aiomqtt.Client("127.0.0.1", broker.port) as client:
            await others.until(lambda: len(others.of("NCMD")) == 1)
            for message in node.births():
                await client.publish(message.topic, message.payload)
            for number in range(10):
                (message,) = node.data([sample(TEMPERATURE, 1501.0 + number, number)])
                if number != 4:
                    await client.publish(message.topic, message.payload)
            await road.until(lambda: any(one.value == 1510.0 for one in road.samples))
            await others.until(lambda: len(others.of("NCMD")) == 2)
        assert [gap.reason for gap in road.gaps] == [SEQUENCE_GAP]
        rules = SparkplugRules(from_birth=False)
        asked = others.of("NCMD")
        assert [list(rules.check(one.topic, one.payload, retain=one.retain, qos=one.qos)) for one in asked] == [[], []]


@pytest.mark.node
async def test_messages_written_by_other_hands_are_read() -> None:
    def metric(name: str, kind: str, value: Any, **more: Any) -> dict[str, Any]:
        return {"name": name, "type": kind, "value": value, "timestamp": FIRST_STAMP, **more}

    told: list[tuple[str, ValueType, dict[str, Any], Any]] = [
        ("i8", ValueType.INT, {"kind": "Int8", "value": -5}, -5),
        ("i32", ValueType.INT, {"kind": "Int32", "value": -70_000}, -70_000),
        ("u32", ValueType.INT, {"kind": "UInt32", "value": 4_000_000_000}, 4_000_000_000),
        ("i64", ValueType.INT, {"kind": "Int64", "value": 2**40 + 1}, 2**40 + 1),
        ("f", ValueType.FLOAT, {"kind": "Float", "value": 1.5}, 1.5),
        ("d", ValueType.FLOAT, {"kind": "Double", "value": 0.1}, 0.1),
        ("b", ValueType.BOOL, {"kind": "Boolean", "value": True}, True),
        ("s", ValueType.STRING, {"kind": "String", "value": "ü"}, "ü"),
    ]
    births = [
        metric(name, one["kind"], one["value"], alias=number) for number, (name, _, one, _) in enumerate(told, 10)
    ]
    bad = metric("d", "Double", 2.5, properties={"Quality": {"type": "Int32", "value": 0}})
    old = metric("i32", "Int32", 1, isHistorical=True) | {"timestamp": FIRST_STAMP - 1000}
    encoded = await encoded_by_peer(
        [
            ("spBv1.0/g/NBIRTH/n", {"timestamp": FIRST_STAMP, "seq": 0, "metrics": [metric("bdSeq", "UInt64", 3)]}),
            ("spBv1.0/g/DBIRTH/n/d", {"timestamp": FIRST_STAMP, "seq": 1, "metrics": births}),
            ("spBv1.0/g/DDATA/n/d", {"timestamp": FIRST_STAMP, "seq": 2, "metrics": [bad, old]}),
            ("spBv1.0/g/NDEATH/n", {"timestamp": FIRST_STAMP, "metrics": [metric("bdSeq", "UInt64", 3)]}),
        ]
    )
    points = [Point(name, kind, "g", "n", "d", name) for name, kind, _, _ in told]
    ingest = SparkplugIngest("peer", points, max_payload_bytes=10_000, interval=1.0)
    received = FIRST_STAMP * MILLISECOND + 5
    heard = [ingest.take(Message(topic, payload, received), 0.0) for topic, payload in encoded]
    assert not any(one.fault or one.gaps for one in heard)
    assert {one.signal: one.value for one in heard[1].samples} == {name: value for name, _, _, value in told}
    assert [(one.signal, one.value, one.quality) for one in heard[2].samples] == [("d", None, Quality.BAD)]
    assert [(one.signal, one.source_time) for one in heard[2].past] == [("i32", (FIRST_STAMP - 1000) * MILLISECOND)]
    assert {one.reason for one in heard[3].samples} == {NODE_OFFLINE}

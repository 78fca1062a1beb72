"""MQTT ingest against a real mosquitto: nothing lost, nothing twice, refusals named, bad payloads harmless."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from edged.clock import SystemClock
from edged.errors import SourceLost, SourceUnreachable
from edged.ports import Reading
from edged.registry import Binding, SourceSetup
from edged.types import Quality, QualityResult, Sample, Seal, Signal, ValueType
from edged_connectors.south.mqtt import KIND, MqttConnector
from edged_connectors.south.mqtt_options import MqttAddress, MqttOptions
from tests.integration.brokers import MosquittoBroker, free_port, mosquitto_broker

pytestmark = pytest.mark.mosquitto

TOPIC = "works/line/lehr"
FIRST_STAMP = 1_767_225_600_000


def bind(name: str, path: str, kind: ValueType = ValueType.FLOAT, topic: str = TOPIC) -> Binding:
    return Binding(Signal(f"line/{name}", "1", kind), MqttAddress(topic=topic, path=path))


NUMBER = bind("number", "$.values.number", ValueType.INT)
SPEED = bind("speed", "$.values.speed")
PLAIN = bind("plain", "", topic="works/line/plain")
EVERYTHING = (NUMBER, SPEED, PLAIN)


def connector(port: int, bindings: Iterable[Binding] = EVERYTHING, **options: Any) -> MqttConnector:
    broker = {"host": "127.0.0.1", "port": port, **options.pop("broker", {})}
    settings = MqttOptions.model_validate(
        {"broker": broker, "client_id": "ingest", "timestamp_path": "$.timestamp", **options}
    )
    built = KIND.build(SourceSetup("cold_end", settings, tuple(bindings), SystemClock(), Seal(), Path()))
    assert isinstance(built, MqttConnector)
    return built


def document(number: int) -> bytes:
    return json.dumps({"timestamp": FIRST_STAMP + number, "values": {"number": number, "speed": number / 2}}).encode()


@contextlib.asynccontextmanager
async def publisher(port: int) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client("127.0.0.1", port, identifier="equipment") as client:
        yield client


async def publish(port: int, numbers: Iterable[int]) -> None:
    async with publisher(port) as client:
        for number in numbers:
            await client.publish(TOPIC, document(number), qos=1)


async def gather(built: MqttConnector, samples: int, *, acknowledge: bool = True) -> list[Reading]:
    """Reads until so many samples came; acknowledges each reading as if it had been committed."""
    readings: list[Reading] = []
    async with asyncio.timeout(20):
        while sum(len(reading.samples) for reading in readings) < samples:
            readings.append(await built.read())
            if acknowledge:
                built.acknowledge(readings[-1].receipt)
    return readings


async def read_on(built: MqttConnector, readings: list[Reading]) -> None:
    """Reads until the connection breaks."""
    while True:
        readings.append(await built.read())


def samples_of(readings: Sequence[Reading]) -> list[Sample]:
    return [sample for reading in readings for sample in reading.samples]


def numbers_of(readings: Sequence[Reading]) -> list[Any]:
    return [sample.value for sample in samples_of(readings) if sample.signal == "line/number"]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[MosquittoBroker]:
    async with mosquitto_broker(tmp_path / "broker") as running:
        yield running


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_values_times_and_resumption(broker: MosquittoBroker, protocol: str) -> None:
    first = connector(broker.port, protocol=protocol)
    connection = await first.connect()
    assert not connection.resumed
    assert [status.accepted for status in connection.signals] == [True] * 3
    await publish(broker.port, [0, 1])
    samples = samples_of(await gather(first, 4))
    await first.close()
    stamp = (FIRST_STAMP + 1) * 1_000_000
    assert [(s.signal, s.value, s.source_time, s.quality) for s in samples[2:]] == [
        ("line/number", 1, stamp, Quality.GOOD),
        ("line/speed", 0.5, stamp, Quality.GOOD),
    ]
    second = connector(broker.port, protocol=protocol)
    assert (await second.connect()).resumed
    assert await second.read() == Reading()
    await second.close()


async def test_what_arrives_while_we_are_away_is_kept(broker: MosquittoBroker) -> None:
    first = connector(broker.port)
    await first.connect()
    await first.close()
    await publish(broker.port, range(3000))
    second = connector(broker.port)
    assert (await second.connect()).resumed
    readings = await gather(second, 6000)
    await second.close()
    assert numbers_of(readings) == list(range(3000))


async def test_a_clean_restart_of_the_broker_loses_nothing(broker: MosquittoBroker) -> None:
    first = connector(broker.port)
    await first.connect()
    await publish(broker.port, range(500))
    taken = await gather(first, 100)
    await broker.stop()
    with pytest.raises(SourceLost):
        await read_on(first, taken)
    await first.close()
    await broker.start()
    await publish(broker.port, range(500, 600))
    second = connector(broker.port)
    second.resume([mark for reading in taken for mark in reading.marks])
    assert (await second.connect()).resumed
    rest = await gather(second, 1200 - len(samples_of(taken)))
    await second.close()
    assert sorted(numbers_of(taken) + numbers_of(rest)) == list(range(600))


async def test_what_was_committed_but_not_acknowledged_is_recognised(broker: MosquittoBroker) -> None:
    first = connector(broker.port)
    await first.connect()
    await publish(broker.port, range(10))
    async with publisher(broker.port) as client:
        for value in ("21.5", "21.5"):
            await client.publish("works/line/plain", value, qos=1)
    committed = await gather(first, 22, acknowledge=False)
    await first.close()
    second = connector(broker.port)
    second.resume([mark for reading in committed for mark in reading.marks])
    assert (await second.connect()).resumed
    await publish(broker.port, [10])
    again = await gather(second, 2)
    await second.close()
    assert numbers_of(again) == [10]
    assert second.repeated == 12
    third = connector(broker.port)
    await third.connect()
    assert await third.read() == Reading()
    await third.close()


async def test_what_was_not_committed_is_delivered_again(broker: MosquittoBroker) -> None:
    first = connector(broker.port)
    await first.connect()
    await publish(broker.port, range(10))
    await gather(first, 20, acknowledge=False)
    await first.close()
    second = connector(broker.port)
    second.resume([])
    await second.connect()
    assert numbers_of(await gather(second, 20)) == list(range(10))
    await second.close()


async def test_an_acknowledgement_never_crosses_connections(broker: MosquittoBroker) -> None:
    first = connector(broker.port)
    await first.connect()
    await publish(broker.port, [0])
    old = await gather(first, 2, acknowledge=False)
    await first.close()
    second = connector(broker.port)
    await second.connect()
    await gather(second, 2, acknowledge=False)
    for reading in old:
        second.acknowledge(reading.receipt)
    await second.close()
    third = connector(broker.port)
    await third.connect()
    assert numbers_of(await gather(third, 2)) == [0]
    await third.close()


async def test_results_become_events_after_the_samples(broker: MosquittoBroker) -> None:
    built = connector(broker.port, results={"topic": "works/line/unit"})
    await built.connect()
    async with publisher(broker.port) as client:
        unit = {"timestamp": FIRST_STAMP, "unit_id": "U1", "passed": False, "defect_type": "bubble"}
        await client.publish(TOPIC, document(1), qos=1)
        await client.publish("works/line/unit", json.dumps(unit), qos=1)
    readings: list[Reading] = []
    while not any(reading.events for reading in readings):
        readings.append(await built.read())
        built.acknowledge(readings[-1].receipt)
    await built.close()
    events = [event for reading in readings for event in reading.events]
    assert events == [QualityResult("U1", FIRST_STAMP * 1_000_000, False, "bubble", "cold_end")]
    assert all(not (reading.samples and reading.events) for reading in readings)


async def test_bad_payloads_harm_nobody_else(broker: MosquittoBroker) -> None:
    built = connector(broker.port, max_payload_bytes=1000)
    await built.connect()
    payloads = [b"{", b"\xff\xfe", b"[" * 5000, b"x" * 2000, b'{"values":{"number":"one","speed":null}}', b""]
    async with publisher(broker.port) as client:
        for payload in payloads:
            await client.publish(TOPIC, payload, qos=1)
        await client.publish(TOPIC, document(7), qos=1)
    samples = samples_of(await gather(built, 2 * len(payloads) + 2))
    await built.close()
    assert all(s.value is None and s.quality == Quality.BAD and s.reason for s in samples[:-2])
    assert [s.value for s in samples[-2:]] == [7, 3.5]
    assert built.rejected == 5


async def test_a_frozen_broker_is_noticed(broker: MosquittoBroker) -> None:
    built = connector(broker.port, keep_alive_seconds=1)
    await built.connect()
    broker.freeze()
    with pytest.raises(SourceLost):
        async with asyncio.timeout(6):
            await gather(built, 1)
    broker.thaw()
    await built.close()


async def test_nobody_listens() -> None:
    with pytest.raises(SourceUnreachable):
        await connector(free_port()).connect()


async def test_a_frozen_broker_does_not_hang_the_connection(broker: MosquittoBroker) -> None:
    broker.freeze()
    with pytest.raises(SourceUnreachable):
        async with asyncio.timeout(4):
            await connector(broker.port, connect_timeout_seconds=1).connect()
    broker.thaw()

"""The MQTT face at a real broker: what is journalled arrives, in order, also over outages of the broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from edged.clock import SystemClock
from edged_sim.journal import Journal
from edged_sim.link import Tick, UnitLine
from edged_sim.mqtt_face import MqttFace
from edged_sim.plant import Plant
from edged_sim.schedule import Sensors
from edged_sim.tags import Face, tags_of
from tests.integration.brokers import MosquittoBroker, free_port, mosquitto_broker
from tests.integration.sim_rig import eventually, journal_lines

pytestmark = pytest.mark.mosquitto
TAGS = tags_of(Face.MQTT)
START = 1_767_225_600_000


class Rig:
    def __init__(self, folder: Path, port: int, protocol: str = "5", queue_messages: int = 1000) -> None:
        self.path = folder / "mqtt.jsonl"
        self.journal = Journal(self.path, "mqtt", SystemClock())
        self.face = MqttFace(TAGS, self.journal, SystemClock(), port, protocol, queue_messages)
        self._plant, self._sensors = Plant(1), Sensors(1, ())
        self._ticks = 0

    async def tick(self, *units: UnitLine, dead: str = "") -> None:
        self._plant.advance(0.1)
        readings = self._sensors.read(self._plant.readings(), 0.0)
        values = [None if tag.path == dead else readings[tag.path] for tag in TAGS]
        await self.face.tick(Tick(START + 100 * self._ticks, values, list(units)))
        self._ticks += 1

    def lines(self, key: str) -> list[dict[str, Any]]:
        return [line for line in journal_lines(self.path) if key in line]

    def sent(self) -> list[tuple[str, int]]:
        return [(line["topic"], line["t"]) for line in journal_lines(self.path) if "t" in line]

    def acknowledged(self) -> list[tuple[str, int]]:
        return [(line["topic"], line["acked"]) for line in self.lines("acked")]


@contextlib.asynccontextmanager
async def publishing(rig: Rig) -> AsyncIterator[Rig]:
    await rig.face.listen()
    try:
        yield rig
    finally:
        await rig.face.stop()
        rig.journal.close()


@contextlib.asynccontextmanager
async def subscriber(port: int) -> AsyncIterator[aiomqtt.Client]:
    """A subscriber that the broker keeps for, whether it is there or not."""
    async with aiomqtt.Client("127.0.0.1", port, identifier="listener", clean_session=False) as client:
        await client.subscribe("glassworks/#", qos=1)
        yield client


async def take(client: aiomqtt.Client, count: int) -> list[tuple[str, dict[str, Any]]]:
    found = []
    async with asyncio.timeout(20):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            found.append((str(message.topic), json.loads(message.payload)))
            if len(found) == count:
                break
    return found


def time_of(document: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(document["timestamp"]).timestamp() * 1000)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[MosquittoBroker]:
    async with mosquitto_broker(tmp_path / "broker") as running:
        yield running


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_documents_are_as_the_configuration_reads_them(
    tmp_path: Path, broker: MosquittoBroker, protocol: str
) -> None:
    rig = Rig(tmp_path, broker.port, protocol)
    async with subscriber(broker.port) as client, publishing(rig):
        await rig.tick(UnitLine("A-7", False, "bubble"))
        (first, annealing), (second, inspection), (third, unit) = await take(client, 3)
    assert (first, second) == ("glassworks/line_a/annealing", "glassworks/line_a/inspection")
    assert third == "glassworks/line_a/inspection/unit"
    assert annealing["timestamp"] == "2026-01-01T00:00:00.000Z"
    assert (annealing["equipment"], annealing["status"], annealing["production_line"]) == ("annealing", "OK", "Line_A")
    values = annealing["values"] | inspection["values"]
    assert {f"line_a/{tag.path}": values[tag.name] for tag in TAGS} == {
        signal: value for line in rig.lines("signals") for signal, value in line["signals"].items()
    }
    assert {key: unit[key] for key in ("unit_id", "passed", "defect_type", "production_line")} == {
        "unit_id": "A-7",
        "passed": False,
        "defect_type": "bubble",
        "production_line": "Line_A",
    }


async def test_a_dead_sensor_is_null_and_makes_an_error(tmp_path: Path, broker: MosquittoBroker) -> None:
    rig = Rig(tmp_path, broker.port)
    async with subscriber(broker.port) as client, publishing(rig):
        await rig.tick(dead="annealing/cooling_rate")
        (_, annealing), (_, inspection) = await take(client, 2)
    assert (annealing["status"], annealing["values"]["cooling_rate"]) == ("ERROR", None)
    assert inspection["status"] == "OK"
    assert rig.lines("signals")[0]["bad"] == ["line_a/annealing/cooling_rate"]


async def test_nothing_is_lost_or_reordered_over_an_outage_of_the_broker(
    tmp_path: Path, broker: MosquittoBroker
) -> None:
    rig = Rig(tmp_path, broker.port)
    async with publishing(rig):
        async with subscriber(broker.port):
            pass
        for _ in range(20):
            await rig.tick(UnitLine("A-1", True, ""))
        await eventually(lambda: len(rig.acknowledged()) > 10, "the first acknowledgements")
        await broker.stop()
        for _ in range(20):
            await rig.tick()
        assert len(rig.acknowledged()) < len(rig.sent())
        await broker.start()
        await rig.tick()
        await eventually(lambda: rig.acknowledged() == rig.sent(), "the rest of the acknowledgements")
        async with subscriber(broker.port) as client:
            found = await take(client, len(rig.sent()))
    times = [(topic, time_of(document)) for topic, document in found]
    assert list(dict.fromkeys(times)) == rig.sent()


async def test_it_starts_without_a_broker_and_delivers_when_one_comes(tmp_path: Path) -> None:
    broker = MosquittoBroker(tmp_path / "broker")
    rig = Rig(tmp_path, broker.port)
    async with publishing(rig):
        await rig.tick()
        await broker.start()
        await eventually(lambda: len(rig.acknowledged()) == 2, "both acknowledgements")
    await broker.kill()


async def test_a_full_queue_gives_up_the_oldest_and_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path, free_port(), queue_messages=6)
    async with publishing(rig):
        for _ in range(5):
            await rig.tick()
    dropped = [(line["topic"], line["dropped"]) for line in rig.lines("dropped")]
    assert dropped == rig.sent()[:4]
    assert rig.acknowledged() == []

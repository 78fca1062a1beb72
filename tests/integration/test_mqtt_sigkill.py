"""The ingest process is shot or stopped while messages come: every one is stored once, and soon."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edged.supervise import start_task
from tests.integration.brokers import mosquitto_broker
from tests.integration.mqtt_ingest_process import RESULTS_TOPIC, SAMPLES_TOPIC

pytestmark = pytest.mark.mosquitto

SCRIPT = Path(__file__).with_name("mqtt_ingest_process.py")
ROUNDS = 8
FIRST_STAMP = 1_767_225_600_000
SETTLE_SECONDS = 30.0
STOPPED_SECONDS = 20.0
"""Four times the keep-alive: the broker has hung up."""
RETURN_SECONDS = 5.0
"""From the end of a disturbance to data; two keep-alives take twice as long."""


class Equipment:
    """Publishes numbered samples and numbered results until it is told to stop."""

    def __init__(self) -> None:
        self.published = 0

    async def run(self, port: int, stop: asyncio.Event) -> None:
        async with aiomqtt.Client("127.0.0.1", port, identifier="equipment") as client:
            while not stop.is_set():
                number = self.published
                sample = {"timestamp": FIRST_STAMP + number, "number": number}
                unit = {"timestamp": FIRST_STAMP + number, "unit_id": f"U{number}", "passed": True}
                await client.publish(SAMPLES_TOPIC, json.dumps(sample), qos=1)
                await client.publish(RESULTS_TOPIC, json.dumps(unit), qos=1)
                self.published += 1
                await asyncio.sleep(0.001)


async def make_session(port: int) -> None:
    """The session exists before the first message, so that none goes by unheard."""
    lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    lasting.SessionExpiryInterval = 3600
    async with aiomqtt.Client(
        "127.0.0.1",
        port,
        identifier="ingest",
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=lasting,
    ) as client:
        await client.subscribe([(SAMPLES_TOPIC, SubscribeOptions(qos=1)), (RESULTS_TOPIC, SubscribeOptions(qos=1))])


async def start(port: int, database: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), str(port), str(database))


def stored(database: Path) -> tuple[Counter[int], Counter[str]]:
    if not database.exists():
        return Counter(), Counter()
    connection = sqlite3.connect(database)
    try:
        numbers = Counter(row[0] for row in connection.execute("SELECT number FROM samples"))
        units = Counter(row[0] for row in connection.execute("SELECT unit FROM results"))
    except sqlite3.OperationalError:
        return Counter(), Counter()
    finally:
        connection.close()
    return numbers, units


async def until_stored(database: Path, count: int, seconds: float = SETTLE_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if min(len(found) for found in stored(database)) >= count:
                return
            await asyncio.sleep(0.05)


async def test_shot_at_random_nothing_is_lost_and_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(7)
    database = tmp_path / "road.sqlite"
    async with mosquitto_broker(tmp_path / "broker") as broker:
        await make_session(broker.port)
        process = await start(broker.port, database)
        equipment, stop = Equipment(), asyncio.Event()
        publishing = start_task("equipment", equipment.run(broker.port, stop))
        for _ in range(ROUNDS):
            await until_stored(database, min(len(found) for found in stored(database)) + 30)
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            process.kill()
            await process.wait()
            process = await start(broker.port, database)
        stop.set()
        await publishing
        await until_stored(database, equipment.published)
        await asyncio.sleep(0.3)
        process.kill()
        await process.wait()
    numbers, units = stored(database)
    assert equipment.published > ROUNDS * 30
    assert numbers == Counter(range(equipment.published))
    assert units == Counter(f"U{number}" for number in range(equipment.published))


async def test_stopped_beyond_the_keep_alive_it_is_back_at_once(tmp_path: Path) -> None:
    database = tmp_path / "road.sqlite"
    async with mosquitto_broker(tmp_path / "broker") as broker:
        await make_session(broker.port)
        process = await start(broker.port, database)
        equipment, stop = Equipment(), asyncio.Event()
        publishing = start_task("equipment", equipment.run(broker.port, stop))
        await until_stored(database, 100)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(STOPPED_SECONDS)
        process.send_signal(signal.SIGCONT)
        await until_stored(database, equipment.published, RETURN_SECONDS)
        stop.set()
        await publishing
        await until_stored(database, equipment.published)
        process.kill()
        await process.wait()
    assert stored(database)[0] == Counter(range(equipment.published))

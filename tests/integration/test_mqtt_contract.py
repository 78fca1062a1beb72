"""The MQTT connector keeps the contract of every kind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from edged.clock import SystemClock
from edged.ports import Connector
from edged.registry import Binding, SourceSetup
from edged.settings import BrokerSettings
from edged.types import Seal, Signal
from edged_connectors.south.mqtt import KIND
from edged_connectors.south.mqtt_options import MqttAddress, MqttOptions, Protocol
from tests.integration.brokers import MosquittoBroker, mosquitto_broker
from tests.integration.connector_contract import ConnectorContract

pytestmark = pytest.mark.mosquitto

TOPIC = "works/line/test"


class MqttRig:
    """Equipment that publishes through a real broker."""

    reading = "line_a/test/reading"
    writable: str | None = None
    absent: str | None = None
    refuses_at_connect = False
    loss_seconds = 3.0
    pace_seconds = 0.0

    def __init__(self, broker: MosquittoBroker, protocol: Protocol, folder: Path) -> None:
        self.broker = broker
        self.seal = Seal()
        options = MqttOptions(
            broker=BrokerSettings(port=broker.port),
            protocol=protocol,
            client_id="contract",
            timestamp_path="$.timestamp",
            keep_alive_seconds=1,
        )
        bindings = (Binding(Signal(self.reading, "1"), MqttAddress(topic=TOPIC, path="$.reading")),)
        self.setup = SourceSetup("cold_end", options, bindings, SystemClock(), self.seal, folder)

    def build(self) -> Connector:
        return KIND.build(self.setup)

    async def change(self, value: float) -> None:
        document = {"timestamp": SystemClock().now() // 1_000_000, "reading": value}
        async with aiomqtt.Client("127.0.0.1", self.broker.port) as client:
            await client.publish(TOPIC, json.dumps(document), qos=1)

    async def held(self) -> float:
        raise NotImplementedError

    async def break_off(self) -> None:
        await self.broker.kill()

    async def restore(self) -> None:
        await self.broker.start()


class TestMqtt5(ConnectorContract):
    """MQTT 5."""

    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[MqttRig]:
        async with mosquitto_broker(tmp_path / "broker") as broker:
            yield MqttRig(broker, Protocol.V5, tmp_path)


class TestMqtt311(ConnectorContract):
    """MQTT 3.1.1."""

    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[MqttRig]:
        async with mosquitto_broker(tmp_path / "broker") as broker:
            yield MqttRig(broker, Protocol.V311, tmp_path)

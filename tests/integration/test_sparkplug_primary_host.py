"""Births wait for the primary host, and what it may have missed is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edged.settings import BrokerSettings
from edged.types import Lane
from edged_connectors.north.host import HostState
from edged_connectors.north.rules import SparkplugRules
from tests.integration.brokers import mosquitto_broker
from tests.integration.sparkplug_bench import Bench, arrived, bdseq_of, offered
from tests.integration.sparkplug_host import RecordingHost, recording_host
from tests.unit.connectors.sparkplug_line import TEMPERATURE

pytestmark = pytest.mark.mosquitto
HOST = "scada"
DEVICES = 3
SETTLE_SECONDS = 0.3
Speak = Callable[[RecordingHost, bool, int], Awaitable[None]]


async def modern(host: RecordingHost, online: bool, moment: int) -> None:
    await host.state(HOST, online=online, timestamp=1_790_000_000_000 + moment)


async def legacy(host: RecordingHost, online: bool, moment: int) -> None:
    await host.state(HOST, online=online, timestamp=None)


def broken_rules(host: RecordingHost) -> list[object]:
    rules = SparkplugRules()
    return [
        violation
        for message in host.heard
        for violation in rules.check(message.topic, message.payload, retain=message.retain or None, qos=message.qos)
    ]


@pytest.mark.parametrize("speak", [modern, legacy], ids=["json", "legacy"])
async def test_births_wait_offline_stores_and_the_doubtful_is_sent_again(tmp_path: Path, speak: Speak) -> None:
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        bench = Bench(tmp_path, [BrokerSettings(port=broker.port)], primary_host=HOST)
        async with bench.running():
            bench.put((TEMPERATURE, 1.0))
            await host.until(lambda: bench.node.status().broker != "")
            await asyncio.sleep(SETTLE_SECONDS)
            assert host.of("NBIRTH") == []
            assert bench.node.status().host == HostState.UNKNOWN

            await speak(host, True, 1)
            await host.until(lambda: len(host.of("DBIRTH")) == DEVICES and bench.sink.depth(Lane.PROCESS) == 0)
            bench.put((TEMPERATURE, 2.0))
            await host.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)

            await speak(host, False, 1)
            await host.until(lambda: len(host.of("NDEATH")) == 1)
            bench.put((TEMPERATURE, 3.0))
            await host.until(lambda: bench.node.status().host == HostState.OFFLINE)
            await asyncio.sleep(SETTLE_SECONDS)
            assert len(host.of("NBIRTH")) == 1
            assert bench.sink.depth(Lane.PROCESS) == 3
            heard_before = len(host.heard)

            await speak(host, True, 2)
            await host.until(lambda: len(host.of("DBIRTH")) == 2 * DEVICES)
            await host.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)
            await host.until(lambda: len(again(host, heard_before)) == 3)
        await host.until(lambda: len(host.of("NDEATH")) == 2)
    assert again(host, heard_before) == [(1.0, True), (2.0, True), (3.0, True)]
    assert offered(bench) == arrived(host)
    assert [bdseq_of(message) for message in host.of("NBIRTH")] == [bdseq_of(message) for message in host.of("NDEATH")]
    assert bench.node.status().sent_again == 2
    assert broken_rules(host) == []


def again(host: RecordingHost, start: int) -> list[tuple[float, bool]]:
    """(value, historical) of the data since then."""
    return [
        (metric.double_value, metric.is_historical)
        for message in host.heard[start:]
        if message.kind == "DDATA"
        for metric in message.decoded().metrics
    ]


async def test_a_host_that_is_there_already_is_not_waited_for(tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        await modern(host, True, 1)
        await host.send("STATE/other", "OFFLINE", retain=True)
        bench = Bench(tmp_path, [BrokerSettings(port=broker.port)], primary_host=HOST)
        async with bench.running():
            await host.until(lambda: len(host.of("DBIRTH")) == DEVICES)
        assert bench.node.status().sent_again == 0


async def test_the_node_walks_to_the_broker_where_the_host_is(tmp_path: Path) -> None:
    async with (
        mosquitto_broker(tmp_path / "one") as one,
        mosquitto_broker(tmp_path / "two") as two,
        recording_host(one.port) as first,
        recording_host(two.port) as second,
    ):
        await modern(first, False, 1)
        await modern(second, True, 1)
        brokers = [BrokerSettings(port=one.port), BrokerSettings(port=two.port)]
        bench = Bench(tmp_path, brokers, primary_host=HOST)
        bench.put((TEMPERATURE, 1.0))
        async with bench.running():
            await second.until(lambda: offered(bench) <= arrived(second), 20)
        assert first.of("NBIRTH") == []

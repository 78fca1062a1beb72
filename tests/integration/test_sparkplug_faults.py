"""What breaks: the process, the broker, the link in the worst moment. Nothing confirmed is ever lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edged.errors import SourceUnreachable
from edged.settings import BrokerSettings
from edged.types import Lane
from edged_connectors.north.rules import SparkplugRules
from tests.integration.brokers import MosquittoBroker, free_port, mosquitto_broker
from tests.integration.cuttable_link import cuttable_link
from tests.integration.sparkplug_bench import Bench, arrived, bdseq_of, offered
from tests.integration.sparkplug_host import RecordingHost, recording_host
from tests.unit.connectors.sparkplug_line import TEMPERATURE

pytestmark = pytest.mark.mosquitto
OUTAGE_SECONDS = 5.0
TICK_SECONDS = 0.05
DEVICES = 3


def confirmed_values(bench: Bench) -> set[tuple[str, int, object]]:
    """(path, ms, value) of every batch of one value that the sink holds as confirmed."""
    rows = [bench.put_in[seq - 1] for seq in bench.sink.confirmed]
    return {(row.signal, row.source_time // 1_000_000, row.value) for row in rows}


async def feed(bench: Bench, seconds: float) -> None:
    """One batch of one value per tick."""
    for _ in range(round(seconds / TICK_SECONDS)):
        bench.put((TEMPERATURE, float(len(bench.put_in))))
        await asyncio.sleep(TICK_SECONDS)


def seq_is_unbroken(host: RecordingHost) -> bool:
    rules = SparkplugRules()
    return not [
        violation
        for message in host.heard
        for violation in rules.check(message.topic, message.payload, retain=message.retain, qos=message.qos)
    ]


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
async def test_a_broker_outage_loses_nothing(tmp_path: Path, clean: bool) -> None:
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        bench = Bench(tmp_path, [BrokerSettings(port=broker.port)])
        async with bench.running():
            await feed(bench, 1.0)
            await (broker.stop() if clean else broker.kill())
            await feed(bench, OUTAGE_SECONDS)
            await broker.start()
            await feed(bench, 1.0)
            await host.until(lambda: bench.sink.depth(Lane.PROCESS) == 0, 20)
            await host.until(lambda: len(host.of("NBIRTH")) >= 2)
        await host.until(lambda: bool(host.of("NDEATH")))
    missing = offered(bench) - arrived(host, by_birth=True)
    assert missing == set()
    assert bench.node.status().historical > OUTAGE_SECONDS / TICK_SECONDS * 0.8


async def test_a_fence_never_confirms_what_the_link_swallowed(tmp_path: Path) -> None:
    async with (
        mosquitto_broker(tmp_path / "broker") as broker,
        recording_host(broker.port) as host,
        cuttable_link(broker.port) as link,
    ):
        bench = Bench(tmp_path, [BrokerSettings(port=link.port)])
        async with bench.running():
            await host.until(lambda: len(host.of("DBIRTH")) == DEVICES)
            for number in range(5):
                bench.put((TEMPERATURE, float(number)))
                await host.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)
                link.swallowing, link.swallowed = True, 0
                bench.put((TEMPERATURE, number + 0.5))
                await host.until(lambda: link.swallowed > 60)
                confirmed_in_the_dark = bench.sink.depth(Lane.PROCESS) == 0
                link.cut()
                link.swallowing = False
                assert not confirmed_in_the_dark
                await host.until(lambda: confirmed_values(bench) <= arrived(host))
                await host.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)
        await host.until(lambda: offered(bench) <= arrived(host))
    assert seq_is_unbroken(host)
    assert len({bdseq_of(message) for message in host.of("NBIRTH")}) == 6


async def test_the_next_broker_of_the_list_takes_over(tmp_path: Path) -> None:
    async with (
        mosquitto_broker(tmp_path / "one") as one,
        mosquitto_broker(tmp_path / "two") as two,
        recording_host(one.port) as first,
        recording_host(two.port) as second,
    ):
        bench = Bench(tmp_path, [BrokerSettings(port=one.port), BrokerSettings(port=two.port)])
        async with bench.running():
            await feed(bench, 0.5)
            await first.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)
            await one.kill()
            await feed(bench, 1.0)
            await second.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)
            assert bench.node.status().broker == f"127.0.0.1:{two.port}"
            await one.start()
            await two.kill()
            await feed(bench, 1.0)
            await first.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)
    assert offered(bench) <= arrived(first) | arrived(second)
    numbers = [bdseq_of(message) for host in (first, second) for message in host.of("NBIRTH")]
    assert len(set(numbers)) == len(numbers) == 3


async def test_attempts_that_reach_no_broker_use_up_no_bdseq(tmp_path: Path) -> None:
    port = free_port()
    bench = Bench(tmp_path, [BrokerSettings(port=port)])
    for _ in range(3):
        with pytest.raises(SourceUnreachable):
            await bench.node.run()
    assert bench.node.status().bdseq == 0
    assert Bench(tmp_path, [BrokerSettings(port=port)]).node.status().bdseq == 0


async def test_a_frozen_broker_is_given_up_and_found_again(tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        bench = Bench(tmp_path, [BrokerSettings(port=broker.port)])
        async with bench.running():
            await feed(bench, 0.5)
            await host.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)
            await freeze_for(broker, 4.0, bench)
            await host.until(lambda: bench.sink.depth(Lane.PROCESS) == 0, 30)
        await host.until(lambda: offered(bench) <= arrived(host))


async def freeze_for(broker: MosquittoBroker, seconds: float, bench: Bench) -> None:
    broker.freeze()
    try:
        await feed(bench, seconds)
    finally:
        broker.thaw()

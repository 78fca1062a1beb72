"""The node over the real outbox: what was durable reaches the host, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.metrics import Metrics
from edged.outbox import Outbox
from edged.ports import Sink
from edged.settings import BrokerSettings, HistoryOrder, OutboxSettings
from edged.supervise import Supervisor
from edged.tags import Tags
from edged.types import Lane, Sample, Value
from edged_connectors.north.host import hold_seconds
from edged_connectors.north.node import SparkplugNode
from tests.conftest import PROJECT
from tests.integration.brokers import mosquitto_broker
from tests.integration.sparkplug_bench import CLOCK, MILLISECOND, arrived, bdseq_of, node_over, node_settings
from tests.integration.sparkplug_host import RecordingHost, recording_host
from tests.unit.connectors.sparkplug_line import TEMPERATURE

pytestmark = pytest.mark.mosquitto
LIVES = 3


class Line:
    """Outbox, latest values and node, as the daemon puts them together."""

    def __init__(self, outbox: Outbox, folder: Path, port: int, primary_host: str | None, order: HistoryOrder) -> None:
        settings = node_settings([BrokerSettings(port=port)], primary_host=primary_host, history_order=order)
        self._outbox = outbox
        self._tags = Tags()
        self.sink: Sink = outbox.sink("sparkplug", hold_seconds=hold_seconds(settings), lanes=(Lane.PROCESS,))
        self.node: SparkplugNode = node_over(self.sink, self._tags, settings, folder)
        self._stamp = 0

    async def put(self, count: int) -> set[tuple[str, int, Value]]:
        """So many durable values, each at its own millisecond."""
        rows = []
        for _ in range(count):
            self._stamp = max(self._stamp + 1, CLOCK.now() // MILLISECOND)
            time = self._stamp * MILLISECOND
            rows.append(Sample(TEMPERATURE, self._stamp / 7.0, time, time))
        self._tags.update(rows)
        await self._outbox.append("furnace", rows)
        return {(row.signal, row.source_time // MILLISECOND, row.value or 0.0) for row in rows}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with Supervisor(CLOCK) as supervisor:
            supervisor.start("sparkplug", self.node.run)
            yield


@contextlib.asynccontextmanager
async def line(
    folder: Path, port: int, primary_host: str | None = None, order: HistoryOrder = HistoryOrder.LIVE_FIRST
) -> AsyncIterator[Line]:
    settings = OutboxSettings(commit_seconds=0.05)
    outbox = await Outbox.open(folder / "outbox.db", settings, CLOCK, metrics=Metrics())
    try:
        yield Line(outbox, folder, port, primary_host, order)
    finally:
        await outbox.close()


def history(host: RecordingHost) -> list[float]:
    return [
        metric.double_value
        for message in host.of("DDATA")
        for metric in message.decoded().metrics
        if metric.is_historical
    ]


@pytest.mark.parametrize("order", HistoryOrder)
async def test_what_was_stored_without_a_broker_is_history_for_the_next_life(
    tmp_path: Path, order: HistoryOrder
) -> None:
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        put = set()
        async with line(tmp_path, broker.port, order=order) as first:
            for _ in range(20):
                put |= await first.put(50)
        async with line(tmp_path, broker.port, order=order) as second, second.running():
            await host.until(lambda: second.node.status().online)
            put |= await second.put(50)
            await host.until(lambda: second.sink.depth(Lane.PROCESS) == 0)
        await host.until(lambda: put <= arrived(host))
        assert history(host) == sorted(history(host))
        assert len(history(host)) == 1000


async def test_every_durable_value_survives_shots_at_the_process(tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        for life in range(LIVES):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.integration.sparkplug_child", str(broker.port), str(tmp_path), cwd=PROJECT
            )
            try:
                await host.until(lambda: len(host.of("NBIRTH")) == life + 1, 30)  # noqa: B023
                before = len(host.of("DDATA"))
                await host.until(lambda: len(host.of("DDATA")) > before + 5)  # noqa: B023
            finally:
                process.kill()
                await process.wait()
            await host.until(lambda: len(host.of("NDEATH")) == life + 1)  # noqa: B023
        async with line(tmp_path, broker.port) as last, last.running():
            await host.until(lambda: last.node.status().online and last.sink.depth(Lane.PROCESS) == 0)
        await host.until(lambda: journal(tmp_path) <= arrived(host))
    assert len(journal(tmp_path)) > 10 * LIVES
    assert [bdseq_of(message) for message in host.of("NBIRTH")] == list(range(LIVES + 1))
    assert [bdseq_of(message) for message in host.of("NDEATH")] == list(range(LIVES + 1))
    assert all(message.qos == 1 and not message.retain for message in host.of("NDEATH"))


def journal(folder: Path) -> set[tuple[str, int, Value]]:
    """What the children knew to be durable; the last line may be cut off."""
    lines = (folder / "journal").read_text().split("\n")[:-1]
    return {(TEMPERATURE, int(moment), float(value)) for moment, value in (line.split() for line in lines)}


async def test_a_primary_host_gets_again_what_the_broker_had_confirmed_before_it_went(tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        await host.state("scada", online=True, timestamp=1_790_000_000_001)
        async with line(tmp_path, broker.port, primary_host="scada") as only, only.running():
            await host.until(lambda: only.node.status().online)
            put = await only.put(10)
            await host.until(lambda: only.sink.depth(Lane.PROCESS) == 0)
            await host.state("scada", online=False, timestamp=1_790_000_000_001)
            await host.until(lambda: bool(host.of("NDEATH")))
            await host.until(lambda: only.sink.depth(Lane.PROCESS) > 0)
            assert history(host) == []
            await host.state("scada", online=True, timestamp=1_790_000_000_002)
            await host.until(lambda: len(host.of("NBIRTH")) == 2 and only.sink.depth(Lane.PROCESS) == 0)
        await host.until(lambda: len(history(host)) == len(put))
    assert sorted(history(host)) == sorted(value for _, _, value in put)

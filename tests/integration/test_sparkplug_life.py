"""The life of the edge node at a real broker: birth, data, confirmation, rebirth, clean stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from edged.clock import SystemClock
from edged.metrics import Metrics
from edged.settings import BrokerSettings, SparkplugSettings
from edged.types import Lane, Sample, Signal, ValueType
from edged_connectors.north.node import SparkplugNode
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.integration.brokers import mosquitto_broker
from tests.integration.fake_sink import FakeSink
from tests.integration.sparkplug_host import RecordingHost, recording_host

pytestmark = pytest.mark.mosquitto
CLOCK = SystemClock()
SIGNALS = (
    Signal("line_a/furnace/temperature", "degC", low=1200, high=1700, description="crown"),
    Signal("line_a/furnace/zone/1", "degC"),
    Signal("line_a/forming/running", "1", ValueType.BOOL),
    Signal("line_a/forming/count", "1", ValueType.INT),
    Signal("line_a/inspection/last_defect", "1", ValueType.STRING),
)


def stamped(number: int, values: Iterable[tuple[str, float | int | bool | str]]) -> list[Sample]:
    """Samples at whole milliseconds from now on, `number` apart."""
    base = CLOCK.now() // 1_000_000 + number
    return [Sample(path, value, base * 1_000_000, base * 1_000_000) for path, value in values]


@contextlib.asynccontextmanager
async def running(node: SparkplugNode) -> AsyncIterator[asyncio.Task[None]]:
    """The node runs while the block does, then is cancelled and awaited."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(node.run(), name="node")
        try:
            yield task
        finally:
            task.cancel()


def build(port: int, sink: FakeSink, folder: Path, latest: dict[str, Sample] | None = None) -> SparkplugNode:
    settings = SparkplugSettings(brokers=(BrokerSettings(port=port),), publish_period_seconds=0.05)
    held = latest if latest is not None else {}
    return SparkplugNode(settings, "glassworks", "line_a", SIGNALS, sink, held.get, None, CLOCK, Metrics(), folder)


async def test_born_publishes_confirms_and_dies_cleanly(tmp_path: Path) -> None:
    sink = FakeSink()
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        node = build(broker.port, sink, tmp_path)
        sink.append(stamped(0, [("line_a/furnace/temperature", 1500.5)]))
        async with running(node):
            await host.until(lambda: len(host.of("DBIRTH")) == 3)
            sink.append(stamped(1, [("line_a/furnace/temperature", 1501.5), ("line_a/forming/count", -3)]))
            await host.until(lambda: sink.depth(Lane.PROCESS) == 0 and len(host.of("DDATA")) >= 3)
        await host.until(lambda: bool(host.of("NDEATH")))
        kinds = [message.kind for message in host.heard if message.kind]
        assert kinds[:4] == ["NBIRTH", "DBIRTH", "DBIRTH", "DBIRTH"]
        assert kinds[-1] == "NDEATH"
        assert [message.decoded().seq for message in host.heard if message.kind not in ("", "NDEATH")] == list(
            range(len(kinds) - 1)
        )
        assert bdseq_of(host, "NBIRTH") == bdseq_of(host, "NDEATH") == 0


def bdseq_of(host: RecordingHost, kind: str) -> int:
    payload: Payload = host.of(kind)[-1].decoded()
    return next(metric.long_value for metric in payload.metrics if metric.name == "bdSeq")

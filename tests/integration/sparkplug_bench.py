"""A node under supervision over a sink in memory, and the values that a host got from it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from edged.clock import SystemClock
from edged.metrics import Metrics
from edged.ports import ProposalDesk, Sink
from edged.settings import BrokerSettings, HistoryOrder, SparkplugSettings
from edged.supervise import Supervisor
from edged.tags import Tags
from edged.types import Sample, Value
from edged_connectors.north.node import SparkplugNode
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.integration.fake_sink import FakeSink
from tests.integration.sparkplug_host import Heard, RecordingHost
from tests.unit.connectors.sparkplug_line import SIGNALS

MILLISECOND = 1_000_000
KEEP_ALIVE_SECONDS = 2
PERIOD_SECONDS = 0.05
CLOCK = SystemClock()


def node_settings(
    brokers: Sequence[BrokerSettings],
    *,
    primary_host: str | None = None,
    history_order: HistoryOrder = HistoryOrder.LIVE_FIRST,
) -> SparkplugSettings:
    """Quick ones."""
    return SparkplugSettings(
        brokers=tuple(brokers),
        primary_host=primary_host,
        history_order=history_order,
        keep_alive_seconds=KEEP_ALIVE_SECONDS,
        publish_period_seconds=PERIOD_SECONDS,
    )


def node_over(
    sink: Sink, tags: Tags, settings: SparkplugSettings, folder: Path, desk: ProposalDesk | None = None
) -> SparkplugNode:
    """The node of the test line."""
    return SparkplugNode(settings, "glassworks", "line_a", SIGNALS, sink, tags.get, desk, CLOCK, Metrics(), folder)


class Bench:
    """One node; `put` is what bus and outbox would do with a reading."""

    def __init__(
        self,
        folder: Path,
        brokers: Sequence[BrokerSettings],
        *,
        primary_host: str | None = None,
        desk: ProposalDesk | None = None,
        history_order: HistoryOrder = HistoryOrder.LIVE_FIRST,
    ) -> None:
        settings = node_settings(brokers, primary_host=primary_host, history_order=history_order)
        self.sink = FakeSink()
        self.tags = Tags()
        self.put_in: list[Sample] = []
        self._stamp = CLOCK.now() // MILLISECOND
        self.node = node_over(self.sink, self.tags, settings, folder, desk)

    def put(self, *values: tuple[str, Value]) -> None:
        """Commits one batch now; times are whole ms, each its own."""
        rows = []
        for path, value in values:
            self._stamp = max(self._stamp + 1, CLOCK.now() // MILLISECOND)
            rows.append(Sample(path, value, self._stamp * MILLISECOND, self._stamp * MILLISECOND))
        self.tags.update(rows)
        self.sink.append(rows)
        self.put_in += rows

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The node, supervised, while the block runs."""
        async with Supervisor(CLOCK) as supervisor:
            supervisor.start("sparkplug", self.node.run)
            yield


def metrics_of(message: Heard) -> list[Payload.Metric]:
    return list(message.decoded().metrics)


def bdseq_of(message: Heard) -> int:
    return next(metric.long_value for metric in metrics_of(message) if metric.name == "bdSeq")


def arrived(host: RecordingHost, *, by_birth: bool = False) -> set[tuple[str, int, Value]]:
    """(path, ms, value) of every value that the host got in data, and in births if asked for."""
    paths: dict[int, str] = {}
    found: set[tuple[str, int, Value]] = set()
    for message in host.heard:
        if message.kind == "DBIRTH":
            paths |= {metric.alias: f"line_a/{message.device}/{metric.name}" for metric in metrics_of(message)}
        if message.kind == "DDATA" or (by_birth and message.kind == "DBIRTH"):
            for metric in metrics_of(message):
                kind = metric.WhichOneof("value")
                if kind is not None:
                    found.add((paths[metric.alias], metric.timestamp, getattr(metric, kind)))
    return found


def offered(bench: Bench) -> set[tuple[str, int, Value]]:
    """(path, ms, value) of everything that was put in."""
    return {(row.signal, row.source_time // MILLISECOND, row.value) for row in bench.put_in if row.value is not None}

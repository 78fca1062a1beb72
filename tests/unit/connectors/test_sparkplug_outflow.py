"""What leaves in which order and how fast, and what a fence does and does not confirm."""

from __future__ import annotations

import pytest

from edged.clock import VirtualClock
from edged.errors import SourceLost
from edged.metrics import Metrics
from edged.settings import BrokerSettings, HistoryOrder, SparkplugSettings
from edged.types import Lane
from edged_connectors.north.history import Pace
from edged_connectors.north.outflow import Outflow
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.integration.fake_sink import FakeSink
from tests.unit.connectors.sparkplug_line import TEMPERATURE, LineNode, sample

FENCE = "edged/glassworks/line_a/fence"
RATE = 1000


class FakeBroker:
    """Takes messages until it is told to break, before or behind a fence."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, int]] = []
        self.breaks_at_data = False
        self.breaks_at_fence = False

    def send(self, topic: str, payload: bytes) -> None:
        if self.breaks_at_data:
            raise SourceLost("broken")
        self.taken.append((topic, payload, 0))

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        if self.breaks_at_fence:
            raise SourceLost("broken")
        self.taken.append((topic, payload, qos))

    def values(self) -> list[tuple[float, bool]]:
        """(value, historical) in the order of arrival."""
        return [
            (metric.double_value, metric.is_historical)
            for topic, payload, _ in self.taken
            if topic != FENCE
            for metric in Payload.FromString(payload).metrics
        ]


class Bench:
    """An outflow over a fake sink and broker, in virtual time."""

    def __init__(self, order: HistoryOrder = HistoryOrder.LIVE_FIRST) -> None:
        settings = SparkplugSettings(
            brokers=(BrokerSettings(),),
            history_order=order,
            history_samples_per_second=RATE,
            publish_period_seconds=0.1,
        )
        self.clock = VirtualClock()
        self.sink = FakeSink()
        self.broker = FakeBroker()
        node = LineNode(latest=[sample(TEMPERATURE, 0.0, -1)])
        node.births()
        self.metrics = Metrics()
        self.outflow = Outflow(settings, self.sink, node.encoder, node.topics, self.clock, self.metrics)

    def commit(self, *values: float) -> None:
        self.sink.append([sample(TEMPERATURE, value, round(value)) for value in values])

    def connect(self) -> None:
        self.sink.reopen()
        self.outflow.connected(self.broker)


async def test_live_goes_first_and_the_fence_behind_both_confirms_both() -> None:
    bench = Bench()
    bench.commit(1, 2)
    bench.connect()
    bench.commit(3)
    await bench.outflow.round()
    assert bench.broker.values() == [(3, False), (1, True), (2, True)]
    assert bench.broker.taken[-1][0] == FENCE
    assert [qos for *_, qos in bench.broker.taken] == [0, 0, 1]
    assert bench.sink.depth(Lane.PROCESS) == 0
    assert (bench.outflow.published, bench.outflow.historical, bench.outflow.confirmed) == (1, 2, 3)


async def test_in_order_the_backlog_leaves_before_anything_live() -> None:
    bench = Bench(HistoryOrder.IN_ORDER)
    for value in range(1, 2 * RATE):
        bench.commit(value)
    bench.connect()
    bench.commit(2 * RATE)
    rounds = 0
    while bench.sink.depth(Lane.PROCESS):
        await bench.outflow.round()
        bench.clock.tick(0.1)
        rounds += 1
    values = [value for value, _ in bench.broker.values()]
    assert values == sorted(values)
    assert len(values) == 2 * RATE
    assert bench.broker.values()[-1] == (2 * RATE, False)
    assert rounds > 10


async def test_backlog_leaves_no_faster_than_the_setting() -> None:
    bench = Bench()
    for value in range(1, 5 * RATE, 5):
        bench.commit(*range(value, value + 5))
    bench.connect()
    for _ in range(20):
        await bench.outflow.round()
        bench.clock.tick(0.1)
    assert bench.outflow.historical <= 2 * RATE + 200
    assert bench.outflow.historical >= 2 * RATE - 200


async def test_without_an_acknowledged_fence_nothing_is_confirmed_and_all_is_sent_again_as_history() -> None:
    bench = Bench()
    bench.connect()
    bench.commit(1)
    bench.broker.breaks_at_fence = True
    with pytest.raises(SourceLost):
        await bench.outflow.round()
    assert bench.broker.values() == [(1, False)]
    assert bench.sink.confirmed == set()
    bench.outflow.abandon()
    bench.broker = FakeBroker()
    bench.connect()
    await bench.outflow.round()
    assert bench.broker.values() == [(1, True)]
    assert bench.sink.confirmed == {1}


async def test_a_connection_lost_in_the_middle_of_the_data_loses_nothing() -> None:
    bench = Bench()
    bench.connect()
    bench.commit(1)
    bench.broker.breaks_at_data = True
    with pytest.raises(SourceLost):
        await bench.outflow.round()
    bench.outflow.abandon()
    bench.broker = FakeBroker()
    bench.connect()
    bench.commit(2)
    await bench.outflow.round()
    assert bench.broker.values() == [(2, False), (1, True)]
    assert bench.sink.depth(Lane.PROCESS) == 0


async def test_an_idle_round_sends_nothing() -> None:
    bench = Bench()
    bench.connect()
    await bench.outflow.round()
    assert bench.broker.taken == []


async def test_values_that_are_not_as_configured_are_counted_and_do_not_stop_the_others() -> None:
    bench = Bench()
    bench.connect()
    bench.sink.append([sample(TEMPERATURE, "hot", 1), sample("line_a/nowhere/x", 1.0, 2), sample(TEMPERATURE, 3.0, 3)])
    await bench.outflow.round()
    await bench.outflow.round()
    text = bench.metrics.render().decode()
    assert 'edged_sparkplug_unfit_values_total{reason="mistyped"} 1.0' in text
    assert 'edged_sparkplug_unfit_values_total{reason="not_configured"} 1.0' in text
    assert bench.broker.values()[-1] == (3.0, False)
    assert bench.sink.depth(Lane.PROCESS) == 0


def test_the_pace_pays_its_debts() -> None:
    pace = Pace(100.0, 1.0, now=0.0)
    assert pace.open(0.0)
    pace.spend(300)
    assert not pace.open(1.9)
    assert pace.open(2.1)
    assert pace.open(1000.0)
    pace.spend(101)
    assert not pace.open(1000.0)

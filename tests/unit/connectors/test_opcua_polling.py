"""The polling mode on virtual time, with a scripted session."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from asyncua import ua

from edged.clock import VirtualClock
from edged.ports import Reading
from edged.types import Signal
from edged_connectors.south.opcua_items import Item
from edged_connectors.south.opcua_options import NodeReference, OpcUaOptions
from edged_connectors.south.opcua_reader import RETRY_SECONDS, PollingCycle
from edged_connectors.south.opcua_session import Session
from edged_connectors.south.opcua_values import to_float

PERIOD_SECONDS = 2.0
ITEMS = [
    Item(Signal(f"line_a/plc/{name}", "1"), NodeReference(f"s={name}", None, 1), 50.0, 24, to_float)
    for name in ("a", "b")
]


class ScriptedSession(Session):
    """A session without a server: answers reads as told."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(OpcUaOptions(endpoint="opc.tcp://127.0.0.1:1/"), lambda _: None)
        self.codes: dict[str, int] = {}
        self.reads: list[list[str]] = []
        self.takes_seconds = 0.0
        self._timer = clock

    async def read(self, nodes: Sequence[ua.NodeId], attribute: ua.AttributeIds = ua.AttributeIds.Value) -> list[Any]:
        names = [str(node.Identifier) for node in nodes]
        self.reads.append(names)
        if self.takes_seconds:
            await self._timer.sleep(self.takes_seconds)
        return [ua.DataValue(ua.Variant(1.0), StatusCode=ua.StatusCode(self.codes.get(name, 0))) for name in names]

    async def read_namespaces(self) -> None:
        return


async def read_for(clock: VirtualClock, cycle: PollingCycle, seconds: float) -> list[Reading]:
    """What the cycle brings in that time."""
    readings: list[Reading] = []

    async def read() -> None:
        while True:
            readings.append(await cycle.read())

    task = asyncio.get_running_loop().create_task(read())
    await clock.advance(seconds)
    task.cancel()
    await asyncio.wait({task})
    return readings


async def test_every_period_brings_every_signal() -> None:
    clock = VirtualClock()
    session = ScriptedSession(clock)
    cycle = PollingCycle(session, ITEMS, clock, PERIOD_SECONDS)
    assert [status.accepted for status in await cycle.start()] == [True, True]
    readings = await read_for(clock, cycle, 10.0)
    assert [len(reading.samples) for reading in readings] == [2] * 6


async def test_a_slow_server_is_not_asked_twice_at_once() -> None:
    clock = VirtualClock()
    session = ScriptedSession(clock)
    cycle = PollingCycle(session, ITEMS, clock, PERIOD_SECONDS)
    await cycle.start()
    session.takes_seconds = 5.0
    readings = await read_for(clock, cycle, 21.0)
    assert 4 <= len(readings) <= 5


async def test_a_refused_node_is_asked_for_once_a_minute_and_comes_back() -> None:
    clock = VirtualClock()
    session = ScriptedSession(clock)
    session.codes["b"] = ua.StatusCodes.BadNodeIdUnknown
    cycle = PollingCycle(session, ITEMS, clock, PERIOD_SECONDS)
    assert [(s.accepted, s.reason) for s in await cycle.start()] == [(True, ""), (False, "BadNodeIdUnknown")]
    readings = await read_for(clock, cycle, RETRY_SECONDS * 2 + 1)
    assert sum("b" in names for names in session.reads) == 3
    assert all(len(reading.samples) == 1 for reading in readings)
    session.codes.clear()
    readings = await read_for(clock, cycle, RETRY_SECONDS + PERIOD_SECONDS)
    assert len(readings[-1].samples) == 2
    readings = await read_for(clock, cycle, PERIOD_SECONDS * 2)
    assert all(len(reading.samples) == 2 for reading in readings)

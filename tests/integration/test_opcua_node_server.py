"""The OPC UA source against a server of another hand (node-opcua), which asyncua alone does not survive stalling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from bench import nodejs
from edged.clock import SystemClock
from edged.types import Command, Quality
from edged_connectors.south.opcua_connector import OpcUaConnector
from edged_connectors.south.opcua_limits import OperationLimits, Service, limits_of
from edged_connectors.south.opcua_memory import LimitsFile
from tests.integration.cuttable_link import cuttable_link
from tests.integration.opcua_rig import ServerProcess, setup_of, signal_of
from tests.integration.recording_road import RecordingRoad
from tests.integration.source_at_work import (
    counters,
    fresh,
    good,
    lost_and_doubled,
    missing_steps,
    running,
    settled_gaps,
)

RETURN_SECONDS = 5.0
LIMIT = 7

pytestmark = pytest.mark.node


class NodeServer(ServerProcess):
    """A node-opcua server process."""

    def command(self, arguments: Sequence[str]) -> list[str]:
        return [str(nodejs.program()), str(nodejs.PEERS / "node_opcua_server.js"), str(self.port), *arguments]


@pytest.fixture(autouse=True)
def installed() -> None:
    """Without Node.js and its packages there is nothing to test against."""
    lacking = nodejs.missing("node-opcua")
    if lacking:
        pytest.skip(f"{lacking} is not installed")


@pytest.fixture
async def server() -> AsyncIterator[NodeServer]:
    """A counting server with small limits that it does not tell."""
    process = NodeServer("--limit", str(LIMIT), "--hide-limits")
    await process.start()
    yield process
    await process.kill()


async def test_every_count_arrives_and_the_limit_is_learned(server: NodeServer, tmp_path: Path) -> None:
    road = RecordingRoad()
    async with running(setup_of(server.endpoint, counters(20), tmp_path), road) as runner:
        await road.until(lambda: good(road) > 600)
        assert runner.status().accepted == 20
    assert limits_of(server.endpoint).of(Service.MONITOR) <= LIMIT
    again = OperationLimits()
    await LimitsFile(tmp_path, "plc", server.endpoint).load(again)
    assert again.of(Service.MONITOR) <= LIMIT
    assert not road.gaps
    for signal in counters(20):
        assert not missing_steps(road, signal.path)


async def test_data_flows_again_after_a_stall_of_three_seconds(server: NodeServer, tmp_path: Path) -> None:
    road = RecordingRoad()
    async with running(setup_of(server.endpoint, counters(20), tmp_path), road):
        await road.until(lambda: good(road) > 200)
        server.stall()
        await asyncio.sleep(3.0)
        server.go_on()
        assert await fresh(road) < RETURN_SECONDS
        before = len(road.samples)
        await road.until(lambda: len(road.samples) > before + 1000)
        assert {s.signal for s in road.samples[before:]} == {s.path for s in counters(20)}


async def test_data_flows_again_after_a_stall_beyond_the_silence(server: NodeServer, tmp_path: Path) -> None:
    road = RecordingRoad()
    async with running(setup_of(server.endpoint, counters(20), tmp_path), road, silence_seconds=1.0) as runner:
        await road.until(lambda: good(road) > 200)
        server.stall()
        await road.until(lambda: road.samples[-1].reason == "source_offline", 3.0)
        await asyncio.sleep(2.0)
        server.go_on()
        assert await fresh(road) < RETURN_SECONDS
        before = len(road.samples)
        await road.until(lambda: len(road.samples) > before + 1000)
        assert runner.online
        await road.until(lambda: bool(road.gaps))


async def test_a_cut_connection_is_filled_from_the_history(tmp_path: Path) -> None:
    process = NodeServer("--history", "2000")
    await process.start()
    road = RecordingRoad()
    try:
        async with cuttable_link(process.port) as link:
            setup = setup_of(f"opc.tcp://127.0.0.1:{link.port}/", counters(20), tmp_path)
            async with running(setup, road):
                await road.until(lambda: good(road) > 200)
                link.broken = True
                link.cut()
                await asyncio.sleep(1.0)
                link.broken = False
                await road.until(lambda: settled_gaps(road) == 1)
                before = len(road.samples)
                await road.until(lambda: len(road.samples) > before + 100)
    finally:
        await process.kill()
    assert road.restored
    assert not road.gaps
    assert lost_and_doubled(road.samples, counters(20)) == (0, 0)


async def test_a_set_point_is_written_in_the_type_of_the_node(server: NodeServer, tmp_path: Path) -> None:
    setpoint = signal_of("setpoint", writable=True)
    setup = setup_of(server.endpoint, [setpoint], tmp_path)
    connector = OpcUaConnector(setup)
    try:
        await connector.connect()
        now = SystemClock().monotonic()
        await connector.write(Command(setpoint.path, 42.5, "test", now, now + 5.0, "d", setup.seal))
        samples = (await connector.poll([setpoint.path])).samples
        assert [(s.value, s.quality) for s in samples] == [(42.5, Quality.GOOD)]
    finally:
        await connector.close()

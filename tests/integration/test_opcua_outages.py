"""The OPC UA source through the runner against real servers that die, stall, come back changed or refuse us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.types import NANOSECONDS_PER_SECOND, Quality
from edged_connectors.south.status import SourceState
from tests.integration.opcua_rig import NAMESPACE, ServerProcess, setup_of, signal_of
from tests.integration.recording_road import RecordingRoad
from tests.integration.source_at_work import counters, fresh, good, missing_steps, running

RETURN_SECONDS = 5.0
STOP_SECONDS = 4.0
COUNTERS = ("--counters", "20", "--period-seconds", "0.05")


@pytest.fixture
async def server() -> AsyncIterator[ServerProcess]:
    """A counting server."""
    process = ServerProcess(*COUNTERS)
    await process.start()
    yield process
    await process.kill()


async def test_every_count_arrives_once_and_in_order(server: ServerProcess, tmp_path: Path) -> None:
    road = RecordingRoad()
    async with running(setup_of(server.endpoint, counters(20), tmp_path), road):
        await road.until(lambda: len(road.samples) > 600)
    for signal in counters(20):
        assert not missing_steps(road, signal.path)
    assert not road.gaps


async def test_a_killed_server_is_read_again_soon_after_its_return(server: ServerProcess, tmp_path: Path) -> None:
    road = RecordingRoad()
    async with running(setup_of(server.endpoint, counters(20), tmp_path), road) as runner:
        await road.until(lambda: good(road) > 200)
        await server.kill()
        await road.until(lambda: road.samples[-1].reason == "source_offline")
        died = max(s.receive_time for s in road.samples if s.quality == Quality.GOOD)
        await asyncio.sleep(3.0)
        await server.start()
        assert await fresh(road) < RETURN_SECONDS
        back = min(s.receive_time for s in road.samples if s.quality == Quality.GOOD and s.receive_time > died)
        await road.until(lambda: bool(road.gaps))
        assert runner.status().sessions == 2
    assert sum(s.reason == "source_offline" for s in road.samples) == 20
    (gap,) = road.gaps
    assert (gap.source, gap.reason) == ("plc", "source_lost")
    assert died - NANOSECONDS_PER_SECOND <= gap.start <= died
    assert gap.end == back


async def test_a_short_stall_loses_nothing_and_rebuilds_nothing(server: ServerProcess, tmp_path: Path) -> None:
    road = RecordingRoad()
    async with running(setup_of(server.endpoint, counters(20), tmp_path), road) as runner:
        await road.until(lambda: good(road) > 200)
        server.stall()
        await asyncio.sleep(3.0)
        server.go_on()
        assert await fresh(road) < RETURN_SECONDS
        await road.until(lambda: good(road) > 800)
        assert runner.status().sessions == 1
    for signal in counters(20):
        assert not missing_steps(road, signal.path)


async def test_a_stall_beyond_the_silence_rebuilds_the_connection(server: ServerProcess, tmp_path: Path) -> None:
    road = RecordingRoad()
    async with running(setup_of(server.endpoint, counters(20), tmp_path), road, silence_seconds=1.5) as runner:
        await road.until(lambda: good(road) > 200)
        server.stall()
        await road.until(lambda: road.samples[-1].reason == "source_offline", 3.0)
        await asyncio.sleep(2.0)
        server.go_on()
        assert await fresh(road) < RETURN_SECONDS
        status = runner.status()
        assert "SourceSilent" in {fault.kind for fault in status.faults}
        assert status.sessions >= 2
        before = len(road.samples)
        await road.until(lambda: len(road.samples) > before + 600)
    for start, end in missing_steps(road, counters(1)[0].path):
        assert any(gap.start <= start and end <= gap.end + NANOSECONDS_PER_SECOND for gap in road.gaps)


async def test_namespaces_in_another_order_after_a_restart_do_no_harm(tmp_path: Path) -> None:
    process = ServerProcess("--namespaces", f"urn:other,{NAMESPACE}", *COUNTERS)
    await process.start()
    road = RecordingRoad()
    try:
        async with running(setup_of(process.endpoint, counters(20), tmp_path), road) as runner:
            await road.until(lambda: good(road) > 100)
            await process.kill()
            await process.start("--namespaces", f"{NAMESPACE},urn:other", *COUNTERS)
            await fresh(road)
            assert runner.status().accepted == 20
    finally:
        await process.kill()


async def test_one_missing_node_among_three_hundred_harms_no_other(tmp_path: Path) -> None:
    process = ServerProcess("--counters", "300", "--period-seconds", "0.2")
    await process.start()
    road = RecordingRoad()
    signals = [*counters(300), signal_of("nowhere")]
    try:
        async with running(setup_of(process.endpoint, signals, tmp_path), road) as runner:
            await road.until(lambda: len({s.signal for s in road.samples if s.quality == Quality.GOOD}) == 300)
            status = runner.status()
            assert (status.accepted, [(s.signal, s.reason) for s in status.refused]) == (
                300,
                [("line_a/test/nowhere", "BadNodeIdUnknown")],
            )
            (bad,) = road.of("line_a/test/nowhere")
            assert (bad.value, bad.quality) == (None, Quality.BAD)
    finally:
        await process.kill()


async def test_a_server_that_is_away_at_the_start_is_found_when_it_comes(tmp_path: Path) -> None:
    process = ServerProcess(*COUNTERS)
    road = RecordingRoad()
    async with running(setup_of(process.endpoint, counters(3), tmp_path), road) as runner:
        await road.until(lambda: any(s.reason == "source_offline" for s in road.samples))
        assert "SourceUnreachable" in runner.status().last_fault
        await process.start()
        try:
            assert await fresh(road) < RETURN_SECONDS
        finally:
            await process.kill()


async def test_a_stop_while_connecting_to_a_stalled_server_leaves_nothing_behind(
    server: ServerProcess, tmp_path: Path
) -> None:
    server.stall()
    road = RecordingRoad()
    async with running(setup_of(server.endpoint, counters(3), tmp_path), road) as runner:
        await asyncio.sleep(0.5)
        assert runner.status().state is SourceState.CONNECTING
    assert not road.samples


async def test_a_stop_while_the_server_is_stalled_is_bounded(server: ServerProcess, tmp_path: Path) -> None:
    road = RecordingRoad()
    async with running(setup_of(server.endpoint, counters(3), tmp_path), road):
        await road.until(lambda: good(road) > 0)
        server.stall()
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < STOP_SECONDS

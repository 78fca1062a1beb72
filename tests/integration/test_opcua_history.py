"""What a server kept while the connection was down: it fills the gap, and only what it lacks remains (CARD2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edged.types import Quality
from edged_connectors.south.opcua_history import SETTLE_SECONDS
from tests.integration.cuttable_link import CuttableLink, cuttable_link
from tests.integration.opcua_rig import ServerProcess, setup_of
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

COUNTERS = 20
COUNTING = ("--counters", str(COUNTERS), "--period-seconds", "0.05")
CUT_SECONDS = 1.0


class Cut:
    """A source behind a link that is cut once, long enough that values are lost."""

    def __init__(self, server: ServerProcess, link: CuttableLink, road: RecordingRoad) -> None:
        self.server = server
        self.link = link
        self.road = road
        self.back = 0

    async def make(self, seconds: float) -> None:
        await self.road.until(lambda: good(self.road) > 200)
        self.link.broken = True
        self.link.cut()
        await asyncio.sleep(seconds)
        self.link.broken = False
        await fresh(self.road)
        self.back = self.road.samples[-1].receive_time

    async def settle(self) -> None:
        """Waits for the end of the story: the history is read, or a gap is recorded."""
        await self.road.until(lambda: settled_gaps(self.road) == 1)


@asynccontextmanager
async def cut_source(folder: Path, *arguments: str, seconds: float = CUT_SECONDS) -> AsyncIterator[Cut]:
    server = ServerProcess(*COUNTING, *arguments)
    await server.start()
    road = RecordingRoad()
    try:
        async with cuttable_link(server.port) as link:
            setup = setup_of(f"opc.tcp://127.0.0.1:{link.port}/", counters(COUNTERS), folder)
            async with running(setup, road):
                cut = Cut(server, link, road)
                await cut.make(seconds)
                yield cut
    finally:
        await server.kill()


async def test_a_cut_loses_nothing_and_leaves_no_gap_where_the_server_kept_everything(tmp_path: Path) -> None:
    async with cut_source(tmp_path, "--history", str(COUNTERS), "--history-page", "17") as cut:
        await cut.settle()
        assert lost_and_doubled(cut.road, counters(COUNTERS)) == (0, 0)
        assert not cut.road.gaps
        assert len(cut.road.restored) > COUNTERS * CUT_SECONDS * 10
        assert {s.quality for s in cut.road.restored} == {Quality.GOOD}
        assert min(s.receive_time for s in cut.road.restored) > cut.back


async def test_a_history_that_dropped_the_beginning_leaves_a_gap_to_where_it_begins(tmp_path: Path) -> None:
    kept = ("--history", str(COUNTERS), "--history-values", "70")
    async with cut_source(tmp_path, *kept, seconds=SETTLE_SECONDS + 0.5) as cut:
        await cut.settle()
        (gap,) = cut.road.gaps
        lost, doubled = lost_and_doubled(cut.road, counters(COUNTERS))
        assert lost > 0
        assert doubled == 0
        first = min(s.source_time for s in cut.road.restored)
        assert gap.end == first


async def test_one_signal_without_history_keeps_the_gap_and_the_others_are_filled(tmp_path: Path) -> None:
    async with cut_source(tmp_path, "--history", str(COUNTERS - 1)) as cut:
        await cut.settle()
        (gap,) = cut.road.gaps
        assert gap.reason == "source_lost"
        assert lost_and_doubled(cut.road, counters(COUNTERS - 1)) == (0, 0)
        ((before, after),) = missing_steps(cut.road, counters(COUNTERS)[-1].path)
        assert gap.start <= before < after <= gap.end

"""What a server kept while the connection was down: it fills the gap, and only what it lacks remains (CARD2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from edged.clock import SystemClock
from edged.outbox import Outbox
from edged.ports import Sink
from edged.settings import OutboxSettings
from edged.types import Event, Gap, Lane, Quality, Sample
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


class OutboxRoad(RecordingRoad):
    """A road over a real outbox."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def publish(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        super().publish(source, samples, marks)
        return self._outbox.append(source, samples, marks)

    def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> Awaitable[None]:
        super().record(events, source, marks)
        return self._outbox.record(events, source, marks)

    def marks(self, source: str) -> Sequence[bytes]:
        return self._outbox.marks(source)

    def last_seen(self, source: str) -> int | None:
        return self._outbox.last_seen(source)


class Cut:
    """A source behind a link that is cut once, long enough that values are lost; and what its outbox held at last."""

    def __init__(self, road: OutboxRoad) -> None:
        self.road = road
        self.back = 0
        self.held: list[Sample] = []
        self.gaps: list[Gap] = []

    async def make(self, link: CuttableLink, seconds: float) -> None:
        await self.road.until(lambda: good(self.road) > 200)
        link.broken = True
        link.cut()
        await asyncio.sleep(seconds)
        link.broken = False
        await fresh(self.road)
        self.back = self.road.samples[-1].receive_time

    async def settle(self) -> None:
        """Waits for the end of the story: the history is read, or a gap is recorded."""
        await self.road.until(lambda: settled_gaps(self.road) == 1)

    async def look(self, sink: Sink) -> None:
        for batch in await sink.take(Lane.PROCESS, live=False, max_batches=100_000, max_bytes=1_000_000_000):
            self.held += batch.samples()
        for batch in await sink.take(Lane.EVENTS, live=False, max_batches=100_000, max_bytes=1_000_000_000):
            self.gaps += [event for event in batch.events() if isinstance(event, Gap)]


@asynccontextmanager
async def outbox_in(folder: Path) -> AsyncIterator[Outbox]:
    outbox = await Outbox.open(folder / "outbox.db", OutboxSettings(commit_seconds=0.05), SystemClock())
    try:
        yield outbox
    finally:
        await outbox.close()


@asynccontextmanager
async def cut_source(folder: Path, *arguments: str, seconds: float = CUT_SECONDS) -> AsyncIterator[Cut]:
    """The block runs while the source does; afterwards `held` and `gaps` are what its outbox holds."""
    server = ServerProcess(*COUNTING, *arguments)
    await server.start()
    try:
        async with outbox_in(folder) as outbox, cuttable_link(server.port) as link:
            sink = outbox.sink("hub")
            cut = Cut(OutboxRoad(outbox))
            async with running(setup_of(f"opc.tcp://127.0.0.1:{link.port}/", counters(COUNTERS), folder), cut.road):
                await cut.make(link, seconds)
                yield cut
            await outbox.flush()
            sink.reopen()
            await cut.look(sink)
    finally:
        await server.kill()


async def test_a_cut_loses_nothing_and_leaves_no_gap_where_the_server_kept_everything(tmp_path: Path) -> None:
    async with cut_source(tmp_path, "--history", str(COUNTERS), "--history-page", "17") as cut:
        await cut.settle()
    assert lost_and_doubled(cut.held, counters(COUNTERS)) == (0, 0)
    assert not cut.gaps
    assert len(cut.road.restored) > COUNTERS * CUT_SECONDS * 10
    assert {s.quality for s in cut.road.restored} == {Quality.GOOD}
    assert min(s.receive_time for s in cut.road.restored) > cut.back


async def test_a_history_that_dropped_the_beginning_leaves_a_gap_to_where_it_begins(tmp_path: Path) -> None:
    kept = ("--history", str(COUNTERS), "--history-values", "70")
    async with cut_source(tmp_path, *kept, seconds=SETTLE_SECONDS + 0.5) as cut:
        await cut.settle()
    (gap,) = cut.gaps
    lost, doubled = lost_and_doubled(cut.held, counters(COUNTERS))
    assert lost > 0
    assert doubled == 0
    assert gap.end == min(s.source_time for s in cut.road.restored)


async def test_one_signal_without_history_keeps_the_gap_and_the_others_are_filled(tmp_path: Path) -> None:
    async with cut_source(tmp_path, "--history", str(COUNTERS - 1)) as cut:
        await cut.settle()
    (gap,) = cut.gaps
    assert gap.reason == "source_lost"
    assert lost_and_doubled(cut.held, counters(COUNTERS - 1)) == (0, 0)
    ((before, after),) = missing_steps(cut.road, counters(COUNTERS)[-1].path)
    assert gap.start <= before < after <= gap.end


async def test_a_process_that_ends_before_the_history_is_read_records_the_gap_when_it_starts_again(
    tmp_path: Path,
) -> None:
    async with cut_source(tmp_path, "--history", str(COUNTERS)) as cut:
        pass
    assert not cut.gaps
    assert not cut.road.restored
    server = ServerProcess(*COUNTING)
    await server.start()
    try:
        async with outbox_in(tmp_path) as outbox:
            road = OutboxRoad(outbox)
            async with running(setup_of(server.endpoint, counters(COUNTERS), tmp_path), road):
                await road.until(lambda: {gap.reason for gap in road.gaps} == {"source_lost", "restart"})
    finally:
        await server.kill()
    (gap,) = [gap for gap in road.gaps if gap.reason == "source_lost"]
    ((before, after),) = missing_steps(cut.road, counters(COUNTERS)[-1].path)
    assert gap.start <= before < after <= gap.end

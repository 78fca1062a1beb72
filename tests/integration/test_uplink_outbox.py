"""The uplink over the real outbox to a real hub: whatever happens in between, the hub holds every value once."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edged.clock import SystemClock
from edged.errors import HubUnavailable
from edged.metrics import Metrics
from edged.outbox import Outbox
from edged.ports import Sink
from edged.settings import HubSettings, OutboxSettings, Secret, Tls
from edged.supervise import Supervisor
from edged.types import Gap, Lane, Sample
from edged_cloud_sync.memory import MemorySink
from edged_cloud_sync.uplink import Uplink
from edged_hub.app import Hub, open_store
from edged_hub.settings import HubServerSettings
from tests.integration.certificates import Authority
from tests.integration.hub_rig import (
    NODE,
    SIGNAL,
    START,
    RunningHub,
    hub_process,
    no_commands,
    running_hub,
    until,
    uplink,
)

CLOCK = SystemClock()
DOWN_SECONDS = 5.0
STEP_SECONDS = 0.1
SECOND = 1_000_000_000


class Edge:
    """Outbox and uplink, as the daemon puts them together."""

    def __init__(self, outbox: Outbox, url: str, secret: Path) -> None:
        self.outbox = outbox
        self.sink: Sink = outbox.sink("hub")
        settings = HubSettings(url=url, secret=Secret(file=secret), process_period_seconds=0.2, timeout_seconds=3.0)
        self.uplink = Uplink(settings, NODE, self.sink, no_commands(), CLOCK, Metrics())

    async def put(self, first: int, count: int) -> None:
        """Durable samples with values of their own."""
        await self.outbox.append(
            "furnace",
            [Sample(SIGNAL, float(n), START + n * 1_000_000, CLOCK.now()) for n in range(first, first + count)],
        )

    def drained(self) -> bool:
        return sum(self.sink.depth(lane) for lane in Lane) == 0


@asynccontextmanager
async def edge(folder: Path, url: str, secret: Path, *, online: bool = True) -> AsyncIterator[Edge]:
    """An edge that runs until the block ends, then stops cleanly."""
    outbox = await Outbox.open(folder / "outbox.db", OutboxSettings(commit_seconds=0.05), CLOCK)
    made = Edge(outbox, url, secret)
    try:
        async with Supervisor(CLOCK) as services:
            if online:
                services.start("hub", made.uplink.run)
            yield made
    finally:
        await outbox.close()


async def enrolled(folder: Path, secret: str) -> Path:
    path = folder / "secret"
    path.write_text(secret + "\n")
    return path


async def values(hub: RunningHub) -> list[object]:
    return [sample.value for sample in await hub.history()]


async def test_a_hub_that_is_killed_and_comes_back_holds_everything_once(tmp_path: Path) -> None:
    async with hub_process(tmp_path / "hub") as process:
        secret = await enrolled(tmp_path, await process.enroll())
        async with edge(tmp_path, process.url, secret) as line:
            await line.put(0, 50)
            await until("the first delivery", line.drained)
            await process.kill()
            steps = round(DOWN_SECONDS / STEP_SECONDS)
            for step in range(1, steps + 1):
                await line.put(step * 50, 50)
                await asyncio.sleep(STEP_SECONDS)
            assert line.uplink.status().backlog > 0
            await process.start()
            await until("the rest", line.drained)
            assert line.uplink.status().lacks == ()
        await process.kill()
        async with running_hub(tmp_path / "hub") as hub:
            assert await values(hub) == [float(n) for n in range((steps + 1) * 50)]


async def test_what_an_edge_had_not_sent_when_it_stopped_is_sent_when_it_starts(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        secret = await enrolled(tmp_path, await hub.enroll())
        async with edge(tmp_path, hub.url, secret, online=False) as line:
            await line.put(0, 30)
        async with edge(tmp_path, hub.url, secret) as line:
            await line.put(30, 30)
            await until("both", line.drained)
        assert await values(hub) == [float(n) for n in range(60)]


async def test_an_outbox_that_forgot_its_confirmations_doubles_nothing(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        secret = await enrolled(tmp_path, await hub.enroll())
        async with edge(tmp_path, hub.url, secret, online=False) as line:
            await line.put(0, 30)
        shutil.copy(tmp_path / "outbox.db", tmp_path / "before.db")
        async with edge(tmp_path, hub.url, secret) as line:
            await until("the delivery", line.drained)
        shutil.copy(tmp_path / "before.db", tmp_path / "outbox.db")
        async with edge(tmp_path, hub.url, secret) as line:
            assert not line.drained()
            await until("the second delivery", line.drained)
        assert await values(hub) == [float(n) for n in range(30)]


async def test_two_lives_of_one_node_never_collide(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        secret = await enrolled(tmp_path, await hub.enroll())
        for life in range(2):
            folder = tmp_path / f"life-{life}"
            folder.mkdir()
            async with edge(folder, hub.url, secret) as line:
                await line.put(life * 30, 30)
                await until("the delivery", line.drained)
        assert await values(hub) == [float(n) for n in range(60)]
        assert len(await hub.store.holdings(0)) == 2


async def test_a_gap_reaches_the_hub_within_the_time_of_events(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        secret = await enrolled(tmp_path, await hub.enroll())
        async with edge(tmp_path, hub.url, secret) as line:
            await until("the connection", lambda: line.uplink.status().connected)
            await line.outbox.record([Gap("furnace", START, START + SECOND, "silent")])
            await until("the gap", line.drained)
        with sqlite3.connect(tmp_path / "hub" / "hub.db") as other:
            rows = other.execute("SELECT node, source, start, end, reason FROM gaps").fetchall()
            ((received, committed),) = other.execute(
                "SELECT received_ns, committed_ns FROM ledger WHERE lane = 'events'"
            ).fetchall()
        other.close()
    assert rows == [(NODE, "furnace", START, START + SECOND, "silent")]
    assert committed >= received


@pytest.fixture
async def tls_hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    """A hub that speaks TLS with a certificate of `authority`."""
    certificate, key = Authority(tmp_path / "authority").issue("hub")
    folder = tmp_path / "hub"
    store = await open_store(folder, CLOCK)
    settings = HubServerSettings(folder, host="127.0.0.1", port=0, certificate=certificate, key=key)
    hub = Hub(settings, store, CLOCK, Metrics())
    await hub.start()
    yield RunningHub(hub, store, folder)
    await hub.stop()


async def test_tls_with_the_right_authority(tls_hub: RunningHub, tmp_path: Path) -> None:
    secret = await enrolled(tmp_path, await tls_hub.enroll())
    sink = MemorySink()
    sink.add_samples([Sample(SIGNAL, 1.0, START, START)])
    link = uplink(tls_hub.url, secret, sink, tls=Tls(authority=tmp_path / "authority" / "authority.pem"))
    assert tls_hub.url.startswith("https://")
    async with Supervisor(CLOCK) as services:
        services.start("hub", link.run)
        await until("the delivery", lambda: sink.depth(Lane.PROCESS) == 0)
    assert await values(tls_hub) == [1.0]


async def test_tls_with_another_authority_is_refused_and_named(tls_hub: RunningHub, tmp_path: Path) -> None:
    secret = await enrolled(tmp_path, await tls_hub.enroll())
    other = Authority(tmp_path / "other").certificate
    sink = MemorySink()
    sink.add_samples([Sample(SIGNAL, 1.0, START, START)])
    with pytest.raises(HubUnavailable, match="certificate"):
        await uplink(tls_hub.url, secret, sink, tls=Tls(authority=other)).run()
    assert sink.depth(Lane.PROCESS) == 1
    assert await values(tls_hub) == []

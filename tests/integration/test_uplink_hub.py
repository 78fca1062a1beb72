"""The uplink against a real hub, and against one that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from edged.clock import SystemClock
from edged.errors import AccessRefused, HubUnavailable
from edged.supervise import Supervisor
from edged.types import Lane, QualityResult, SeqRange
from edged_cloud_sync.memory import MemorySink
from edged_cloud_sync.pace import FIRST_BATCHES, GROWTH, POST_SHARE
from edged_cloud_sync.uplink import Uplink
from edged_cloud_sync.wire import INGEST_PATH, MAX_BODY_BYTES, Answer, Envelope, decode_envelope, encode_answer
from tests.integration.hub_rig import RunningHub, free_port, hub_process, running_hub, samples, until, uplink

SECONDS_PER_BATCH = 0.002

Respond = Callable[[Envelope], Awaitable[web.Response]]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
async def secret(hub: RunningHub, tmp_path: Path) -> Path:
    return write(tmp_path, await hub.enroll())


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A secret for hubs that do not look at it."""
    return write(tmp_path, "edge.line_a.any")


def write(folder: Path, secret: str) -> Path:
    path = folder / "secret"
    path.write_text(secret + "\n")
    return path


@asynccontextmanager
async def delivering(link: Uplink) -> AsyncIterator[None]:
    """Runs an uplink under supervision, as the daemon does."""
    async with Supervisor(SystemClock()) as services:
        services.start("hub", link.run)
        yield


@asynccontextmanager
async def strange_hub(respond: Respond) -> AsyncIterator[str]:
    """A server in the hub's place; its address."""

    async def handle(request: web.Request) -> web.Response:
        return await respond(decode_envelope(await request.read()))

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post(INGEST_PATH, handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def accept(envelope: Envelope) -> web.Response:
    return web.Response(body=encode_answer(Answer([batch.key for batch in envelope.batches])))


def empty(sink: MemorySink) -> bool:
    return sum(sink.depth(lane) for lane in Lane) == 0


async def test_everything_arrives_once_and_is_confirmed(hub: RunningHub, secret: Path) -> None:
    sink = MemorySink()
    for number in range(20):
        sink.add_samples(samples(number * 10))
    sink.add_events([QualityResult("u1", 1, True, "", "inspection")])
    link = uplink(hub.url, secret, sink)
    async with delivering(link):
        await until("the confirmation", lambda: empty(sink))
        status = link.status()
    assert len(await hub.history()) == 60
    assert (await hub.store.totals()).events == 1
    assert (status.connected, status.batches, status.backlog, status.last_error) == (True, 21, 0, "")
    assert not link.status().connected


async def test_events_leave_long_before_the_process_values(hub: RunningHub, secret: Path) -> None:
    sink = MemorySink()
    link = uplink(hub.url, secret, sink, process_period_seconds=30.0)
    async with delivering(link):
        await until("the connection", lambda: link.status().connected)
        sink.add_samples(samples(0))
        await asyncio.sleep(0.2)
        assert sink.depth(Lane.PROCESS) == 1
        clock = asyncio.get_running_loop().time
        started = clock()
        sink.add_events([QualityResult("u1", 1, True, "", "inspection")])
        await until("the event", lambda: sink.depth(Lane.EVENTS) == 0)
        assert clock() - started < 0.5
    assert (await hub.store.totals()).events == 1


async def test_a_wrong_secret_is_refused_and_the_uplink_says_so(hub: RunningHub, tmp_path: Path) -> None:
    await hub.enroll()
    sink = MemorySink()
    sink.add_samples(samples(0))
    link = uplink(hub.url, write(tmp_path, "edge.line_a.wrong"), sink)
    with pytest.raises(AccessRefused, match=r"the hub refused the identity 'line_a'.*edged-hub enroll line_a"):
        await link.run()
    status = link.status()
    assert (status.refused_identity, status.connected, status.backlog) == (True, False, 1)
    assert "edged-hub enroll line_a" in status.last_error


async def test_an_unknown_node_is_refused(hub: RunningHub, tmp_path: Path) -> None:
    link = uplink(hub.url, write(tmp_path, "edge.line_a.anything"), MemorySink())
    with pytest.raises(AccessRefused, match="not known here"):
        await link.run()


async def test_the_secret_of_another_node_is_refused(hub: RunningHub, tmp_path: Path) -> None:
    link = uplink(hub.url, write(tmp_path, await hub.enroll("line_b")), MemorySink())
    with pytest.raises(AccessRefused, match="this secret belongs to line_b"):
        await link.run()


async def test_a_missing_secret_file_is_named(hub: RunningHub, tmp_path: Path) -> None:
    link = uplink(hub.url, tmp_path / "nowhere", MemorySink())
    with pytest.raises(AccessRefused, match=r"nowhere: No such file.*edged-hub enroll line_a"):
        await link.run()


async def test_a_secret_file_with_something_else_in_it_is_named(hub: RunningHub, tmp_path: Path) -> None:
    link = uplink(hub.url, write(tmp_path, "two\nlines"), MemorySink())
    with pytest.raises(AccessRefused, match="is not one line with a secret"):
        await link.run()


async def test_a_mended_secret_works_without_a_restart(hub: RunningHub, tmp_path: Path) -> None:
    sink = MemorySink()
    sink.add_samples(samples(0))
    link = uplink(hub.url, write(tmp_path, "edge.line_a.wrong"), sink)
    async with delivering(link):
        await until("the refusal", lambda: link.status().refused_identity)
        write(tmp_path, await hub.enroll())
        await until("the confirmation", lambda: empty(sink))
        assert not link.status().refused_identity
    assert len(await hub.history()) == 3


async def test_a_hub_that_is_down_for_a_while_misses_nothing(tmp_path: Path) -> None:
    async with hub_process(tmp_path / "hub") as process:
        sink = MemorySink()
        link = uplink(process.url, write(tmp_path, await process.enroll()), sink)
        async with delivering(link):
            sink.add_samples(samples(0))
            await until("the first confirmation", lambda: empty(sink))
            await process.kill()
            for number in range(1, 26):
                sink.add_samples(samples(number * 10))
                await asyncio.sleep(0.2)
            assert not link.status().connected
            await process.start()
            await until("the confirmation", lambda: empty(sink))
        await process.kill()
        async with running_hub(tmp_path / "hub") as hub:
            held = await hub.history()
    assert [sample.value for sample in held] == [float(n * 10 + part) for n in range(26) for part in range(3)]


async def test_an_answer_that_never_comes_is_a_fault_and_the_batch_is_sent_again(secret_file: Path) -> None:
    seen: list[int] = []
    answered_at_last = asyncio.Event()

    async def respond(envelope: Envelope) -> web.Response:
        seen.extend(batch.key.seq for batch in envelope.batches)
        if envelope.batches and len(seen) == 1:
            await answered_at_last.wait()
        return accept(envelope)

    sink = MemorySink()
    sink.add_samples(samples(0))
    async with strange_hub(respond) as url:
        link = uplink(url, secret_file, sink, timeout_seconds=0.3)
        with pytest.raises(HubUnavailable, match=r"no answer within 0\.3 s"):
            await link.run()
        assert sink.depth(Lane.PROCESS) == 1
        async with delivering(link):
            await until("the confirmation", lambda: empty(sink))
        answered_at_last.set()
    assert seen == [1, 1]


@pytest.mark.parametrize("status", [500, 404, 302, 200])
async def test_any_other_answer_confirms_nothing(status: int, secret_file: Path) -> None:
    async def respond(envelope: Envelope) -> web.Response:
        return web.Response(status=status, text="strange") if envelope.batches else accept(envelope)

    sink = MemorySink()
    sink.add_samples(samples(0))
    async with strange_hub(respond) as url:
        with pytest.raises(HubUnavailable):
            await uplink(url, secret_file, sink).run()
    assert sink.depth(Lane.PROCESS) == 1
    assert len(await sink.take(Lane.PROCESS, live=False, max_batches=9, max_bytes=999)) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_hub_is_left_alone_for_as_long_as_it_says(status: int, secret_file: Path) -> None:
    times: list[float] = []
    clock = asyncio.get_running_loop().time

    async def respond(envelope: Envelope) -> web.Response:
        if envelope.batches:
            times.append(clock())
        if len(times) == 1:
            return web.Response(status=status, headers={"Retry-After": "1"}, text="busy")
        return accept(envelope)

    sink = MemorySink()
    sink.add_samples(samples(0))
    async with strange_hub(respond) as url:
        link = uplink(url, secret_file, sink)
        async with delivering(link):
            await until("the confirmation", lambda: empty(sink))
            assert link.status().posts == 2
    assert times[1] - times[0] >= 1.0


async def test_too_large_a_post_is_split_and_one_batch_too_large_holds_up_nobody(secret_file: Path) -> None:
    sizes: list[int] = []

    async def respond(envelope: Envelope) -> web.Response:
        sizes.append(len(envelope.batches))
        if len(envelope.batches) > 2 or any(len(batch.blob) > 5000 for batch in envelope.batches):
            return web.Response(status=413, text="too large")
        return accept(envelope)

    sink = MemorySink()
    for number in range(7):
        sink.add_samples(samples(number * 10))
    giant = sink.add_blob(Lane.PROCESS, bytes(6000), 1)
    async with strange_hub(respond) as url:
        link = uplink(url, secret_file, sink)
        async with delivering(link):
            await until("all but one", lambda: sink.depth(Lane.PROCESS) == 1)
            sink.add_samples(samples(100))
            await until("the next", lambda: link.status().batches == 8)
    assert max(size for size in sizes if size <= 2) == 2
    sink.reopen()
    assert [left.key for left in await sink.take(Lane.PROCESS, live=False, max_batches=9, max_bytes=9)] == [giant]


async def test_a_batch_that_the_hub_cannot_read_does_not_block_the_lane(hub: RunningHub, secret: Path) -> None:
    sink = MemorySink()
    sink.add_blob(Lane.PROCESS, b"damaged", 3)
    sink.add_samples(samples(0))
    link = uplink(hub.url, secret, sink)
    async with delivering(link):
        await until("the confirmation", lambda: empty(sink))
        assert (link.status().batches, link.status().refused_batches) == (1, 1)
    assert len(await hub.history()) == 3
    assert (await hub.store.totals()).refused_batches == 1


async def test_a_live_batch_does_not_wait_for_the_backlog(secret_file: Path) -> None:
    posts: list[list[int]] = []

    async def respond(envelope: Envelope) -> web.Response:
        posts.append([batch.key.seq for batch in envelope.batches])
        return accept(envelope)

    sink = MemorySink()
    for number in range(6):
        sink.add_samples(samples(number * 10))
    async with strange_hub(respond) as url:
        link = uplink(url, secret_file, sink, backlog_batches_per_post=2)
        async with delivering(link):
            await until("the first post", lambda: len(posts) > 1)
            sink.add_samples(samples(100))
            await until("the confirmation", lambda: empty(sink))
    assert posts[0] == []
    assert posts[1] == [1, 2]
    assert posts[2] == [7, 3, 4]


async def test_a_hub_that_takes_long_gets_less_backlog_at_a_time(secret_file: Path) -> None:
    """So that a new value never waits long behind a POST."""
    posts: list[int] = []

    async def respond(envelope: Envelope) -> web.Response:
        posts.append(len(envelope.batches))
        await asyncio.sleep(SECONDS_PER_BATCH * len(envelope.batches))
        return accept(envelope)

    sink = MemorySink()
    for number in range(300):
        sink.add_samples(samples(number))
    async with strange_hub(respond) as url:
        link = uplink(url, secret_file, sink, process_period_seconds=0.1)
        async with delivering(link):
            await until("the confirmation", lambda: empty(sink))
    assert posts[:2] == [0, FIRST_BATCHES]
    assert max(posts[2:]) <= POST_SHARE * 0.1 / SECONDS_PER_BATCH * GROWTH


async def test_ranges_that_nobody_has_any_more_are_told(hub: RunningHub, secret: Path) -> None:
    sink = MemorySink()
    lost = sink.add_samples(samples(0))
    await sink.confirm([lost])
    sink.add_samples(samples(10))
    link = uplink(hub.url, secret, sink)
    async with delivering(link):
        await until("the confirmation", lambda: empty(sink))
        assert link.status().lacks == (SeqRange("memory", Lane.PROCESS, 1, 1),)


async def test_no_server_at_all_is_a_fault_that_names_the_address(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(HubUnavailable, match=url):
        await uplink(url, write(tmp_path, "edge.line_a.x"), MemorySink()).run()

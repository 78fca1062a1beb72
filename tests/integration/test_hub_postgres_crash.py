"""The hub as a process on PostgreSQL, whose server is crashed and restarted while values arrive."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from bench.postgres_server import PASSWORD, PostgresServer
from edged.clock import SystemClock
from edged.supervise import Supervisor
from edged.types import Lane
from edged_cloud_sync.memory import MemorySink
from tests.integration.hub_rig import (
    NODE,
    HubProcess,
    batch,
    body,
    command,
    fetch,
    hub_process,
    output,
    post,
    samples,
    until,
    uplink,
)
from tests.integration.postgres_server import postgres_server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(120)]

ROUNDS = 3
POSTERS = 4
ROWS = 200


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with postgres_server() as started:
        yield started


@pytest.fixture
async def hub(server: PostgresServer, tmp_path: Path) -> AsyncIterator[HubProcess]:
    """A hub process that finds the address with its password in a file."""
    async with hub_process(tmp_path / "hub", "--database-file", str(database_file(server, tmp_path))) as process:
        yield process


def database_file(server: PostgresServer, folder: Path) -> Path:
    path = folder / "database"
    path.write_text(server.dsn + "\n")
    return path


@asynccontextmanager
async def looking(server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.dsn)
    try:
        yield connection
    finally:
        await connection.close()


class Posters:
    """Edges that post without pause and note what was acknowledged, and what was answered instead."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        self._dice = random.Random(7)
        self.acknowledged: set[int] = set()
        self.statuses: list[int] = []
        self.going = True

    async def run(self, number: int) -> None:
        """Posts two batches at a time; what was not acknowledged is posted again."""
        seq = number * 100_000 + 1
        async with aiohttp.ClientSession() as session:
            while self.going:
                first = self._dice.choice(sorted(self.acknowledged)) if len(self.acknowledged) > 50 else seq
                envelope = body(batch(first, ROWS), batch(seq, ROWS), batch(seq + 1, ROWS))
                response = await post(session, self._url, self._secret, envelope)
                self.statuses.append(response.status)
                if response.status == 200:
                    self.acknowledged.update(key.seq for key in response.answer.accepted)
                    seq += 2
                else:
                    await asyncio.sleep(0.02)


async def held_batches(server: PostgresServer) -> dict[int, int]:
    """Rows per batch as they are in the table of the samples."""
    async with looking(server) as connection:
        rows = await connection.fetch("SELECT seq, count(*), count(DISTINCT row_number) FROM sample_rows GROUP BY seq")
        ledger = {seq for (seq,) in await connection.fetch("SELECT seq FROM ledger")}
    assert all(total == distinct for _, total, distinct in rows)
    assert ledger == {seq for seq, _, _ in rows}
    return {seq: total for seq, total, _ in rows}


async def test_what_was_acknowledged_before_a_crash_of_the_database_is_held_once_after_it(
    server: PostgresServer, hub: HubProcess
) -> None:
    posters = Posters(hub.url, await hub.enroll())
    dice = random.Random(11)
    async with asyncio.TaskGroup() as group:
        for number in range(POSTERS):
            group.create_task(posters.run(number))
        for _ in range(ROUNDS):
            before = len(posters.acknowledged)
            await until("progress", lambda before=before: len(posters.acknowledged) > before + 20)
            await asyncio.sleep(dice.uniform(0.0, 0.3))
            await asyncio.to_thread(server.crash)
            count = len(posters.statuses)
            await until("answers without a database", lambda count=count: len(posters.statuses) > count + POSTERS)
            assert set(posters.statuses[count + POSTERS :]) == {503}
            await asyncio.to_thread(server.start)
        before = len(posters.acknowledged)
        await until("the healing", lambda: len(posters.acknowledged) > before + 20)
        posters.going = False
    assert set(posters.statuses) == {200, 503}
    held = await held_batches(server)
    assert posters.acknowledged <= held.keys()
    assert set(held.values()) == {ROWS}


async def test_a_hub_that_is_killed_in_the_middle_of_a_commit_holds_what_it_acknowledged_once(
    server: PostgresServer, hub: HubProcess
) -> None:
    secret = await hub.enroll()
    posters = Posters(hub.url, secret)
    for _ in range(ROUNDS):
        posters.going = True
        before = len(posters.acknowledged)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_until_broken(posters, number)) for number in range(POSTERS)]
            await until("progress", lambda before=before: len(posters.acknowledged) > before + 20)
            await hub.kill()
        assert all(task.done() for task in tasks)
        await hub.start()
    held = await held_batches(server)
    assert posters.acknowledged <= held.keys()
    assert set(held.values()) == {ROWS}


async def _until_broken(posters: Posters, number: int) -> None:
    try:
        await posters.run(number)
    except aiohttp.ClientError:
        return


async def test_an_uplink_delivers_once_through_a_restart_of_the_database(
    server: PostgresServer, hub: HubProcess, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(await hub.enroll())
    sink = MemorySink()
    async with Supervisor(SystemClock()) as services:
        services.start("hub", uplink(hub.url, secret, sink).run)
        for number in range(10):
            sink.add_samples(samples(number * 10))
        await until("the first delivery", lambda: depth(sink) == 0)
        await asyncio.to_thread(server.stop)
        for number in range(10, 20):
            sink.add_samples(samples(number * 10))
        await asyncio.sleep(0.5)
        assert depth(sink) == 10
        await asyncio.to_thread(server.start)
        await until("the rest", lambda: depth(sink) == 0)
    async with looking(server) as connection:
        rows = await connection.fetch("SELECT node, value_number FROM samples ORDER BY value_number")
    assert [(node, value) for node, value in rows] == [
        (NODE, float(number * 10 + part)) for number in range(20) for part in range(3)
    ]


def depth(sink: MemorySink) -> int:
    return sum(sink.depth(lane) for lane in Lane)


async def test_a_hub_that_starts_before_its_database_waits_for_it(tmp_path: Path) -> None:
    with postgres_server() as server:
        address = database_file(server, tmp_path)
        server.stop()
        process = await command("run", "--data", str(tmp_path / "hub"), "--port", "0", "--database-file", str(address))
        assert process.stderr is not None
        said = b""
        while b"database_awaited" not in said:
            said += await process.stderr.readline()
        await asyncio.to_thread(server.start)
        while b"hub_running" not in said:
            said += await process.stderr.readline()
        process.terminate()
        out, rest = await process.communicate()
    assert process.returncode == 0
    assert PASSWORD.encode() not in said + out + rest


async def test_the_password_is_in_no_log_and_no_message_and_a_stop_needs_no_database(
    server: PostgresServer, hub: HubProcess, tmp_path: Path
) -> None:
    async with aiohttp.ClientSession() as session:
        secret = await hub.enroll()
        assert (await post(session, hub.url, secret, body(batch(1)))).status == 200
        await asyncio.to_thread(server.stop)
        said = (await post(session, hub.url, secret, body(batch(2)))).fault
        ready, fault = await fetch(session, hub.url + "/readyz", {})
        await asyncio.to_thread(server.start)
        await until("the healing", lambda: _accepts(session, hub, secret))
    await asyncio.to_thread(server.crash)
    assert await hub.kill(signal.SIGTERM) == 0
    await asyncio.to_thread(server.start)
    assert ready == 503
    assert "postgresql at 127.0.0.1" in said
    log = hub.log.read_text()
    assert "hub_running" in log
    for place in (said, str(fault), log):
        assert PASSWORD not in place


async def _accepts(session: aiohttp.ClientSession, hub: HubProcess, secret: str) -> bool:
    return (await post(session, hub.url, secret, body(batch(2)))).status == 200


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("mysql://u:hidden-word@127.0.0.1/x", 2, "expected postgresql://USER:PASSWORD@HOST:PORT/NAME"),
        ("postgresql://u:hidden-word/x@127.0.0.1/x", 2, "special characters in it as %XX"),
        ("postgresql://u:hidden-word@127.0.0.1:port/x", 2, "special characters in it as %XX"),
        ("postgresql://u:hidden-word@127.0.0.1:{port}/edged", 1, "password authentication failed"),
        ("postgresql://u:hidden-word@127.0.0.1:{port}/edged?sslmode=wrong", 1, "sslmode"),
    ],
)
async def test_a_wrong_address_is_told_without_its_password(
    server: PostgresServer, tmp_path: Path, address: str, status: int, said: str
) -> None:
    where = address.format(port=server.port)
    process = await command("run", "--data", str(tmp_path), "--port", "0", "--database", where)
    out, fault = await process.communicate()
    assert process.returncode == status, fault.decode()
    assert said in fault.decode()
    assert b"hidden-word" not in out + fault
    assert b"Traceback" not in fault


async def test_the_commands_work_on_the_database(server: PostgresServer, hub: HubProcess) -> None:
    secret = await hub.enroll()
    token = await output("user", "add", "anna", *hub.arguments)
    async with aiohttp.ClientSession() as session:
        assert (await post(session, hub.url, secret, body(batch(1), batch(2)))).status == 200
        status, answer = await fetch(session, hub.url + "/api/v1/status", {"Authorization": f"Bearer {token}"})
    assert status == 200
    assert isinstance(answer, dict)
    assert (answer["samples"], answer["batches"]) == (6, 2)
    assert "6 samples, 0 events" in await output("status", *hub.arguments)

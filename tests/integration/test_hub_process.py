"""The hub as a process: killed while it takes values in, stopped cleanly, and its command line."""

from __future__ import annotations

import asyncio
import random
import signal
import stat
from pathlib import Path

import aiohttp
import orjson

from tests.integration.hub_rig import batch, bearer, body, command, fetch, hub_process, output, post, running_hub, until

KILLS = 4
POSTERS = 4


async def test_what_was_acknowledged_before_a_kill_is_held_once_after_it(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    dice = random.Random(7)
    async with hub_process(tmp_path) as process:
        secret = await process.enroll()
        for round_number in range(KILLS):
            first = round_number * 100_000
            async with asyncio.TaskGroup() as group:
                for poster in range(POSTERS):
                    group.create_task(_post_until_broken(process.url, secret, first + poster * 10_000, acknowledged))
                await asyncio.sleep(dice.uniform(0.3, 0.8))
                await process.kill()
            await process.start()
        assert len(acknowledged) > KILLS
        async with aiohttp.ClientSession() as session:
            again = body(*(batch(seq) for seq in sorted(acknowledged)[:50]))
            answer = (await post(session, process.url, secret, again)).answer
        assert answer.duplicates == min(50, len(acknowledged))
    async with running_hub(tmp_path) as hub:
        held = await hub.history()
        sequences = [sample.seq for sample in held]
        assert acknowledged <= set(sequences)
        assert all(sequences.count(seq) == 3 for seq in set(sequences))
        assert len({(sample.seq, sample.row) for sample in held}) == len(held)


async def _post_until_broken(url: str, secret: str, first: int, acknowledged: set[int]) -> None:
    """Posts two batches at a time until the hub is gone; notes what it acknowledged."""
    async with aiohttp.ClientSession() as session:
        for seq in range(first + 1, first + 10_000, 2):
            try:
                response = await post(session, url, secret, body(batch(seq), batch(seq + 1)))
            except aiohttp.ClientError:
                return
            assert response.status == 200
            acknowledged.update(key.seq for key in response.answer.accepted)


async def test_sigterm_answers_what_is_under_way_and_leaves_one_file(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    async with hub_process(tmp_path) as process:
        secret = await process.enroll()
        async with asyncio.TaskGroup() as group:
            group.create_task(_post_until_broken(process.url, secret, 0, acknowledged))
            await asyncio.sleep(0.5)
            assert await process.kill(signal.SIGTERM) == 0
    assert not (tmp_path / "hub.db-wal").exists()
    async with running_hub(tmp_path) as hub:
        assert {sample.seq for sample in await hub.history()} == acknowledged


async def test_enrolling_while_the_hub_runs(tmp_path: Path) -> None:
    async with hub_process(tmp_path / "hub") as process, aiohttp.ClientSession() as session:
        out = tmp_path / "secret"
        said = await output("enroll", "line_a", "--data", str(process.folder), "--out", str(out))
        assert said == f"the secret of line_a is in {out}"
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        assert (await post(session, process.url, out.read_text().strip(), body(batch(1)))).status == 200
        token = await output("user", "add", "anna", "--role", "viewer", "--data", str(process.folder))
        status, answer = await fetch(session, process.url + "/api/v1/status", bearer(token))
        assert status == 200
        assert isinstance(answer, dict)
        assert answer["samples"] == 3
        assert "3 samples, 0 events" in await output("status", "--data", str(process.folder))


async def test_secrets_are_not_in_the_file_and_the_admin_token_is_for_its_owner(tmp_path: Path) -> None:
    async with hub_process(tmp_path / "hub") as process:
        secret = await process.enroll()
    token = tmp_path / "hub" / "admin.token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "hub" / "hub.db").stat().st_mode) == 0o600
    kept = (tmp_path / "hub" / "hub.db").read_bytes()
    assert secret.rsplit(".", 1)[-1].encode() not in kept
    assert token.read_text().strip().rsplit(".", 1)[-1].encode() not in kept


async def test_the_ready_file_names_the_address(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    process = await command("run", "--data", str(tmp_path / "hub"), "--port", "0", "--ready-file", str(ready))
    assert process.stderr is not None
    while b"hub_running" not in await process.stderr.readline():
        pass
    await until("the ready file", ready.exists)
    async with aiohttp.ClientSession() as session:
        address = orjson.loads(ready.read_bytes())["url"]
        assert await fetch(session, address + "/readyz", {}) == (200, {"ready": True})
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0


async def test_beyond_loopback_without_tls_is_refused(tmp_path: Path) -> None:
    process = await command("run", "--data", str(tmp_path), "--host", "0.0.0.0", "--port", "0")
    _, fault = await process.communicate()
    assert process.returncode == 2
    assert b"beyond this machine give --certificate and --key" in fault


async def test_a_taken_port_is_one_line_and_exit_status_1(tmp_path: Path) -> None:
    async with hub_process(tmp_path / "one") as process:
        other = await command("run", "--data", str(tmp_path / "two"), "--port", str(process.port))
        _, fault = await other.communicate()
    assert other.returncode == 1
    assert f"edged-hub: 127.0.0.1:{process.port}: ".encode() in fault
    assert b"Traceback" not in fault


async def test_a_wrong_node_name_is_one_line_and_exit_status_1(tmp_path: Path) -> None:
    process = await command("enroll", "Line A", "--data", str(tmp_path))
    _, fault = await process.communicate()
    assert process.returncode == 1
    assert fault.decode().startswith("edged-hub: edge 'Line A'")

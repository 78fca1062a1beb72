"""The hub's HTTP surface: who is let in, what is refused and how, and that garbage never gets further than a 400."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from collections.abc import AsyncIterator

import aiohttp
import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.clock import SystemClock
from edged_cloud_sync.wire import CONTENT_TYPE, INGEST_PATH, MAX_BODY_BYTES, WireBatch
from tests.integration.hub_rig import RunningHub, batch, bearer, body, fetch, post, until


async def sentence(response: aiohttp.ClientResponse) -> str:
    found: str = (await response.json())["error"]
    return found


async def test_a_post_is_answered_after_the_commit(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    response = await post(session, hub.url, await hub.enroll(), body(batch(1), batch(2)))
    assert response.status == 200
    answer = response.answer
    with sqlite3.connect(hub.folder / "hub.db") as other:
        rows = other.execute("SELECT node, stream, lane, seq, row, value_number FROM samples ORDER BY seq, row")
        held = rows.fetchall()
        stamps = other.execute("SELECT received_ns, committed_ns FROM ledger").fetchall()
    other.close()
    assert [key.seq for key in answer.accepted] == [1, 2]
    assert held[0] == ("line_a", "test", "process", 1, 0, 1000.0)
    assert len(held) == 6
    assert all(0 < received <= committed <= SystemClock().now() for received, committed in stamps)


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({}, 401, "a bearer secret is required"),
        ({"Authorization": "Basic abc"}, 401, "a bearer secret is required"),
        (bearer("nonsense"), 401, "not known here"),
        (bearer("edge.line_a."), 401, "not known here"),
        (bearer("edge.line_z.abc"), 401, "not known here"),
        (bearer("x" * 5000), 401, "not known here"),
    ],
)
async def test_who_is_not_known_is_not_let_in(
    hub: RunningHub, session: aiohttp.ClientSession, headers: dict[str, str], status: int, said: str
) -> None:
    await hub.enroll()
    for method, path in (("POST", INGEST_PATH), ("GET", "/api/v1/latest")):
        async with session.request(method, hub.url + path, headers=headers) as response:
            assert response.status == status
            assert said in await sentence(response)
            assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_an_edge_cannot_read_and_a_user_cannot_send(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    status, answer = await fetch(session, hub.url + "/api/v1/latest", bearer(await hub.enroll()))
    assert (status, answer) == (
        403,
        {"error": "/api/v1/latest is for the secret of a user, this is that of line_a"},
    )
    admin = hub.admin["Authorization"].removeprefix("Bearer ")
    assert (await post(session, hub.url, admin, body(batch(1)))).status == 403
    assert (await hub.store.totals()).batches == 0


async def test_batches_of_another_node_are_refused(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    response = await post(session, hub.url, await hub.enroll(), body(batch(1), node="line_b"))
    assert response.status == 403
    assert response.fault == "this secret belongs to line_a, the batches to line_b"


async def test_a_replaced_secret_stops_working_within_seconds(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    old = await hub.enroll()
    assert (await post(session, hub.url, old, body())).status == 200
    new = await hub.enroll()
    assert (await post(session, hub.url, new, body())).status == 200

    async def refused() -> bool:
        return (await post(session, hub.url, old, body())).status == 401

    await until("the refusal", refused)


async def test_a_body_that_is_no_envelope_is_told_why(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    response = await post(session, hub.url, await hub.enroll(), msgpack.packb({"version": 1}))
    assert response.status == 400
    assert response.fault == "envelope: expected a map of version, node, batches, offers, got dict of 1"


async def test_another_content_type_is_told_which_one_is_right(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    headers = bearer(await hub.enroll()) | {"Content-Type": "application/json"}
    async with session.post(hub.url + INGEST_PATH, data=b"{}", headers=headers) as response:
        assert response.status == 415
        assert CONTENT_TYPE in await sentence(response)


async def test_a_body_beyond_the_limit_is_refused_announced_or_not(
    hub: RunningHub, session: aiohttp.ClientSession
) -> None:
    headers = bearer(await hub.enroll()) | {"Content-Type": CONTENT_TYPE}
    before = len(asyncio.all_tasks())

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield bytes(1024 * 1024)

    for data in (pieces(), io.BytesIO(bytes(MAX_BODY_BYTES + 1))):
        async with session.post(hub.url + INGEST_PATH, data=data, headers=headers) as response:
            assert response.status == 413
    await until("the end of the refused connections", lambda: len(asyncio.all_tasks()) == before)
    assert (await post(session, hub.url, await hub.enroll(), body(batch(1)))).status == 200


async def test_a_batch_that_cannot_be_read_is_named_and_kept_aside(
    hub: RunningHub, session: aiohttp.ClientSession
) -> None:
    damaged = batch(1)._replace(blob=b"\x00garbage")
    response = await post(session, hub.url, await hub.enroll(), body(damaged, batch(2)))
    answer = response.answer
    assert [key.seq for key in answer.accepted] == [2]
    assert [refusal.key.seq for refusal in answer.refused] == [1]
    with sqlite3.connect(hub.folder / "hub.db") as other:
        kept = other.execute("SELECT seq, blob FROM refused_batches").fetchall()
    other.close()
    assert kept == [(1, b"\x00garbage")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.booleans())
async def test_no_body_whatever_breaks_the_route(
    hub: RunningHub, session: aiohttp.ClientSession, noise: bytes, as_blob: bool
) -> None:
    secret = await hub.enroll() if not _secrets else _secrets[0]
    _secrets[:] = [secret]
    data = body(WireBatch(batch(1).key, 3, noise)) if as_blob else noise
    response = await post(session, hub.url, secret, data)
    assert response.status == (200 if as_blob else 400)
    assert (await hub.store.totals()).samples == 0


_secrets: list[str] = []


async def test_a_full_disk_is_a_503_and_nothing_is_acknowledged(
    hub: RunningHub, session: aiohttp.ClientSession
) -> None:
    secret = await hub.enroll()
    assert (await post(session, hub.url, secret, body(batch(1)))).status == 200
    writer = hub.store._writer._connection
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    response = await post(session, hub.url, secret, body(batch(2, count=5000)))
    assert (response.status, response.retry_after) == (503, "5")
    assert "full" in response.fault
    writer.execute("PRAGMA max_page_count = 1000000")
    answer = (await post(session, hub.url, secret, body(batch(1), batch(2, count=5000)))).answer
    assert ([key.seq for key in answer.accepted], answer.duplicates) == ([1, 2], 1)
    assert len(await hub.history()) == 5003


async def test_a_file_that_cannot_be_written_is_a_503(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    secret = await hub.enroll()
    hub.store._writer._connection.execute("PRAGMA query_only = ON")
    response = await post(session, hub.url, secret, body(batch(1)))
    assert response.status == 503
    assert "readonly" in response.fault


async def test_too_many_waiting_posts_are_asked_to_come_back(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    secret = await hub.enroll()
    holder = sqlite3.connect(hub.folder / "hub.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    async with asyncio.TaskGroup() as group:
        posts = [group.create_task(post(session, hub.url, secret, body(batch(seq)))) for seq in range(1, 301)]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as wide:
            more = [group.create_task(post(wide, hub.url, secret, body(batch(seq)))) for seq in range(301, 601)]
            await until("a refusal", lambda: any(task.done() for task in more))
            holder.execute("ROLLBACK")
            done = [await task for task in (*posts, *more)]
    holder.close()
    statuses = [response.status for response in done]
    assert set(statuses) == {200, 429}
    assert all(response.retry_after == "1" for response in done if response.status == 429)
    assert (await hub.store.totals()).batches == statuses.count(200)


async def test_probes_and_metrics_need_no_secret_on_loopback(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    await post(session, hub.url, await hub.enroll(), body(batch(1)))
    assert await fetch(session, hub.url + "/healthz", {}) == (200, {"healthy": True})
    assert await fetch(session, hub.url + "/readyz", {}) == (200, {"ready": True})
    async with session.get(hub.url + "/metrics") as response:
        text = await response.text()
    assert "edged_hub_batches_total 1.0" in text
    assert "edged_hub_samples 3.0" in text

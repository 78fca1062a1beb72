"""Commands through a real hub: who may, what is wrong in one, and the way to an edge's desk and back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from edged.clock import SystemClock
from edged.metrics import Metrics
from edged.supervise import Supervisor
from edged.types import Allowed, Proposal, Signal, Verdict
from edged_cloud_sync.commands import HubCommands
from edged_cloud_sync.memory import MemorySink
from edged_cloud_sync.wire_commands import ACCEPTS_COMMANDS, ACCEPTS_HEADER
from edged_hub.identities import new_identity
from edged_hub.store import IdentityKind, Role
from tests.integration.documents import blocks
from tests.integration.hub_rig import (
    NODE,
    START,
    RunningHub,
    bearer,
    body,
    fetch,
    hub_process,
    output,
    post,
    samples,
    until,
    uplink,
)

BELT = "line_a/forming/belt_speed_setpoint"
GOOD = {"node": NODE, "signal": BELT, "value": 152.5}

Json = dict[str, Any]


class Desk:
    """Allows everything."""

    def __init__(self) -> None:
        self.asked: list[Proposal] = []

    async def submit(self, proposal: Proposal) -> Verdict:
        self.asked.append(proposal)
        return Allowed(proposal.value)


async def user(hub: RunningHub, name: str, role: Role) -> dict[str, str]:
    """Headers of a new user."""
    identity, secret = new_identity(IdentityKind.USER, name, role, START)
    await hub.store.put_identity(identity)
    return bearer(secret)


async def ask(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], document: object
) -> tuple[int, Json, str]:
    """Status, answer and Retry-After of one command; bytes are sent as they are."""
    data = document if isinstance(document, bytes) else orjson.dumps(document)
    async with session.post(url + "/api/v1/commands", data=data, headers=headers) as response:
        return response.status, orjson.loads(await response.read()), response.headers.get("Retry-After", "")


async def told(session: aiohttp.ClientSession, url: str, headers: dict[str, str], query: str = "") -> list[Json]:
    """The commands that the hub shows."""
    status, answer = await fetch(session, f"{url}/api/v1/commands{query}", headers)
    assert status == 200
    assert isinstance(answer, dict)
    found: list[Json] = answer["commands"]
    return found


@asynccontextmanager
async def edge(url: str, secret: str, folder: Path, *, allowed: bool = True) -> AsyncIterator[tuple[HubCommands, Desk]]:
    """An uplink and its way to a desk, as the daemon runs them."""
    (folder / "secret").write_text(secret)
    clock, desk, sink = SystemClock(), Desk(), MemorySink()
    signals = {BELT: Signal(BELT, "m/min", writable=True)}
    commands = HubCommands(desk, signals, NODE, clock, Metrics(), allowed=allowed)
    link = uplink(url, folder / "secret", sink, commands)
    sink.add_samples(samples(0))
    async with Supervisor(clock) as services:
        services.start("hub", link.run)
        services.start("hub_commands", commands.submit)
        services.start("values", lambda: values(sink))
        yield commands, desk


async def values(sink: MemorySink) -> None:
    """A line that lives: something new ten times a second."""
    number = 1
    while True:
        sink.add_samples(samples(number * 10))
        number += 1
        await asyncio.sleep(0.1)


async def test_engineers_and_admins_may_viewers_and_edges_may_not(
    hub: RunningHub, session: aiohttp.ClientSession
) -> None:
    secret = await hub.enroll()
    viewer = await user(hub, "vera", Role.VIEWER)
    assert (await ask(session, hub.url, viewer, GOOD))[:2] == (
        403,
        {"error": "POST /api/v1/commands is for an admin or engineer, vera is a viewer"},
    )
    status, answer, _ = await ask(session, hub.url, bearer(secret), GOOD)
    assert (status, answer["error"]) == (403, "/api/v1/commands is for the secret of a user, this is that of line_a")
    assert (await ask(session, hub.url, {}, GOOD))[0] == 401
    engineer = await user(hub, "emma", Role.ENGINEER)
    for headers in (engineer, hub.admin):
        status, answer, _ = await ask(session, hub.url, headers, GOOD)
        assert (status, answer["state"], len(answer["id"])) == (202, "waiting", 32)
    shown = await told(session, hub.url, viewer)
    assert [(one["user"], one["state"]) for one in shown] == [("admin", "waiting"), ("emma", "waiting")]
    assert shown[1] == {
        "id": shown[1]["id"],
        "node": NODE,
        "user": "emma",
        "timestamp": shown[1]["timestamp"],
        "signal": BELT,
        "value": 152.5,
        "state": "waiting",
        "reason": "",
    }


async def test_the_route_is_described(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    _, described = await fetch(session, hub.url + "/api/v1/openapi.json", {})
    assert isinstance(described, dict)
    operation = described["paths"]["/api/v1/commands"]["post"]
    assert set(operation["responses"]) == {"202", "400", "401", "403", "404", "429", "503"}
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = described["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    assert schema["required"] == ["node", "signal", "value"]
    assert schema["properties"]["lives_seconds"]["default"] == 30.0


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"belt faster", "the body is not JSON: "),
        (b'{"node": "line_a", "value": NaN}', "the body is not JSON: "),
        (b"[]", "body: Input should be"),
        ({}, "node: Field required, got {}; signal: Field required, got {}; value: Field required, got {}"),
        (GOOD | {"node": "Line A"}, "node: String should match pattern '^[a-z][a-z0-9_]{0,63}$', got 'Line A'"),
        (GOOD | {"signal": "belt"}, "signal: String should match pattern"),
        (GOOD | {"signal": "line_a/a/" + "b" * 200}, "signal: String should have at most 200 characters"),
        (GOOD | {"value": "fast"}, "value: Input should be a valid number, got 'fast'"),
        (GOOD | {"value": True}, "value: Input should be a valid number, got True"),
        (GOOD | {"value": None}, "value: Input should be a valid number, got None"),
        (b'{"node": "line_a", "signal": "line_a/a/b", "value": 1e999}', "the body is not JSON: number is infinity"),
        (GOOD | {"lives_seconds": 0}, "lives_seconds: Input should be greater than 0, got 0"),
        (GOOD | {"lives_seconds": 61}, "lives_seconds: Input should be less than or equal to 60, got 61"),
        (GOOD | {"colour": "red"}, "colour: Extra inputs are not permitted, got 'red'"),
    ],
)
async def test_what_is_wrong_in_a_command_is_named(
    hub: RunningHub, session: aiohttp.ClientSession, document: object, said: str
) -> None:
    await hub.enroll()
    status, answer, _ = await ask(session, hub.url, hub.admin, document)
    assert status == 400
    assert said in answer["error"]
    assert await told(session, hub.url, hub.admin) == []


async def test_a_line_that_is_not_enrolled_is_unknown(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    await hub.enroll()
    status, answer, _ = await ask(session, hub.url, hub.admin, GOOD | {"node": "line_x"})
    assert (status, answer) == (404, {"error": "node: no line 'line_x' is enrolled here"})


async def test_a_line_that_does_not_fetch_is_not_asked_for_ever(
    hub: RunningHub, session: aiohttp.ClientSession
) -> None:
    await hub.enroll()
    for _ in range(100):
        assert (await ask(session, hub.url, hub.admin, GOOD))[0] == 202
    status, answer, retry = await ask(session, hub.url, hub.admin, GOOD)
    assert (status, answer, retry) == (429, {"error": "node: 100 commands wait for line_a already"}, "1")
    assert len(await told(session, hub.url, hub.admin, "?limit=7")) == 7


async def test_a_command_reaches_the_desk_and_its_verdict_the_user(
    hub: RunningHub, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    secret = await hub.enroll()
    async with edge(hub.url, secret, tmp_path) as (commands, desk):
        engineer = await user(hub, "emma", Role.ENGINEER)
        assert (await ask(session, hub.url, engineer, GOOD))[0] == 202
        assert (await ask(session, hub.url, engineer, GOOD | {"signal": "line_a/a/b"}))[0] == 202

        async def judged() -> bool:
            return all(one["state"] in ("allowed", "refused") for one in await told(session, hub.url, engineer))

        await until("both verdicts", judged)
        refused, allowed = await told(session, hub.url, engineer, "?node=line_a")
    assert (allowed["state"], allowed["reason"]) == ("allowed", "")
    assert (refused["state"], refused["reason"]) == ("refused", "signal: line_a has no line_a/a/b")
    assert [(one.source, one.identity, one.value) for one in desk.asked] == [("hub", "emma", 152.5)]
    assert (commands.accepted, commands.refused) == (1, 1)
    page = hub.hub.server._metrics.render().decode()
    assert 'edged_hub_commands_total{outcome="handed_over"} 2.0' in page
    assert 'edged_hub_commands_total{outcome="allowed"} 1.0' in page


async def test_a_line_that_takes_none_says_so(hub: RunningHub, session: aiohttp.ClientSession, tmp_path: Path) -> None:
    secret = await hub.enroll()
    async with edge(hub.url, secret, tmp_path, allowed=False) as (_, desk):
        assert (await ask(session, hub.url, hub.admin, GOOD))[0] == 202

        async def refused() -> bool:
            (one,) = await told(session, hub.url, hub.admin)
            reason = "commands: hub.commands is false in the configuration of line_a"
            return (one["state"], one["reason"]) == ("refused", reason)

        await until("the verdict", refused)
    assert desk.asked == []


async def test_an_edge_that_knows_no_commands_is_handed_none(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    secret = await hub.enroll()
    assert (await ask(session, hub.url, hub.admin, GOOD | {"lives_seconds": 0.5}))[0] == 202
    assert b"commands" not in (await post(session, hub.url, secret, body())).body

    async def expired() -> bool:
        return [one["state"] for one in await told(session, hub.url, hub.admin)] == ["expired"]

    await until("the end of its life", expired)
    headers = bearer(secret) | {
        ACCEPTS_HEADER: ACCEPTS_COMMANDS,
        "Content-Type": "application/vnd.edged.batches+msgpack",
    }
    async with session.post(hub.url + "/api/v1/ingest", data=body(), headers=headers) as response:
        assert b"commands" not in await response.read(), "an old command never leaves"


async def test_a_hub_that_was_killed_forgets_and_repeats_nothing(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """One command was handed over before the kill, one waits: neither is there afterwards."""
    async with hub_process(tmp_path / "hub") as hub:
        secret = await hub.enroll()
        admin = bearer((tmp_path / "hub" / "admin.token").read_text().strip())
        emma = bearer(await output("user", "add", "emma", "--role", "engineer", *hub.arguments))
        async with edge(hub.url, secret, tmp_path) as (commands, desk):
            assert (await ask(session, hub.url, emma, GOOD))[0] == 202
            await until("the first", lambda: len(desk.asked) == 1)
            await hub.enroll("line_b")
            assert (await ask(session, hub.url, emma, GOOD | {"node": "line_b"}))[0] == 202
            await hub.kill()
            await hub.start()
            assert await told(session, hub.url, admin) == []
            assert (await ask(session, hub.url, emma, GOOD | {"value": 153.0}))[0] == 202
            await until("the next", lambda: len(desk.asked) == 2)
            assert [one.value for one in desk.asked] == [152.5, 153.0]
            assert commands.accepted == 2


async def test_the_curl_commands_of_the_documents_work_as_written(hub: RunningHub) -> None:
    (block,) = [block for block in blocks("sh") if "/api/v1/commands" in block.text]
    curl = shutil.which("curl")
    if curl is None and not os.environ.get("CI"):
        pytest.skip("curl is not installed")
    await hub.enroll()
    script = block.text.replace("http://127.0.0.1:8480", hub.url).replace(
        "curl ", f"{curl} --silent --show-error --fail "
    )
    token = hub.admin["Authorization"].removeprefix("Bearer ")
    pipe = asyncio.subprocess.PIPE
    shell = await asyncio.create_subprocess_exec("sh", "-ec", script, env={"TOKEN": token}, stdout=pipe, stderr=pipe)
    out, fault = await shell.communicate()
    assert (shell.returncode, fault) == (0, b"")
    decoder = json.JSONDecoder()
    taken, end = decoder.raw_decode(out.decode())
    shown, _ = decoder.raw_decode(out.decode(), end)
    assert taken["state"] == "waiting"
    (command,) = shown["commands"]
    assert (command["id"], command["user"], command["signal"], command["value"]) == (taken["id"], "admin", BELT, 152.5)

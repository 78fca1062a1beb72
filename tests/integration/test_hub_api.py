"""The read API: every documented route is called, and answers as documented."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edged.records import encode_events
from edged.types import Alarm, AlarmState, BatchKey, Gap, Lane, Priority
from edged_cloud_sync.wire import INGEST_PATH, WireBatch
from edged_hub.api import ReadApi, Route
from edged_hub.command_api import CommandApi
from edged_hub.openapi import document
from tests.integration.hub_rig import NODE, SECOND, SIGNAL, START, RunningHub, batch, fetch, running_hub

EXAMPLES = {
    "/api/v1/latest": {"node": NODE},
    "/api/v1/history": {"signal": SIGNAL},
    "/api/v1/events": {"kind": "Alarm"},
    "/api/v1/gaps": {},
    "/api/v1/completeness": {"minutes": "10080"},
    "/api/v1/status": {},
    "/api/v1/commands": {"node": NODE},
}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    """A hub that holds a little of everything."""
    alarm = Alarm("hot", SIGNAL, AlarmState.UNACKNOWLEDGED, Priority.HIGH, "too hot", START, 1610.0, 1600.0)
    gap = Gap("furnace", START, START + 4 * SECOND, "silent")
    async with running_hub(tmp_path / "hub") as running:
        events = WireBatch(BatchKey("test", Lane.EVENTS, 1), 2, encode_events([alarm, gap]))
        await running.store.ingest(NODE, [batch(1), batch(2), batch(5), events])
        _apis(running)[1]._commands.add("anna", NODE, SIGNAL, 1500.0, 30.0)
        yield running


async def ask(hub: RunningHub, session: aiohttp.ClientSession, path: str, **parameters: str) -> Any:
    query = "&".join(f"{name.rstrip('_')}={value}" for name, value in parameters.items())
    status, answer = await fetch(session, f"{hub.url}/api/v1/{path}?{query}", hub.admin)
    assert status == 200, answer
    return answer


async def test_every_documented_route_answers_as_documented(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    status, described = await fetch(session, hub.url + "/api/v1/openapi.json", {})
    assert status == 200
    assert isinstance(described, dict)
    apis = _apis(hub)
    routes: dict[str, Route[Any]] = {route.path: route for api in apis for route in api.routes()}
    assert described == document(list(routes.values()), apis[1].posts())
    assert set(described["paths"]) == {*EXAMPLES, INGEST_PATH}
    for path, parameters in EXAMPLES.items():
        operation = described["paths"][path]["get"]
        assert set(parameters) <= {parameter["name"] for parameter in operation["parameters"]}
        status, answer = await fetch(
            session, f"{hub.url}{path}?" + "&".join(f"{n}={v}" for n, v in parameters.items()), hub.admin
        )
        assert status == 200
        assert routes[path].answer.model_validate(answer, strict=False).model_dump(mode="json") == answer
        reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        assert reference.rsplit("/", 1)[-1] in described["components"]["schemas"]
        assert isinstance(answer, dict)
        assert any(answer.values()), f"{path} answered with nothing"


@pytest.mark.parametrize("path", EXAMPLES)
async def test_every_route_refuses_an_unknown_parameter(
    hub: RunningHub, session: aiohttp.ClientSession, path: str
) -> None:
    query = "&".join(f"{name}={value}" for name, value in (EXAMPLES[path] | {"colour": "red"}).items())
    status, answer = await fetch(session, f"{hub.url}{path}?{query}", hub.admin)
    assert (status, answer) == (400, {"error": "colour: Extra inputs are not permitted, got 'red'"})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "signal: Field required"),
        (f"signal={SIGNAL}&limit=0", "limit: Input should be greater than or equal to 1"),
        (f"signal={SIGNAL}&limit=1e9", "limit: Input should be a valid integer"),
        (f"signal={SIGNAL}&from=yesterday", "from: Value error"),
        (f"signal={SIGNAL}&from=99999999999999999", "from: Value error, milliseconds since 1970 are out of range"),
        (f"signal={SIGNAL}&from=2&to=1", "query: Value error, from must not be after to"),
        (f"signal={SIGNAL}&bucket_seconds=0", "bucket_seconds: Input should be greater than"),
        (f"signal={SIGNAL}&bucket_seconds=nan", "bucket_seconds: Input should be"),
    ],
)
async def test_wrong_parameters_are_named(
    hub: RunningHub, session: aiohttp.ClientSession, query: str, said: str
) -> None:
    status, answer = await fetch(session, f"{hub.url}/api/v1/history?{query}", hub.admin)
    assert status == 400
    assert isinstance(answer, dict)
    assert said in answer["error"]


async def test_a_record_has_the_agreed_shape(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    answer = await ask(hub, session, "history", signal=SIGNAL, limit="1")
    assert answer["records"] == [
        {
            "timestamp": "2026-01-01T00:00:01.000Z",
            "sensor_id": SIGNAL,
            "parameter_name": "temperature",
            "value": 1000.0,
            "unit": None,
            "status": "OK",
            "production_line": "Line_A",
            "quality": 192,
            "reason": "",
            "received": "2026-01-01T00:00:00.000Z",
            "node": NODE,
        }
    ]
    assert answer["next"] == "2026-01-01T00:00:01.001Z"


async def test_pages_of_history_join_without_loss_or_repeat(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    values: list[float] = []
    following: str | None = "2026-01-01"
    while following:
        answer = await ask(hub, session, "history", signal=SIGNAL, from_=following, limit="2")
        values += [record["value"] for record in answer["records"]]
        following = answer["next"]
    assert values == [1000.0, 1001.0, 1002.0, 2000.0, 2001.0, 2002.0, 5000.0, 5001.0, 5002.0]


async def test_milliseconds_and_iso_times_mean_the_same(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    answers = [
        await ask(hub, session, "history", signal=SIGNAL, from_=start, to=end)
        for start, end in (
            ("1767225602000", "1767225602002"),
            ("2026-01-01T00:00:02Z", "2026-01-01T01:00:02.002%2B01:00"),
            ("2026-01-01T00:00:02", "2026-01-01T00:00:02.002000000Z"),
        )
    ]
    assert answers[0] == answers[1] == answers[2]
    assert [record["value"] for record in answers[0]["records"]] == [2000.0, 2001.0]


async def test_buckets(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    answer = await ask(hub, session, "history", signal=SIGNAL, bucket_seconds="2")
    assert [(bucket["timestamp"], bucket["count"], bucket["mean"]) for bucket in answer["buckets"]] == [
        ("2026-01-01T00:00:00.000Z", 3, 1001.0),
        ("2026-01-01T00:00:02.000Z", 3, 2001.0),
        ("2026-01-01T00:00:04.000Z", 3, 5001.0),
    ]
    assert answer["buckets"][0] | {"minimum": 1000.0, "maximum": 1002.0, "good_share": 1.0} == answer["buckets"][0]


async def test_completeness_says_what_is_missing(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    answer = await ask(hub, session, "completeness", node=NODE)
    lanes = {lane["lane"]: lane for lane in answer["lanes"]}
    assert lanes["process"]["held"] == [{"first": 1, "last": 2}, {"first": 5, "last": 5}]
    assert lanes["process"]["missing"] == [{"first": 3, "last": 4}]
    assert (lanes["process"]["complete"], lanes["events"]["complete"]) == (False, True)


async def test_events_carry_their_body(hub: RunningHub, session: aiohttp.ClientSession) -> None:
    (event,) = (await ask(hub, session, "events", kind="Alarm"))["events"]
    assert (event["timestamp"], event["source"], event["body"]["priority"]) == (
        "2026-01-01T00:00:00.000Z",
        SIGNAL,
        "HIGH",
    )


def _apis(hub: RunningHub) -> tuple[ReadApi, CommandApi]:
    return hub.hub.server._api, hub.hub.server._command_api

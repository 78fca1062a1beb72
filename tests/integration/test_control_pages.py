"""`edged control` against the daemon's real pages: who is let in, what is read, and what is printed."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from edged.cli import main
from edged.control_pages import MAX_BODY_BYTES, ControlPages
from edged.http import StatusServer
from edged.operators import Operators
from edged.ports import Action, Answer, Order, Outcome, Role
from edged.settings import HttpSettings, Secret
from edged.subcommand import FAILED, WRONG_INPUT
from edged.supervise import start_task

ACCEPTED = Answer(Outcome.ACCEPTED)


@dataclass
class Desk:
    """Keeps orders and answers what it is told to."""

    answer: Answer = ACCEPTED
    orders: list[Order] = field(default_factory=list)
    denied: list[tuple[str, str, str]] = field(default_factory=list)

    async def act(self, order: Order) -> Answer:
        self.orders.append(order)
        return self.answer

    async def deny(self, action: str, identity: str, reason: str) -> None:
        self.denied.append((action, identity, reason))


@dataclass
class Box:
    """A daemon's pages with control, behind the pages' own token `open`."""

    folder: Path
    port: int
    desk: Desk
    operators: Operators

    def edged(self, *words: str) -> int:
        return main(["control", *words, "--url", f"http://127.0.0.1:{self.port}"])

    def post(self, action: str, body: Any, token: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        sent = body if isinstance(body, bytes | str) else json.dumps(body)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request("POST", f"/control/{action}", body=sent, headers=headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, json.loads(content)

    def make(self, name: str, role: Role = Role.OPERATOR) -> Path:
        path = self.folder / f"{name}.token"
        path.write_text(self.operators.add(name, role) + "\n")
        return path


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    (tmp_path / "pages").write_text("open\n")
    desk, operators = Desk(), Operators(tmp_path / "operators.json")
    server = StatusServer(
        HttpSettings(port=0, token=Secret(file=tmp_path / "pages")),
        metrics=lambda: b"",
        healthy=lambda: True,
        ready=lambda: True,
        status=lambda: {"line": "line_a", "loops": [{"name": "thickness", "actual_mode": "AUTO"}], "alarms": []},
        own_guard=ControlPages(operators, desk).routes(),
    )
    serving = start_task("pages", server.run())
    while not server.port:
        await asyncio.sleep(0.01)
    yield Box(tmp_path, server.port, desk, operators)
    serving.cancel()
    await asyncio.wait({serving})


async def test_without_operators_nobody_may_and_the_answer_says_how(box: Box) -> None:
    status, body = await asyncio.to_thread(box.post, "mode", {"target": "thickness", "value": "MAN"}, "x.y")
    assert status == 403
    assert body["outcome"] == "denied"
    assert body["reason"].startswith(f"no operator is named in {box.folder}/operators.json: edged control add-operator")
    assert box.desk.orders == []


async def test_an_operators_order_reaches_the_desk_with_name_and_role(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    token = str(box.make("anna"))
    words = ["mode", "thickness", "man", "--reason", "grade test", "--token-file", token]
    assert await asyncio.to_thread(box.edged, *words) == 0
    assert capsys.readouterr().out == "mode thickness: accepted\n"
    words = ["setpoint", "thickness", "4.1", "--token-file", token]
    assert await asyncio.to_thread(box.edged, *words) == 0
    assert box.desk.orders == [
        Order(Action.MODE, "thickness", "MAN", "grade test", "anna", Role.OPERATOR),
        Order(Action.SET_POINT, "thickness", 4.1, "", "anna", Role.OPERATOR),
    ]


@pytest.mark.parametrize(
    ("answer", "status", "exit_status"),
    [
        (Answer(Outcome.WAITS, "for an approval"), 202, 0),
        (Answer(Outcome.REFUSED, "limits: too much"), 409, FAILED),
        (Answer(Outcome.DENIED, "only an engineer"), 403, FAILED),
    ],
)
async def test_what_became_of_it_is_told(
    box: Box, capsys: pytest.CaptureFixture[str], answer: Answer, status: int, exit_status: int
) -> None:
    token = box.make("anna")
    box.desk.answer = answer
    words = ["output", "thickness", "155", "--token-file", str(token)]
    assert await asyncio.to_thread(box.edged, *words) == exit_status
    captured = capsys.readouterr()
    assert (captured.out or captured.err) == f"output thickness: {answer.outcome}: {answer.reason}\n"
    code, body = await asyncio.to_thread(box.post, "output", {"target": "thickness"}, token.read_text().strip())
    assert (code, body) == (status, {"outcome": answer.outcome, "reason": answer.reason})


async def test_strangers_are_kept_out_and_told_to_the_desk(box: Box) -> None:
    box.make("anna")
    order = {"target": "thickness", "value": "MAN"}
    assert (await asyncio.to_thread(box.post, "mode", order))[0] == 401
    assert (await asyncio.to_thread(box.post, "mode", order, "open"))[0] == 401, "the pages' token is no operator's"
    assert (await asyncio.to_thread(box.post, "mode", order, "anna.guess"))[0] == 401
    assert box.desk.orders == []
    assert [identity for _, identity, _ in box.desk.denied] == ["open", "anna"]


async def test_no_other_machine_may_even_with_a_token(tmp_path: Path) -> None:
    desk, operators = Desk(), Operators(tmp_path / "operators.json")
    headers = {"Authorization": f"Bearer {operators.add('anna', Role.ENGINEER)}"}
    asked = make_mocked_request("POST", "/control/mode", headers=headers, match_info={"action": "mode"})
    response = await ControlPages(operators, desk).post(asked.clone(remote="192.0.2.7"))
    assert response.status == 403
    assert desk.orders == []
    assert desk.denied == [("mode", "", "/control/ is for this machine only, asked from 192.0.2.7")]


async def test_other_pages_still_ask_for_their_token(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(box.edged, "status") == FAILED
    assert "asks for its token" in capsys.readouterr().err
    assert await asyncio.to_thread(box.edged, "status", "--token-file", str(box.folder / "pages")) == 0
    assert "thickness  AUTO" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"value": NaN}', "not JSON"),
        (b"[1]", "expected {"),
        ({"target": 1}, "target and reason must be texts"),
        ({"target": "t", "reason": None}, "target and reason must be texts"),
        ({"target": "t", "value": [1]}, "value must be a number or a text, got list"),
        ({"target": "t", "loop": "x"}, "unknown: loop"),
        (b'{"target": "' + b"x" * MAX_BODY_BYTES + b'"}', f"at most {MAX_BODY_BYTES} bytes"),
    ],
)
async def test_what_is_no_order_is_answered_with_what_is_wrong(box: Box, body: Any, told: str) -> None:
    token = box.make("anna").read_text().strip()
    status, answer = await asyncio.to_thread(box.post, "mode", body, token)
    assert status == 400
    assert answer["outcome"] == "unusable"
    assert answer["reason"].startswith(told)
    assert box.desk.orders == []


async def test_unknown_actions(box: Box) -> None:
    token = box.make("anna").read_text().strip()
    status, answer = await asyncio.to_thread(box.post, "explode", {}, token)
    assert status == 404
    assert answer["reason"].startswith("there is no /control/explode: mode, setpoint")


async def test_a_token_must_be_named(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(box.edged, "override", "thickness") == WRONG_INPUT
    assert "name the operator's token, or set EDGED_OPERATOR_TOKEN" in capsys.readouterr().err


def test_operators_are_made_once_and_their_token_is_theirs_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["control", "add-operator", "anna", "--role", "engineer", "--file", "operators.json"]
    assert main(words) == 0
    token = tmp_path / "anna.token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.read_text().strip() not in capsys.readouterr().out
    assert main(words) == FAILED, "the token file is never overwritten"
    assert main([*words, "--out", "again.token"]) == FAILED
    assert "anna is there already" in capsys.readouterr().err
    assert not (tmp_path / "again.token").exists()
    assert main(["control", "operators", "--file", "operators.json"]) == 0
    assert capsys.readouterr().out == "anna                     engineer\n"
    assert main(["control", "remove-operator", "anna", "--file", "operators.json"]) == 0
    assert main(["control", "remove-operator", "anna", "--file", "operators.json"]) == FAILED
    assert main(["control", "add-operator", "bert", "--file", str(tmp_path / "no" / "operators.json")]) == FAILED
    assert not (tmp_path / "bert.token").exists()

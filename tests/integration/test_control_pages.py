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
from edged.clock import SystemClock
from edged.control_pages import MAX_BODY_BYTES, ControlPages
from edged.http import StatusServer
from edged.operators import Operators
from edged.ports import Action, Answer, Order, Outcome, Role
from edged.settings import HttpSettings, Secret
from edged.signature import public_keys
from edged.subcommand import FAILED, WRONG_INPUT
from edged.supervise import start_task
from edged.types import Limits
from edged_control.approval import read_approval
from edged_control.limits.push import read_push

SIGNAL = "line_a/forming/belt_speed_setpoint"
WAITING = {"who": "pid", "value": 158.5, "reason": "approval: ...", "since": 1}
LOOP = {"name": "thickness", "actual_mode": "AUTO", "signal": SIGNAL, "unit": "m/min", "waiting": WAITING}
LIMITS = {"signal": SIGNAL, "low": 50.0, "high": 170.0, "origin": "pushed by anna"}
STATUS = {
    "line": "line_a",
    "limits": [LIMITS],
    "loops": [LOOP, {**LOOP, "name": "width", "waiting": None}],
    "alarms": [],
}
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
        status=lambda: STATUS,
        own_guard=ControlPages(operators, desk, lambda: STATUS).routes(),
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
    response = await ControlPages(operators, desk, lambda: STATUS).post(asked.clone(remote="192.0.2.7"))
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


async def test_an_engineer_approves_what_waits_or_more(
    box: Box, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGED_OPERATOR_TOKEN", str(box.make("anna")))
    assert main(["control", "keygen", "chris", "--out", str(box.folder)]) == 0
    key = ["--key", str(box.folder / "chris.key")]
    assert (box.folder / "chris.key").stat().st_mode & 0o777 == 0o600
    assert await asyncio.to_thread(box.edged, "approve", "thickness", *key) == 0
    assert await asyncio.to_thread(box.edged, "approve", "width", *key) == FAILED
    assert "width waits for no approval: name the --value" in capsys.readouterr().err
    wanted = ["approve", "width", *key, "--value", "160", "--span", "2", "--hours", "4"]
    assert await asyncio.to_thread(box.edged, *wanted) == 0
    assert await asyncio.to_thread(box.edged, "approve", "depth", *key) == FAILED
    keys, now = public_keys(box.folder / "chris.pub"), SystemClock().now()
    first, second = (read_approval(str(order.value), keys, now) for order in box.desk.orders)
    assert (first[0].line, first[0].signal, first[0].unit, first[0].value) == ("line_a", SIGNAL, "m/min", 158.5)
    assert first[0].span == 0.0
    assert (second[0].value, second[0].span, second[1]) == (160.0, 2.0, "chris")
    assert second[0].expires - second[0].issued == 4 * 3600 * 10**9
    assert first[0].identity != second[0].identity


async def test_what_was_signed_elsewhere_is_handed_over_as_it_is(
    box: Box, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGED_OPERATOR_TOKEN", str(box.make("anna")))
    main(["control", "keygen", "chris", "--out", str(box.folder)])
    capsys.readouterr()
    words = ["--line", "line_a", "--signal", "forming/belt_speed_setpoint", "--unit", "m/min", "--value", "160"]
    assert main(["control", "sign", "--key", str(box.folder / "chris.key"), *words]) == 0
    text = capsys.readouterr().out
    (box.folder / "ok").write_text(text)
    assert await asyncio.to_thread(box.edged, "approve", "thickness", "--file", str(box.folder / "ok")) == 0
    (order,) = box.desk.orders
    assert (order.action, order.value) == (Action.APPROVE, text.strip())
    approval, _ = read_approval(text, public_keys(box.folder / "chris.pub"), SystemClock().now())
    assert approval.signal == SIGNAL


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["approve", "thickness"], WRONG_INPUT, "name either --key to sign with, or --file"),
        (["approve", "thickness", "--key", "gone.key"], FAILED, "gone.key: No such file"),
        (["approve", "thickness", "--key", "other.key"], FAILED, "other.key is not a private key"),
        (["approve", "thickness", "--file", "gone"], FAILED, "--file: "),
        (["approve", "thickness", "--key", "chris.key", "--span", "-1"], WRONG_INPUT, "--span: "),
        (["approve", "thickness", "--key", "chris.key", "--value", "nan"], WRONG_INPUT, "--value: "),
    ],
)
async def test_approvals_that_cannot_be_made(
    box: Box,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    told: str,
) -> None:
    monkeypatch.chdir(box.folder)
    monkeypatch.setenv("EDGED_OPERATOR_TOKEN", str(box.make("anna")))
    main(["control", "keygen", "chris"])
    (box.folder / "other.key").write_text("ssh-ed25519 AAAA")
    assert await asyncio.to_thread(box.edged, *words) == status
    assert told in capsys.readouterr().err
    assert box.desk.orders == []


def test_keys_are_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["control", "keygen", "chris"]) == 0
    before = (tmp_path / "chris.key").read_bytes()
    assert main(["control", "keygen", "chris"]) == FAILED
    assert (tmp_path / "chris.key").read_bytes() == before
    assert main(["control", "keygen", "../chris"]) == WRONG_INPUT
    assert "File exists" in capsys.readouterr().err


LIMITS_FILE = """\
limits:
  - {signal: forming/belt_speed_setpoint, unit: m/min, low: 50, high: 180, rate_per_minute: 20, approval_threshold: 50}
"""


async def test_limits_are_handed_over_as_listed_or_signed(
    box: Box, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGED_OPERATOR_TOKEN", str(box.make("anna")))
    main(["control", "keygen", "chris", "--out", str(box.folder)])
    path, key = box.folder / "limits.yaml", ["--key", str(box.folder / "chris.key")]
    path.write_text(LIMITS_FILE)
    why = ["--reason", "new rollers"]
    assert await asyncio.to_thread(box.edged, "limits", str(path), *why) == 0
    assert await asyncio.to_thread(box.edged, "limits", str(path), *why, *key, "--hours", "4") == 0
    capsys.readouterr()
    assert main(["control", "sign-limits", str(path), "--line", "line_a", *key]) == 0
    (box.folder / "signed").write_text(capsys.readouterr().out)
    assert await asyncio.to_thread(box.edged, "limits", "--signed", str(box.folder / "signed"), *why) == 0
    assert {(order.action, order.target, order.reason) for order in box.desk.orders} == {
        (Action.LIMITS, "line_a", "new rollers")
    }
    keys, now = public_keys(box.folder / "chris.pub"), SystemClock().now()
    plain, signed, elsewhere = (
        read_push(str(order.value), "anna", "line_a", lambda: keys, now) for order in box.desk.orders
    )
    assert plain.limits == signed.limits == elsewhere.limits == (Limits(SIGNAL, 50, 180, 20 / 60, 50, "m/min"),)
    assert [push.signer for push in (plain, signed, elsewhere)] == ["", "chris", "chris"]
    assert plain.consent is None
    assert signed.consent is not None
    assert signed.consent.expires - signed.consent.issued == 4 * 3600 * 10**9


async def test_what_the_daemon_refuses_is_told_by_file_and_line(
    box: Box, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGED_OPERATOR_TOKEN", str(box.make("anna")))
    path = box.folder / "limits.yaml"
    path.write_text(LIMITS_FILE)
    box.desk.answer = Answer(Outcome.REFUSED, f"limits: {SIGNAL}: high 180 instead of 170\nkey: must be signed")
    assert await asyncio.to_thread(box.edged, "limits", str(path), "--reason", "new rollers") == FAILED
    told = f"limits line_a: refused: {path}:2: limits: {SIGNAL}: high 180 instead of 170\nkey: must be signed\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("high: 180", "high: 40", "2: limits.0: low must be below high, got low 50.0 and high 40.0"),
        ("high: 180", "high: .nan", "2: limits.0.high: expected a finite number, got nan"),
        ("high: 180", "high: fast", "2: limits.0.high: expected a number, got 'fast'"),
        ("rate_per_minute: 20", "rate_per_minute: -20", "2: limits.0.rate_per_minute: must be greater than 0, got -20"),
        ("rate_per_minute: 20, ", "", "2: limits.0: name exactly one of rate_per_second"),
        ("m/min", "m/mn", "2: limits.0.unit: unknown unit, got 'm/mn', did you mean 'm/min'?"),
        ("forming/belt", "Forming/belt", "2: limits.0.signal: expected equipment/name"),
        ("unit:", "units:", "2: limits.0.units: unknown key, did you mean 'unit'?"),
        ("limits:", "limit:", "1: limit: unknown key, did you mean 'limits'?"),
        (LIMITS_FILE, "limits: []", "expected `limits:` and a list of them, got none"),
        (LIMITS_FILE, "", "expected"),
    ],
)
async def test_a_file_of_limits_with_faults_goes_nowhere(
    box: Box, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, old: str, new: str, told: str
) -> None:
    monkeypatch.setenv("EDGED_OPERATOR_TOKEN", str(box.make("anna")))
    path = box.folder / "limits.yaml"
    path.write_text(LIMITS_FILE.replace(old, new))
    assert await asyncio.to_thread(box.edged, "limits", str(path), "--reason", "new rollers") == WRONG_INPUT
    error = capsys.readouterr().err
    assert str(path) in error
    assert told in error
    assert box.desk.orders == []


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ([], WRONG_INPUT, "name either a FILE with limits, or --signed"),
        (["limits.yaml", "--signed", "ok"], WRONG_INPUT, "name either a FILE with limits, or --signed"),
        (["--signed", "gone"], FAILED, "--signed: "),
        (["gone.yaml"], WRONG_INPUT, "gone.yaml"),
        (["limits.yaml", "--key", "gone.key"], FAILED, "gone.key: No such file"),
        (["many.yaml", "--key", "chris.key"], WRONG_INPUT, "sign them in parts"),
    ],
)
async def test_pushes_that_cannot_be_made(
    box: Box,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    told: str,
) -> None:
    monkeypatch.chdir(box.folder)
    monkeypatch.setenv("EDGED_OPERATOR_TOKEN", str(box.make("anna")))
    main(["control", "keygen", "chris"])
    (box.folder / "limits.yaml").write_text(LIMITS_FILE)
    entry = LIMITS_FILE.splitlines()[1]
    many = [entry.replace("setpoint", f"setpoint{number}") for number in range(60)]
    (box.folder / "many.yaml").write_text("\n".join(["limits:", *many]))
    assert await asyncio.to_thread(box.edged, "limits", *words, "--reason", "new rollers") == status
    assert told in capsys.readouterr().err
    assert box.desk.orders == []


async def test_an_operators_token_opens_the_status_of_control(
    box: Box, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGED_OPERATOR_TOKEN", str(box.make("anna")))
    assert await asyncio.to_thread(box.edged, "status") == 0
    told = capsys.readouterr().out
    assert "thickness  AUTO" in told
    assert f"{SIGNAL}  50   170   pushed by anna" in told
    box.operators.remove("anna")
    assert await asyncio.to_thread(box.edged, "status") == FAILED
    assert "no operator is named" in capsys.readouterr().err


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

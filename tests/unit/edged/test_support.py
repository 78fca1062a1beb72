"""`edged support`: what a helper needs is in the bundle, and no secret, wherever one was planted."""

from __future__ import annotations

import base64
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from edged.cli import main
from edged.clock import VirtualClock
from edged.facts import file_facts
from edged.redact import is_secret_name
from edged.subcommand import FAILED
from edged.types import Alarm, AlarmState, Prediction, Priority
from tests.unit.edged.outbox_bench import opened, put

Secrets = dict[str, str]
KEY_LINE = "MHcCAQEEIHkeyLINEofThePrivateKeyThatNobodyMaySee"
LINE = """\
# the password of the broker is {comment}
site: works
line: line_a
data_directory: data
http: {{ port: 1, token: {{ file: http-token }} }}
hub:
  url: https://someone:{in_url}@hub.example
  secret: {{ file: "${{HUB_SECRET_PLACE:-hub-secret}}" }}
  tls: {{ certificate: own.pem, key: own.key }}
sparkplug:
  brokers:
    - {{ host: broker.example, username: edged, password: {literal} }}
    - {{ host: other.example, username: edged, password: {{ environment: BROKER_PASSWORD }} }}
    - {{ host: third.example, username: edged, password: {{ credential: mqtt }} }}
sources:
  press:
    kind: opcua
    options: {{ endpoint: "opc.tcp://plc:4840", username: viewer, password: {{ file: plc-secret }}, api_key: {option} }}
    signals:
      - {{ name: press/temperature, address: {{ node: "ns=2;s=T" }}, unit: degC }}
  cold_end:
    kind: mqtt
    options: {{ broker: {{ host: iot.example, username: {user} }}, topic_root: "{unknown}" }}
  robot:
    kind: of_another_maker
    options: {{ code: {plugin}, deep: [{{ a: "{deep}" }}], pin: 471147, port: 3000 }}
"""
ODD_CONFIGURATIONS = (
    "hub: {{ secret: {0}\n",
    "hub:\n  secret: '{0}'\n  secret: x\n",
    "- {{ password: {0} }}\n",
    "hub: {{ secret: ['{0}'] }}\n",
    "hub: {{ secret: {{ value: '{0}' }} }}\n",
    "hub: {{ secret: {{ file: a, other: '{0}' }} }}\n",
    "hub: {{ token: {{ a: {{ b: '{0}' }} }} }}\n",
    "sources: {{ a: {{ kind: x, options: '{0}' }} }}\n",
    "sources: {{ a: {{ kind: opcua, options: {{ password: !secret '{0}' }} }} }}\n",
    "sources: {{ a: '{0}' }}\n",
    "models: [{{ name: a, bundle: 'https://x:{0}@y/z' }}]\n",
    "hub: {{ url: '${{URL:-https://x:{0}@y}}' }}\n",
    "site: &s '{0}'\nhub: {{ secret: *s }}\n",
    "whatever: '{0}'\n",
    "# the password: {0}\n",
)


@pytest.fixture
def planted() -> Secrets:
    """One secret for every place where one can be."""
    names = ["comment", "in_url", "literal", "option", "hub", "http", "plc", "environment", "credential", "stray"]
    names += ["user", "unknown", "plugin", "deep", "lines"]
    return {
        name: f'5ecret-of-{name}-\u00fc&"{number}' if name in ("hub", "stray") else f"5ecret-of-{name}-{number}"
        for number, name in enumerate(names)
    }


@pytest.fixture
def line(tmp_path: Path, planted: Secrets, own_environment: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with all of them, and the files and variables that it points at."""
    folder = tmp_path / "etc"
    credentials = tmp_path / "credentials"
    for made in (folder, folder / "data", credentials):
        made.mkdir()
    (folder / "hub-secret").write_text(planted["hub"] + "\n")
    (folder / "http-token").write_text(planted["http"] + "\n")
    (folder / "plc-secret").write_text(f"{planted['plc']}\n{planted['lines']}\n")
    (folder / "own.key").write_text(f"-----BEGIN PRIVATE KEY-----\n{KEY_LINE}\n-----END PRIVATE KEY-----\n")
    (credentials / "mqtt").write_text(planted["credential"])
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("BROKER_PASSWORD", planted["environment"])
    monkeypatch.setenv("SOME_API_KEY", planted["stray"])
    path = folder / "line.yaml"
    path.write_text(LINE.format(**planted))
    return path


@pytest.fixture
def log_file(tmp_path: Path, planted: Secrets) -> Path:
    """A log into which every secret was written in some way."""
    path = tmp_path / f"edged-{planted['plc']}.log"
    lines = [f"connecting with {secret} as told" for name, secret in planted.items() if name != "comment"]
    lines += [json.dumps({"event": "x", "value": secret}) for secret in planted.values() if "comment" not in secret]
    lines += [base64.b64encode(planted["hub"].encode()).decode(), f"Authorization: Bearer {planted['comment']}"]
    lines += [quote(secret, safe="").lower() for secret in planted.values() if "comment" not in secret]
    lines += [base64.b64encode(f"edged:{secret}".encode()).decode() for secret in planted.values()]
    lines += [f"key line {KEY_LINE}", f"{KEY_LINE} -----END PRIVATE KEY-----", "the pin is 471147", "a harmless line"]
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\n")
    return path


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment of the tests happens to hold is no secret of theirs."""
    for name in [name for name in os.environ if is_secret_name(name)]:
        monkeypatch.delenv(name)


Gather = Callable[..., dict[str, str]]


@pytest.fixture
def gather(tmp_path: Path) -> Gather:
    """Runs the command; the texts in the bundle by name."""

    def run(*arguments: object) -> dict[str, str]:
        out = tmp_path / "bundle.tar.gz"
        assert main(["support", "--out", str(out), *map(str, arguments)]) == 0
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        with tarfile.open(out) as archive:
            found = {}
            for member in archive:
                assert (member.uid, member.uname, member.isfile()) == (0, "", True)
                content = archive.extractfile(member)
                assert content is not None
                found[member.name.removeprefix("edged-support/")] = content.read().decode()
        return found

    return run


def shown(files: dict[str, str], name: str) -> Any:
    return json.loads(files[name])


async def test_no_planted_secret_is_in_the_bundle(
    line: Path, log_file: Path, planted: Secrets, gather: Gather, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(line.parent / "data/outbox.db", VirtualClock()) as outbox:
        await put(outbox, 7)
    files = gather("--config", line, "--log", log_file, "--log", log_file.with_name(planted["hub"][:9]))
    printed = capsys.readouterr()
    everything = "".join([*files, *files.values(), printed.err])
    for name, secret in planted.items():
        for form in (secret, json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode().rstrip("=")):
            assert form not in everything, name
        assert quote(secret, safe="").lower() not in everything, name
        assert base64.b64encode(f"edged:{secret}".encode()).decode() not in everything, name
    assert KEY_LINE not in everything
    assert "471147" not in everything
    assert "5ecret" not in everything.replace(planted["hub"][:9], "")
    assert "a harmless line" in files["logs/1.txt"]


async def test_what_a_helper_needs_is_there(line: Path, log_file: Path, gather: Gather) -> None:
    async with opened(line.parent / "data/outbox.db", VirtualClock()) as outbox:
        await put(outbox, 7)
    files = gather("--config", line, "--log", log_file)
    config = yaml.safe_load(files["config.yaml"])
    assert config["hub"]["secret"] == {"file": "${HUB_SECRET_PLACE:-hub-secret}"}
    assert config["hub"]["tls"]["key"] == "own.key"
    brokers = config["sparkplug"]["brokers"]
    assert [broker["password"] for broker in brokers] == [
        "[secret]",
        {"environment": "BROKER_PASSWORD"},
        {"credential": "mqtt"},
    ]
    press, robot = config["sources"]["press"]["options"], config["sources"]["robot"]["options"]
    assert press["endpoint"] == "opc.tcp://plc:4840"
    assert press["password"] == {"file": "plc-secret"}
    assert robot == {"code": "[not shown]", "deep": [{"a": "[not shown]"}], "pin": "[secret]", "port": "[not shown]"}
    assert "sources.press.options.api_key: unknown key" in files["check.txt"]
    assert shown(files, "versions.json")["libraries"]["pydantic"]
    assert shown(files, "system.json")["processors"] >= 1
    assert "SOME_API_KEY" not in files["system.json"]
    (lane, _) = shown(files, "outbox.json")["outbox.db"]["lanes"]
    assert lane[1:4] == [1, 1, 7]
    assert {Path(file["path"]).name for file in shown(files, "data.json")["files"]} >= {"outbox.db"}
    manifest = shown(files, "manifest.json")
    assert set(manifest["files"]) | {"manifest.json", "README.txt"} == set(files)
    assert [missing.partition(":")[0] for missing in manifest["missing"]] == ["status.json", "metrics.txt"]


def test_without_a_configuration_it_says_what_it_lacks(gather: Gather, capsys: pytest.CaptureFixture[str]) -> None:
    files = gather("--url", "http://127.0.0.1:1", "--log", "/nowhere/edged.log")
    assert set(files) == {"README.txt", "manifest.json", "system.json", "versions.json"}
    assert shown(files, "manifest.json")["missing"][0].startswith("config.yaml: no --config was named")
    printed = capsys.readouterr().err
    assert "left out: /nowhere/edged.log: " in printed
    assert "left out: status.json: http://127.0.0.1:1 does not answer " in printed


def test_variables_of_any_length_and_places_are_told_from_secrets(
    tmp_path: Path, gather: Gather, own_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_file, token = tmp_path / "edged.log", "5ecret" * 1000
    log_file.write_text(f"{tmp_path} {token} 5ecret-in-a-file true\n")
    (tmp_path / "held").write_text("5ecret-in-a-file")
    for name, value in (
        ("PWD", str(tmp_path)),
        ("HUB_TOKEN", token),
        ("TOKEN_FILE", str(tmp_path / "held")),
        ("TOKEN_CHECKED", "true"),
    ):
        monkeypatch.setenv(name, value)
    logged = gather("--log", log_file)["logs/1.txt"]
    assert logged.splitlines()[1] == f"{tmp_path} [secret] [secret] true"


def test_a_url_with_a_password_is_not_printed(gather: Gather, capsys: pytest.CaptureFixture[str]) -> None:
    gather("--url", "http://a:5ecret@127.0.0.1:1")
    assert "5ecret" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ODD_CONFIGURATIONS)
@pytest.mark.parametrize("secret", ["5ecretOfThisBox", "5ecret: of] the, box", "5ecret" * 20])
def test_secrets_in_odd_places_stay(tmp_path: Path, gather: Gather, text: str, secret: str) -> None:
    config, log_file = tmp_path / "line.yaml", tmp_path / "edged.log"
    config.write_text(text.format(secret))
    log_file.write_text(f"refused {secret} there\n")
    files = gather("--config", config, "--log", log_file)
    assert "5ecret" not in "".join(files.values())


def test_the_journal_of_a_unit_is_taken(tmp_path: Path, gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$1 says token=abc"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    files = gather("--unit", "edged@line-a")
    assert files["logs/1.txt"] == "the journal of edged@line-a\n--unit=edged@line-a says token=[secret]\n"
    program.write_text("#!/bin/sh\necho no such unit >&2\nexit 1\n")
    assert "journal of edged@line-a: journalctl: no such unit" in gather("--unit", "edged@line-a")["manifest.json"]


async def test_the_last_alarms_are_there(line: Path, gather: Gather, planted: Secrets) -> None:
    async with opened(line.parent / "data/outbox.db", VirtualClock()) as outbox:
        for number in range(3):
            alarm = Alarm(
                f"a{number}", "line_a", AlarmState.UNACKNOWLEDGED, Priority.LOW, f"got {planted['hub']}", number
            )
            await outbox.record([alarm, Prediction("m", "1", "o", number, 0.5, 60.0)])
    events = shown(gather("--config", line), "events.json")
    assert [(event["event"], event["name"], event["message"]) for event in events] == [
        ("Alarm", f"a{number}", "got [secret]") for number in range(3)
    ]


async def test_a_damaged_outbox_is_told(line: Path, gather: Gather) -> None:
    (line.parent / "data/outbox.db").write_bytes(b"no outbox")
    manifest = shown(gather("--config", line), "manifest.json")
    assert [missing.rpartition(": ")[0] for missing in manifest["missing"]][2:] == [
        f"{name}: {line.parent}/data/outbox.db" for name in ("outbox.json: outbox.db", "events.json")
    ]


def test_what_is_no_file_is_no_log(tmp_path: Path, gather: Gather, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    gather("--log", tmp_path / "pipe", "--log", tmp_path)
    assert capsys.readouterr().err.count(": is no file") == 2


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a: [", b"- 1\n- 2\n", b"http: 7\ndata_directory: 9\n"])
def test_a_broken_configuration_stops_nothing(tmp_path: Path, gather: Gather, content: bytes) -> None:
    path = tmp_path / "line.yaml"
    path.write_bytes(content)
    files = gather("--config", path)
    assert f"{path}:" in files["check.txt"]


def test_long_logs_are_cut_at_a_line(tmp_path: Path, gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edged.support.LOG_BYTES", 25)
    path = tmp_path / "edged.log"
    path.write_text("".join(f"line {number:04}\n" for number in range(100)))
    files = gather("--log", path)
    assert files["logs/1.txt"].splitlines()[1:] == ["line 0098", "line 0099"]


def test_a_place_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support", "--out", "/nowhere/x.tar.gz"]) == FAILED
    assert "/nowhere/x.tar.gz: No such file or directory" in capsys.readouterr().err


def test_absent_files_are_facts_too(tmp_path: Path) -> None:
    assert file_facts(tmp_path / "x")["missing"] == "No such file or directory"

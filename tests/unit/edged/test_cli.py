"""The command line: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edged import __version__
from edged.cli import main
from edged.subcommand import FAILED, WRONG_INPUT

Run = Callable[..., tuple[int, str, str]]

COMMANDS = ("run", "check", "schema", "browse", "status", "outbox", "sparkplug-check", "support")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `edged` in this process: exit status, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def example(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example line, with a secret at hand."""
    secret = tmp_path / "hub-secret"
    secret.write_text("x")
    secret.chmod(0o600)
    monkeypatch.setenv("EDGED_HUB_SECRET", str(secret))
    return str(project / "configs/line-a.yaml")


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"edged {__version__}\n", "")


def test_help_names_every_command_and_a_way_to_begin(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    assert all(re.search(rf"\n    {command}\s", out) for command in COMMANDS)
    assert "edged check line.yaml" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example(run: Run, command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0
    assert "example:" in out
    assert f"edged {command}" in out.partition("example:")[2]


@pytest.mark.parametrize("arguments", [(), ("chekc",), ("check",), ("run",), ("browse", "opcua"), ("outbox",)])
def test_usage_faults(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (WRONG_INPUT, "")
    assert err.startswith("usage: edged")


def test_check_of_the_example(run: Run, example: str) -> None:
    status, out, _ = run("check", example)
    assert status == 0
    assert out.startswith(f"{example}: ok: 3 sources, ")
    assert "(5 writable), 3 alarms, 1 model, 1 loop, hub, sparkplug; hash " in out


def test_check_of_several_files_reports_each(run: Run, example: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("site: Works\nsight: x\n")
    status, out, err = run("check", str(wrong), example)
    assert status == WRONG_INPUT
    assert out.startswith(f"{example}: ok: ")
    assert f"{wrong}:2: sight: unknown key, did you mean 'site'?\n" in err
    assert "\nedged: 5 faults\n" in err


def test_missing_secret_can_be_tolerated(run: Run, example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGED_HUB_SECRET", "/nowhere/secret")
    status, _, err = run("check", example)
    assert status == WRONG_INPUT
    assert (
        "hub.secret: the secret was looked for in /nowhere/secret: No such file or directory (`edged-hub enroll " in err
    )
    assert err.endswith(f"edged: on a machine that is not the box: edged check --tolerate-missing {example}\n")
    status, out, err = run("check", "--tolerate-missing", example)
    assert status == 0
    assert "ok: " in out
    assert "warning: " in err


def test_run_refuses_a_faulty_file(run: Run, tmp_path: Path) -> None:
    status, out, err = run("run", str(tmp_path / "gone.yaml"))
    assert (status, out) == (WRONG_INPUT, "")
    assert err == f"{tmp_path}/gone.yaml:1: cannot be read: No such file or directory\nedged: 1 fault\n"


def test_schema_covers_every_installed_kind(run: Run) -> None:
    status, out, _ = run("schema")
    assert status == 0
    schema = json.loads(out)
    rules = schema["$defs"]["SourceSettings"]["allOf"]
    assert {rule["if"]["properties"]["kind"]["const"] for rule in rules} >= {"fake", "modbus", "mqtt", "opcua"}


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("opcau", "x"), WRONG_INPUT, "unknown kind 'opcau', did you mean 'opcua'? (installed: "),
        (("modbus", "plc:502"), FAILED, "a source of kind modbus cannot be browsed"),
        (("opcua", "opc.tcp://x", "username"), WRONG_INPUT, "expected KEY=VALUE, got 'username'"),
        (("opcua", "opc.tcp://x", "usrname=x"), WRONG_INPUT, "command line:1: usrname: unknown key"),
    ],
)
def test_browse_faults(run: Run, arguments: tuple[str, ...], status: int, text: str) -> None:
    given, out, err = run("browse", *arguments)
    assert (given, out) == (status, "")
    assert text in err


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("--url", "nonsense"), WRONG_INPUT, "--url: expected http://HOST:PORT, got 'nonsense'"),
        (("--url", "http://127.0.0.1:1"), FAILED, "http://127.0.0.1:1 does not answer"),
        (("--token-file", "/nowhere/token"), FAILED, "--token-file: [Errno 2] No such file or directory"),
    ],
)
def test_status_faults(run: Run, arguments: tuple[str, ...], status: int, text: str) -> None:
    given, out, err = run("status", *arguments)
    assert (given, out) == (status, "")
    assert text in err
    assert "Traceback" not in err


def test_reader_that_leaves_early_causes_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "edged.cli", "schema"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    os.close(writing)
    assert done.returncode == FAILED
    assert "Traceback" not in done.stderr

"""Every command that a document or a help text shows is one that the programs know; the first steps work as written."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.__main__ import COMMANDS
from bench.processes import Process, free_port, program, wait_until
from edged import cli as edged_cli
from edged.config import load
from edged_hub import cli as hub_cli
from edged_sim import cli as sim_cli
from tests.conftest import PROJECT
from tests.integration.documents import blocks, documents, spans

PARSERS = {"edged": edged_cli._parser, "edged-hub": hub_cli._parser, "edged-sim": sim_cli._parser}
SHELL_ENDS = (">", "|", "#", "<")
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z-]+)\b")
BENCH = re.compile(r"python -m bench ([a-z-]+)")
RECORDING = "time,press_force\n" + "".join(f"2026-01-01T00:00:{second:02d}Z,{second}.5\n" for second in range(30))


def lines_of(text: str) -> list[str]:
    """The lines, those joined that a backslash continues."""
    return re.sub(r"\s*\\\n\s*", " ", text).splitlines()


def words_of(line: str) -> list[str]:
    """The words of a command line up to redirections, pipes and comments; the program without its folder."""
    words = shlex.split(line.split(" #", maxsplit=1)[0].strip())
    end = next((at for at, word in enumerate(words) if word.startswith(SHELL_ENDS)), len(words))
    words = words[:end]
    return [Path(words[0]).name, *words[1:]] if words else []


def shown_in_blocks() -> Iterator[tuple[str, list[str]]]:
    for block in blocks(""):
        for line in lines_of(block.text):
            words = words_of(line)
            if words and words[0] in PARSERS:
                yield block.name, words


def shown_in_prose() -> Iterator[tuple[str, list[str]]]:
    for file, text in spans():
        if text.split()[0] in PARSERS and len(text.split()) > 1:
            yield file.name, words_of(text)


def shown_in_help() -> Iterator[tuple[str, list[str]]]:
    for name, parser in PARSERS.items():
        for one in parsers_below(parser()):
            for line in lines_of(f"{one.description or ''}\n{one.epilog or ''}"):
                if line.startswith(f"  {name} "):
                    yield one.prog, words_of(re.split(r"\s{2,}", line.strip())[0])


def parsers_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for below in choices_of(parser).values():
        yield from parsers_below(below)


def choices_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


@pytest.mark.parametrize("shown", [shown_in_blocks, shown_in_help])
def test_every_command_shown_is_understood(shown: object) -> None:
    assert callable(shown)
    found = list(shown())
    assert len(found) > 5
    for place, (name, *arguments) in found:
        try:
            PARSERS[name]().parse_args(arguments)
        except SystemExit as stop:
            pytest.fail(f"{place}: {name} {' '.join(arguments)}: not understood ({stop.code})")


def test_every_command_in_prose_is_understood_as_far_as_it_goes() -> None:
    found = list(shown_in_prose())
    assert len(found) > 5
    for place, (name, command, *arguments) in found:
        assert command in choices_of(PARSERS[name]()), f"{place}: {name} {command}"
        if arguments:
            PARSERS[name]().parse_args([command, *arguments])


def test_every_make_target_exists() -> None:
    targets = set(TARGET.findall((PROJECT / "Makefile").read_text(encoding="utf-8")))
    said = [name for file in documents() for name in MAKE.findall(code_of(file))]
    assert set(said) >= {"demo", "test", "check", "setup"}
    assert set(said) <= targets


def test_every_benchmark_named_exists() -> None:
    said = {name for file in documents() for name in BENCH.findall(file.read_text(encoding="utf-8"))}
    assert said
    assert said <= set(COMMANDS)


def code_of(file: Path) -> str:
    """Fenced blocks and code spans of one document."""
    fenced = [block.text for block in blocks("") if block.file == file]
    return "\n".join([*fenced, *(text for place, text in spans() if place == file)])


@pytest.mark.parametrize("name", PARSERS)
def test_help_is_printed(name: str) -> None:
    answer = run(name, "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert all(command in answer.stdout for command in choices_of(PARSERS[name]()))


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program(name), *arguments], capture_output=True, text=True, check=False)


def test_browse_check_and_schema_work_as_the_documents_say(tmp_path: Path) -> None:
    recording, ready, port = tmp_path / "press.csv", tmp_path / "ready.json", free_port()
    recording.write_text(RECORDING, encoding="utf-8")
    arguments = [program("edged-sim"), "replay", str(recording), "--opcua-port", str(port), "--ready-file", str(ready)]
    player = Process("player", [*arguments, "--journal", str(tmp_path / "journal")], tmp_path)
    try:
        wait_until("the recording", ready.exists, player)
        browsed = run("edged", "browse", "opcua", f"opc.tcp://127.0.0.1:{port}/")
    finally:
        player.stop()
    assert (browsed.returncode, browsed.stderr) == (0, "")
    line = tmp_path / "my-line.yaml"
    line.write_text(browsed.stdout, encoding="utf-8")
    assert any(path.endswith("press_force") for path in load(line).signals)
    checked = run("edged", "check", str(line))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "ok" in checked.stdout
    assert '"$defs"' in run("edged", "schema").stdout


def test_a_line_and_a_user_are_enrolled_as_the_documents_say(tmp_path: Path) -> None:
    secret, data = tmp_path / "line-a.hub-secret", ["--data", str(tmp_path / "hub")]
    assert run("edged-hub", "enroll", "line_a", *data, "--out", str(secret)).returncode == 0
    assert secret.stat().st_mode & 0o777 == 0o600
    token = run("edged-hub", "user", "add", "anna", "--role", "viewer", *data)
    assert token.returncode == 0
    assert len(token.stdout.strip()) > 20
    assert run("edged-hub", "status", *data).returncode == 0


def test_bench_explains_itself() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0
    assert all(name in answer.stdout for name in COMMANDS)

"""Faulty configurations: every fault at once with file and line, exit status 2, nothing started (CARD1)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.bad_input_rig import EXAMPLE, edged

WRONG_INPUT = 2


@dataclass(frozen=True)
class Mistake:
    """A word of the example that was replaced, and what edged must say of it."""

    name: str
    right: str
    wrong: str
    place: str
    said: str


MISTAKES = (
    Mistake(
        "unknown key",
        "publishing_milliseconds: 200",
        "publish_milliseconds: 200",
        "sources.furnace.options.publish_milliseconds",
        "unknown key, did you mean 'publishing_milliseconds'?",
    ),
    Mistake("unknown section", "\nalarms:", "\nalarmz:", "alarmz", "unknown key, did you mean 'alarms'?"),
    Mistake(
        "unknown kind",
        "kind: modbus",
        "kind: modbuss",
        "sources.forming.kind",
        "did you mean 'modbus'?",
    ),
    Mistake(
        "unknown unit",
        "unit: kPa",
        "unit: kpa",
        "sources.furnace.signals.10.unit",
        "unknown unit, got 'kpa', did you mean 'kPa'?",
    ),
    Mistake(
        "unit of another quantity",
        "belt_speed_setpoint, unit: m/min, low: 50",
        "belt_speed_setpoint, unit: mm, low: 50",
        "control.limits.0.unit",
        "must be in 'm/min', the unit of forming/belt_speed_setpoint, got 'mm': these are different quantities",
    ),
    Mistake(
        "duplicate signal",
        "name: furnace/melt_level",
        "name: furnace/oxygen",
        "sources.furnace.signals.14.name",
        "duplicate signal name, got 'furnace/oxygen', first at",
    ),
    Mistake(
        "unknown signal",
        "process_value: forming/thickness",
        "process_value: forming/thicknes",
        "control.loops.0.process_value",
        "unknown signal, got 'forming/thicknes', did you mean 'forming/thickness'?",
    ),
    Mistake("wrong type", "commit_seconds: 0.2", "commit_seconds: soon", "outbox.commit_seconds", "got 'soon'"),
)


@pytest.fixture
def line_file(tmp_path: Path) -> Path:
    """The example line in a folder of its own, with a secret beside it."""
    for name in ("line-a.yaml", "ceiling-line-a.yaml"):
        shutil.copy(EXAMPLE.parent / name, tmp_path)
    (tmp_path / "models").mkdir()
    shutil.copy(EXAMPLE.parent / "models" / "thickness.json", tmp_path / "models")
    (tmp_path / "secret").write_text("a-secret", encoding="utf-8")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path / "line-a.yaml"


def environment(file: Path, secret: str = "secret") -> dict[str, str]:
    """What the example takes from the environment."""
    return {"EDGED_HUB_SECRET": str(file.parent / secret), "EDGED_DATA_DIRECTORY": str(file.parent / "data")}


def spoil(file: Path, *mistakes: Mistake) -> None:
    """Puts mistakes into a file."""
    text = file.read_text(encoding="utf-8")
    for mistake in mistakes:
        assert text.count(mistake.right) == 1, mistake.right
        text = text.replace(mistake.right, mistake.wrong)
    file.write_text(text, encoding="utf-8")


def expected(file: Path, mistake: Mistake) -> tuple[str, ...]:
    """The lines on which edged may place a mistake: where it was made, or the second of two equal names."""
    lines = file.read_text(encoding="utf-8").splitlines()
    word = mistake.wrong.strip()
    return tuple(f"{file}:{number}: {mistake.place}: " for number, line in enumerate(lines, 1) if word in line)


def test_the_unspoilt_file_is_right(line_file: Path) -> None:
    answer = edged("check", line_file, environment=environment(line_file))
    assert answer.returncode == 0, answer.stderr
    assert "ok: 3 sources" in answer.stdout


@pytest.mark.parametrize("command", ["check", "run"])
def test_all_mistakes_are_told_at_once_each_with_its_line(line_file: Path, command: str) -> None:
    spoil(line_file, *MISTAKES)
    answer = edged(command, line_file, environment=environment(line_file, secret="absent"))
    assert answer.returncode == WRONG_INPUT
    assert answer.stdout == ""
    told = answer.stderr.splitlines()
    for mistake in MISTAKES:
        found = [line for line in told if line.startswith(expected(line_file, mistake)) and mistake.said in line]
        assert len(found) == 1, (mistake.name, told)
    secret = [line for line in told if f"hub.secret: the secret was looked for in {line_file.parent}/absent" in line]
    assert len(secret) == 1
    assert len(told) == len(MISTAKES) + 2, told
    assert told[-1] == f"edged: {len(MISTAKES) + 1} faults"
    assert not (line_file.parent / "data").exists()


def test_what_is_no_configuration_at_all(tmp_path: Path) -> None:
    contents = {"binary": b"\x00\xff\xfe", "empty": b"", "broken": b"sources: {\n", "list": b"- 1\n- 2\n"}
    files = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        files.append(tmp_path / name)
    files += [tmp_path / "absent", tmp_path]
    answer = edged("check", *files)
    assert answer.returncode == WRONG_INPUT
    for file in files:
        assert f"{file}:" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_empty_secret(line_file: Path) -> None:
    (line_file.parent / "secret").write_text("\n", encoding="utf-8")
    answer = edged("check", line_file, environment=environment(line_file))
    assert answer.returncode == WRONG_INPUT, answer.stdout
    assert f"hub.secret: the secret file {line_file.parent}/secret is empty" in answer.stderr


def test_a_ceiling_that_others_can_write_stops_the_start(line_file: Path) -> None:
    ceiling = line_file.parent / "ceiling-line-a.yaml"
    ceiling.chmod(0o666)
    checked = edged("check", line_file, environment=environment(line_file))
    assert checked.returncode == 0, checked.stderr
    assert f"control.ceiling: {ceiling} is writable by others: chmod 644 {ceiling}" in checked.stderr
    started = edged("run", line_file, environment=environment(line_file))
    assert started.returncode == WRONG_INPUT
    (line,) = (n for n, text in enumerate(line_file.read_text().splitlines(), 1) if "  ceiling: " in text)
    fault = f"{line_file}:{line}: control.ceiling: {ceiling} is writable by others: chmod 644 {ceiling}"
    assert started.stderr.splitlines()[-2:] == [fault, "edged: 1 fault"]
    assert "Traceback" not in started.stderr


def test_a_model_that_is_not_the_one_that_was_made_stops_the_start(line_file: Path) -> None:
    model = line_file.parent / "models" / "thickness.json"
    model.write_text(model.read_text(encoding="utf-8").replace('"gain": -0.0', '"gain": -0.3'), encoding="utf-8")
    (line_file.parent / "ceiling-line-a.yaml").chmod(0o444)
    for command in ("check", "run"):
        answer = edged(command, line_file, environment=environment(line_file))
        assert answer.returncode == WRONG_INPUT
        assert f"control.loops.0.controller.model: {model}: its content does not have the hash" in answer.stderr
        assert "Traceback" not in answer.stderr

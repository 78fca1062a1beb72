"""`edged mpc`: recordings in CSV, the report, and the configuration that comes of an artefact."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from edged.cli import main
from edged.controller_settings import MpcSettings
from edged.errors import ConfigError
from edged_control.identification.operations import identify_file, init_text
from edged_control.identification.recording_file import read_recording
from edged_control.identification.structures import Structure
from edged_control.mpc.linear import InputLimits, Mpc, Plan
from edged_control.mpc.settings import build
from edged_control.process_model.linear import Artefact, Channel, Port, ProcessModel, load, save
from edged_control.process_model.state_space import discretise
from tests.unit.control.known_processes import in_state_space

BELT, THICKNESS = Port("line_a/forming/belt_speed", "m/min"), Port("line_a/forming/thickness", "mm")
MODEL = ProcessModel((BELT,), (THICKNESS,), ((Channel(-0.04, 7.0, 2.0, 1.0),),))
IN, OUT = [BELT.signal], [THICKNESS.signal]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    rng, system = np.random.default_rng(1), discretise(MODEL, 1.0)
    state, speed = system.steady(np.zeros(1)), 100.0
    lines = ["time,line_a/forming/belt_speed [m/min],line_a/forming/thickness [mm],line_a/other"]
    for k in range(600):
        speed = 100.0 + rng.choice([-5.0, 0.0, 5.0]) if rng.random() < 1 / 30 else speed
        lines.append(f"{k},{speed},{4.0 + (system.c @ state)[0] + rng.normal(0.0, 0.004):.4f},x")
        state = system.a @ state + system.b @ np.array([speed - 100.0])
    path = tmp_path / "steps.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def changed(path: Path, row: int, text: str) -> Path:
    lines = path.read_text().splitlines()
    lines[row] = text
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_recording_becomes_an_artefact(recording: Path, tmp_path: Path) -> None:
    found = identify_file(recording, IN, OUT, tmp_path / "belt.json")
    assert found.path is not None
    artefact = load(found.path, (BELT,), (THICKNESS,))
    assert artefact.model.channels[0][0].gain == pytest.approx(-0.04, rel=0.05)
    assert artefact.source == "steps.csv"
    assert artefact.hash in found.text


def test_a_recording_that_carries_nothing_leaves_no_artefact(recording: Path, tmp_path: Path) -> None:
    found = identify_file(recording, OUT, IN, tmp_path / "belt.json")
    assert found.path is None
    assert "refused: " in found.text
    assert not (tmp_path / "belt.json").exists()


def test_times_may_be_written_as_iso(recording: Path) -> None:
    lines = recording.read_text().splitlines()
    stamped = [lines[0]]
    for k, line in enumerate(lines[1:]):
        stamped.append(f"2026-03-01T10:{k // 60:02}:{k % 60:02}+00:00,{line.partition(',')[2]}")
    recording.write_text("\n".join(stamped))
    assert read_recording(recording, IN, OUT).period_seconds == 1.0


@pytest.mark.parametrize(
    ("row", "text", "what"),
    [
        (0, "when,a,b,c", "first column must be time"),
        (0, "time,a,b,c", "no column line_a/forming/belt_speed"),
        (0, "time,{0},{0},{1}", ":1: there are 2 columns line_a/forming/belt_speed"),
        (5, "4,abc,4.0,x", r":6: line_a/forming/belt_speed \[m/min\]: must be a number, got 'abc'"),
        (5, "4,,4.0,x", r":6: line_a/forming/belt_speed \[m/min\]: must be a number, got ''"),
        (5, "4,100,nan,x", r":6: line_a/forming/thickness \[mm\]: must be finite, got 'nan'"),
        (5, "4", r":6: line_a/forming/belt_speed \[m/min\]: the row ends before it"),
        (5, "soon,1,2,3", ":6: "),
        (5, "inf,1,2,3", ":6: time: must be finite"),
        (300, "299.5,100,4.0,x", ":301: 0.5 s after|1.5 s after"),
    ],
)
def test_a_faulty_file_is_named_with_its_line(recording: Path, row: int, text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        read_recording(changed(recording, row, text.format(*IN, *OUT)), IN, OUT)


def test_an_absent_empty_or_standing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recording(tmp_path / "none.csv", IN, OUT)
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        read_recording(empty, IN, OUT)
    empty.write_text(f"time,{IN[0]},{OUT[0]}\n1,2,3\n1,2,3\n")
    with pytest.raises(ConfigError, match="time must rise"):
        read_recording(empty, IN, OUT)


def test_the_configuration_of_a_model_is_valid_and_makes_a_controller(tmp_path: Path) -> None:
    path = tmp_path / "belt.json"
    save(Artefact(MODEL, 1.0, (95.0,), (93.0,), (0.01,), "steps.csv", "abc"), path)
    text = init_text(path, ["thickness"])
    assert text.count("#") > 5
    settings = MpcSettings.model_validate(yaml.safe_load(text)["controller"])
    assert settings.outputs[0].signal == "forming/thickness"
    mpc = build(settings, MODEL, [InputLimits(50.0, 200.0, 1 / 3)], 1.0)
    plan = mpc.update([4.1], [4.0], [100.0], 1.0)
    assert isinstance(plan, Plan)
    assert plan.inputs[0] < 100.0


def test_a_state_space_is_written_reported_and_set_up(recording: Path, tmp_path: Path) -> None:
    found = identify_file(recording, IN, OUT, tmp_path / "belt.json", Structure.STATE_SPACE)
    assert found.path is not None
    assert re.search(r"state space of \d+ states, delays of [67] s", found.text)
    assert "white (Ljung-Box" in found.text
    model = load(found.path).model
    assert model.dynamics is not None
    settings = MpcSettings.model_validate(yaml.safe_load(init_text(found.path, ["thickness"]))["controller"])
    assert isinstance(build(settings, model, [InputLimits(50.0, 200.0, 1 / 3)], 1.0), Mpc)


@pytest.mark.parametrize(("period", "wanted"), [(0.5, 2.5), (1.0, 2.0), (2.9, 2.9)])
def test_a_state_space_is_set_up_at_a_multiple_of_its_period(tmp_path: Path, period: float, wanted: float) -> None:
    """Dead time and lags of 70 s would have one of 2.8 s."""
    slow = in_state_space(ProcessModel((BELT,), (THICKNESS,), ((Channel(1.0, 30.0, 40.0),),)))
    assert slow.dynamics is not None
    model = replace(slow, dynamics=replace(slow.dynamics, period_seconds=period))
    path = tmp_path / "slow.json"
    save(Artefact(model, period, (95.0,), (93.0,), (0.01,), "steps.csv", "abc"), path)
    assert f"A loop period of {wanted:g} s suits it" in init_text(path, ["thickness"])


def test_the_commands_do_the_same(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artefact = str(tmp_path / "belt.json")
    asked = ["mpc", "identify", str(recording), "--input", IN[0], "--output", OUT[0], "--artefact", artefact]
    assert main(asked) == 0
    assert "written: " in capsys.readouterr().out
    assert main(["mpc", "init", artefact, "--loop", "thickness"]) == 0
    assert "kind: mpc" in capsys.readouterr().out
    assert main(["mpc", "identify", str(recording), "--input", OUT[0], "--output", IN[0], "--artefact", "no.json"]) == 1
    assert main([*asked, "--structure", "state-space"]) == 0
    assert "state space of" in capsys.readouterr().out
    assert main(["mpc", "init", str(recording), "--loop", "thickness"]) == 1

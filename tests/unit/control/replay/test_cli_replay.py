"""`edged replay` as people use it: ranges, another configuration, an incident that is kept, and every wrong usage."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edged.cli import main
from edged.clock import VirtualClock
from edged.config import load
from edged.settings import FlightSettings
from edged_control.blueprint import blueprint_of
from edged_control.flight.boundary import Flight
from edged_control.flight.file import FlightFile, flight_path
from edged_control.flight.reader import FlightReader, stamp
from edged_control.flight.recorder import FlightRecorder
from tests.unit.control.rig import LOOP, SIGNALS, MakeRig, Rig

LINE = "line_a"


def configuration(folder: Path, *, high: float = 200.0, line: str = LINE, **control: Any) -> Path:
    """The rig's line as a file, with another limit or another name."""
    folder.mkdir(exist_ok=True)
    limit = {
        "signal": "forming/belt_speed_setpoint",
        "unit": "m/min",
        "low": 50,
        "high": high,
        "rate_per_minute": 20,
        "approval_threshold": 50,
    }
    (folder / "ceiling.yaml").write_text(json.dumps({"limits": [{**limit, "high": 200}]}), encoding="utf-8")
    fields = {"name", "unit", "type", "low", "high", "writable"}
    signals = [
        {field: getattr(signal, field) for field in fields} | {"name": path.removeprefix(f"{LINE}/")}
        for path, signal in SIGNALS.items()
    ]
    document = {
        "site": "plant",
        "line": line,
        "data_directory": str(folder),
        "sources": {"plc": {"kind": "fake", "signals": signals}},
        "control": {
            "advisory": False,
            "ceiling": "ceiling.yaml",
            "limits": [limit],
            "loops": [LOOP.model_dump(mode="json")],
            **control,
        },
    }
    path = folder / "line.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture
def recorded(make_rig: MakeRig, tmp_path: Path) -> Path:
    """The configuration of a line that has run for a while, with its flight beside it."""
    path = configuration(tmp_path / "box")
    plan = blueprint_of(load(path))
    files: list[FlightFile] = []

    def begin(clock: VirtualClock) -> Flight:
        files.append(FlightFile(flight_path(path.parent, LINE), FlightSettings(), plan, clock))
        return FlightRecorder(files[-1], clock)

    rig: Rig = make_rig(flight=begin)
    rig.step(5)
    rig.plc.product *= 1.1
    rig.step(25)
    files[-1].store()
    return path


def replay(*words: object) -> int:
    """The exit status of one call."""
    return main(["replay", *map(str, words)])


def test_the_same_configuration_reproduces_everything(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(recorded, "--last", 60) == 0
    told = capsys.readouterr()
    assert told.out.endswith("records of decisions; every decision reproduced\n")
    assert "30 cycles" in told.out
    assert told.err == ""


def test_a_range_is_replayed(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(recorded, "2026-01-01T00:00:10Z..2026-01-01T01:00:19.5+01:00", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["cycles"], found["reproduced"]) == (10, True)
    assert (found["since"], found["until"]) == ("2026-01-01T00:00:10.000Z", "2026-01-01T00:00:19.500Z")


def test_another_limit_shows_line_by_line(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tighter = configuration(tmp_path / "desk", high=152.0)
    flight = flight_path(recorded.parent, LINE)
    assert replay(tighter, "--last", 60, "--file", flight) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "changed since: limits.line_a/forming/belt_speed_setpoint.high: 200.0, now 152.0"
    assert any(" thickness cycle: " in line and " -> nothing" in line for line in lines)
    assert "came out differently" in lines[-2]
    assert lines[-1].startswith("from 2026-01-01T00:00:")
    assert replay(tighter, "--last", 60, "--file", flight, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["reproduced"] is False
    assert found["differences"][0]["changes"][0].keys() == {"name", "recorded", "replayed"}


def test_an_incident_needs_nothing_else(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    incident = tmp_path / "incident.db"
    assert replay(recorded, "--last", 10, "--export", incident) == 0
    for path in recorded.parent.iterdir():
        path.unlink()
    assert replay("--incident", incident) == 0
    assert replay(configuration(tmp_path / "desk", high=151.0), "--incident", incident) == 1
    assert "changed since" in capsys.readouterr().out


def test_an_incident_that_is_kept_is_a_test(recorded: Path, tmp_path: Path) -> None:
    """What docs/control.md shows."""
    incident = tmp_path / "incident.db"
    assert replay(recorded, "--last", 10, "--export", incident) == 0
    assert main(["replay", "--incident", str(incident)]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "CONFIG: name the line's configuration, or --incident FILE"),
        (["CONFIG"], "RANGE: name a stretch of time, SINCE..UNTIL, or --last SECONDS"),
        (["CONFIG", "yesterday"], "RANGE: expected SINCE..UNTIL such as "),
        (["CONFIG", "2026-01-01T00:00:10Z..soon"], "got '2026-01-01T00:00:10Z..soon'"),
        (["CONFIG", "2026-01-01..2025-01-01"], "RANGE: must end after it begins"),
        (["CONFIG", "2026-01-01..2026-01-02", "--last", "60"], "RANGE and --last: give one of them"),
        (["CONFIG", "--last", "0"], "--last: must be above 0 seconds, got 0"),
        (["CONFIG", "--last", "nan"], "--last: must be above 0 seconds, got nan"),
        (["CONFIG", "--last", "inf"], "--last: must be above 0 seconds, got inf"),
    ],
)
def test_wrong_usage_is_told(recorded: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(*(recorded if word == "CONFIG" else word for word in words)) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"line": "line_b"}, "the recording is of line_a, the configuration is for line_b"),
        ({"loops": []}, "control.loops: there are none, so there is nothing to replay"),
    ],
)
def test_a_configuration_that_does_not_fit_is_told(
    recorded: Path, tmp_path: Path, changes: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = configuration(tmp_path / "desk", **changes)
    assert replay(other, "--last", 60, "--file", flight_path(recorded.parent, LINE)) in (1, 2)
    assert told in capsys.readouterr().err


def test_a_range_that_was_not_recorded_names_what_was(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(recorded, "2020-01-01..2020-01-02") == 1
    with closing(FlightReader(flight_path(recorded.parent, LINE))) as reader:
        assert stamp(reader.until) in capsys.readouterr().err


def test_another_version_is_told(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(flight_path(recorded.parent, LINE))) as file, file:
        file.execute("UPDATE session SET version = '0.0.9'")
    assert replay(recorded, "--last", 60) == 0
    assert capsys.readouterr().out.startswith("recorded by edged 0.0.9, replayed by ")

"""The whole line as processes: the demo and every outage drill hold their promises (CARD1-CARD6, GLS7)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bench.demo import MINIMUM_VERIFIED_WRITES
from bench.demo_scenes import SHORTEST_SECONDS
from bench.disturbance import Drill
from bench.drill import DRILLS, bars, perform
from bench.processes import descendants, mosquitto, wait_until

DEMO_SECONDS = {"auto": 60, "embedded": 40}
"""The longer one has time for control's scenes."""
DRAWN = "the control scenes are drawn in "
PARTS = 4
"""Broker, hub, plant and edged; the solver of edged is soon one more."""
RECORDED_ROWS = 60
KILLS = 5

pytestmark = [pytest.mark.timeout(300)]
needs_mosquitto = pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed")


def leaders(pid: int) -> list[int]:
    """The children of a process that have a session of their own: the parts of a line."""
    found = []
    for child in descendants(pid):
        with suppress(ProcessLookupError):
            if os.getsid(child) == child:
                found.append(child)
    return found


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=project, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("broker", DEMO_SECONDS)
def test_the_demo_runs_judges_and_stops(broker: str, project: Path) -> None:
    answer = run(project, "demo", "--broker", broker, "--seconds", str(DEMO_SECONDS[broker]))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "MISS" not in answer.stdout
    told = answer.stdout.splitlines()
    drawn = [Path(line.partition(DRAWN)[2]) for line in told if DRAWN in line]
    assert len(drawn) == (DEMO_SECONDS[broker] >= SHORTEST_SECONDS)
    assert any("without the control scenes" in line for line in told) != bool(drawn)
    for picture in drawn:
        assert picture.read_text(encoding="utf-8").count("<circle") > MINIMUM_VERIFIED_WRITES
        assert {picture.with_name(name).stat().st_mode & 0o777 for name in ("anna.token", "chris.key")} == {0o600}


@pytest.fixture
def hang_ups_count() -> Iterator[None]:
    """Also where the tests themselves were started with nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_ups_count")
@pytest.mark.parametrize("command", [("demo", "--broker", "embedded"), ("drill", "hub-down")], ids=["demo", "drill"])
def test_a_closed_terminal_stops_every_process(command: tuple[str, ...], project: Path) -> None:
    arguments = [sys.executable, "-m", "bench", *command]
    with subprocess.Popen(arguments, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as bench:
        wait_until("every part of the line", lambda: len(leaders(bench.pid)) >= PARTS)
        parts = leaders(bench.pid)
        bench.send_signal(signal.SIGHUP)
        bench.communicate(timeout=60)
    assert bench.returncode != 0
    assert [pid for pid in parts if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.mosquitto
@needs_mosquitto
@pytest.mark.parametrize("drill", [drill for drill in DRILLS if drill.in_ci], ids=lambda drill: drill.name)
def test_a_drill_keeps_its_promises(drill: Drill, tmp_path: Path) -> None:
    lacks = drill.missing()
    if lacks and not os.environ.get("CI"):
        pytest.skip(f"{lacks} is not installed")
    assert lacks is None
    outcome = perform(drill, tmp_path / drill.name, kills=KILLS)
    missed = [bar for bar in bars(outcome) if not bar.ok]
    assert not missed, (missed, outcome.found.gaps, outcome.found.examples[:10], outcome.missing_on_sparkplug)
    shutil.rmtree(tmp_path / drill.name)


def test_a_table_of_a_user_goes_the_whole_way(project: Path, tmp_path: Path) -> None:
    table = tmp_path / "press.csv"
    rows = [f"2026-03-01T06:00:{row:02},{20 + row / 8},{row % 7}" for row in range(RECORDED_ROWS)]
    table.write_text("\n".join(["time,oil temperature,strokes", *rows]) + "\n", encoding="utf-8")
    answer = run(project, "demo", "--data", str(table), "--speed", "10")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report = json.loads(answer.stdout.splitlines()[-1])
    held = {bar["name"]: bar["value"] for bar in report["bars"]}
    assert held["values held"] >= 3 * (RECORDED_ROWS - 1)
    assert held["values from the first row held to the last row that are not held"] == 0


def test_a_recording_goes_the_whole_way(project: Path, recorded_data: Path) -> None:
    assert (recorded_data / "tep").is_dir()
    answer = run(project, "demo", "--data", "tep", "--seconds", "15")
    assert answer.returncode == 0, answer.stdout + answer.stderr

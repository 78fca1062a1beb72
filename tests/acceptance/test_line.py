"""The whole line as processes: the demo and every outage drill hold their promises (CARD1-CARD6, GLS7)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.drill import DRILLS, Drill, bars, perform
from bench.processes import mosquitto

DEMO_SECONDS = 45

pytestmark = [pytest.mark.timeout(300)]
needs_mosquitto = pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed")


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=project, capture_output=True, text=True, check=False
    )


def test_the_demo_runs_judges_and_stops(project: Path) -> None:
    answer = run(project, "demo", "--seconds", str(DEMO_SECONDS))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "MISS" not in answer.stdout


@pytest.mark.mosquitto
@needs_mosquitto
@pytest.mark.parametrize("drill", DRILLS, ids=[drill.name for drill in DRILLS])
def test_a_drill_keeps_its_promises(drill: Drill, tmp_path: Path) -> None:
    lacks = drill.missing()
    if lacks and not os.environ.get("CI"):
        pytest.skip(f"{lacks} is not installed")
    assert lacks is None
    outcome = perform(drill, tmp_path / drill.name)
    missed = [bar for bar in bars(outcome) if not bar.ok]
    assert not missed, (missed, outcome.found.gaps, outcome.found.examples[:10])
    shutil.rmtree(tmp_path / drill.name)


def test_a_recording_goes_the_whole_way(project: Path, recorded_data: Path) -> None:
    assert (recorded_data / "tep").is_dir()
    answer = run(project, "demo", "--data", "tep", "--seconds", "15")
    assert answer.returncode == 0, answer.stdout + answer.stderr

"""The unit files: systemd has nothing to say against them, and they leave a daemon little to reach (CARD1)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

EXPOSURE_LIMIT = 2.0

pytestmark = [
    pytest.mark.systemd,
    pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"),
]


def units(project: Path) -> list[Path]:
    found = sorted((project / "systemd").glob("*.service"))
    assert found
    return found


def test_verify_is_silent(project: Path) -> None:
    for unit in units(project):
        answer = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
        assert answer.stdout + answer.stderr == "", unit.name


def test_exposure_is_low(project: Path) -> None:
    for unit in units(project):
        answer = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True, check=False
        )
        level = re.search(r"exposure level for \S+: ([0-9.]+)", answer.stdout)
        assert level, answer.stderr
        assert float(level[1]) <= EXPOSURE_LIMIT, unit.name

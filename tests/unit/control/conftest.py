"""Rigs that are closed after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edged_control.gate import Mode
from tests.unit.control.rig import MakeRig, Rig

STEP_UP = 1.1


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(**changes: Any) -> Rig:
        made.append(Rig(tmp_path, **changes))
        return made[-1]

    yield make
    for rig in made:
        rig.control.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig()


@pytest.fixture
def running(rig: Rig) -> Rig:
    """A loop in AUTO that has work to do."""
    rig.step(5)
    rig.plc.product *= STEP_UP
    rig.step(12)
    assert rig.mode() is Mode.AUTOMATIC
    assert rig.status.verified_writes > 0
    return rig

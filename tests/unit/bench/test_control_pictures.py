"""The responses of docs/control.md are small PNG files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.control_loop import Trace
from bench.control_pictures import draw
from bench.control_plants import COUPLED, SINGLES, Case

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_BYTES = 80_000


def trace(case: Case) -> Trace:
    count, inputs, outputs = 400, len(case.inputs), len(case.outputs)
    made = Trace(case.period)
    made.set_points = [[1.0] * outputs for _ in range(count)]
    made.true = [[n / count + i for i in range(outputs)] for n in range(count)]
    made.applied = [[float(n % 7) for _ in range(inputs)] for n in range(count)]
    return made


@pytest.mark.parametrize("case", [SINGLES[0], COUPLED], ids=lambda case: case.name)
def test_a_picture_is_written_where_it_is_wanted(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "one.png"
    draw(case, {"PID": trace(case), "MPC": trace(case)}, path)
    assert path.read_bytes().startswith(SIGNATURE)
    assert 2_000 < path.stat().st_size < LARGEST_BYTES


def test_the_pictures_of_the_document_are_there_and_small(project: Path) -> None:
    named = re.findall(r"\(pictures/(control-[a-z-]+\.png)\)", (project / "docs" / "control.md").read_text())
    assert len(named) == len(SINGLES) + 3
    for name in named:
        content = (project / "docs" / "pictures" / name).read_bytes()
        assert content.startswith(SIGNATURE)
        assert len(content) < LARGEST_BYTES

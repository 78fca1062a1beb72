"""A step test of the simulated plant, as an engineer would make one: a set-point is moved, and what follows recorded.

The file is CSV: `time` in seconds, the set-point and the measured signal with their units, one row a second. The
set-point in a row is the one that holds until the next.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from edged.errors import EdgedError
from edged_sim.plant import Plant
from edged_sim.schedule import Sensors
from edged_sim.tags import LINE, TAGS, Tag

PERIOD_SECONDS = 1.0
SECONDS_PER_MINUTE = 60
LEVELS = (-1.0, 0.0, 1.0)


class StepTestRefused(EdgedError):
    """The step test cannot be made as asked: change the option named."""


@dataclass(frozen=True, slots=True)
class StepTest:
    """What is moved by how much, and held for how long at least."""

    moved: str
    measured: str
    by: float
    hold_seconds: int
    minutes: int
    seed: int


def record(test: StepTest, path: Path) -> int:
    """Runs the test and writes the file; how many rows. Same test, same bytes."""
    moved, measured = _tag(test.moved), _tag(test.measured)
    if not moved.writable:
        raise StepTestRefused(f"{test.moved} is no set-point")
    plant, sensors = Plant(test.seed), Sensors(test.seed, ())
    rng = random.Random(test.seed + 2)  # noqa: S311 - repeatable moves, not a secret
    usual = float(plant.readings()[test.moved])
    lines, wanted, held = [f"time,{_column(moved)},{_column(measured)}"], usual, 0
    for second in range(test.minutes * SECONDS_PER_MINUTE):
        if held >= test.hold_seconds and rng.random() < 1.0 / test.hold_seconds:
            wanted, held = usual + test.by * rng.choice(LEVELS), 0
            plant.write(test.moved, wanted)
        held += 1
        value = sensors.read(plant.readings(), second)[test.measured]
        lines.append(f"{second},{wanted:g},{value}")
        plant.advance(PERIOD_SECONDS)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines) - 1


def _tag(path: str) -> Tag:
    found = next((tag for tag in TAGS if tag.path == path), None)
    if found is None:
        raise StepTestRefused(f"there is no signal {path}")
    return found


def _column(tag: Tag) -> str:
    return f"{LINE}/{tag.path} [{tag.unit}]"

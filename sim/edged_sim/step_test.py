"""A step test of the simulated plant, as an engineer would make one: set-points are moved, and what follows recorded.

The file is CSV: `time` in seconds, the set-points and the measured signals with their units, in even rows. The
set-point in a row is the one that holds until the next.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edged.errors import EdgedError
from edged_sim.melting import GlassFlow
from edged_sim.plant import Plant
from edged_sim.schedule import Sensors
from edged_sim.tags import LINE, TAGS, Tag

PLANT_SECONDS = 1.0
SECONDS_PER_MINUTE = 60
LEVELS = (-1.0, 0.0, 1.0)


class StepTestRefused(EdgedError):
    """The step test cannot be made as asked: change the option named."""


@dataclass(frozen=True, slots=True)
class Move:
    """Which set-point is moved, by how much to either side, and held for how long at least."""

    signal: str
    by: float
    hold_seconds: int


@dataclass(frozen=True, slots=True)
class StepTest:
    """What is moved and watched, a row every so many seconds."""

    moves: Sequence[Move]
    watched: Sequence[str]
    minutes: int
    seed: int
    every_seconds: int = 1
    flow: GlassFlow = GlassFlow.METERED


@dataclass
class _Moved:
    """A set-point at the moment: where it usually is, where it is wanted, for how long so far."""

    move: Move
    tag: Tag
    usual: float
    wanted: float = field(init=False)
    held: int = 0

    def __post_init__(self) -> None:
        self.wanted = self.usual


def record(test: StepTest, path: Path) -> int:
    """Runs the test and writes the file; how many rows. Same test, same bytes."""
    plant, sensors = Plant(test.seed, flow=test.flow), Sensors(test.seed, ())
    rng = random.Random(test.seed + 2)  # noqa: S311 - repeatable moves, not a secret
    moved = [_moved(move, plant) for move in test.moves]
    watched = [_tag(name) for name in test.watched]
    lines = [",".join(["time", *(_column(one.tag) for one in moved), *map(_column, watched)])]
    for second in range(0, test.minutes * SECONDS_PER_MINUTE, test.every_seconds):
        for one in moved:
            hold = one.move.hold_seconds
            if one.held >= hold and rng.random() < test.every_seconds / hold:
                one.wanted, one.held = one.usual + one.move.by * rng.choice(LEVELS), 0
                plant.write(one.tag.path, one.wanted)
            one.held += test.every_seconds
        values = sensors.read(plant.readings(), second)
        wanted, found = (f"{one.wanted:g}" for one in moved), (str(values[tag.path]) for tag in watched)
        lines.append(",".join([str(second), *wanted, *found]))
        plant.advance(PLANT_SECONDS * test.every_seconds)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines) - 1


def _moved(move: Move, plant: Plant) -> _Moved:
    tag = _tag(move.signal)
    if not tag.writable:
        raise StepTestRefused(f"{move.signal} is no set-point")
    return _Moved(move, tag, float(plant.readings()[move.signal]))


def _tag(path: str) -> Tag:
    found = next((tag for tag in TAGS if tag.path == path), None)
    if found is None:
        raise StepTestRefused(f"there is no signal {path}")
    return found


def _column(tag: Tag) -> str:
    return f"{LINE}/{tag.path} [{tag.unit}]"

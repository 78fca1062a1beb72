"""What a drill is and what it did to the line: the words that all drills share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.drill_line import DrillLine
from bench.line import FACES, wall_milliseconds
from bench.processes import mosquitto
from bench.report import Bar

SOURCES = ("furnace", "forming", "cold_end")
"""Of the glass line."""


class Span(NamedTuple):
    """From the moment when something broke to the moment when it was whole again, ms UTC."""

    began: int
    ended: int


@dataclass(slots=True)
class Disturbance:
    """What a drill did.

    `away`: sources whose values could not come meanwhile. `gaps`: those that may have a gap as long as the disturbance.
    `backlog`: values waited in the outbox meanwhile. `own_clock`: the daemon's clock was not that of the drill.
    `bars`: what this drill alone promises.
    """

    spans: list[Span] = field(default_factory=list)
    away: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    backlog: bool = False
    own_clock: bool = False
    bars: list[Bar] = field(default_factory=list)

    @contextmanager
    def span(self) -> Iterator[None]:
        """The block breaks something and makes it whole again."""
        began = wall_milliseconds()
        yield
        self.spans.append(Span(began, wall_milliseconds()))


def broker_missing() -> str | None:
    """What this machine lacks for the glass line, or None."""
    return None if mosquitto() else "mosquitto"


def start_glass_line(line: DrillLine) -> None:
    """Broker, hub, the simulated plant and the daemon of configs/line-a.yaml."""
    line.start_surroundings()
    line.start_glass_plant()
    line.start_edge(line.glass_config())


@dataclass(frozen=True, slots=True)
class Drill:
    """One thing that breaks. `missing` names what this machine lacks for it; `seconds` is how long it takes, about."""

    name: str
    what: str
    seconds: int
    act: Callable[[DrillLine], Disturbance]
    start: Callable[[DrillLine], None] = start_glass_line
    missing: Callable[[], str | None] = broker_missing
    faces: tuple[str, ...] = FACES
    sparkplug: bool = True
    """Whether the standard's fence promises that a host gets everything."""
    in_ci: bool = False

"""A rig whose flight is recorded into memory, and the replay of what was recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edged.clock import VirtualClock
from edged.types import Limits
from edged_control.blueprint import Blueprint
from edged_control.flight.boundary import Flight
from edged_control.flight.reader import Item
from edged_control.flight.recorder import FlightRecorder, Parcel
from edged_control.flight.records import Record, unpacked
from edged_control.flight.state import KeyFrame, unpacked_state
from edged_control.ladder.controllers import SolverFactory
from edged_control.replay.report import Difference, Report
from edged_control.replay.run import replayed
from tests.unit.control.rig import MakeRig, Rig

FAR = 1 << 62


@dataclass
class MemoryShelf:
    """One session's parcels."""

    parcels: list[Parcel] = field(default_factory=list)
    wants_key_frame: bool = False

    def put(self, parcel: Parcel) -> None:
        """Keeps it."""
        self.parcels.append(parcel)

    def items(self) -> Iterator[Item]:
        """What a reader would give."""
        for parcel in self.parcels:
            if parcel.is_key_frame:
                yield unpacked_state(parcel.body)
            else:
                yield from unpacked(parcel.body)


class Sessions:
    """One shelf for each daemon of a rig."""

    def __init__(self) -> None:
        self.shelves: list[MemoryShelf] = []

    def begin(self, clock: VirtualClock) -> Flight:
        """A new daemon's recorder."""
        self.shelves.append(MemoryShelf())
        return FlightRecorder(self.shelves[-1], clock)


def recorded_rig(make_rig: MakeRig, **changes: Any) -> tuple[Rig, Sessions]:
    """A rig that is recorded."""
    sessions = Sessions()
    return make_rig(flight=sessions.begin, **changes), sessions


def blueprint(rig: Rig, *, limits: Sequence[Limits] | None = None, **loop: Any) -> Blueprint:
    """What the rig's control is built from, or would be with another loop and limits."""
    plan = rig.blueprint()
    settings = plan.settings.model_copy(update={"loops": (rig.loop.model_copy(update=loop),)})
    chosen = limits or rig.limits
    return replace(plan, settings=settings, ceiling=chosen, limits=chosen)


def replay(
    items: Iterator[Item],
    plan: Blueprint,
    build_solver: SolverFactory | None = None,
    *,
    solve: bool = False,
    lead_in: Sequence[Record] = (),
) -> Report:
    """What a replay finds; `lead_in` is what came before the items."""
    report = Report()

    def none(*_: Any) -> Any:
        raise AssertionError("no solver is needed")

    asked = build_solver or none
    asyncio.run(replayed(plan, items, asked, 0, FAR, solve=solve, report=report, lead_in=lead_in))
    return report


def replay_all(rig: Rig, sessions: Sessions) -> Report:
    """Every session of a rig, with what it was built from."""
    report = Report()
    for shelf in sessions.shelves:
        one = replay(shelf.items(), blueprint(rig), rig.build_solver)
        report.cycles += one.cycles
        report.orders += one.orders
        report.decisions += one.decisions
        report.differences += one.differences
    return report


def replay_from_key_frames(rig: Rig, sessions: Sessions) -> tuple[int, list[Difference]]:
    """Replays from each key-frame to the end of its session: how many there were, and what differed."""
    starts, found = 0, []
    for shelf in sessions.shelves:
        items = list(shelf.items())
        for at, item in enumerate(items):
            if isinstance(item, KeyFrame):
                starts += 1
                report = replay(iter(items[at:]), blueprint(rig), rig.build_solver)
                assert report.notes == []
                found += report.differences
    return starts, found

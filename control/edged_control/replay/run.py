"""Runs recorded deeds through the same control again, on the recorded clock, and tells what comes out differently."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from edged.config import LineConfig
from edged.errors import EdgedError, MissingLibrary
from edged.metrics import Metrics
from edged.supervise import start_task
from edged.types import Priority, Seal
from edged_control.blueprint import Blueprint, blueprint_of, differences, read_blueprint
from edged_control.executor import ControlExecutor
from edged_control.flight.boundary import Crossing, Deed
from edged_control.flight.reader import FlightReader, Item, Missing, Session, stamp
from edged_control.flight.records import Record, unpacked
from edged_control.flight.schema import DamagedFlight
from edged_control.flight.state import KeyFrame, take_up
from edged_control.ladder.controllers import SolverFactory
from edged_control.mpc.group import groups_of
from edged_control.replay.inline_solver import InlineSolver
from edged_control.replay.report import Report, changes_of, judge
from edged_control.replay.tape import Play, Tape
from edged_control.replay.tape_ports import TapedSolver
from edged_control.replay.what_if import WhatIf
from edged_control.solver.messages import Setup

SETTLE_ROUNDS = 3
"""Turns of the event loop in which whoever got an answer comes to the next question, also one who waited for a lock."""
NOWHERE = Path("/nonexistent")


class OtherLine(EdgedError):
    """The recording is of another line: name the configuration that belongs to it."""


class _NoAlarms:
    def raise_alarm(self, name: str, source: str, priority: Priority, message: str) -> None:
        """Nobody is there."""

    def clear_alarm(self, name: str, source: str) -> None:
        """Nobody is there."""


class _Run:
    """One unbroken stretch, from a start."""

    def __init__(
        self, blueprint: Blueprint, start: KeyFrame | Record, build_solver: SolverFactory, *, solve: bool
    ) -> None:
        built = unpacked(start.built)[0] if isinstance(start, KeyFrame) else start
        line, loops = blueprint.line, blueprint.settings.loops
        readbacks = {f"{line}/{one.output}": (f"{line}/{one.readback}", one.readback_tolerance) for one in loops}
        self.tape = Tape(built, WhatIf(readbacks), solve=solve)
        self._loops = {one.name for one in loops}
        self._control = _built(blueprint, self.tape, build_solver)
        self._solvers: dict[str, list[TapedSolver]] = {name: [] for name in self._loops}
        for group, solver in zip(groups_of(loops), self.tape.solvers, strict=True):
            for one in group.loops:
                self._solvers[one.name].append(solver)
        self.left_out: list[str] = []
        if isinstance(start, KeyFrame):
            self.left_out = take_up(self._control, start.state)
            self._control.limit_solvers()

    async def lead_in(self, records: Iterable[Record]) -> None:
        """Has the solvers follow the plant through what came before a key-frame, which does not tell what they know."""
        for record in records:
            asked = (step for step in record.steps if step.crossing == Crossing.SOLVE)
            for solver, step in zip(self._solvers.get(record.target, []), asked, strict=False):
                await solver.follow(step)

    async def play(self, records: Iterable[Record]) -> AsyncIterator[Play]:
        """Replays deeds, each answer in its place; gives each when its record has been told to the end."""
        events: list[tuple[int, int, Play]] = []
        for record in records:
            play = Play(record)
            for position, step in enumerate(record.steps):
                heapq.heappush(events, (step.order, position, play))
            while events and events[0][0] < record.low:
                ended = await self._happen(*heapq.heappop(events)[1:])
                if ended is not None:
                    yield ended
        while events:
            ended = await self._happen(*heapq.heappop(events)[1:])
            if ended is not None:
                yield ended

    async def _happen(self, position: int, play: Play) -> Play | None:
        """One answer, or the beginning; the deed, if this was all that its record tells."""
        if position:
            self.tape.arrive(play, position)
        else:
            self.tape.next = play
            play.task = start_task(f"replay:{play.record.kind}", self._set_off(play.record))
        for _ in range(SETTLE_ROUNDS):
            await asyncio.sleep(0)
        if position + 1 < len(play.record.steps):
            return None
        await _end(play)
        self.tape.apart = self.tape.apart or any(changes_of(play))
        return play

    async def _set_off(self, record: Record) -> None:
        control, told = self._control, record.told
        match record.kind:
            case Deed.CYCLE if record.target in self._loops:
                await control.step(record.target)
            case Deed.ORDER:
                await control.desk.act(told)
            case Deed.WISH:
                await control.submit(told)
            case Deed.MODE:
                control.request_mode(record.target, *told)
            case Deed.LOOK if control.rollback is not None:
                await control.rollback.look()
            case Deed.CLOSE:
                control.close()
            case _:
                self.tape.next = None


async def replayed(
    blueprint: Blueprint,
    items: Iterable[Item],
    build_solver: SolverFactory,
    since: int,
    until: int,
    *,
    solve: bool,
    report: Report,
    lead_in: Iterable[Record] = (),
) -> None:
    """Replays one session's items and adds what it finds in `since..until` (ns UTC) to the report.

    `lead_in` is what came before the first of them; solvers that are asked follow the plant through it.
    """
    before = iter(lead_in)
    for start, records in _runs(items, report):
        run = _Run(blueprint, start, build_solver, solve=solve)
        if solve:
            await run.lead_in(before)
        if run.left_out:
            report.notes.append(
                f"of the key-frame {', '.join(run.left_out)} have no place in this version and settings"
            )
        async for play in run.play(records):
            judge(play, since, until, report)


def _runs(items: Iterable[Item], report: Report) -> Iterator[tuple[KeyFrame | Record, Iterator[Record]]]:
    """Unbroken stretches, each with its start; after missing records the next key-frame is one."""
    coming = iter(items)
    for item in coming:
        if isinstance(item, Missing):
            report.missing.append(item.wall)
        elif isinstance(item, KeyFrame) or item.kind is Deed.BUILD:
            yield item, _unbroken(coming, report)


def _unbroken(coming: Iterator[Item], report: Report) -> Iterator[Record]:
    for item in coming:
        if isinstance(item, Missing):
            report.missing.append(item.wall)
            return
        if isinstance(item, Record):
            yield item


async def _end(play: Play) -> None:
    """Ends whoever still waits for what the recording does not have. Raises MissingLibrary."""
    assert play.task is not None
    play.task.cancel()
    ended = (await asyncio.gather(play.task, return_exceptions=True))[0]
    if isinstance(ended, MissingLibrary):
        raise ended
    if isinstance(ended, Exception):
        play.outcome, play.failure = None, repr(ended)


def _built(blueprint: Blueprint, tape: Tape, build_solver: SolverFactory) -> ControlExecutor:
    """The line's control with everything outside cut off: the tape asks nobody."""
    return ControlExecutor(
        blueprint,
        plant=tape.plant(),
        road=tape.road(),
        recorder_writable=lambda: True,
        clock=tape.clock(),
        metrics=Metrics(),
        seal=Seal(),
        state_directory=NOWHERE,
        runtime_directory=NOWHERE,
        alarms=_NoAlarms(),
        build_solver=build_solver,
        flight=tape,
    )


class Replayed(NamedTuple):
    """What came of replaying a range of a file. `changed` tells in what the configuration differs from the recorded."""

    line: str
    since: int
    until: int
    versions: frozenset[str]
    changed: tuple[str, ...]
    report: Report


def replay_file(reader: FlightReader, since: int, until: int, config: LineConfig | None, *, solve: bool) -> Replayed:
    """Replays every session in `since..until` (ns UTC), as it was configured or by another configuration.

    Raises NoFlight, DamagedFlight, OtherLine, ConfigError.
    """
    report, changed = Report(), dict[str, None]()
    sessions = reader.overlapping(since, until)
    now = None if config is None else blueprint_of(config)
    for session in sessions:
        line = str(session.blueprint["line"])
        if now is not None and now.line != line:
            raise OtherLine(f"the recording is of {line}, the configuration is for {now.line}")
        apart = [] if now is None else differences(session.blueprint, now.plain())
        changed |= dict.fromkeys(apart)
        blueprint = now if now is not None and apart else _read(session)
        items, lead_in = reader.items(session, since, until), reader.lead_in(session, since, until)
        solves = solve or bool(apart)
        asyncio.run(replayed(blueprint, items, _inline, since, until, solve=solves, report=report, lead_in=lead_in))
    if report.before:
        report.notes.append(f"{report.before} differences before {stamp(since)}, since the start of the replay")
    versions = frozenset(session.version for session in sessions)
    return Replayed(line, since, until, versions, tuple(changed), report)


def _read(session: Session) -> Blueprint:
    """What the session was built from. Raises DamagedFlight."""
    try:
        return read_blueprint(session.blueprint)
    except (ValueError, TypeError, LookupError) as fault:
        raise DamagedFlight(f"the blueprint of the session of {stamp(session.since)}: {fault}") from fault


def _inline(name: str, setup: Setup, model_hash: str) -> InlineSolver:
    del name, model_hash
    return InlineSolver(setup)

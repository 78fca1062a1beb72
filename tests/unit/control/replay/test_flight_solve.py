"""A replay that asks the solvers again: they know the plant as those of the recording did (CARD4)."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.settings import FlightSettings
from edged.types import NANOSECONDS_PER_SECOND
from edged_control.flight.boundary import Flight
from edged_control.flight.file import FlightFile, flight_path
from edged_control.flight.reader import FlightReader
from edged_control.flight.recorder import KEY_FRAME_SECONDS, FlightRecorder
from edged_control.process_model.linear import Artefact
from edged_control.replay.run import Replayed, replay_file
from edged_control.solver.process import TOO_LATE
from tests.unit.control.inline_solver import InlineSolver, answered, artefact, mpc_loop, solver_factory
from tests.unit.control.recorded_rig import blueprint
from tests.unit.control.rig import LOOP, MakeRig, Rig, narrower

STEP_UP, SMALL_STEP_UP = 1.1, 1.02
"""More is as much as the rate allows, whatever a solver says."""
HIGH = 160.0
FAR_SECONDS = 3600
TO_KEY_FRAME = round(KEY_FRAME_SECONDS)
LATE = answered(inputs=(), errors=(), solve_seconds=0.0, fault=f"{TOO_LATE} 0.2 s")


class Box:
    """A rig under MPC whose flight goes to a file."""

    def __init__(self, make_rig: MakeRig, folder: Path, found: Artefact | None = None, **changes: object) -> None:
        self.path = flight_path(folder, "line_a")
        self.solvers: list[InlineSolver] = []
        found = found or artefact()
        loop = mpc_loop(LOOP, found, **changes)
        self.rig: Rig = make_rig(
            loop=loop, artefact=found, build_solver=solver_factory(self.solvers), solvers=self.solvers
        )
        self.plan = blueprint(self.rig)
        self.rig.flight = self.begin
        self.rig.restart()

    def begin(self, clock: VirtualClock) -> Flight:
        self.file = FlightFile(self.path, FlightSettings(), self.plan, clock)
        return FlightRecorder(self.file, clock)

    def fly(self) -> None:
        """Ten percent more glass comes just before a key-frame: the estimate is on its way there."""
        self.rig.step(TO_KEY_FRAME - 20)
        self.file.store()
        self.rig.plc.product *= STEP_UP
        self.rig.step(21)
        self.file.store()
        self.rig.step(30)
        self.file.store()

    def replay(self, seconds: int, path: Path | None = None) -> Replayed:
        """The end, with solvers that are asked again."""
        with closing(FlightReader(path or self.path)) as reader:
            since = reader.until - seconds * NANOSECONDS_PER_SECOND
            return replay_file(reader, since, reader.until, None, solve=True)


@pytest.fixture
def box(make_rig: MakeRig, tmp_path: Path) -> Box:
    return Box(make_rig, tmp_path)


def test_behind_a_key_frame_a_solver_knows_what_came_before(box: Box) -> None:
    box.fly()
    found = box.replay(20)
    assert (found.report.cycles, found.report.before, found.report.differences) == (21, 0, [])


def test_behind_a_key_frame_it_knows_how_the_plant_differs_from_its_model(make_rig: MakeRig, tmp_path: Path) -> None:
    expected = {"load_per_hour": 10.0, "load_jump": 15.0, "dead_time_factors": (1.5, 2.0)}
    box = Box(make_rig, tmp_path, artefact(residual=0.005, dead_time=3.5), **expected)
    box.rig.plc.noise = [0.005 * math.sin(at * at) for at in range(997)]
    for factor in (STEP_UP, 1.0 / STEP_UP):
        box.rig.plc.product *= factor
        box.rig.step(100)
    assert box.rig.status.assumed.endswith("x2")
    box.fly()
    assert box.rig.status.assumed.endswith("x2")
    found = box.replay(20)
    assert (found.report.cycles, found.report.before, found.report.differences) == (21, 0, [])


def test_behind_a_key_frame_it_keeps_the_limits_that_were_pushed(box: Box) -> None:
    """Otherwise it would plan beyond them, and the round table refuse its plan."""
    box.rig.step(10)
    box.rig.push(narrower(high=HIGH))
    box.fly()
    assert box.rig.status.readback == pytest.approx(HIGH, abs=0.2)
    found = box.replay(20)
    assert (found.report.before, found.report.differences) == (0, [])


def test_an_answer_that_came_too_late_has_taught_the_solver_all_the_same(box: Box) -> None:
    box.rig.step(10)
    box.rig.plc.product *= SMALL_STEP_UP
    box.rig.step(3)
    box.solvers[-1].spoil = LATE
    box.rig.step(2)
    box.solvers[-1].spoil = None
    box.rig.step(20)
    box.file.store()
    found = box.replay(60)
    assert (found.report.cycles, found.report.differences) == (35, [])


def test_where_the_time_before_is_not_kept_it_leads_from_the_second_cycle(box: Box, tmp_path: Path) -> None:
    """An incident begins at a key-frame: the solver has to find out what disturbs the plant, and the MPC goes on."""
    box.fly()
    incident = tmp_path / "incident.db"
    with closing(FlightReader(box.path)) as reader:
        reader.export(incident, reader.until - 20 * NANOSECONDS_PER_SECOND, reader.until)
    report = box.replay(FAR_SECONDS, incident).report
    assert report.differences
    assert {change.name for one in report.differences for change in one.changes}.isdisjoint({"rung", "controller"})

"""What the demo promises of control's scenes: a good story keeps it, every planted fault breaks its promise."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.demo_evidence import Evidence, Point, bars
from bench.demo_plot import draw
from bench.demo_story import Moment, Story

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
QUANTUM = 20.0 / 60.0
STEPS = 15
"""From 150 m/min to 5 m/min above it."""
PID_FROM, PID_TO = 6, 9
MOMENTS = {
    Moment.KILLED: 15.5,
    Moment.RETURNED: 19.1,
    Moment.WAITS: 25.1,
    Moment.APPROVED: 28.5,
    Moment.TURNED: 33.3,
    Moment.GIVEN_BACK: 37.5,
}
OPERATOR_SPEED = 160.0

Break = Callable[[Evidence], Evidence]


def at(second: float) -> int:
    return START + round(second * SECOND)


def decision(second: float, controller: str, written: float, verdict: str = "clamped") -> dict[str, Any]:
    phase, outcome = ("completed", "none") if verdict == "waits" else ("decided", "none")
    return {
        "time": at(second),
        "phase": phase,
        "controller": controller,
        "verdict": verdict,
        "written": written,
        "outcome": outcome,
        "set_point": 4.0,
    }


def order(identity: str, action: str) -> dict[str, Any]:
    return {"time": at(30), "identity": identity, "action": action, "outcome": "accepted"}


def alarm(second: float, name: str, state: str) -> dict[str, Any]:
    return {"time": at(second), "name": name, "state": state}


@pytest.fixture
def good() -> Evidence:
    """A belt that goes up by one quantum a second from second 10, through the three scenes."""
    story = Story(START, {moment: at(second) for moment, second in MOMENTS.items()}, OPERATOR_SPEED)
    moves = [(10.0 + n, 150.0 + QUANTUM * (n + 1)) for n in range(STEPS)]
    moves += [(29.0 + n, 155.0 + QUANTUM * (n + 1)) for n in range(5)]
    moves += [(41.0 + n, OPERATOR_SPEED + QUANTUM * (n + 1)) for n in range(5)]
    writes = [Point(at(second + 0.01), speed) for second, speed in moves] + [Point(at(33.31), OPERATOR_SPEED)]
    decisions = []
    for n, (second, speed) in enumerate(moves):
        decided = decision(second, "pid" if PID_FROM <= n < PID_TO else "mpc", speed)
        completed = {**decided, "phase": "completed", "outcome": "verified", "time": at(second + 0.02)}
        decisions += [decided, completed]
    decisions.append(decision(25.0, "mpc", 155.3, "waits"))
    return Evidence(
        story=story,
        writes=sorted(writes),
        readbacks=[Point(at(0.0), 150.0), *sorted(writes)],
        thickness=[Point(at(second), 4.0 + second / 1000) for second in range(46)],
        decisions=sorted(decisions, key=lambda one: int(one["time"])),
        orders=[order("chris", "approve"), order("anna", "override")],
        alarms=[
            alarm(25.0, "control_approval", "unacknowledged"),
            alarm(28.6, "control_approval", "returned_unacknowledged"),
            alarm(34.0, "control_local_override", "unacknowledged"),
        ],
    )


def missed(found: Evidence) -> set[str]:
    return {bar.name for bar in bars(found) if not bar.ok}


def without(found: Evidence, *seconds: float) -> Evidence:
    """Cycles in which nothing was decided or written."""
    times = {at(second) for second in seconds}
    writes = [one for one in found.writes if one.at - at(0.01) + START not in times]
    return replace(found, writes=writes, decisions=[one for one in found.decisions if one["time"] not in times])


def written(found: Evidence, second: float, speed: float) -> Evidence:
    return replace(found, writes=sorted([*found.writes, Point(at(second), speed)]))


def led(found: Evidence, second: float, controller: str) -> Evidence:
    decisions = [{**one, "controller": controller} if one["time"] == at(second) else one for one in found.decisions]
    return replace(found, decisions=decisions)


def of_pid_alone(found: Evidence) -> Evidence:
    late = MOMENTS[Moment.KILLED]
    decisions = [{**one, "controller": "pid"} if one["time"] > at(late) else one for one in found.decisions]
    return replace(found, decisions=decisions)


def until(found: Evidence, moment: Moment) -> Evidence:
    """Nothing is written any more."""
    return replace(found, writes=[one for one in found.writes if one.at < found.story.moments[moment]])


def test_a_good_story_keeps_every_promise(good: Evidence) -> None:
    assert missed(good) == set()


@pytest.mark.parametrize(
    ("harm", "promise"),
    [
        (lambda good: without(good, 16.0), "solver killed: cycles without a decision"),
        (lambda good: led(good, 16.0, "mpc"), "solver killed: decisions before the first of the PID"),
        (
            lambda good: written(good, 16.005, 153.0),
            "solver killed: first move of the PID, in moves that the rate allows",
        ),
        (of_pid_alone, "solver killed: decisions of the MPC afterwards"),
        (
            lambda good: replace(good, decisions=[one for one in good.decisions if one["verdict"] != "waits"]),
            "approval: decisions that wait for it",
        ),
        (lambda good: written(good, 27.0, 155.3), "approval: furthest write from the approved speed before it, m/min"),
        (lambda good: written(good, 27.0, 144.9), "approval: furthest write from the approved speed before it, m/min"),
        (lambda good: until(good, Moment.APPROVED), "approval: furthest after it, m/min"),
        (
            lambda good: replace(good, writes=[one for one in good.writes if one.value != OPERATOR_SPEED]),
            "operator at the plant: writes of the operator",
        ),
        (
            lambda good: written(good, 35.0, 159.0),
            "operator at the plant: writes of edged before it is given back",
        ),
        (lambda good: until(good, Moment.GIVEN_BACK), "operator at the plant: writes of edged afterwards"),
        (lambda good: replace(good, orders=good.orders[:1]), "orders of people that the hub holds by name"),
        (
            lambda good: replace(good, orders=[{**one, "outcome": "refused"} for one in good.orders]),
            "orders of people that the hub holds by name",
        ),
    ],
)
def test_a_broken_scene_breaks_its_promise(good: Evidence, harm: Break, promise: str) -> None:
    assert promise in missed(harm(good))


def test_scenes_that_were_not_played_keep_nothing(good: Evidence) -> None:
    nothing = replace(good, story=Story(START), orders=[])
    assert missed(nothing) == {bar.name for bar in bars(good)}


@pytest.mark.parametrize("played", [0, 1, 3, 6])
def test_the_picture_shows_every_moment(good: Evidence, played: int, tmp_path: Path) -> None:
    moments = dict(list(good.story.moments.items())[:played])
    draw(replace(good, story=replace(good.story, moments=moments)), tmp_path / "control.svg")
    picture = ElementTree.parse(tmp_path / "control.svg").getroot()
    texts = ["".join(element.itertext()) for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert [moment for moment in Moment if any(text.endswith(moment) for text in texts)] == list(moments)
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    dots = list(picture.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) >= STEPS
    for element in [*picture.iter("{http://www.w3.org/2000/svg}text"), *dots]:
        assert 0 <= float(element.get("x", element.get("cx", "-1"))) <= width
        assert 0 < float(element.get("y", element.get("cy", "-1"))) < height

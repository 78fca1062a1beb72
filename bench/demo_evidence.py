"""The control scenes of the demo as the plant's journal and the hub's records tell them, and what is promised of them.

Nothing here is taken from the daemon's status. The limits are those of configs/ceiling-demo.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

from bench.checker import read_events, read_journal
from bench.demo_people import ENGINEER, OPERATOR
from bench.demo_story import BELT, LOOP, THRESHOLD, Moment, Story
from bench.report import Bar

THICKNESS = "line_a/forming/thickness"
PERIOD_SECONDS = 1.0
RATE_PER_SECOND = 20.0 / 60.0
"""m/min per s."""
JITTER = 0.05
"""A cycle of control may be so much longer, as a share, than the time between two writes in the plant's journal."""
ROUNDING = 1e-3
"""m/min: the belt's register is a float32."""
NANOSECONDS = 1e9

Json = dict[str, Any]


class Point(NamedTuple):
    """A value at the plant; `at` in ns UTC."""

    at: int
    value: float


@dataclass(frozen=True)
class Evidence:
    """`writes` to the belt by anybody and what the plant answered are its journal; the rest is held by the hub."""

    story: Story
    writes: list[Point]
    readbacks: list[Point]
    thickness: list[Point]
    decisions: list[Json]
    orders: list[Json]
    alarms: list[Json]

    def until(self, moment: Moment) -> list[Point]:
        """The writes before a moment."""
        end = self.story.moments[moment]
        return [write for write in self.writes if write.at < end]

    def between(self, start: Moment, end: Moment) -> list[Point]:
        """The writes from one moment to another."""
        return [write for write in self.until(end) if write.at >= self.story.moments[start]]


def gather(journal: Path, hub: Path, node: str, story: Story) -> Evidence:
    """Reads all that there is, after the daemon has flushed."""
    writes: list[Point] = []
    readbacks: list[Point] = []
    thickness: list[Point] = []
    for line in read_journal(journal / "modbus.jsonl"):
        if line.get("write") == BELT:
            writes.append(Point(line["at"], line["value"]))
        for path, points in ((BELT, readbacks), (THICKNESS, thickness)):
            value = line.get("signals", {}).get(path)
            if value is not None:
                points.append(Point(line["at"], value))
    decisions = [one for one in read_events(hub, node, "Decision") if one["loop"] == LOOP]
    orders = [one for one in read_events(hub, node, "OperatorAction") if one["target"] == LOOP]
    alarms = [one for one in read_events(hub, node, "Alarm") if one["source"] == LOOP]
    for events in (decisions, orders, alarms):
        events.sort(key=lambda event: int(event["time"]))
    return Evidence(story, writes, readbacks, thickness, decisions, orders, alarms)


def bars(found: Evidence) -> list[Bar]:
    """What is promised of each scene; a scene that was not played keeps none of it."""
    return [*_killed(found), *_approved(found), *_turned(found), *_told(found)]


def _killed(found: Evidence) -> list[Bar]:
    """The PID goes on in the next cycle, from where the belt is."""
    cycles = quanta = others = returned = nan
    killed = found.story.moments.get(Moment.KILLED)
    if killed is not None:
        decided = [one for one in found.decisions if one["phase"] == "decided"]
        before, after = ([one for one in decided if (one["time"] >= killed) == late] for late in (False, True))
        led = [at for at, one in enumerate(after) if one["controller"] == "pid"]
        if before and led:
            first, others = after[led[0]], led[0]
            cycles = round((first["time"] - before[-1]["time"]) / NANOSECONDS / PERIOD_SECONDS) - 1
            quanta = _quanta(found.writes, first)
            returned = sum(one["controller"] == "mpc" for one in after[led[0] :])
    return [
        Bar("solver killed: cycles without a decision", cycles, 0),
        Bar("solver killed: decisions before the first of the PID", others, 0),
        Bar("solver killed: first move of the PID, in moves that the rate allows", quanta, 1.0 + JITTER),
        Bar("solver killed: decisions of the MPC afterwards", returned, 1, "at_least"),
    ]


def _quanta(writes: list[Point], decision: Json) -> float:
    """The move that a decision led to, against what the rate allows between two writes, at least in a period."""
    later = [at for at, write in enumerate(writes) if write.at >= decision["time"]]
    if not later or later[0] == 0:
        return nan
    before, write = writes[later[0] - 1], writes[later[0]]
    seconds = max(PERIOD_SECONDS, (write.at - before.at) / NANOSECONDS)
    return abs(write.value - before.value) / (RATE_PER_SECOND * seconds)


def _approved(found: Evidence) -> list[Bar]:
    """Nothing beyond the threshold is written before it is approved, and something afterwards."""
    before = after = waits = nan
    if {Moment.WAITS, Moment.APPROVED, Moment.TURNED} <= found.story.moments.keys():
        start = found.readbacks[0].value
        before = max((abs(write.value - start) for write in found.until(Moment.APPROVED)), default=nan)
        moved = found.between(Moment.APPROVED, Moment.TURNED)
        after = max((abs(write.value - start) for write in moved), default=nan)
        waits = sum(one["verdict"] == "waits" for one in found.decisions)
    return [
        Bar("approval: decisions that wait for it", waits, 1, "at_least"),
        Bar("approval: furthest write from the approved speed before it, m/min", before, THRESHOLD + ROUNDING),
        Bar("approval: furthest after it, m/min", after, THRESHOLD + RATE_PER_SECOND, "at_least"),
    ]


def _turned(found: Evidence) -> list[Bar]:
    """While an operator at the plant has the belt, nobody else writes it."""
    his = ours = later = nan
    if {Moment.TURNED, Moment.GIVEN_BACK} <= found.story.moments.keys():
        written = found.between(Moment.TURNED, Moment.GIVEN_BACK)
        his = sum(abs(write.value - found.story.operator_speed) < ROUNDING for write in written)
        ours = len(written) - his
        later = sum(write.at >= found.story.moments[Moment.GIVEN_BACK] for write in found.writes)
    return [
        Bar("operator at the plant: writes of the operator", his, 1, "at_least"),
        Bar("operator at the plant: writes of edged before it is given back", ours, 0),
        Bar("operator at the plant: writes of edged afterwards", later, 1, "at_least"),
    ]


def _told(found: Evidence) -> list[Bar]:
    """Who ordered what is a record."""
    wanted = {(ENGINEER, "approve"), (OPERATOR, "override")}
    kept = {(order["identity"], order["action"]) for order in found.orders if order["outcome"] == "accepted"}
    return [Bar("orders of people that the hub holds by name", len(wanted & kept), len(wanted), "at_least")]

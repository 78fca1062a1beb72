"""Outage drills: real processes, one thing breaks, the independent checker counts.

A drill passes when nothing is lost or duplicated at the hub beyond Gaps that exceed the disturbance by at most 5 s, and
with no Gap at all where the source was never away (hub and broker drills).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.checker import Findings, check, read_receive_times
from bench.line import LineStack
from bench.processes import PROJECT, StackFailed, wait_until
from bench.report import Bar, Report

SCENARIO = PROJECT / "configs" / "scenarios" / "drill.yaml"
FOLDER = PROJECT / "run" / "drill"
SETTLE_SECONDS = 8.0
AFTER_SECONDS = 8.0
GAP_EXCESS_SECONDS = 5.0
RETURN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What a drill did: how long the source was away, and when it was back (ms UTC), if it was a source."""

    seconds: float
    source: str | None
    gap_allowed: bool
    returned_at: int | None = None


@dataclass(frozen=True, slots=True)
class Drill:
    """One thing that breaks."""

    name: str
    what: str
    act: Callable[[LineStack], Disturbance]


def daemon_killed(line: LineStack) -> Disturbance:
    """SIGKILL of the daemon, started again after 2 s."""
    line.processes["edged"].kill()
    began = time.monotonic()
    time.sleep(2.0)
    line.start_edge()
    line.wait_for_data()
    return Disturbance(time.monotonic() - began, None, gap_allowed=True)


def server_killed(line: LineStack) -> Disturbance:
    """SIGKILL of the OPC UA server; the plant starts it again after 10 s."""
    before = line.face_pid("opcua")
    began = time.monotonic()
    os.kill(before, signal.SIGKILL)
    wait_until("the OPC UA server's return", lambda: line.face_pid("opcua") != before, line.processes["plant"])
    return Disturbance(time.monotonic() - began, "furnace", gap_allowed=True, returned_at=time.time_ns() // 1_000_000)


def server_stalled(line: LineStack) -> Disturbance:
    """SIGSTOP of the OPC UA server for 3 s."""
    pid = line.face_pid("opcua")
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3.0)
    os.kill(pid, signal.SIGCONT)
    return Disturbance(3.0, "furnace", gap_allowed=True, returned_at=time.time_ns() // 1_000_000)


def hub_down(line: LineStack) -> Disturbance:
    """SIGKILL of the hub, started again after 20 s."""
    line.processes["hub"].kill()
    time.sleep(20.0)
    line.start_hub()
    return Disturbance(20.0, None, gap_allowed=False)


def broker_down(line: LineStack) -> Disturbance:
    """The broker stops cleanly and comes back after 20 s."""
    line.processes["broker"].stop()
    time.sleep(20.0)
    line.start_broker()
    return Disturbance(20.0, None, gap_allowed=False)


def broker_killed(line: LineStack) -> Disturbance:
    """SIGKILL of the broker, back after 20 s: only MQTT ingest may have a gap."""
    line.processes["broker"].kill()
    time.sleep(20.0)
    line.start_broker()
    return Disturbance(20.0, "cold_end", gap_allowed=True)


DRILLS = (
    Drill("daemon-killed", "SIGKILL of edged, 2 s", daemon_killed),
    Drill("server-killed", "SIGKILL of the OPC UA server, 10 s", server_killed),
    Drill("server-stalled", "SIGSTOP of the OPC UA server, 3 s", server_stalled),
    Drill("hub-down", "SIGKILL of the hub, 20 s", hub_down),
    Drill("broker-down", "clean stop of the broker, 20 s", broker_down),
    Drill("broker-killed", "SIGKILL of the broker, 20 s", broker_killed),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one drill found."""

    drill: Drill
    disturbance: Disturbance
    found: Findings
    first_data_seconds: float | None
    exit_status: int


def perform(drill: Drill, folder: Path) -> Outcome:
    """Starts the line, breaks it, lets it heal, stops it cleanly, checks. Raises StackFailed."""
    with LineStack(folder) as line:
        line.start_broker()
        line.start_hub()
        line.start_plant(SCENARIO, restart_seconds=10.0)
        line.start_edge()
        line.wait_for_data()
        time.sleep(SETTLE_SECONDS)
        disturbance = drill.act(line)
        time.sleep(AFTER_SECONDS)
        line.wait_until_drained()
        status = line.stop_edge()
        found = check(line.journal, line.hub_data / "hub.db", line.node)
        first = first_data_seconds(line, disturbance)
        return Outcome(drill, disturbance, found, first, status)


def first_data_seconds(line: LineStack, disturbance: Disturbance) -> float | None:
    """From the source's return to the first value of it that the daemon received."""
    if disturbance.returned_at is None or disturbance.source is None:
        return None
    times = read_receive_times(line.hub_data / "hub.db", line.node, f"{line.node}/{disturbance.source}/")
    after = [time for time in times if time >= disturbance.returned_at]
    return (min(after) - disturbance.returned_at) / 1000.0 if after else float("inf")


def bars(outcome: Outcome) -> list[Bar]:
    """The promises that a drill holds the line to."""
    name, found, disturbance = outcome.drill.name, outcome.found, outcome.disturbance
    made = [Bar(f"{name}: {what}", found.total(what), 0) for what in ("lost", "duplicated", "out_of_order", "invented")]
    made.append(Bar(f"{name}: exit status of edged", outcome.exit_status, 0))
    longest = max((gap.seconds for gap in found.gaps), default=0.0)
    if disturbance.gap_allowed:
        made.append(Bar(f"{name}: gap beyond the disturbance, s", longest - disturbance.seconds, GAP_EXCESS_SECONDS))
    else:
        made.append(Bar(f"{name}: gaps", len(found.gaps), 0))
    if disturbance.source:
        strangers = [gap for gap in found.gaps if gap.source != disturbance.source]
        made.append(Bar(f"{name}: gaps of other sources", len(strangers), 0))
    if outcome.first_data_seconds is not None:
        made.append(Bar(f"{name}: first data after the return, s", outcome.first_data_seconds, RETURN_SECONDS))
    return made


def main(arguments: Sequence[str]) -> int:
    """Performs one drill or all; exit status 1 when a promise is broken."""
    names = [drill.name for drill in DRILLS]
    text = "\n".join(f"  {drill.name:15} {drill.what}" for drill in DRILLS)
    parser = argparse.ArgumentParser(
        prog="python -m bench drill",
        description=__doc__,
        epilog=f"drills:\n{text}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*names, "all"])
    options = parser.parse_args(arguments)
    columns = ("drill", "offered", "held", "lost", "duplicated", "in gaps", "longest gap s", "first data s")
    report = Report("drill", columns)
    for drill in DRILLS:
        if options.name in (drill.name, "all"):
            print(f"drill {drill.name}: {drill.what}", flush=True)
            try:
                outcome = perform(drill, FOLDER / drill.name)
            except StackFailed as fault:
                print(f"drill {drill.name}: {fault}", file=sys.stderr)
                report.bars.append(Bar(f"{drill.name}: ran", 0, 1, "at_least"))
                continue
            _add(report, outcome)
    return report.show()


def _add(report: Report, outcome: Outcome) -> None:
    found = outcome.found
    longest = max((gap.seconds for gap in found.gaps), default=0.0)
    first = outcome.first_data_seconds if outcome.first_data_seconds is not None else "-"
    counts = (found.offered, found.total("held"), found.lost, found.duplicated, found.total("covered_by_gaps"))
    report.rows.append((outcome.drill.name, *counts, longest, first))
    report.bars += bars(outcome)
    report.figures[outcome.drill.name] = {"gap_seconds": longest, "p99_milliseconds": found.p99_milliseconds}
    for example in found.examples[:5]:
        print(f"  example: {example}")

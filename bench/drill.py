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

from bench import node_opcua
from bench.checker import Findings, check, read_receive_times
from bench.line import LineStack, wall_milliseconds
from bench.processes import PROJECT, StackFailed, wait_until
from bench.report import Bar, Report

SCENARIO = PROJECT / "configs" / "scenarios" / "drill.yaml"
FOLDER = PROJECT / "run" / "drill"
SETTLE_SECONDS = 8.0
STALL_SECONDS = 3.0
AFTER_SECONDS = 8.0
GAP_EXCESS_SECONDS = 5.0
RETURN_SECONDS = 5.0
SILENT_SECONDS = 5.0
"""Without this bar a source that fell silent for good would look as if it had lost nothing."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What a drill did: how long the source was away, and when it was back (ms UTC), if it was a source."""

    seconds: float
    source: str | None
    gap_allowed: bool
    returned_at: int | None = None


def start_glass_line(line: LineStack) -> None:
    """The simulated plant and the daemon of configs/line-a.yaml."""
    line.start_plant(SCENARIO, restart_seconds=10.0)
    line.start_edge()


def start_node_opcua_line(line: LineStack) -> None:
    """node-opcua and a daemon with this one source."""
    node_opcua.start_server(line)
    line.start_edge(node_opcua.write_config(line))


def nothing_missing() -> str | None:
    """What every machine has."""
    return None


@dataclass(frozen=True, slots=True)
class Drill:
    """One thing that breaks; `missing` names what this machine lacks for it."""

    name: str
    what: str
    act: Callable[[LineStack], Disturbance]
    start: Callable[[LineStack], None] = start_glass_line
    missing: Callable[[], str | None] = nothing_missing


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
    return Disturbance(time.monotonic() - began, "furnace", gap_allowed=True, returned_at=wall_milliseconds())


def server_stalled(line: LineStack) -> Disturbance:
    """SIGSTOP of the OPC UA server."""
    return _stall(line.face_pid("opcua"), "furnace")


def node_opcua_stalled(line: LineStack) -> Disturbance:
    """SIGSTOP of node-opcua, whose sessions do not outlive a client that takes a stall for a loss."""
    return _stall(line.processes[node_opcua.SERVER].pid, node_opcua.SOURCE)


def _stall(pid: int, source: str) -> Disturbance:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STALL_SECONDS)
    os.kill(pid, signal.SIGCONT)
    return Disturbance(STALL_SECONDS, source, gap_allowed=True, returned_at=wall_milliseconds())


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
    Drill(
        "node-opcua-stalled",
        "SIGSTOP of a node-opcua server, 3 s",
        node_opcua_stalled,
        start_node_opcua_line,
        node_opcua.missing,
    ),
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
    silent_seconds: float
    exit_status: int


def perform(drill: Drill, folder: Path) -> Outcome:
    """Starts the line, breaks it, lets it heal, stops it cleanly, checks. Raises StackFailed."""
    with LineStack(folder) as line:
        line.start_broker()
        line.start_hub()
        drill.start(line)
        line.wait_for_data()
        time.sleep(SETTLE_SECONDS)
        disturbance = drill.act(line)
        time.sleep(AFTER_SECONDS)
        line.wait_until_drained()
        stopped_at = wall_milliseconds()
        status = line.stop_edge()
        found = check(line.journal, line.hub_data / "hub.db", line.node)
        first = first_data_seconds(line, disturbance)
        silent = stopped_at - min(part.last_held for part in found.faces.values())
        return Outcome(drill, disturbance, found, first, silent / 1000.0, status)


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
    made.append(Bar(f"{name}: silence of a protocol before the end, s", outcome.silent_seconds, SILENT_SECONDS))
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
    text = "\n".join(f"  {drill.name:19} {drill.what}" for drill in DRILLS)
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
            lacks = drill.missing()
            if lacks and options.name == "all" and not os.environ.get("CI"):
                print(f"drill {drill.name}: skipped, {lacks} is not installed", flush=True)
            else:
                _judge(report, drill, lacks)
    return report.show()


def _judge(report: Report, drill: Drill, lacks: str | None) -> None:
    print(f"drill {drill.name}: {drill.what}", flush=True)
    fault = f"{lacks} is not installed"
    if lacks is None:
        try:
            _add(report, perform(drill, FOLDER / drill.name))
        except StackFailed as failure:
            fault = str(failure)
        else:
            return
    print(f"drill {drill.name}: {fault}", file=sys.stderr)
    report.bars.append(Bar(f"{drill.name}: ran", 0, 1, "at_least"))


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

"""Outage drills: real processes, something breaks, the independent checker counts.

A drill passes when nothing is lost or duplicated at the hub beyond Gaps that exceed the disturbance by at most 5 s,
with no Gap at all where the source was never away, and with nothing lost on Sparkplug where its fence promises that.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import drills_daemon, drills_hub, drills_network, drills_node_opcua, drills_source, drills_storage
from bench.checker import Findings, check
from bench.disturbance import Disturbance, Drill
from bench.drill_figures import (
    blind_seconds,
    draining_milliseconds,
    first_data_seconds,
    gap_excess_seconds,
    missing_on_sparkplug,
    steady_milliseconds,
    unheld,
    union_seconds,
)
from bench.drill_line import DrillLine
from bench.judge import GapSpan, Window
from bench.line import wall_milliseconds
from bench.processes import PROJECT, StackFailed
from bench.report import Bar, Report, markdown

FOLDER = PROJECT / "run" / "drill"
SETTLE_SECONDS = 8.0
AFTER_SECONDS = 8.0
GAP_EXCESS_SECONDS = 5.0
RETURN_SECONDS = 5.0
SILENT_SECONDS = 2.0
"""Without this bar a source that fell silent for good would look as if it had lost nothing."""
JUDGED_SHARE = 0.95
DRAIN_RATIO = 2.0
DRILLS = (
    *drills_daemon.DRILLS,
    *drills_source.DRILLS,
    *drills_node_opcua.DRILLS,
    *drills_hub.DRILLS,
    *drills_network.DRILLS,
    *drills_storage.DRILLS,
)
COLUMNS = (
    "drill",
    "offered",
    "lost",
    "duplicated",
    "out of order",
    "lost on Sparkplug",
    "gaps s",
    "blind s",
    "first data s",
    "p99 ms",
    "p99 draining ms",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one drill found."""

    drill: Drill
    disturbance: Disturbance
    found: Findings
    window: Window
    unheld: int
    missing_on_sparkplug: list[str] | None
    tracebacks: int
    exit_status: int

    @property
    def first_data_seconds(self) -> float | None:
        """After the return of the source that was away."""
        return first_data_seconds(self.found, self.disturbance)

    @property
    def blind_seconds(self) -> float | None:
        """Without any value of a source."""
        if self.disturbance.own_clock:
            return None
        return max(blind_seconds(self.found, face, self.window) for face in self.drill.faces)

    @property
    def steady_milliseconds(self) -> float:
        """p99 of the path before anything broke."""
        return steady_milliseconds(self.found, self.window.since, self.disturbance.spans[0].began)

    @property
    def draining_milliseconds(self) -> float | None:
        """p99 of new values while the backlog drained, where there was one."""
        if not self.disturbance.backlog:
            return None
        return draining_milliseconds(self.found, self.disturbance.spans[-1])

    @property
    def gap_seconds(self) -> float:
        """Of the source with the longest gaps."""
        return max((union_seconds(self._gaps(source)) for source in self._gap_sources()), default=0.0)

    @property
    def gap_excess_seconds(self) -> float:
        """Of the source whose gaps exceed the disturbance most."""
        spans = self.disturbance.spans
        return max((gap_excess_seconds(self._gaps(source), spans) for source in self._gap_sources()), default=0.0)

    @property
    def silent_seconds(self) -> float:
        """Before the stop, of the source that was silent longest."""
        return (self.window.until - min(self.found.faces[face].last_held for face in self.drill.faces)) / 1000.0

    def _gap_sources(self) -> set[str]:
        return {gap.source for gap in self.found.gaps}

    def _gaps(self, source: str) -> list[GapSpan]:
        return [gap for gap in self.found.gaps if gap.source == source]


def perform(drill: Drill, folder: Path, *, kills: int = drills_daemon.KILLS) -> Outcome:
    """Starts the line, breaks it, lets it heal, stops it cleanly, checks. Raises StackFailed."""
    with DrillLine(folder, kills=kills) as line:
        drill.start(line)
        line.wait_for_data()
        since = wall_milliseconds()
        time.sleep(SETTLE_SECONDS)
        disturbance = drill.act(line)
        time.sleep(AFTER_SECONDS)
        line.wait_until_drained()
        line.wait_until_sparkplug_drained()
        said = line.received()
        window = Window(since, wall_milliseconds(), line.edge_started)
        status = line.stop_edge()
        found = check(line.journal, line.hub_rows, line.node, window)
        missing = missing_on_sparkplug(found, line.host.held) if line.host and drill.sparkplug else None
        log = (line.folder / "edged.log").read_text(encoding="utf-8", errors="replace")
        return Outcome(drill, disturbance, found, window, unheld(found, said), missing, log.count("Traceback"), status)


def bars(outcome: Outcome) -> list[Bar]:
    """The promises that a drill holds the line to."""
    drill, found, disturbance = outcome.drill, outcome.found, outcome.disturbance
    judged = [found.faces[face].judged_share for face in drill.faces if face in found.faces]
    strangers = [gap for gap in found.gaps if gap.source not in disturbance.gaps]
    made = [Bar(what, found.total(what), 0) for what in ("lost", "duplicated", "out_of_order", "invented")]
    made += [
        Bar("protocols judged", sum(share > 0 for share in judged), len(drill.faces), "at_least"),
        Bar("judged share of the least judged protocol", min(judged, default=0.0), JUDGED_SHARE, "at_least"),
        Bar("received before the stop and not held", outcome.unheld, 0),
        Bar("silence of a protocol before the end, s", outcome.silent_seconds, SILENT_SECONDS),
        Bar("exit status of edged", outcome.exit_status, 0),
        Bar("tracebacks in its log", outcome.tracebacks, 0),
        Bar("gaps of sources that were not away", len(strangers), 0),
    ]
    if disturbance.gaps:
        made.append(Bar("gaps beyond the disturbance, s", outcome.gap_excess_seconds, GAP_EXCESS_SECONDS))
    if outcome.first_data_seconds is not None:
        made.append(Bar("first data after the return, s", outcome.first_data_seconds, RETURN_SECONDS))
    if outcome.draining_milliseconds is not None:
        ratio = outcome.draining_milliseconds / outcome.steady_milliseconds
        made.append(Bar("live p99 while draining to steady", ratio, DRAIN_RATIO))
    if outcome.missing_on_sparkplug is not None:
        made.append(Bar("lost on Sparkplug", len(outcome.missing_on_sparkplug), 0))
    made += disturbance.bars
    return [Bar(f"{drill.name}: {bar.name}", bar.value, bar.limit, bar.sense) for bar in made]


def main(arguments: Sequence[str]) -> int:
    """Performs one drill, several or all; exit status 1 when a promise is broken."""
    text = "\n".join(f"  {drill.name:23} {drill.seconds:4} s  {drill.what}" for drill in DRILLS)
    parser = argparse.ArgumentParser(
        prog="python -m bench drill",
        description=__doc__,
        epilog=f"drills and how long they take, about:\n{text}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = {drill.name: drill for drill in DRILLS}
    parser.add_argument("names", nargs="+", choices=[*names, "all"], metavar="NAME|all")
    parser.add_argument("--kills", type=int, default=drills_daemon.KILLS, help="of daemon-kills (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file, between its two marks")
    options = parser.parse_args(arguments)
    everything = "all" in options.names
    report = Report("drill", COLUMNS)
    for drill in DRILLS if everything else [names[name] for name in options.names]:
        lacks = drill.missing()
        if lacks and everything and not os.environ.get("CI"):
            print(f"drill {drill.name}: skipped, {lacks} is missing", flush=True)
        else:
            _judge(report, drill, lacks, options.kills)
    if options.markdown:
        write_table(options.markdown, report)
    return report.show()


def write_table(path: Path, report: Report) -> None:
    """Puts the table between the marks of a page; rows of drills that were not performed now stay as they were."""
    before, begin, rest = path.read_text(encoding="utf-8").partition("<!-- drills -->\n")
    old, end, after = rest.partition("<!-- end -->")
    if not end:
        raise SystemExit(f"{path} lacks the marks <!-- drills --> and <!-- end -->")
    path.write_text(before + begin + merged(old, markdown(report.columns, report.rows)) + end + after, "utf-8")


def merged(old: str, new: str) -> str:
    """The new table with the old rows of drills that it lacks, in the order of the drills."""
    head, rows = new.splitlines()[:2], {}
    for line in (*old.splitlines()[2:], *new.splitlines()[2:]):
        rows[line.split("|")[1].strip()] = line
    return "\n".join([*head, *(rows[drill.name] for drill in DRILLS if drill.name in rows)]) + "\n"


def _judge(report: Report, drill: Drill, lacks: str | None, kills: int) -> None:
    print(f"drill {drill.name}: {drill.what}", flush=True)
    fault = f"{lacks} is missing"
    if lacks is None:
        try:
            _add(report, perform(drill, FOLDER / drill.name, kills=kills))
        except StackFailed as failure:
            fault = str(failure)
        else:
            return
    print(f"drill {drill.name}: {fault}", file=sys.stderr)
    report.bars.append(Bar(f"{drill.name}: ran", 0, 1, "at_least"))


def _add(report: Report, outcome: Outcome) -> None:
    found = outcome.found
    report.rows.append(
        (
            outcome.drill.name,
            found.offered,
            found.lost,
            found.duplicated,
            found.total("out_of_order"),
            _shown(None if outcome.missing_on_sparkplug is None else len(outcome.missing_on_sparkplug)),
            outcome.gap_seconds,
            _shown(outcome.blind_seconds),
            _shown(outcome.first_data_seconds),
            round(outcome.steady_milliseconds),
            _shown(outcome.draining_milliseconds),
        )
    )
    promises = bars(outcome)
    report.bars += promises
    broken = [bar.name for bar in promises if not bar.ok]
    print(
        f"  {found.offered:,} offered, {found.lost} lost, {found.duplicated} duplicated; broken: {broken or 'nothing'}"
    )
    for example in (found.examples + (outcome.missing_on_sparkplug or []))[:5]:
        print(f"  example: {example}")
    for gap in found.gaps:
        print(f"  gap of {gap.source}: {gap.seconds:.1f} s, {gap.reason}")


def _shown(figure: float | None) -> object:
    return "-" if figure is None else figure

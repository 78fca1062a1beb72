"""edged beside other gateways: the same counters, the same broker, the same thing breaks, one judge.

The gateways are installed on demand below run/peers (PyPI, npm), never with edged. Lost is what was offered while the
source could be read and never arrived; blind is what was offered while nobody read it, until the first value after.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from bench.contest import aside
from bench.contestant import Contestant, PeerMissing
from bench.peer_course import DRILLS, Outcome, PeerDrill, perform
from bench.peer_edged import Edged
from bench.peer_floor import Floor
from bench.peer_nodered import NodeRed
from bench.peer_thingsboard import ThingsBoardGateway
from bench.processes import PROJECT, StackFailed, mosquitto
from bench.report import Bar, Report, table

FOLDER = PROJECT / "run" / "peers"
CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    "floor": Floor,
    "edged": Edged,
    "node-red": NodeRed,
    "thingsboard": ThingsBoardGateway,
}
FIRST_DATA_LIMIT_SECONDS = 5.0
NODE_RED_RATIO = 1.0
THINGSBOARD_RATIO = 0.4
STEADY_COLUMNS = ("receiver", "offered", "lost", "duplicated", "p50 ms", "p99 ms", "% of a core", "us/value", "RSS MB")
BROKEN_COLUMNS = ("receiver", "offered", "held", "lost", "blind", "duplicated", "first data s")
Outcomes = dict[str, dict[str, Outcome]]
"""By drill and contestant."""


def rows(outcomes: dict[str, Outcome]) -> list[tuple[object, ...]]:
    """The table of one drill."""
    made: list[tuple[object, ...]] = []
    for outcome in outcomes.values():
        for name, one in outcome.judged.items():
            if one.first_data_seconds is None:
                cost = outcome.cost
                costs = (cost.core_percent, cost.microseconds_per_value, cost.resident_bytes / 1e6) if cost else ()
                times = (one.p50_milliseconds, one.p99_milliseconds)
                made.append((name, one.offered, one.lost, one.duplicated, *times, *costs))
            else:
                first = "never" if one.first_data_seconds == float("inf") else one.first_data_seconds
                made.append((name, one.offered, one.held, one.lost, one.blind, one.duplicated, first))
    return made


def bars(outcomes: Outcomes) -> list[Bar]:
    """What edged promises: at each receiver nothing lost, in the hub nothing twice, back soon, cheaper than others."""
    made: list[Bar] = []
    for drill, by_name in outcomes.items():
        if "edged" not in by_name:
            continue
        for name, one in by_name["edged"].judged.items():
            made.append(Bar(f"{drill}: {name}: lost", one.lost, 0))
            made.append(Bar(f"{drill}: {name}: duplicated", one.duplicated, 0))
            if one.first_data_seconds is not None:
                made.append(Bar(f"{drill}: {name}: first data, s", one.first_data_seconds, FIRST_DATA_LIMIT_SECONDS))
    costs = {name: one.cost.microseconds_per_value for name, one in outcomes.get("steady", {}).items() if one.cost}
    for name, limit in (("node-red", NODE_RED_RATIO), ("thingsboard", THINGSBOARD_RATIO)):
        if "edged" in costs and name in costs:
            made.append(Bar(f"CPU per value, edged / {name}", costs["edged"] / costs[name], limit))
    return made


def figures(outcomes: Outcomes) -> dict[str, object]:
    """Everything that the tables hold, by drill and receiver; never is null."""
    made: dict[str, object] = {}
    for drill, by_name in outcomes.items():
        for outcome in by_name.values():
            for name, one in outcome.judged.items():
                found: dict[str, float | None] = {
                    "offered": one.offered,
                    "lost": one.lost,
                    "blind": one.blind,
                    "duplicated": one.duplicated,
                    "p50_milliseconds": one.p50_milliseconds,
                    "p99_milliseconds": one.p99_milliseconds,
                }
                if one.first_data_seconds is not None:
                    never = one.first_data_seconds == float("inf")
                    found["first_data_seconds"] = None if never else one.first_data_seconds
                if outcome.cost is not None:
                    found["us_per_value"] = outcome.cost.microseconds_per_value
                    found["core_percent"] = outcome.cost.core_percent
                    found["resident_megabytes"] = outcome.cost.resident_bytes / 1e6
                made[f"{drill}: {name}"] = found
    return made


def prepare(names: Sequence[str], report: Report) -> list[str]:
    """Installs what is asked for; the names that can run. What another lacks is told, and is a missed bar."""
    ready: list[str] = []
    for name in names:
        try:
            CONTESTANTS[name]().prepare()
        except PeerMissing as missing:
            print(f"peers: {missing}", file=sys.stderr)
            report.bars.append(Bar(f"{name}: installed", 0, 1, "at_least"))
        else:
            ready.append(name)
    return ready


def run(names: Sequence[str], drills: Sequence[PeerDrill], report: Report) -> Outcomes:
    """Every drill for every contestant; one that fails is named and is a missed bar."""
    outcomes: Outcomes = {}
    with aside():
        for drill in drills:
            for name in names:
                print(f"peers: {drill.name}: {name}", flush=True)
                try:
                    outcome = perform(CONTESTANTS[name](), drill, FOLDER / f"{drill.name}-{name}")
                except StackFailed as failure:
                    print(f"peers: {drill.name}: {name}: {failure}", file=sys.stderr)
                    report.bars.append(Bar(f"{drill.name}: {name}: ran", 0, 1, "at_least"))
                else:
                    outcomes.setdefault(drill.name, {})[name] = outcome
    return outcomes


def main(arguments: Sequence[str]) -> int:
    """Runs what is asked for; exit status 1 when edged breaks a promise or a gateway could not be run."""
    text = "\n".join(f"  {drill.name:15} {drill.what}" for drill in DRILLS)
    parser = argparse.ArgumentParser(
        prog="python -m bench peers",
        description=__doc__,
        epilog=f"drills:\n{text}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS), metavar="NAME")
    names = [drill.name for drill in DRILLS]
    parser.add_argument("--drill", nargs="+", choices=names, default=names, metavar="NAME")
    options = parser.parse_args(arguments)
    if mosquitto() is None:
        print("peers: mosquitto is not installed (apt-get install mosquitto)", file=sys.stderr)
        return 2
    report = Report("peers", ("drill", "gateways"))
    drills = [drill for drill in DRILLS if drill.name in options.drill]
    outcomes = run(prepare(options.only, report), drills, report)
    for drill in drills:
        if drill.name in outcomes:
            print(f"\n{drill.name}: {drill.what}")
            columns = STEADY_COLUMNS if drill.name == "steady" else BROKEN_COLUMNS
            print(table(columns, rows(outcomes[drill.name])))
    print()
    report.rows = [(drill, ", ".join(by_name)) for drill, by_name in outcomes.items()]
    report.figures = figures(outcomes)
    report.bars += bars(outcomes)
    return report.show()

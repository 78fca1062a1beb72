"""What each part of the daemon costs: CPU with everything on, without each part, without all; and the floor's.

At few values it is the seconds that cost and not the values: a control cycle reads, records, writes and reads back, the
model looks at its window, hub and broker get their messages. The floor script does none of that but the messages.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from bench.contest import Bench, Measured, aside
from bench.line import LineStack
from bench.loads import PARTS, Load
from bench.processes import PROJECT
from bench.report import Report

FOLDER = PROJECT / "run" / "parts"
LEFT_OUT: tuple[tuple[str, ...], ...] = ((), *((part,) for part in PARTS), PARTS)


def name_of(without: Sequence[str]) -> str:
    """As the table says it."""
    if not without:
        return "edged, everything on"
    return f"without {without[0]}" if len(without) == 1 else "source and outbox alone"


def measure(load: Load, seconds: float, turns: int) -> dict[str, list[Measured]]:
    """Every contestant once in each turn, forth and back, so that a drift of the machine takes part in none."""
    found: dict[str, list[Measured]] = {"floor": [], **{name_of(parts): [] for parts in LEFT_OUT}}
    with aside(), LineStack(FOLDER) as line:
        bench = Bench(line, load, seconds)
        bench.start()
        for turn in range(turns):
            print(f"parts: turn {turn + 1}/{turns}", flush=True)
            found["floor"].append(bench.measure_floor())
            for parts in LEFT_OUT if turn % 2 == 0 else reversed(LEFT_OUT):
                found[name_of(parts)].append(bench.measure_without(parts))
    return found


def main(arguments: Sequence[str]) -> int:
    """Tells; there is no bar."""
    parser = argparse.ArgumentParser(prog="python -m bench parts", description=__doc__)
    parser.add_argument("--signals", type=int, default=1_000, help="default: %(default)s")
    parser.add_argument("--period-seconds", type=float, default=1.0, help="how often each signal changes")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one measured window")
    parser.add_argument("--turns", type=int, default=2, help="of each contestant")
    options = parser.parse_args(arguments)
    found = measure(Load(options.signals, options.period_seconds), options.seconds, options.turns)
    percents = {name: statistics.median(one.core_percent for one in results) for name, results in found.items()}
    whole, floor = percents[name_of(())], percents["floor"]
    report = Report("parts", ("contestant", "% of a core", "less than the whole", "over the floor"))
    report.rows = [(name, percent, whole - percent, percent / floor) for name, percent in percents.items()]
    report.figures = {name: round(percent, 3) for name, percent in percents.items()}
    return report.show()

"""From the start of the process to the first value in the outbox, everything on, at three sizes."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

from bench.contest import Bench, aside
from bench.line import LineStack
from bench.loads import SIZES, Load
from bench.processes import PROJECT
from bench.report import Bar, Report

FOLDER = PROJECT / "run" / "startup"
LIMIT_SECONDS = 3.0


def measure(report: Report, load: Load, starts: int) -> None:
    """One size: the daemon is started so often, each time with an empty data directory."""
    took, cpu = [], []
    with aside(), LineStack(FOLDER) as line:
        bench = Bench(line, load, 0.0)
        bench.start()
        for _ in range(starts):
            began = time.monotonic()
            daemon = bench.start_daemon()
            took.append(time.monotonic() - began)
            cpu.append(daemon.cpu_seconds())
            daemon.stop()
    middle = statistics.median(took)
    report.rows.append((load.signals, round(load.values_per_second), middle, max(took), statistics.median(cpu)))
    report.figures[str(load)] = [round(one, 2) for one in took]
    report.bars.append(Bar(f"{load}: start to first value, s", middle, LIMIT_SECONDS))


def main(arguments: Sequence[str]) -> int:
    """Runs every size; exit status 1 when a start takes too long."""
    parser = argparse.ArgumentParser(prog="python -m bench startup", description=__doc__)
    parser.add_argument("--signals", type=int, nargs="+", help="default: 100, 1,000 and 10,000")
    parser.add_argument("--starts", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args(arguments)
    report = Report("startup", ("signals", "values/s", "start to first value s", "longest s", "CPU s"))
    for load in [Load(count, 1.0) for count in options.signals] if options.signals else SIZES:
        print(f"startup: {load}", flush=True)
        measure(report, load, options.starts)
    return report.show()

"""Memory of the daemon at three sizes, and its slope over the values: Theil-Sen over windows after a warm-up."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from itertools import combinations

from bench.contest import Bench, aside
from bench.line import LineStack
from bench.loads import SIZES, Load
from bench.processes import PROJECT
from bench.report import Bar, Report

FOLDER = PROJECT / "run" / "memory"
VALUES_PER_BAR = 600_000
SLOPE_LIMIT_MEGABYTES = 1.0
SIZE_LIMIT_MEGABYTES = 150.0
SAMPLES_PER_WINDOW = 6
JUDGED_VALUES = 300_000
"""A slope over fewer values is told and not judged: noise of 0.1 MB would count as a leak."""


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil-Sen: the median of the slopes between all pairs."""
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] != a[0])


def measure(report: Report, load: Load, warm_up_seconds: float, windows: int, window_seconds: float) -> None:
    """One point per window: values so far, and the median USS of the window in MB."""
    points: list[tuple[float, float]] = []
    with aside(), LineStack(FOLDER) as line:
        bench = Bench(line, load, window_seconds)
        bench.start()
        daemon = bench.start_daemon()
        time.sleep(warm_up_seconds)
        for _ in range(windows):
            held = []
            for _ in range(SAMPLES_PER_WINDOW):
                time.sleep(window_seconds / SAMPLES_PER_WINDOW)
                held.append(daemon.unshared_bytes() / 1e6)
            points.append((float(bench.samples()), statistics.median(held)))
    values, size = points[-1][0] - points[0][0], points[-1][1]
    per_bar = slope(points) * VALUES_PER_BAR
    report.rows.append((load.signals, round(load.values_per_second), size, round(values), per_bar))
    report.figures[str(load)] = {"uss_megabytes": round(size, 1), "megabytes_per_600000_values": round(per_bar, 3)}
    report.bars.append(Bar(f"{load}: USS MB", size, SIZE_LIMIT_MEGABYTES))
    if values >= JUDGED_VALUES:
        report.bars.append(Bar(f"{load}: MB per {VALUES_PER_BAR:,} values", per_bar, SLOPE_LIMIT_MEGABYTES))


def main(arguments: Sequence[str]) -> int:
    """Runs every size; exit status 1 when memory grows or is too large."""
    parser = argparse.ArgumentParser(prog="python -m bench memory", description=__doc__)
    parser.add_argument("--signals", type=int, nargs="+", help="default: 100, 1,000 and 10,000")
    parser.add_argument("--period-seconds", type=float, default=1.0, help="how often each signal changes")
    parser.add_argument("--warm-up-seconds", type=float, default=30.0)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--window-seconds", type=float, default=10.0)
    options = parser.parse_args(arguments)
    columns = ("signals", "values/s", "USS MB", "values in the windows", "MB per 600,000 values")
    report = Report("memory", columns)
    loads = [Load(count, options.period_seconds) for count in options.signals] if options.signals else SIZES
    for load in loads:
        print(f"memory: {load}", flush=True)
        measure(report, load, options.warm_up_seconds, options.windows, options.window_seconds)
    return report.show()

"""Memory slope: USS of the daemon over time under load, by Theil-Sen over windows after a warm-up."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from itertools import combinations

from bench.line import LineStack
from bench.processes import PROJECT
from bench.report import Bar, Report
from bench.throughput import Bench, Load, aside

FOLDER = PROJECT / "run" / "memory"
VALUES_PER_BAR = 600_000
LIMIT_MEGABYTES = 1.0
SAMPLES_PER_WINDOW = 12


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil-Sen: the median of the slopes between all pairs."""
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] != a[0])


def run(load: Load, warm_up_seconds: float, windows: int, window_seconds: float) -> Report:
    """One point per window: values so far, and the median USS of the window in MB."""
    report = Report("memory", ("window", "values", "USS MB"))
    points: list[tuple[float, float]] = []
    with aside(), LineStack(FOLDER) as line:
        bench = Bench(line, load, window_seconds)
        bench.start()
        daemon = bench.start_daemon()
        print(f"memory: warming up for {warm_up_seconds:.0f} s", flush=True)
        time.sleep(warm_up_seconds)
        for window in range(windows):
            held = []
            for _ in range(SAMPLES_PER_WINDOW):
                time.sleep(window_seconds / SAMPLES_PER_WINDOW)
                held.append(daemon.unshared_bytes() / 1e6)
            values = bench.samples()
            points.append((float(values), statistics.median(held)))
            report.rows.append((window + 1, values, points[-1][1]))
            print(f"memory: window {window + 1}/{windows}: {points[-1][1]:.1f} MB", flush=True)
    per_bar = slope(points) * VALUES_PER_BAR
    report.figures = {"megabytes_per_600000_values": per_bar, "uss_megabytes": points[-1][1]}
    report.bars = [Bar("MB per 600,000 values", per_bar, LIMIT_MEGABYTES)]
    return report


def main(arguments: Sequence[str]) -> int:
    """Runs the measurement; exit status 1 when memory grows."""
    parser = argparse.ArgumentParser(prog="python -m bench memory", description=__doc__)
    parser.add_argument("--signals", type=int, default=300)
    parser.add_argument("--period-seconds", type=float, default=0.1)
    parser.add_argument("--warm-up-seconds", type=float, default=300.0)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--window-seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)
    load = Load(options.signals, options.period_seconds)
    return run(load, options.warm_up_seconds, options.windows, options.window_seconds).show()

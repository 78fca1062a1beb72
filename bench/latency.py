"""Where a value's time goes: from the source's clock to the hub's commit, and within the daemon, at three sizes.

Source to hub is told by the hub's rows: p50 and p99, hub and source on one machine and so on one clock. It includes the
publishing interval (200 ms), the wait for the commit (200 ms) and the hub's turn (1 s). The pipeline time is the
daemon's own histogram: from a value's receipt until the outbox has its list; the wait for the commit stands apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence

from bench.checker import read_latencies
from bench.contest import WARM_UP_SECONDS, Bench, aside
from bench.line import LineStack
from bench.loads import SIZES, Load
from bench.processes import PROJECT, fetch
from bench.report import Bar, Report, percentile

FOLDER = PROJECT / "run" / "latency"
PIPELINE, WAIT = "edged_pipeline_seconds", "edged_outbox_wait_seconds"
PIPELINE_LIMIT_MILLISECONDS = 5.0
JUDGED_VALUES_PER_SECOND = 1_000
"""The promise is for this load (IGN10); the others show the growth."""
INFINITE = "+Inf"

Buckets = Mapping[float, float]
"""Observations at or below each bound, in seconds."""


def read_buckets(page: str, name: str) -> Buckets:
    """A histogram without labels from a page in the Prometheus text format."""
    head = f'{name}_bucket{{le="'
    found = {}
    for line in page.splitlines():
        if line.startswith(head):
            bound, _, count = line.removeprefix(head).partition('"} ')
            found[float("inf") if bound == INFINITE else float(bound)] = float(count)
    return found


def since(later: Buckets, earlier: Buckets) -> Buckets:
    """What was observed in between."""
    return {bound: count - earlier.get(bound, 0.0) for bound, count in later.items()}


def bucket_percentile(buckets: Buckets, share: float) -> float:
    """The bound of the bucket in which that share is reached: the value is no larger; NaN for none."""
    total = max(buckets.values(), default=0.0)
    reached = [bound for bound, count in sorted(buckets.items()) if count >= share * total]
    return reached[0] if reached and total else float("nan")


def measure(report: Report, load: Load, seconds: float) -> None:
    """One size."""
    with aside(), LineStack(FOLDER) as line:
        bench = Bench(line, load, seconds)
        bench.start()
        daemon = bench.start_daemon()
        time.sleep(WARM_UP_SECONDS)
        before = _page(line)
        time.sleep(seconds)
        after = _page(line)
        line.wait_until_drained()
        daemon.stop()
        latencies = read_latencies(line.hub_data / "hub.db", line.node, WARM_UP_SECONDS)
    pipeline = since(read_buckets(after, PIPELINE), read_buckets(before, PIPELINE))
    wait = since(read_buckets(after, WAIT), read_buckets(before, WAIT))
    p95 = bucket_percentile(pipeline, 0.95) * 1000.0
    hub = percentile(latencies, 0.5), percentile(latencies, 0.99)
    report.rows.append((load.signals, round(load.values_per_second), *hub, p95, bucket_percentile(wait, 0.95) * 1000.0))
    report.figures[str(load)] = {"source_to_hub_p99_ms": round(hub[1]), "pipeline_p95_ms": p95}
    if round(load.values_per_second) == JUDGED_VALUES_PER_SECOND:
        report.bars.append(Bar(f"{load}: p95 pipeline time, ms", p95, PIPELINE_LIMIT_MILLISECONDS))


def _page(line: LineStack) -> str:
    return (fetch(f"http://127.0.0.1:{line.http_port}/metrics") or b"").decode()


def main(arguments: Sequence[str]) -> int:
    """Runs every size; exit status 1 when a value takes too long."""
    parser = argparse.ArgumentParser(prog="python -m bench latency", description=__doc__)
    parser.add_argument("--signals", type=int, nargs="+", help="default: 100, 1,000 and 10,000")
    parser.add_argument("--period-seconds", type=float, default=1.0, help="how often each signal changes")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of the measured window")
    options = parser.parse_args(arguments)
    loads = [Load(count, options.period_seconds) for count in options.signals] if options.signals else SIZES
    columns = ("signals", "values/s", "to hub p50 ms", "to hub p99 ms", "pipeline p95 ms <=", "commit wait p95 ms <=")
    report = Report("latency", columns)
    for load in loads:
        print(f"latency: {load}", flush=True)
        measure(report, load, options.seconds)
    return report.show()

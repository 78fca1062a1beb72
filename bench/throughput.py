"""CPU per value from OPC UA through the outbox to hub and Sparkplug, against the floor script in the same run.

Everything but the MPC is on: alarms, a model, a PID loop that writes, the hub and Sparkplug. Floor and daemon take
turns (A B B A ...). Every value is a counter, so that what the hub lacks shows.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bench.contest import Bench, Measured, aside
from bench.line import LineStack
from bench.loads import SIZES, SOURCE, Load
from bench.processes import PROJECT
from bench.report import Bar, Report

FOLDER = PROJECT / "run" / "throughput"
RATIO_LIMIT = 1.25
RATIO_FROM_VALUES_PER_SECOND = 1_000
"""Below it the second that passes costs more than the values: the loop, the model, the pages."""
CORE_PERCENT_LIMIT = 40.0
MEGABYTES_LIMIT = 150.0
RECEIVED_SHARE = 0.95
"""Of the values offered: counts are read between two notifications, so that a window may miss one at either end."""
LOST_AND_DUPLICATED = """
SELECT sum(last - first + 1 - kinds), sum(rows - kinds) FROM (
    SELECT max(r.value_number) AS last, min(r.value_number) AS first,
        count(DISTINCT r.value_number) AS kinds, count(r.value_number) AS rows
    FROM sample_rows r JOIN signals n USING (signal_id) JOIN batches b USING (batch_id) JOIN streams t USING (stream_id)
    WHERE t.node = ?1 AND n.signal LIKE ?1 || ?2 GROUP BY t.stream_id, r.signal_id
)
"""


def read_lost_and_duplicated(database: Path, node: str) -> tuple[int, int]:
    """Counter values that the hub lacks between the first and the last of each daemon, and those it holds twice."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        lost, duplicated = connection.execute(LOST_AND_DUPLICATED, (node, f"/{SOURCE}/%")).fetchone()
        return int(lost or 0), int(duplicated or 0)


def measure(report: Report, load: Load, seconds: float, turns: int) -> None:
    """Both in turns at one size."""
    floors: list[Measured] = []
    daemons: list[Measured] = []
    with aside(), LineStack(FOLDER) as line:
        bench = Bench(line, load, seconds)
        bench.start()
        for turn in range(turns):
            order = [(floors, bench.measure_floor), (daemons, bench.measure_daemon)]
            for results, contestant in order if turn % 2 == 0 else reversed(order):
                results.append(contestant())
        lost, duplicated = read_lost_and_duplicated(line.hub_data / "hub.db", line.node)
    for name, results in (("floor", floors), ("edged", daemons)):
        report.rows.append((load.signals, round(load.values_per_second), name, *_medians(results)))
    ratios = [d.microseconds_per_value / f.microseconds_per_value for f, d in zip(floors, daemons, strict=True)]
    ratio = statistics.median(ratios)
    report.rows[-1] = (*report.rows[-1], ratio)
    report.rows[-2] = (*report.rows[-2], 1.0)
    share = min(one.values_per_second for one in (*floors, *daemons)) / load.values_per_second
    report.figures[str(load)] = {"ratios": [round(one, 3) for one in ratios], "share": round(share, 3)}
    report.bars += [
        Bar(f"{load}: share of the offered values that each received", share, RECEIVED_SHARE, "at_least"),
        Bar(f"{load}: values that the hub lacks", lost, 0),
        Bar(f"{load}: values that the hub holds twice", duplicated, 0),
        Bar(f"{load}: edged, % of a core", statistics.median(one.core_percent for one in daemons), CORE_PERCENT_LIMIT),
        Bar(f"{load}: edged, USS MB", max(one.unshared_bytes for one in daemons) / 1e6, MEGABYTES_LIMIT),
    ]
    if load.values_per_second >= RATIO_FROM_VALUES_PER_SECOND:
        report.bars.append(Bar(f"{load}: CPU per value, edged / floor", ratio, RATIO_LIMIT))


def _medians(results: Sequence[Measured]) -> tuple[float, float, float, float]:
    return (
        statistics.median(one.values_per_second for one in results),
        statistics.median(one.microseconds_per_value for one in results),
        statistics.median(one.core_percent for one in results),
        statistics.median(one.unshared_bytes for one in results) / 1e6,
    )


def main(arguments: Sequence[str]) -> int:
    """Runs every size; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench throughput", description=__doc__)
    parser.add_argument("--signals", type=int, nargs="+", help="default: 100, 1,000 and 10,000")
    parser.add_argument("--period-seconds", type=float, default=1.0, help="how often each signal changes")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one measured window")
    parser.add_argument("--turns", type=int, default=2, help="of each contestant")
    options = parser.parse_args(arguments)
    loads = [Load(count, options.period_seconds) for count in options.signals] if options.signals else SIZES
    columns = ("signals", "offered/s", "contestant", "values/s", "CPU us/value", "% of a core", "USS MB", "ratio")
    report = Report("throughput", columns)
    for load in loads:
        print(f"throughput: {load}", flush=True)
        measure(report, load, options.seconds, options.turns)
    report.figures["load"] = round(os.getloadavg()[0], 1)
    return report.show()

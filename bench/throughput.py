"""CPU per value from OPC UA through the outbox to hub and Sparkplug, against the floor script in the same run.

The measured process has core 0 to itself; source, broker, hub and this program share core 1. CPU is user + system of
the process tree from /proc over the measured window, divided by the values received in it. Floor and daemon take turns
(A B B A ...). Every value is a counter, so that what the hub lacks shows.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.checker import read_latencies
from bench.line import LineStack
from bench.processes import PROJECT, Process, free_port, wait_until
from bench.report import Bar, Report, percentile

FOLDER = PROJECT / "run" / "throughput"
MEASURED_CORE = 0
OTHER_CORE = 1
WARM_UP_SECONDS = 6.0
RATIO_LIMIT = 1.5
RECEIVED_SHARE = 0.97
"""Of the values offered: counts are read between two notifications, so that a window may miss one at either end."""
MICROSECONDS = 1e6
LOST_AND_DUPLICATED = """
SELECT sum(last - first + 1 - kinds), sum(rows - kinds) FROM (
    SELECT max(r.value_number) AS last, min(r.value_number) AS first,
        count(DISTINCT r.value_number) AS kinds, count(*) AS rows
    FROM sample_rows r JOIN batches b USING (batch_id) JOIN streams t USING (stream_id)
    WHERE t.node = ? GROUP BY t.stream_id, r.signal_id
)
"""


@dataclass(frozen=True, slots=True)
class Load:
    """How many signals change how often."""

    signals: int
    period_seconds: float

    @property
    def values_per_second(self) -> float:
        return self.signals / self.period_seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """One window of one contestant."""

    values: int
    cpu_seconds: float
    seconds: float
    unshared_bytes: int

    @property
    def microseconds_per_value(self) -> float:
        return self.cpu_seconds / self.values * MICROSECONDS if self.values else float("nan")

    @property
    def values_per_second(self) -> float:
        return self.values / self.seconds


class Bench:
    """One source, one broker, one hub; the daemon and the floor script take turns."""

    def __init__(self, line: LineStack, load: Load, seconds: float) -> None:
        self._line = line
        self._load = load
        self._seconds = seconds
        self._port = free_port()
        self._turn = 0

    def start(self) -> None:
        """Starts what both contestants use."""
        self._line.start_broker(core=OTHER_CORE)
        self._line.start_hub(core=OTHER_CORE)
        ready = self._line.folder / "source.json"
        arguments = [sys.executable, "-m", "bench.counter_server", "--port", str(self._port)]
        arguments += ["--signals", str(self._load.signals), "--period-seconds", str(self._load.period_seconds)]
        source = self._line.start("source", [*arguments, "--ready-file", str(ready)], core=OTHER_CORE)
        wait_until("the source", ready.exists, source)

    def start_daemon(self) -> Process:
        """The daemon with an outbox of its own, delivering."""
        self._turn += 1
        config = self._write_config(self._line.folder / f"edge-{self._turn}")
        daemon = self._line.start_edge(config, core=MEASURED_CORE)
        self._line.wait_for_data()
        return daemon

    def measure_floor(self) -> Measured:
        """One turn of the floor script."""
        self._turn += 1
        database = self._line.folder / f"floor-{self._turn}.db"
        arguments = [sys.executable, "-m", "bench.floor", "--endpoint", f"opc.tcp://127.0.0.1:{self._port}/"]
        arguments += ["--broker-port", str(self._line.mqtt_port), "--database", str(database)]
        floor = self._line.start("floor", arguments, core=MEASURED_CORE)
        wait_until("the floor's first rows", lambda: _rows(database) > 0, floor)
        measured = self._window(floor, lambda: _rows(database))
        floor.stop()
        return measured

    def measure_daemon(self) -> Measured:
        """One turn of edged with outbox, hub and Sparkplug; both have everything when it ends."""
        daemon = self.start_daemon()
        measured = self._window(daemon, self.samples)
        self._line.wait_until_drained()
        published = self._sparkplug_values()
        if published < measured.values:
            raise SystemExit(f"Sparkplug got {published} values only: this turn did not measure the whole way")
        daemon.stop()
        return measured

    def samples(self) -> int:
        """Values that the daemon has received."""
        status = self._line.status()
        return int(status["samples"]) if status else 0

    def _sparkplug_values(self) -> int:
        status = self._line.status()
        return int(status["sparkplug"]["confirmed"]) if status else 0

    def _window(self, process: Process, count: Callable[[], int]) -> Measured:
        time.sleep(WARM_UP_SECONDS)
        values, cpu, began = count(), process.cpu_seconds(), time.monotonic()
        time.sleep(self._seconds)
        values, cpu, seconds = count() - values, process.cpu_seconds() - cpu, time.monotonic() - began
        return Measured(values, cpu, seconds, process.unshared_bytes())

    def _write_config(self, data_directory: Path) -> Path:
        """A line with one OPC UA source of counters, the hub and Sparkplug."""
        line, load = self._line, self._load
        options = {"endpoint": f"opc.tcp://127.0.0.1:{self._port}/", "publishing_milliseconds": 200}
        options["sampling_milliseconds"] = max(10, round(load.period_seconds * 500))
        names = [f"c{number}" for number in range(load.signals)]
        signals = [{"name": f"counters/{name}", "address": {"node": f"nsu=urn:edged:bench;s={name}"}} for name in names]
        config = {
            "site": "bench",
            "line": line.node,
            "data_directory": str(data_directory),
            "http": {"port": line.http_port},
            "hub": {"url": line.hub_url, "secret": {"file": str(line.secret)}},
            "sparkplug": {"brokers": [{"port": line.mqtt_port}]},
            "sources": {"counters": {"kind": "opcua", "options": options, "signals": signals}},
        }
        path = line.folder / "bench.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")
        return path


@contextmanager
def aside() -> Iterator[None]:
    """Keeps this program, which polls while it waits, off the measured core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores & {OTHER_CORE} or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _rows(database: Path) -> int:
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            count: int = connection.execute("SELECT max(rowid) FROM samples").fetchone()[0] or 0
            return count
    except sqlite3.OperationalError:
        return 0


def read_lost_and_duplicated(database: Path, node: str) -> tuple[int, int]:
    """Counter values that the hub lacks between the first and the last of each daemon, and those it holds twice."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        lost, duplicated = connection.execute(LOST_AND_DUPLICATED, (node,)).fetchone()
        return int(lost or 0), int(duplicated or 0)


def run(load: Load, seconds: float, turns: int) -> Report:
    """Measures both in turns and compares their medians."""
    floors: list[Measured] = []
    daemons: list[Measured] = []
    with aside(), LineStack(FOLDER) as line:
        bench = Bench(line, load, seconds)
        bench.start()
        for turn in range(turns):
            order = [(floors, bench.measure_floor), (daemons, bench.measure_daemon)]
            for results, measure in order if turn % 2 == 0 else reversed(order):
                results.append(measure())
        database = line.hub_data / "hub.db"
        latencies = read_latencies(database, line.node, WARM_UP_SECONDS)
        lost, duplicated = read_lost_and_duplicated(database, line.node)
    report = Report("throughput", ("contestant", "values/s", "CPU us/value", "% of a core", "USS MB"))
    for name, results in (("floor", floors), ("edged", daemons)):
        report.rows += [_row(name, one) for one in results]
    ratios = [d.microseconds_per_value / f.microseconds_per_value for f, d in zip(floors, daemons, strict=True)]
    report.figures = {
        "values_per_second": load.values_per_second,
        "signals": load.signals,
        "floor_us_per_value": statistics.median(one.microseconds_per_value for one in floors),
        "edged_us_per_value": statistics.median(one.microseconds_per_value for one in daemons),
        "ratios": ratios,
        "latency_p50_ms": percentile(latencies, 0.5),
        "latency_p99_ms": percentile(latencies, 0.99),
        "edged_uss_megabytes": statistics.median(one.unshared_bytes for one in daemons) / 1e6,
    }
    share = min(one.values_per_second for one in (*floors, *daemons)) / load.values_per_second
    report.bars = [
        Bar("CPU per value, edged / floor", statistics.median(ratios), RATIO_LIMIT),
        Bar("share of the offered values that each received", share, RECEIVED_SHARE, "at_least"),
        Bar("values that the hub lacks", lost, 0),
        Bar("values that the hub holds twice", duplicated, 0),
    ]
    return report


def _row(name: str, one: Measured) -> tuple[object, ...]:
    share = one.cpu_seconds / one.seconds * 100.0
    return (name, one.values_per_second, one.microseconds_per_value, share, one.unshared_bytes / 1e6)


def main(arguments: Sequence[str]) -> int:
    """Runs one load; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench throughput", description=__doc__)
    parser.add_argument("--signals", type=int, default=300)
    parser.add_argument("--period-seconds", type=float, default=0.1, help="how often each signal changes")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of one measured window")
    parser.add_argument("--turns", type=int, default=4, help="of each contestant")
    options = parser.parse_args(arguments)
    return run(Load(options.signals, options.period_seconds), options.seconds, options.turns).show()

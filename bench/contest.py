"""The daemon and the floor script in turns before the same source, broker and hub.

The measured process has core 0 to itself; source, broker, hub and this program share core 1. CPU is user + system of
the process tree from /proc over the measured window, divided by the values received in it.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.line import LineStack
from bench.loads import Load, write_config
from bench.processes import Process, free_port, wait_until

MEASURED_CORE = 0
OTHER_CORE = 1
WARM_UP_SECONDS = 5.0
SOURCE_SECONDS = 180.0
"""Ten thousand nodes take asyncua four seconds of a core of its own."""
MICROSECONDS = 1e6


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

    @property
    def core_percent(self) -> float:
        return self.cpu_seconds / self.seconds * 100.0


class Bench:
    """One source, one broker, one hub; the daemon and the floor script take turns."""

    def __init__(self, line: LineStack, load: Load, seconds: float) -> None:
        self._line = line
        self._load = load
        self._seconds = seconds
        self._port = free_port()
        self._turn = 0

    def start(self, *arguments: str) -> Process:
        """Starts what both contestants use; `arguments` go to the source, which is returned."""
        self._line.start_broker(core=OTHER_CORE)
        self._line.start_hub(core=OTHER_CORE)
        ready = self._line.folder / "source.json"
        command = [sys.executable, "-m", "bench.counter_server", "--port", str(self._port)]
        command += ["--signals", str(self._load.signals), "--period-seconds", str(self._load.period_seconds)]
        command += ["--groups", str(self._load.groups), "--ready-file", str(ready), *arguments]
        source = self._line.start("source", command, core=OTHER_CORE)
        wait_until("the source", ready.exists, source, SOURCE_SECONDS)
        return source

    def start_daemon(self, without: Collection[str] = ()) -> Process:
        """The daemon with an outbox of its own, delivering, but for some parts."""
        self._turn += 1
        place = self._line.folder / f"edge-{self._turn}"
        config = write_config(self._line, self._load, self._port, place, without=without)
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
        """One turn of edged with everything on; hub and Sparkplug have all of it when it ends."""
        daemon = self.start_daemon()
        measured = self._window(daemon, self.samples)
        self._line.wait_until_drained()
        published = self._sparkplug_values()
        if published < measured.values:
            raise SystemExit(f"Sparkplug got {published} values only: this turn did not measure the whole way")
        daemon.stop()
        return measured

    def measure_without(self, parts: Collection[str]) -> Measured:
        """One turn of edged with some parts left out."""
        daemon = self.start_daemon(parts)
        measured = self._window(daemon, self.samples)
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

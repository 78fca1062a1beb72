"""A million counters through the whole path at full speed, while daemon, hub, broker and source are broken at random.

The faults come from a seed: the same seed breaks the same things in the same order. The checker compares the source's
journal with the hub's rows afterwards: nothing lost outside a Gap that was told, nothing twice. In the second half the
daemon lives on, so that its memory can be followed; the outbox must shrink again once everything is delivered.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.checker import Findings, check
from bench.contest import MEASURED_CORE, OTHER_CORE, Bench, aside
from bench.line import LineStack
from bench.loads import SOURCE, Load
from bench.memory import VALUES_PER_BAR, slope
from bench.processes import PROJECT
from bench.report import Bar, Report

FOLDER = PROJECT / "run" / "soak"
VALUES = 1_000_000
SIGNALS = 500
VALUES_PER_SECOND = 20_000
STEP_SECONDS = 0.5
WARM_UP_SECONDS = 10.0
DAEMON_KILLED = "daemon killed"
PAUSE_SECONDS = (2.0, 6.0)
OUTAGE_SECONDS = (0.5, 3.0)
DRAIN_SECONDS = 120.0
GAP_EXCESS_SECONDS = 5.0
LEFT_MEGABYTES = 20.0
"""Of the outbox after everything was delivered: its log, and pages that are given back commit by commit."""


@dataclass
class Account:
    """What happened: faults by name, the longest of those that hide values, and the daemon's memory by life."""

    faults: dict[str, int] = field(default_factory=dict)
    longest_seconds: float = 0.0
    lives: list[list[tuple[float, float]]] = field(default_factory=lambda: [[]])
    outbox_bytes: int = 0

    def note_memory(self, seconds_alive: float, values: int, unshared_bytes: int) -> None:
        """One point, once the daemon is warm."""
        if seconds_alive >= WARM_UP_SECONDS and values:
            self.lives[-1].append((float(values), unshared_bytes / 1e6))

    def slope(self) -> float:
        """MB per value: the median over the daemon's lives that have points enough."""
        slopes = [slope(points) for points in self.lives if len(points) >= 5]
        return statistics.median(slopes) if slopes else float("nan")


class Soak:
    """One run."""

    def __init__(self, line: LineStack, load: Load, rng: random.Random) -> None:
        self._line = line
        self._bench = Bench(line, load, 0.0)
        self._rng = rng
        self._born = 0.0
        self.account = Account()
        self._faults: dict[str, Callable[[float], None]] = {
            DAEMON_KILLED: self._kill_daemon,
            "hub killed": self._kill_hub,
            "broker killed": self._kill_broker,
            "source stalled": self._stall_source,
        }

    def run(self, values: int) -> Findings:
        """Until so many values were offered; then everything heals, drains and is checked."""
        line = self._line
        line.journal.mkdir()
        journal = line.journal / f"{SOURCE}.jsonl"
        self._bench.start("--journal", str(journal), "--journal-prefix", f"{line.node}/{SOURCE}/")
        self._bench.start_daemon()
        self._born = time.monotonic()
        due = self._next_fault()
        while (offered := _turns(journal) * SIGNALS) < values:
            time.sleep(STEP_SECONDS)
            self._look()
            if time.monotonic() >= due:
                self._break(offered, may_kill=offered < values / 2)
                due = self._next_fault()
        line.wait_until_drained(DRAIN_SECONDS)
        line.stop_edge()
        return check(line.journal, line.hub_data / "hub.db", line.node)

    def _next_fault(self) -> float:
        return time.monotonic() + self._rng.uniform(*PAUSE_SECONDS)

    def _break(self, offered: int, *, may_kill: bool) -> None:
        name = self._rng.choice([name for name in sorted(self._faults) if may_kill or name != DAEMON_KILLED])
        seconds = self._rng.uniform(*OUTAGE_SECONDS)
        print(f"soak: {offered:,} values offered; {name}, {seconds:.1f} s", flush=True)
        self.account.faults[name] = self.account.faults.get(name, 0) + 1
        self._faults[name](seconds)

    def _kill_daemon(self, seconds: float) -> None:
        began = time.monotonic()
        self._line.processes["edged"].kill()
        time.sleep(seconds)
        self._line.start_edge(self._line.folder / "bench.yaml", core=MEASURED_CORE)
        self._line.wait_for_data()
        self._born = time.monotonic()
        self.account.lives.append([])
        self._note_absence(time.monotonic() - began)

    def _kill_hub(self, seconds: float) -> None:
        self._line.processes["hub"].kill()
        time.sleep(seconds)
        self._line.start_hub(core=OTHER_CORE)

    def _kill_broker(self, seconds: float) -> None:
        self._line.processes["broker"].kill()
        time.sleep(seconds)
        self._line.start_broker(core=OTHER_CORE)

    def _stall_source(self, seconds: float) -> None:
        source = self._line.processes["source"]
        source.signal(signal.SIGSTOP)
        time.sleep(seconds)
        source.signal(signal.SIGCONT)
        self._note_absence(seconds)

    def _note_absence(self, seconds: float) -> None:
        self.account.longest_seconds = max(self.account.longest_seconds, seconds)

    def _look(self) -> None:
        daemon = self._line.processes["edged"]
        values, alive = self._bench.samples(), time.monotonic() - self._born
        self.account.note_memory(alive, values, daemon.unshared_bytes())
        self.account.outbox_bytes = max(self.account.outbox_bytes, outbox_bytes(self._line))


def outbox_bytes(line: LineStack) -> int:
    """Of the outbox file and its log, and of those that were set aside."""
    return sum(path.stat().st_size for path in line.folder.glob("edge-*/outbox*") if path.is_file())


def _turns(journal: Path) -> int:
    """Lines written so far."""
    if not journal.exists():
        return 0
    with journal.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def run(values: int, values_per_second: int, seed: int) -> Report:
    """One soak and its report."""
    load = Load(SIGNALS, SIGNALS / values_per_second)
    with aside(), LineStack(FOLDER) as line:
        soak = Soak(line, load, random.Random(seed))
        found = soak.run(values)
        left = outbox_bytes(line) / 1e6
        hub = sum(path.stat().st_size for path in line.hub_data.glob("hub.db*"))
    account = soak.account
    counts = (found.offered, found.total("held"), found.lost, found.duplicated, found.total("out_of_order"))
    report = Report("soak", ("offered", "held", "lost", "duplicated", "out of order", "in gaps", "faults"))
    report.rows.append((*counts, found.total("covered_by_gaps"), sum(account.faults.values())))
    longest = max((gap.seconds for gap in found.gaps), default=0.0)
    leak = account.slope() * VALUES_PER_BAR
    report.figures = {
        "seed": seed,
        "faults": account.faults,
        "gaps": len(found.gaps),
        "longest_gap_seconds": longest,
        "megabytes_per_600000_values": round(leak, 2),
        "outbox_megabytes_most": round(account.outbox_bytes / 1e6, 1),
        "outbox_megabytes_left": round(left, 1),
        "hub_bytes_per_value": round(hub / max(1, found.total("held"))),
    }
    report.bars = [Bar(name, found.total(name), 0) for name in ("lost", "duplicated", "out_of_order", "invented")]
    report.bars += [
        Bar("values offered", found.offered, values * 0.9, "at_least"),
        Bar("gap beyond the longest disturbance, s", longest - account.longest_seconds, GAP_EXCESS_SECONDS),
        Bar("outbox after everything was delivered, MB", left, LEFT_MEGABYTES),
    ]
    for example in found.examples[:5]:
        print(f"  example: {example}")
    return report


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a value is lost or comes twice."""
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--values", type=int, default=VALUES, help="default: %(default)s")
    parser.add_argument("--values-per-second", type=int, default=VALUES_PER_SECOND, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default: %(default)s)")
    options = parser.parse_args(arguments)
    return run(options.values, options.values_per_second, options.seed).show()

"""The perf gate: CPU per value and p95 pipeline time, as ratios, against bench/baseline.json. Never absolute times.

Several fresh processes run the daemon's pipeline and the floor in turns over the same notifications. CPU per value and
the p95 of a list's time, from its bytes to the outbox, are told over the floor's, both in CPU time of one thread, so
that other load on the machine takes little part. The gate fails when a ratio is worse than the baseline by more than
10 % beyond noise: when the 95 % lower bound of its median over the processes (bootstrap) lies above that, and still
does with as many processes more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import PROJECT
from bench.report import Bar, Report, percentile

BASELINE = PROJECT / "bench" / "baseline.json"
PYTHON = "{}.{}".format(*sys.version_info)
PROCESSES = 5
RECORDED_PROCESSES = 27
TURNS = 16
WORSE_LIMIT = 1.10
PLANTED_SHARE = 0.2
RESAMPLES = 2_000
LOW_SHARE = 0.05
CHILD_SECONDS = 60.0
PASSED_SHARE, CAUGHT_SHARE = 1.0, 0.95
RATIOS = {"cpu": "CPU per value over the floor's", "pipeline": "p95 pipeline time over the floor's"}

Ratios = Mapping[str, Sequence[float]]
"""By name, one ratio per process."""


class NoBaseline(Exception):
    """No baseline for this Python: record one with `python -m bench gate --record`."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One ratio against its baseline; `low` is the lower end of the interval of `change`, 1.0 being no change."""

    name: str
    ratio: float
    baseline: float
    low: float

    @property
    def change(self) -> float:
        return self.ratio / self.baseline

    @property
    def ok(self) -> bool:
        return self.low <= WORSE_LIMIT


def measure(slower: float = 0.0, processes: int = PROCESSES) -> Ratios:
    """Both ratios from so many fresh processes, one after the other."""
    command = [sys.executable, "-m", "bench.gate_child", "--turns", str(TURNS), "--slower", str(slower)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    found: dict[str, list[float]] = {name: [] for name in RATIOS}
    for _ in range(processes):
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True, timeout=CHILD_SECONDS
        )
        told = json.loads(done.stdout)
        for name, values in found.items():
            values.append(told[name])
    return found


def judge(ratios: Ratios, baseline: Mapping[str, float], rng: random.Random) -> list[Judgement]:
    """Each ratio's median and the lower end of its interval, against the baseline."""
    return [
        Judgement(name, statistics.median(values), baseline[name], lower_end(values, rng) / baseline[name])
        for name, values in ratios.items()
    ]


def decide(
    measured: Callable[[float], Ratios], slower: float, baseline: Mapping[str, float], rng: random.Random
) -> list[Judgement]:
    """The judgements of one run; what looks worse is measured again and judged with both."""
    ratios = measured(slower)
    judgements = judge(ratios, baseline, rng)
    if all(one.ok for one in judgements):
        return judgements
    again = measured(slower)
    return judge({name: [*values, *again[name]] for name, values in ratios.items()}, baseline, rng)


def lower_end(values: Sequence[float], rng: random.Random) -> float:
    """Of the 90 % bootstrap interval of the median: what lies below it is improbable at one in twenty."""
    medians = [statistics.median(rng.choices(values, k=len(values))) for _ in range(RESAMPLES)]
    return percentile(medians, LOW_SHARE)


def read_baseline(path: Path = BASELINE) -> Mapping[str, float]:
    """The stored ratios for this Python. Raises NoBaseline."""
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if PYTHON not in held:
        raise NoBaseline(f"no baseline for Python {PYTHON}: {NoBaseline.__doc__}")
    baseline: Mapping[str, float] = held[PYTHON]
    return baseline


def write_baseline(ratios: Ratios, path: Path = BASELINE) -> None:
    """The medians become the baseline of this Python."""
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    held[PYTHON] = {name: round(statistics.median(values), 4) for name, values in ratios.items()}
    path.write_text(json.dumps(held, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def gate(baseline: Mapping[str, float], slower: float = 0.0) -> Report:
    """One verdict."""
    report = Report("gate", ("ratio", "baseline", "now", "change %", "at least %", "verdict"))
    for one in decide(measure, slower, baseline, random.Random(1)):
        change, least = (one.change - 1) * 100.0, (one.low - 1) * 100.0
        verdict = "ok" if one.ok else "WORSE"
        report.rows.append((RATIOS[one.name], one.baseline, one.ratio, change, least, verdict))
        report.bars.append(Bar(f"{RATIOS[one.name]}, worse by at least %", least, (WORSE_LIMIT - 1) * 100.0))
        report.figures[one.name] = {"ratio": round(one.ratio, 4), "change_percent": round(change, 2)}
    return report


def prove(runs: int, baseline: Mapping[str, float], measured: Callable[[float], Ratios] = measure) -> Report:
    """So many runs of the same code, which must pass, and as many with a planted slowdown, which must not."""
    report = Report("gate-proof", ("run", "slower by %", "CPU change %", "p95 change %", "verdict"))
    passed = caught = 0
    for number in range(1, runs + 1):
        for slower in (0.0, PLANTED_SHARE):
            judgements = decide(measured, slower, baseline, random.Random(number))
            ok = all(one.ok for one in judgements)
            passed += ok and not slower
            caught += bool(slower) and not ok
            changes = [(one.change - 1) * 100.0 for one in judgements]
            report.rows.append((number, round(slower * 100), *changes, "passes" if ok else "fails"))
            print(f"gate: run {number}/{runs}, {slower:.0%} slower: {'passes' if ok else 'fails'}", flush=True)
    report.figures = {"runs": runs, "same_code_passed": passed, "slowdowns_caught": caught}
    report.bars = [
        Bar("share of runs of the same code that pass", passed / runs, PASSED_SHARE, "at_least"),
        Bar(f"share of planted slowdowns of {PLANTED_SHARE:.0%} that fail", caught / runs, CAUGHT_SHARE, "at_least"),
    ]
    return report


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when the code is slower, 2 when there is nothing to compare with."""
    parser = argparse.ArgumentParser(prog="python -m bench gate", description=__doc__)
    parser.add_argument("--record", action="store_true", help="what is measured now becomes the baseline")
    parser.add_argument("--prove", type=int, metavar="N", help="N runs of the same code and N planted slowdowns")
    parser.add_argument("--slower", type=float, default=0.0, help="plant a slowdown by this share")
    options = parser.parse_args(arguments)
    if options.record:
        write_baseline(measure(processes=RECORDED_PROCESSES))
    try:
        baseline = read_baseline()
    except NoBaseline as fault:
        print(f"gate: {fault}", file=sys.stderr)
        return 2
    report = prove(options.prove, baseline) if options.prove else gate(baseline, options.slower)
    return report.show()

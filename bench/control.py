"""MPC against PID with the gate in the loop, on plants that neither was tuned on."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.control_contenders import LinearMpc, PidPair, SimcPid
from bench.control_floor import least_error
from bench.control_loop import LOAD_SPAN, Controller, Trace, run
from bench.control_pictures import draw
from bench.control_plants import BEYOND, CHANGEOVER, COLD_END, COUPLED, NOMINAL, SCORED, SINGLES, Case, Mismatch
from bench.control_tunings import EVERYTHING, TOLD, dials_of
from bench.processes import PROJECT
from bench.report import Bar, Report, percentile

SEEDS = (1, 2, 3)
SETTLED_SPANS = 4.0
"""The offset is the mean error from three natural units of time after the set-point step until the load comes."""
SECONDS_PER_MINUTE = 60.0
PICTURES = PROJECT / "docs" / "pictures"

PAIR_FILTERS = {"glass": (0.4, 0.8), "cold-end": (0.3, 0.1), "changeover": (0.3, 0.1)}
"""The filters with which each PID of a pair has the least error; with a light one the furnace runs into its rate."""

BARS, BARS_TOLD = (1.0, 1.25), (0.9, 1.15)
"""Of a single loop, nominal and worst: with any MPC, and with one that expects what may come."""

COUPLES = (COUPLED, COLD_END, CHANGEOVER)
CASES = (*SINGLES, *COUPLES)

Maker = Callable[[Case], Controller]


@dataclass(frozen=True, slots=True)
class Score:
    """Of one output and its input: integral of the absolute error, travel, time outside, and the mean error that stays.

    The last in deviations of the gauge's noise.
    """

    error: float
    travel: float
    minutes_out: float
    offset: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One case on one plant: sums over the seeds of MPC and of PID, for each output."""

    mismatch: Mismatch
    mpc: tuple[Score, ...]
    pid: tuple[Score, ...]


def score(case: Case, trace: Trace, at: int) -> Score:
    """Judged by the true output, which no controller sees."""
    output = case.outputs[at]
    errors = [true[at] - wanted[at] for true, wanted in zip(trace.true, trace.set_points, strict=True)]
    moves = [abs(b[at] - a[at]) for a, b in zip(trace.applied, trace.applied[1:], strict=False)]
    last, count = (round(spans * case.span / case.period) for spans in (LOAD_SPAN, SETTLED_SPANS))
    return Score(
        error=sum(map(abs, errors)) * case.period,
        travel=sum(moves),
        minutes_out=sum(abs(error) > output.band for error in errors) * case.period / SECONDS_PER_MINUTE,
        offset=statistics.fmean(errors[last - count : last]) / output.noise,
    )


def total(scores: Sequence[Score]) -> Score:
    """Over several runs: errors and travel add up; what the wandering load leaves averages out of the offset."""
    return Score(
        error=sum(one.error for one in scores),
        travel=sum(one.travel for one in scores),
        minutes_out=sum(one.minutes_out for one in scores),
        offset=statistics.fmean(one.offset for one in scores),
    )


class Comparison:
    """Runs the contenders and gathers rows, bars and solve times."""

    def __init__(self, seeds: Sequence[int], told: str = EVERYTHING, plants: Sequence[Mismatch] = SCORED) -> None:
        self.seeds = seeds
        self.told = told
        self._plants = plants
        self.report = Report(
            "control", ("loop", "against", "plant", "output", "IAE ratio", "travel ratio", "min out MPC", "min out PID")
        )
        self.solve_seconds: list[float] = []
        self._known: dict[tuple[str, str], tuple[Score, ...]] = {}
        self.faults = 0
        self.figures: dict[str, float] = {}

    def case(self, case: Case, against: str, rival: Maker) -> list[Compared]:
        """Every scored plant."""
        found = []
        for mismatch in self._plants:
            mpc = self._own(case, mismatch)
            pid = self._runs(case, mismatch, partial(rival, case))
            found.append(Compared(mismatch, mpc, pid))
            for output, own, other in zip(case.outputs, mpc, pid, strict=True):
                self.report.rows.append(
                    (
                        case.name,
                        against,
                        mismatch.name,
                        output.signal.rpartition("/")[2],
                        own.error / other.error,
                        own.travel / other.travel,
                        own.minutes_out,
                        other.minutes_out,
                    )
                )
        return found

    def _own(self, case: Case, mismatch: Mismatch) -> tuple[Score, ...]:
        """The MPC's runs are the same whoever it is compared with."""
        key = (case.name, mismatch.name)
        if key not in self._known:
            self._known[key] = self._runs(case, mismatch, partial(_mpc, case, self.told))
        return self._known[key]

    def _runs(self, case: Case, mismatch: Mismatch, make: Callable[[], Controller]) -> tuple[Score, ...]:
        traces = []
        for seed in self.seeds:
            controller = make()
            traces.append(run(case, mismatch, controller, seed))
            if isinstance(controller, LinearMpc):
                self.faults += controller.faults
                self.solve_seconds += traces[-1].solve_seconds
        return tuple(total([score(case, trace, at) for trace in traces]) for at in range(len(case.outputs)))


def singles(comparison: Comparison, cases: Sequence[Case]) -> None:
    """Single loops, each against its filtered SIMC PID."""
    nominal, worst = BARS_TOLD if comparison.told == EVERYTHING else BARS
    for case in cases:
        found = comparison.case(case, "PID", SimcPid)
        errors = [one.mpc[0].error / one.pid[0].error for one in found]
        travel = sum(one.mpc[0].travel for one in found) / sum(one.pid[0].travel for one in found)
        comparison.report.bars += [
            Bar(f"{case.name}: IAE, nominal", errors[0], nominal),
            Bar(f"{case.name}: IAE, worst mismatch", max(errors), worst),
            Bar(f"{case.name}: movement", travel, 0.75),
            Bar(f"{case.name}: offset, noise deviations", max(abs(one.mpc[0].offset) for one in found), 2.0),
        ]


def coupled(comparison: Comparison, case: Case) -> None:
    """Glass temperature and thickness against a pair of PIDs, without and with decoupling.

    The figure `least_ratio` is that of a controller that knows everything but the future (`control_floor`).
    """
    for name, decoupled in (("PID pair", False), ("decoupled", True)):
        found = comparison.case(case, name, partial(PidPair, decoupled=decoupled, shares=PAIR_FILTERS[case.name]))
        for at, output in enumerate(case.outputs):
            errors = [one.mpc[at].error / one.pid[at].error for one in found]
            what = f"{case.name} against {name}: {output.signal.rpartition('/')[2]}"
            comparison.report.bars += [
                Bar(f"{what}, IAE, nominal", errors[0], 0.5),
                Bar(f"{what}, IAE, worst mismatch", max(errors), 0.5),
            ]
        least = least_error(case) * len(comparison.seeds) / found[0].pid[1].error
        comparison.figures[f"{case.name}_against_{name.replace(' ', '_')}_least_ratio"] = least
        outside = max(one.mpc[1].minutes_out for one in found)
        comparison.report.bars.append(Bar(f"{case.name} against {name}: thickness, minutes out", outside, 0.0))


def main(arguments: Sequence[str]) -> int:
    """Runs the comparison; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench control", description=__doc__)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="noise seeds per plant")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="this plant alone")
    parser.add_argument("--told", choices=TOLD, default=EVERYTHING, help="what the MPC expects (default: %(default)s)")
    parser.add_argument("--beyond", action="store_true", help="on plants further from the model than anybody expects")
    parser.add_argument("--pictures", type=Path, help=f"draw the responses into this folder ({PICTURES})")
    options = parser.parse_args(arguments)
    plants = BEYOND if options.beyond else SCORED
    comparison = Comparison(tuple(range(1, options.seeds + 1)), options.told, plants)
    chosen = [case for case in CASES if options.only in (None, case.name)]
    singles(comparison, [case for case in chosen if case in SINGLES])
    for case in chosen:
        if case in COUPLES:
            coupled(comparison, case)
    report = comparison.report
    milliseconds = [1000.0 * seconds for seconds in comparison.solve_seconds]
    report.figures = {
        **comparison.figures,
        "solver_p50_ms": percentile(milliseconds, 0.5),
        "solver_p99_ms": percentile(milliseconds, 0.99),
        "solver_worst_ms": max(milliseconds, default=math.nan),
        "solves": len(milliseconds),
    }
    report.bars.append(Bar("MPC faults", comparison.faults, 0))
    if options.pictures is not None:
        for case in chosen:
            rival: Controller = SimcPid(case) if case in SINGLES else _decoupled(case)
            traces = {"PID": run(case, NOMINAL, rival, 1), "MPC": run(case, NOMINAL, _mpc(case), 1)}
            draw(case, traces, options.pictures / f"control-{case.name}.png")
    return report.show()


def _mpc(case: Case, told: str = EVERYTHING) -> Controller:
    return LinearMpc(case, dials_of(case, told))


def _decoupled(case: Case) -> Controller:
    return PidPair(case, decoupled=True, shares=PAIR_FILTERS[case.name])

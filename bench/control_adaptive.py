"""The MPC with an estimate that rests on noise and wakes on news, on the single loops of `python -m bench control`.

A constant Kalman gain is either calm under noise or quick against loads; this one is chosen by the innovations in every
period. It is in the library (`edged_control.calm`), not among the settings of a loop. Tuned, like the others,
on plants, seeds and steps that are not scored here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.control import DIALS, SEEDS, Score, score, total
from bench.control_contenders import Dials, LinearMpc, SimcPid, model_of, tuning_of
from bench.control_loop import Controller, run
from bench.control_plants import SCORED, SINGLES, Case, Mismatch
from bench.report import Bar, Report
from edged_control.calm import Calm
from edged_control.mpc import InputLimits, Mpc

NOMINAL_LIMIT, WORST_LIMIT, MOVEMENT_LIMIT = 0.90, 1.15, 0.75
INNOVATION_NOISE = 1.1
"""Deviation of an innovation under noise alone, in deviations of the gauge: the estimate is a little noisy too."""


@dataclass(frozen=True, slots=True)
class Rest:
    """`Calm` without units: times as shares of the natural unit of time of the loop's path."""

    settling: float
    smoothing: float
    threshold: float


ADAPTIVE: dict[str, tuple[Dials, Rest]] = {
    "belt": (Dials(0.033, 0.59, 0.61, 0.29), Rest(3.1, 0.37, 4.9)),
    "pressure": (Dials(0.1, 0.26, 0.47, 0.154), Rest(0.66, 0.31, 0.87)),
}
"""Found by random search on the plants of TUNED_ON; loops that are not here run as in `python -m bench control`."""


class AdaptiveMpc(LinearMpc):
    """The MPC of the product with such an estimate."""

    def __init__(self, case: Case, dials: Dials, rest: Rest) -> None:
        super().__init__(case, (dials,))
        tuning, (output,) = tuning_of(case, (dials,)), case.outputs
        calm = Calm(
            settling_seconds=rest.settling * case.span,
            smoothing_seconds=max(rest.smoothing * case.span, case.period),
            threshold=rest.threshold,
            noise=INNOVATION_NOISE * output.noise,
        )
        disturbances = (replace(tuning.disturbances[0], calm=calm),)
        limits = [InputLimits(entry.low, entry.high, entry.rate_per_second) for entry in case.inputs]
        self._mpc = Mpc(model_of(case), replace(tuning, disturbances=disturbances), limits)


def contender(case: Case) -> Controller:
    """The adaptive one where the loop has a tuning for it, else the usual one."""
    tuned = ADAPTIVE.get(case.name)
    return LinearMpc(case, DIALS[case.name]) if tuned is None else AdaptiveMpc(case, *tuned)


def scored(case: Case, mismatch: Mismatch, make: Callable[[Case], Controller], seeds: Sequence[int]) -> Score:
    """One contender on one plant."""
    return total([score(case, run(case, mismatch, make(case), seed), 0) for seed in seeds])


def compared(seeds: Sequence[int]) -> Report:
    """Rows and bars of every single loop."""
    report = Report("control-adaptive", ("loop", "estimate", "plant", "IAE ratio", "travel ratio"))
    for case in SINGLES:
        errors, travel, rival_travel = [], 0.0, 0.0
        for mismatch in SCORED:
            own, rival = (scored(case, mismatch, make, seeds) for make in (contender, SimcPid))
            errors.append(own.error / rival.error)
            travel, rival_travel = travel + own.travel, rival_travel + rival.travel
            kind = "adaptive" if case.name in ADAPTIVE else "constant"
            report.rows.append((case.name, kind, mismatch.name, errors[-1], own.travel / rival.travel))
        report.bars += [
            Bar(f"{case.name}: IAE, nominal", errors[0], NOMINAL_LIMIT),
            Bar(f"{case.name}: IAE, worst mismatch", max(errors), WORST_LIMIT),
            Bar(f"{case.name}: movement", travel / rival_travel, MOVEMENT_LIMIT),
        ]
    return report


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench control-adaptive", description=__doc__)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="noise seeds per plant")
    options = parser.parse_args(arguments)
    return compared(tuple(range(1, options.seeds + 1))).show()

"""The CSTR of pc-gym 0.1.8 under our MPC and under pc-gym's own oracle, from the measured concentration alone.

The oracle is a nonlinear MPC that knows the plant's equations and its whole state. pc-gym gives it each set-point one
period late (index t/dt - 1), as its observation shows it: `late` contenders hear of it no earlier, `in time` both hear
of it when the error begins to count. Errors are sums over 60 samples. pc-gym is installed on demand below run/peers
(PyPI), in an environment of its own.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.contestant import PeerMissing
from bench.pcgym_contenders import AdaptiveMpc, Contender, LinearMpc, identified
from bench.pcgym_plant import Plant, ReferencePlant, Task, prepare
from bench.report import Bar, Report, percentile

TASK = Task(set_points=(*[0.85] * 20, *[0.90] * 20, *[0.87] * 20))
FIRST_COOLANT = 300.0
"""What the reactor had before the first period, as far as a contender knows."""
STORED_IAE, STORED_ISE = 0.2363, 0.007182
"""Of the oracle, from runs before: it shows that this is the same task."""
SAME = 0.002
RATIO = 1.05
OUTPUT_FEEDBACK = "concentration, set-point"
EARLIER = TASK._replace(set_points=(*TASK.set_points[1:], TASK.set_points[0]))
"""With these the oracle, which looks at the last one first, has each set-point in time."""
ORACLE_TASKS = {"late": TASK, "in time": EARLIER}
TOLD = {"late": (TASK.set_points[0], *TASK.set_points[:-1]), "in time": TASK.set_points}
"""What a contender is told at each step. (At the first one pc-gym gives its oracle the last of all.)"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Integrals of the absolute and the squared error as sums over the samples, and the seconds of each decision."""

    absolute: float
    squared: float
    seconds: tuple[float, ...]


def judged(concentrations: Sequence[float], seconds: Sequence[float] = ()) -> Outcome:
    """Every concentration against the set-point of the step that led to it."""
    errors = [seen - wanted for seen, wanted in zip(concentrations, TASK.set_points, strict=True)]
    return Outcome(sum(map(abs, errors)), sum(error * error for error in errors), tuple(seconds))


def played(plant: Plant, contender: Contender, told: Sequence[float]) -> Outcome:
    """One run of the task."""
    seen, coolant = plant.reset(TASK), FIRST_COOLANT
    concentrations, seconds = [], []
    for set_point in told:
        began = time.perf_counter()
        coolant = contender.propose(set_point, seen, coolant)
        seconds.append(time.perf_counter() - began)
        seen = plant.step(coolant)
        concentrations.append(seen)
    return judged(concentrations, seconds)


def contenders(plant: Plant) -> Mapping[str, Callable[[], Contender]]:
    """Who can play; without an identified model there is no linear one."""
    report = identified(plant, TASK)
    made: dict[str, Callable[[], Contender]] = {"MPC, linearised along its plan": lambda: AdaptiveMpc(TASK)}
    artefact = report.artefact
    if artefact is not None:
        (channel,), (percent,) = artefact.model.channels[0], artefact.held_out_percent
        print(f"pcgym-cstr: one model: {channel}; it explains {percent:.0f} % of the held-out part of a step test")
        made["MPC, one identified model"] = lambda: LinearMpc(TASK, artefact.model)
    else:
        print(f"pcgym-cstr: the step test gives no model: {'; '.join(report.faults)}", file=sys.stderr)
    return made


def compared(plant: ReferencePlant) -> Report:
    """Runs everybody and gathers rows and bars."""
    report = Report(
        "pcgym-cstr", ("controller", "knows", "set-point", "IAE", "ratio", "ISE", "ratio ISE", "ms p50", "ms worst")
    )
    oracles = {when: judged(plant.oracle(task).concentrations) for when, task in ORACLE_TASKS.items()}
    for when, oracle in oracles.items():
        report.rows.append(("pc-gym oracle", "plant, whole state", when, *_figures(oracle, oracle)))
    report.bars += [
        Bar("oracle: IAE against the stored one, relative", abs(oracles["late"].absolute / STORED_IAE - 1.0), SAME),
        Bar("oracle: ISE against the stored one, relative", abs(oracles["late"].squared / STORED_ISE - 1.0), SAME),
    ]
    best = dict.fromkeys(TOLD, math.inf)
    for name, make in contenders(plant).items():
        for when, told in TOLD.items():
            outcome, oracle = played(plant, make(), told), oracles[when]
            report.rows.append((name, OUTPUT_FEEDBACK, when, *_figures(outcome, oracle)))
            report.figures[f"{name}, {when}"] = {"iae": outcome.absolute, "ise": outcome.squared}
            best[when] = min(best[when], outcome.absolute / oracle.absolute)
    report.bars += [Bar(f"IAE of the best contender against the oracle, {when}", best[when], RATIO) for when in TOLD]
    return report


def _figures(outcome: Outcome, oracle: Outcome) -> tuple[object, ...]:
    milliseconds = [1000.0 * seconds for seconds in outcome.seconds]
    times = (percentile(milliseconds, 0.5), max(milliseconds)) if milliseconds else ("", "")
    absolute, squared = outcome.absolute, outcome.squared
    return (absolute, absolute / oracle.absolute, squared, squared / oracle.squared, *times)


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a bar is missed, 2 when pc-gym can't be installed."""
    argparse.ArgumentParser(prog="python -m bench pcgym-cstr", description=__doc__).parse_args(arguments)
    try:
        prepare()
        with ReferencePlant() as plant:
            return compared(plant).show()
    except PeerMissing as missing:
        print(f"pcgym-cstr: {missing}", file=sys.stderr)
        return 2

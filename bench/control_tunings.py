"""How the MPC of each comparison is tuned, and what it is told of what may come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.control_contenders import NONE, Dials
from bench.control_plants import Case
from edged_control.mpc.loads import Load
from edged_control.mpc.multiple import Deviations

NOTHING, LOADS, JUMPS, EVERYTHING = TOLD = ("nothing", "loads", "jumps", "everything")
"""Disturbances of the outputs alone, as `edged mpc init` has it; loads of the inputs that walk; that jump too; and a
plant that differs from the model too."""
PLAIN = Dials(move=0.1, reference=0.4, disturbance_lag=0.5, disturbance_settling=0.2)
CALM = Dials(move=0.05, reference=0.2, disturbance_lag=0.5, disturbance_settling=0.3)
UNTOLD = {
    "furnace": (PLAIN,),
    "mould": (PLAIN,),
    "lehr": (PLAIN,),
    "belt": (Dials(move=0.3, reference=0.6, disturbance_lag=0.5, disturbance_settling=0.5),),
    "pressure": (PLAIN,),
    "glass": (CALM, Dials(move=0.5, reference=0.0, disturbance_settling=8.0)),
    "cold-end": (CALM, Dials(move=0.2, reference=0.5, disturbance_lag=1.0, disturbance_settling=0.5)),
    "changeover": (CALM, Dials(move=0.2, reference=0.5, disturbance_lag=1.0, disturbance_settling=0.5)),
}
"""The belt alone is slower so that it travels less than its PID."""
MAY_BE = Deviations(gain=(1.25,), dead_time=(0.8, 1.2, 1.4))
DEAD_TIMES = Deviations(dead_time=(0.8, 1.2, 1.4))
FURNACE_MAY_BE = Deviations(dead_time=(1.2, 1.4))
"""What an MPC takes for possible beside its model; no scored plant is among it."""


def single_dials(load: Load, move: float, reference: float, deviations: Deviations = MAY_BE) -> tuple[Dials]:
    """Of one input; its load walks less far in an hour than the plant's does, which gives a calmer output."""
    return (Dials(move=move, reference=reference, load=load, deviations=deviations),)


def coupled_dials(load: Load, belt_move: float) -> tuple[Dials, Dials]:
    """Of furnace and belt; `load` is that of the furnace. Loads walk as far in an hour as theirs do."""
    return (
        Dials(move=0.05, reference=0.2, load=load, deviations=FURNACE_MAY_BE),
        Dials(move=belt_move, reference=0.0, load=Load(0.3, jump=0.5), deviations=MAY_BE),
    )


DIALS = {
    "furnace": single_dials(Load(0.5, jump=2.5), move=0.1, reference=0.2),
    "mould": single_dials(Load(0.35, jump=1.25), move=0.1, reference=0.2),
    "lehr": single_dials(Load(0.7, jump=1.25), move=0.2, reference=0.2),
    "belt": single_dials(Load(0.9, jump=1.25), move=0.2, reference=0.6),
    "pressure": single_dials(Load(1.8, jump=0.5), move=0.1, reference=0.0, deviations=DEAD_TIMES),
    "glass": coupled_dials(Load(0.5, jump=1.5), belt_move=0.5),
    "cold-end": coupled_dials(Load(0.5, jump=1.5), belt_move=0.1),
    "changeover": coupled_dials(Load(2.0, jump=5.0), belt_move=0.1),
}
"""Found on the plants of TUNED_ON. What a load may jump by is between a third and the whole of its steps."""


def dials_of(case: Case, told: str = EVERYTHING) -> Sequence[Dials]:
    """The tuning of a case for whoever is told this much."""
    return UNTOLD[case.name] if told == NOTHING else [_less(dial, told) for dial in DIALS[case.name]]


def _less(dial: Dials, told: str) -> Dials:
    """A tuning for whoever is told less of what may come."""
    assert dial.load is not None
    if told == EVERYTHING:
        return dial
    return replace(dial, deviations=NONE, load=dial.load if told == JUMPS else Load(dial.load.per_hour))

"""The adaptive estimate in the comparison: behind the same gate, without a fault, and calmer than its rival."""

from __future__ import annotations

from bench.control import score
from bench.control_adaptive import ADAPTIVE, AdaptiveMpc, contender
from bench.control_contenders import LinearMpc, SimcPid
from bench.control_loop import run
from bench.control_plants import NOMINAL, SINGLES

LOOPS = {case.name: case for case in SINGLES}


def test_it_is_compared_where_it_is_tuned() -> None:
    assert set(ADAPTIVE) <= set(LOOPS)
    assert all(isinstance(contender(case), AdaptiveMpc) == (name in ADAPTIVE) for name, case in LOOPS.items())


def test_on_the_belt_it_errs_and_moves_less_than_the_pid() -> None:
    case = LOOPS["belt"]
    own, rival = contender(case), SimcPid(case)
    assert isinstance(own, LinearMpc)
    mine, other = (score(case, run(case, NOMINAL, one, 1), 0) for one in (own, rival))
    assert mine.error < other.error
    assert mine.travel < 0.8 * other.travel
    assert own.faults == 0

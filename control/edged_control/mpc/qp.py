"""Small dense quadratic programs on DAQP, whose answers are believed only after they were checked.

Seen in daqp 0.11.0: NaN in the cost vector comes back as NaN with exit flag 1; after bounds that contradict each other,
`update` returns -1 and the following `solve` answers the problem before, with exit flag 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from edged.errors import MissingLibrary
from edged_control.process_model.state_space import Array

OPTIMAL = 1
ITERATION_LIMIT = 2000
"""Instead of a time limit: the same problem gets the same answer on a loaded box."""
FEASIBLE = 1e-5
"""How far a bound may be missed, in the problem's scaled units."""
STATIONARY = 1e-5
"""How far the gradient of the Lagrangian may be from zero, as a share of the largest term in it."""


class Answer(NamedTuple):
    """The minimiser, or None and why there is none."""

    value: Array | None
    fault: str = ""


class Solver:
    """min 1/2 x'Hx + f'x with lower <= [x; Gx] <= upper. H is positive definite and stays, as does G.

    The set of active bounds is kept from one solve to the next: the warm start. Any fault drops it.
    """

    def __init__(self, cost: Array, rows: Array) -> None:
        self._library = _daqp()
        self._cost = np.ascontiguousarray(cost, dtype=np.float64)
        self._rows = np.ascontiguousarray(rows, dtype=np.float64)
        self._model: Any = None

    @property
    def warm(self) -> bool:
        """Whether the next solve starts from the bounds that were active in the last."""
        return self._model is not None

    def drop_warm_start(self) -> None:
        """The next solve starts from nothing."""
        self._model = None

    def solve(self, linear: Array, lower: Array, upper: Array) -> Answer:
        """The checked minimiser; a fault in every other case."""
        answer = self._solve(linear, lower, upper)
        if answer.value is None:
            self.drop_warm_start()
        return answer

    def _solve(self, linear: Array, lower: Array, upper: Array) -> Answer:
        if not np.isfinite(linear).all() or np.isnan(lower).any() or np.isnan(upper).any():
            return Answer(None, "the problem is not finite")
        if (lower > upper).any():
            return Answer(None, "no plan keeps all limits")
        flag = self._prepare(linear, lower, upper)
        if flag < 0:
            return Answer(None, f"the solver refused the problem with exit flag {flag}")
        found, _, flag, info = self._model.solve()
        if flag != OPTIMAL:
            return Answer(None, f"the solver gave up with exit flag {flag}")
        value, multipliers = np.array(found, dtype=np.float64), np.asarray(info["lam"], dtype=np.float64)
        if not (np.isfinite(value).all() and np.isfinite(multipliers).all()):
            return Answer(None, "the solver's answer is not finite")
        return self._checked(value, multipliers, linear, lower, upper)

    def _prepare(self, linear: Array, lower: Array, upper: Array) -> int:
        if self._model is not None:
            return int(self._model.update(f=linear, bupper=upper, blower=lower))
        self._model = self._library.Model()
        sense = np.zeros(len(upper), dtype=np.intc)
        flag = self._model.setup(self._cost, linear, self._rows, upper, lower, sense)[0]
        if flag >= 0:
            self._model.settings = {"iter_limit": ITERATION_LIMIT}
        return int(flag)

    def _checked(self, value: Array, multipliers: Array, linear: Array, lower: Array, upper: Array) -> Answer:
        """The conditions of Karush, Kuhn and Tucker: a solver that calls a wrong point optimal is found out."""
        held = np.concatenate([value, self._rows @ value])
        if (held < lower - FEASIBLE).any() or (held > upper + FEASIBLE).any():
            return Answer(None, "the solver's answer breaks a limit")
        size = len(value)
        pulls = (self._cost @ value, linear, multipliers[:size], self._rows.T @ multipliers[size:])
        scale = 1.0 + max(float(np.abs(pull).max(initial=0.0)) for pull in pulls)
        if np.abs(sum(pulls)).max() > STATIONARY * scale:
            return Answer(None, "the solver's answer is not the optimum")
        return Answer(np.clip(value, lower[:size], upper[:size]))


def _daqp() -> Any:
    try:
        import daqp
    except ImportError as fault:
        raise MissingLibrary("daqp", "control") from fault
    return daqp

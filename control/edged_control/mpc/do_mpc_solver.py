"""Optimal control problems on do-mpc, whose answers are believed only after they were checked.

Seen in do-mpc 5.1.2: after a time limit or a number that is none it returns zeros, or wherever it stopped, and raises
nothing; its `u_prev` is what it wished for last, not what was applied; without `set_initial_guess` it sleeps for five
seconds; every step is appended to a history that only grows; `compile_nlp` is broken, and compiling gains nothing.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from edged.errors import MissingLibrary
from edged_control.mpc.furnace_model import NONLINEAR_EXTRA
from edged_control.mpc.qp import Answer
from edged_control.process_model.state_space import Array

LEGACY_NUMPY = -1
"""casadi 3.8 warns once of every use of numpy on its values as do-mpc 5.1.2 uses it."""
ITERATION_LIMIT = 100
TOLERANCE = 1e-4
START_BARRIER = 1e-4
"""With the solution of a moment ago to start from, a small barrier saves a third of the time."""


def do_mpc() -> Any:
    """The library. Raises MissingLibrary."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the escapes in its own docstrings
            import casadi
            import do_mpc as library
    except ImportError as fault:
        raise MissingLibrary(fault.name or "do_mpc", NONLINEAR_EXTRA) from fault
    casadi.GlobalOptions.setNumpyMode(LEGACY_NUMPY)
    return library


def solver_options(processor_seconds: float) -> dict[str, Any]:
    """What IPOPT is told: quick with a start from the last solution, and an end before anybody stops waiting.

    Work is bounded by iterations; the time limit is for a machine on which those take too long.
    """
    return {
        "ipopt.max_cpu_time": processor_seconds,
        "ipopt.max_iter": ITERATION_LIMIT,
        "ipopt.tol": TOLERANCE,
        "ipopt.mu_init": START_BARRIER,
        "ipopt.warm_start_init_point": "yes",
        "ipopt.print_level": 0,
        "ipopt.sb": "yes",
        "print_time": 0,
    }


class OptimalControl:
    """One `do_mpc.controller.MPC` that was set up. Its solution is kept for the next solve; any fault drops it."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller
        self._warm = False

    @property
    def warm(self) -> bool:
        """Whether the next solve starts from the last solution."""
        return self._warm

    @property
    def solution(self) -> Any:
        """The variables of the last solve in physical units, as do-mpc's structure."""
        return self._controller.opt_x_num_unscaled

    def drop_warm_start(self) -> None:
        """The next solve starts from a plant that stays as it is."""
        self._warm = False

    def solve(self, state: Array, applied: Array) -> Answer:
        """The checked first inputs from a state, `applied` being what the plant shows of them; else a fault.

        Where a start from the last solution leads nowhere, a second one starts from nothing.
        """
        if not (np.isfinite(state).all() and np.isfinite(applied).all()):
            return Answer(None, "the problem is not finite")
        was_warm = self._warm
        answer = self._attempt(state, applied)
        return self._attempt(state, applied) if answer.value is None and was_warm else answer

    def _attempt(self, state: Array, applied: Array) -> Answer:
        controller = self._controller
        controller.u0 = applied
        if not self._warm:
            slate = controller.opt_x_num.master  # the guess leaves out slacks, which may hold what made a solve fail
            controller.opt_x_num.master = slate.zeros(*slate.shape)
            controller.x0 = state
            controller.set_initial_guess()
            controller.flags["initial_run"] = False  # the multipliers of the last solve are dropped with it
        value = np.asarray(controller.make_step(state), dtype=np.float64).ravel()
        controller.reset_history()
        self._warm = False
        status = controller.solver_stats
        if not status["success"]:
            return Answer(None, f"the solver gave up: {status['return_status']}")
        if not (np.isfinite(value).all() and np.isfinite(np.asarray(self.solution.cat)).all()):
            return Answer(None, "the solver's answer is not finite")
        self._warm = True
        return Answer(value)

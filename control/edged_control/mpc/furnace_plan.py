"""The optimal control problem of a furnace, as do-mpc poses it: orthogonal collocation of the physics, IPOPT.

The set-point changes at a constant slope within each step, so that a rate limit is a plain bound. It is a state that
begins where it was read back: whatever the optimiser remembers of its own wishes does not matter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from edged.controller_settings import NonlinearMpcSettings
from edged_control.mpc.do_mpc_solver import OptimalControl, do_mpc, solver_options
from edged_control.mpc.furnace_model import PLAN_STEPS, furnace_of
from edged_control.mpc.linear import Fault, InputLimits
from edged_control.process_model.state_space import Array
from edged_physics.crown_control import CrownState, slope

SCALES = {"crown": 100.0, "melt": 100.0, "throat": 100.0, "integral": 1e6, "power": 1e6, "set_point": 100.0}
SLOPE_SCALE = 0.01
POWER_COST = 1e6
"""Cost in K2 of a power at twice its limit; one that is 1 % beyond hurts like an error of 100 K."""


class Course(NamedTuple):
    """The slope of the set-point now, K/s, and throat and set-point from now on, one for each step and for its end."""

    slope: float
    throat: Array
    set_points: Array


class FurnacePlan:
    """One problem, solved again and again. Raises MissingLibrary."""

    def __init__(
        self, settings: NonlinearMpcSettings, limits: InputLimits, step_seconds: float, processor_seconds: float
    ) -> None:
        self._targets = np.zeros(PLAN_STEPS + 1)
        controller = self._controller(settings, limits, step_seconds, processor_seconds)
        self._problem = OptimalControl(controller)

    def drop_warm_start(self) -> None:
        """The next solve starts from nothing."""
        self._problem.drop_warm_start()

    def solve(self, state: Array, set_point: float, targets: Array) -> Course | Fault:
        """The course from a state and the set-point there; `targets` are where the throat should be at each step."""
        self._targets[:] = targets
        answer = self._problem.solve(np.array([*state, set_point]), np.zeros(1))
        if answer.value is None:
            return Fault(answer.fault)
        states = np.array([np.asarray(found).ravel() for found in self._problem.solution["_x", :, 0, -1]])
        return Course(float(answer.value[0]), states[:, CrownState._fields.index("throat")], states[:, -1])

    def _controller(
        self, settings: NonlinearMpcSettings, limits: InputLimits, step_seconds: float, processor_seconds: float
    ) -> Any:
        library = do_mpc()
        model = library.model.Model("continuous")
        state = CrownState(*(model.set_variable("_x", name) for name in CrownState._fields))
        set_point, move = model.set_variable("_x", "set_point"), model.set_variable("_u", "slope")
        target = model.set_variable("_tvp", "target")
        for name, rate in zip(CrownState._fields, slope(furnace_of(settings.furnace), set_point, state), strict=True):
            model.set_rhs(name, rate)
        model.set_rhs("set_point", move)
        model.setup()
        controller = library.controller.MPC(model)
        controller.settings.n_horizon, controller.settings.t_step = PLAN_STEPS, step_seconds
        controller.settings.use_terminal_bounds = True
        controller.settings.store_lagr_multiplier, controller.settings.store_solver_stats = False, []
        controller.settings.nlpsol_opts = solver_options(processor_seconds)
        error = (state.throat - target) ** 2
        controller.set_objective(mterm=error, lterm=error + (settings.move_seconds * move) ** 2)
        controller.set_rterm(slope=0.0)
        for name, scale in SCALES.items():
            controller.scaling["_x", name] = scale
        controller.scaling["_u", "slope"] = SLOPE_SCALE
        controller.bounds["lower", "_x", "set_point"] = limits.low
        controller.bounds["upper", "_x", "set_point"] = limits.high
        controller.bounds["lower", "_u", "slope"] = -limits.rate_per_second
        controller.bounds["upper", "_u", "slope"] = limits.rate_per_second
        excess = state.power / settings.furnace.power_limit_watts - 1.0
        controller.set_nl_cons("power", excess, ub=0.0, soft_constraint=True, penalty_term_cons=POWER_COST)
        template = controller.get_tvp_template()

        def targets(_: float) -> Any:
            template["_tvp", :, "target"] = list(self._targets)
            return template

        controller.set_tvp_fun(targets)
        controller.setup()
        return controller

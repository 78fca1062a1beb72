"""do-mpc behind its wrapper: the same numbers as by its own interface, and none where it only pretends to have some."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from edged.errors import MissingLibrary
from edged_control.mpc.do_mpc_solver import OptimalControl, do_mpc, solver_options
from edged_control.process_model.state_space import Array

QUIET = {"ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": 0}
START = np.array([0.8, 0.5, 134.14, 130.0])
REFERENCE_STEPS = 8


def reactor() -> Any:
    """The stirred tank of do-mpc's examples and reference tests (Klatt and Engell 1998)."""
    library = do_mpc()
    import casadi

    model = library.model.Model("continuous")
    a, b, hot, jacket = (model.set_variable("_x", name) for name in ("C_a", "C_b", "T_R", "T_K"))
    flow, heat = model.set_variable("_u", "F"), model.set_variable("_u", "Q_dot")
    alpha, beta = model.set_variable("_p", "alpha"), model.set_variable("_p", "beta")
    kelvin = hot + 273.15
    first = beta * 1.287e12 * casadi.exp(-9758.3 / kelvin)
    second = 1.287e12 * casadi.exp(-9758.3 / kelvin)
    third = 9.043e9 * casadi.exp(-alpha * 8560.0 / kelvin)
    released = first * a * 4.2 - second * b * 11.0 - third * a**2 * 41.85
    model.set_rhs("C_a", flow * (5.1 - a) - first * a - third * a**2)
    model.set_rhs("C_b", -flow * b + first * a - second * b)
    passed = 4032.0 * 0.215 * (hot - jacket)
    model.set_rhs("T_R", -released / (0.9342 * 3.01) + flow * (130.0 - hot) - passed / (0.9342 * 3.01 * 10.01))
    model.set_rhs("T_K", (heat + passed) / 10.0)
    model.setup()
    return model


def controller(model: Any, robust_steps: int = 0, **options: Any) -> Any:
    """Set up as in do-mpc's reference test; with a robust step also its scenario tree over uncertain parameters."""
    made = do_mpc().controller.MPC(model)
    settings = made.settings
    settings.n_horizon, settings.n_robust, settings.t_step = 20, robust_steps, 0.005
    settings.collocation_deg, settings.collocation_ni = 2, 2
    settings.nlpsol_opts = QUIET | options
    error = (model.x["C_b"] - 0.6) ** 2
    made.set_objective(mterm=error, lterm=error)
    made.set_rterm(F=0.1, Q_dot=1e-3)
    for name in ("T_R", "T_K"):
        made.scaling["_x", name] = 100.0
    made.scaling["_u", "Q_dot"], made.scaling["_u", "F"] = 2000.0, 100.0
    bounds = {"C_a": (0.1, 2.0), "C_b": (0.1, 2.0), "T_R": (50.0, 180.0), "T_K": (50.0, 140.0)}
    for kind, ranges in (("_x", bounds), ("_u", {"F": (5.0, 100.0), "Q_dot": (-8500.0, 0.0)})):
        for name, (low, high) in ranges.items():
            made.bounds["lower", kind, name], made.bounds["upper", kind, name] = low, high
    made.set_nl_cons("T_R", model.x["T_R"], ub=140.0, soft_constraint=True, penalty_term_cons=1e2)
    made.set_uncertainty_values(alpha=np.array([1.0, 1.05, 0.95]), beta=np.array([1.0, 1.1, 0.9]))
    made.setup()
    return made


def plant(model: Any) -> Any:
    made = do_mpc().simulator.Simulator(model)
    made.set_param(integration_tool="cvodes", abstol=1e-10, reltol=1e-10, t_step=0.005)
    parameters = made.get_p_template()
    parameters["alpha"], parameters["beta"] = 1.0, 1.0
    made.set_p_fun(lambda _: parameters)
    made.setup()
    made.x0 = START
    return made


@pytest.fixture(scope="module")
def model() -> Any:
    return reactor()


@pytest.fixture
def solver(model: Any) -> OptimalControl:
    return OptimalControl(controller(model))


def solved(solver: OptimalControl, state: Array, applied: Array) -> Array:
    answer = solver.solve(state, applied)
    assert answer.value is not None, answer.fault
    return answer.value


@pytest.mark.parametrize("robust_steps", [0, 1])
def test_it_goes_the_way_of_do_mpc_by_its_own_interface(model: Any, robust_steps: int) -> None:
    raw, own, theirs = controller(model, robust_steps), plant(model), plant(model)
    solver = OptimalControl(controller(model, robust_steps))
    raw.x0 = START
    raw.set_initial_guess()
    state = other = START
    applied = np.zeros(2)
    for _ in range(REFERENCE_STEPS):
        expected = raw.make_step(other)
        applied = solved(solver, state, applied)
        assert applied == pytest.approx(expected.ravel(), rel=1e-6)
        state, other = own.make_step(applied.reshape(-1, 1)), theirs.make_step(expected)
        assert state == pytest.approx(other, rel=1e-6)
    assert abs(float(state[1, 0]) - 0.6) < abs(START[1] - 0.6), "it has come closer to its set-point"


def test_after_a_time_limit_do_mpc_returns_numbers_and_we_do_not(model: Any) -> None:
    hasty = controller(model, 0, **{"ipopt.max_cpu_time": 1e-6})
    hasty.x0 = START
    hasty.set_initial_guess()
    pretended = hasty.make_step(START)
    assert np.isfinite(pretended).all(), "the trap: nothing raised, and these are numbers"
    assert not hasty.solver_stats["success"]
    answer = OptimalControl(controller(model, 0, **{"ipopt.max_cpu_time": 1e-6})).solve(START, np.zeros(2))
    assert answer.value is None
    assert answer.fault == "the solver gave up: Maximum_CpuTime_Exceeded"


def test_it_starts_from_what_was_applied_and_not_from_its_own_wish(solver: OptimalControl) -> None:
    wish = solved(solver, START, np.array([20.0, -1000.0]))
    followed = solved(solver, START, wish)
    held_back = solved(solver, START, np.array([20.0, -1000.0]))
    assert held_back == pytest.approx(wish, rel=1e-3)
    assert abs(followed[0] - held_back[0]) > 0.1, "a change of the input costs"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_fault_drops_the_warm_start_and_the_next_solve_is_as_good_as_the_first(
    model: Any, solver: OptimalControl, bad: float
) -> None:
    applied = np.array([20.0, -1000.0])
    first = solved(solver, START, applied)
    assert solver.warm
    spoiled = START.copy()
    spoiled[2] = bad
    assert solver.solve(spoiled, applied).fault == "the problem is not finite"
    impossible = START * np.array([1.0, 1.0, 1e6, 1.0])
    assert solver.solve(impossible, applied).value is None
    assert not solver.warm
    assert solved(solver, START, applied) == pytest.approx(first, rel=1e-9)
    assert solver.warm


def test_a_warm_start_that_leads_nowhere_is_tried_once_more_from_nothing(model: Any) -> None:
    made = controller(model)
    solver = OptimalControl(made)
    applied = np.array([20.0, -1000.0])
    first = solved(solver, START, applied)
    made.opt_x_num.master = made.opt_x_num.master * np.nan
    assert solver.warm
    assert solved(solver, START, applied) == pytest.approx(first, rel=1e-9)


def test_nothing_grows_with_every_step(model: Any) -> None:
    made = controller(model)
    solver = OptimalControl(made)
    for _ in range(3):
        solved(solver, START, np.array([20.0, -1000.0]))
    assert len(made.data["_x"]) == 0


def test_a_small_barrier_and_tolerance_need_fewer_iterations_from_the_last_solution(model: Any) -> None:
    counts = []
    for options in (QUIET, solver_options(5.0)):
        made = controller(model, **options)
        solver = OptimalControl(made)
        first = solved(solver, START, np.array([20.0, -1000.0]))
        solved(solver, START * 1.001, first)
        counts.append(made.solver_stats["iter_count"])
    assert counts[1] < counts[0]


@pytest.mark.parametrize("name", ["do_mpc", "casadi"])
def test_a_missing_library_names_itself_and_its_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibrary, match=rf"{name} is not installed: pip install 'edged\[control-nonlinear\]'"):
        do_mpc()

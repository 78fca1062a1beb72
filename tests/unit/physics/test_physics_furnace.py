"""The furnace's heat balances, against conservation and against another integrator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_physics import furnace as physics
from edged_physics.furnace import Furnace, FurnaceInputs, FurnaceState

FURNACE = Furnace()
INPUTS = FurnaceInputs(power=36e6, batch_rate=8.0)


def balanced(crown: float, inputs: FurnaceInputs = INPUTS) -> tuple[FurnaceState, float]:
    state = FurnaceState(crown, physics.steady_melt(FURNACE, crown, inputs))
    return state, physics.steady_power(FURNACE, state, inputs.ambient)


def test_it_melts_eight_kilograms_a_second_with_36_megawatts() -> None:
    state, power = balanced(1530.0)
    assert 1380 < state.melt < 1460
    assert power == pytest.approx(36e6, rel=0.03)


@given(st.floats(1450.0, 1600.0), st.floats(4.0, 10.0))
def test_a_balanced_furnace_stays_where_it_is(crown: float, batch: float) -> None:
    state, power = balanced(crown, FurnaceInputs(0.0, batch))
    after = physics.step(FURNACE, state, FurnaceInputs(power, batch), 60.0)
    assert after.crown == pytest.approx(state.crown, abs=1e-6)
    assert after.melt == pytest.approx(state.melt, abs=1e-6)


def test_radiation_goes_from_hot_to_cold_and_vanishes_in_between() -> None:
    assert physics.radiation(FURNACE, 1500.0, 1400.0) > 0 > physics.radiation(FURNACE, 1400.0, 1500.0)
    assert physics.radiation(FURNACE, 1450.0, 1450.0) == 0.0


def test_runge_kutta_agrees_with_lsoda() -> None:
    integrate: Any = pytest.importorskip("scipy.integrate")
    state, power = balanced(1530.0)
    inputs = FurnaceInputs(power * 1.1, 8.5, batch_heat=2e4)

    def right_side(_: float, y: Any) -> list[float]:
        return list(physics.slope(FURNACE, FurnaceState(*y), inputs))

    solved = integrate.solve_ivp(right_side, (0.0, 3600.0), list(state), method="LSODA", rtol=1e-10, atol=1e-9)
    for _ in range(3600):
        state = physics.step(FURNACE, state, inputs, 1.0)
    assert np.allclose(list(state), solved.y[:, -1], atol=1e-5)


def test_more_power_heats_the_crown_within_minutes_and_the_melt_later() -> None:
    state, power = balanced(1530.0)
    start = state
    inputs = FurnaceInputs(power * 1.05, 8.0)
    for _ in range(600):
        state = physics.step(FURNACE, state, inputs, 1.0)
    assert state.crown - start.crown > 2 * (state.melt - start.melt) > 0


def test_residence_time_is_mass_over_pull() -> None:
    assert physics.residence_seconds(FURNACE, 8.0) == pytest.approx(31_250.0)

"""The furnace under its PLC's control, against another integrator and against what must hold at rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_physics.crown_control import CrownControl, CrownState, advance, slope, steady
from edged_physics.furnace import Furnace

PLANT = CrownControl(
    furnace=Furnace(),
    pull_rate=8.0,
    ambient=25.0,
    controller_gain=0.8e6,
    controller_integral_seconds=900.0,
    burner_lag_seconds=60.0,
    throat_lag_seconds=900.0,
    throat_drop=250.0,
)


@given(st.floats(1250.0, 1700.0))
def test_a_set_point_that_was_held_for_ever_moves_nothing(set_point: float) -> None:
    state = steady(PLANT, set_point)
    assert state.crown == set_point
    assert list(advance(PLANT, set_point, state, 3600.0)) == pytest.approx(list(state), rel=1e-9)


def test_it_agrees_with_lsoda() -> None:
    integrate: Any = pytest.importorskip("scipy.integrate")
    start = steady(PLANT, 1530.0)

    def right_side(_: float, y: Any) -> list[float]:
        return list(slope(PLANT, 1580.0, CrownState(*y)))

    solved = integrate.solve_ivp(right_side, (0.0, 7200.0), list(start), method="LSODA", rtol=1e-10, atol=1e-6)
    state = start
    for _ in range(120):
        state = advance(PLANT, 1580.0, state, 60.0)
    assert np.allclose(state[:3], solved.y[:3, -1], atol=0.01)
    assert state.throat - start.throat > 30.0


def test_the_glass_follows_the_crown_within_hours_and_a_little_further() -> None:
    before, after = steady(PLANT, 1530.0), steady(PLANT, 1540.0)
    assert 10.0 < after.throat - before.throat < 12.0, "the melt radiates less than the crown"
    state = advance(PLANT, 1540.0, before, 600.0)
    assert state.crown > 1535.0
    assert state.throat < before.throat + 2.0
    assert advance(PLANT, 1540.0, before, 4 * 3600.0).throat == pytest.approx(after.throat, abs=0.2)


def test_nothing_passes_in_no_time() -> None:
    state = steady(PLANT, 1530.0)
    assert advance(PLANT, 1600.0, state, 0.0) == state

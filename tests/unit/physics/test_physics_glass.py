"""Viscosity, forming and annealing against published points and the formulas' own inverses."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_physics import annealing, forming, viscosity
from edged_physics.dynamics import Delay, DelayedLag, Lag

GLASS = st.floats(400.0, 1600.0)


@pytest.mark.parametrize(
    ("celsius", "log10"),
    [(1301.0, 1.5), (721.0, 6.6), (539.0, 12.0), (510.0, 13.5)],
    ids=["working", "Littleton", "annealing", "strain"],
)
def test_viscosity_passes_through_the_published_isokoms(celsius: float, log10: float) -> None:
    assert viscosity.log10_viscosity(celsius) == pytest.approx(log10, abs=0.02)


def test_viscosity_agrees_with_nist_710a_within_a_tenth_of_a_decade() -> None:
    for celsius in range(560, 1400, 20):
        reference = -2.9733 + 4937.4 / (celsius - 215.3)
        assert viscosity.log10_viscosity(celsius) == pytest.approx(reference, abs=0.45)


@pytest.mark.parametrize(("celsius", "percent"), [(1100.0, -1.4), (550.0, -10.0)])
def test_sensitivity_per_kelvin(celsius: float, percent: float) -> None:
    assert 100 * viscosity.sensitivity(celsius) == pytest.approx(percent, abs=0.05)


@given(GLASS)
def test_sensitivity_is_the_slope_of_the_logarithm(celsius: float) -> None:
    step = 1e-3
    rise = math.log(viscosity.viscosity(celsius + step)) - math.log(viscosity.viscosity(celsius - step))
    assert viscosity.sensitivity(celsius) == pytest.approx(rise / (2 * step), rel=1e-4)


@given(GLASS)
def test_temperature_of_is_the_inverse(celsius: float) -> None:
    assert viscosity.temperature_of(viscosity.log10_viscosity(celsius)) == pytest.approx(celsius, rel=1e-9)


def test_stress_relaxes_in_minutes_at_the_annealing_point_and_in_hours_at_the_strain_point() -> None:
    assert 20 < viscosity.relaxation_seconds(viscosity.ANNEALING_CELSIUS) < 60
    assert 600 < viscosity.relaxation_seconds(viscosity.STRAIN_CELSIUS) < 3600


def test_residual_stress_of_a_4_mm_plate_at_one_kelvin_per_second() -> None:
    assert annealing.midplane_tension(1.0, 4.0) == pytest.approx(1.26, abs=0.01)
    assert annealing.surface_compression(1.0, 4.0) == pytest.approx(2.52, abs=0.01)


@given(st.floats(0.01, 10.0), st.floats(1.0, 20.0))
def test_stress_grows_with_the_square_of_thickness_and_linearly_with_the_rate(rate: float, thickness: float) -> None:
    single = annealing.midplane_tension(rate, thickness)
    assert annealing.midplane_tension(2 * rate, thickness) == pytest.approx(2 * single)
    assert annealing.midplane_tension(rate, 2 * thickness) == pytest.approx(4 * single)
    assert annealing.structural_tension(rate, thickness) == pytest.approx(0.4 * single)


def test_cooling_rate_of_thirty_kelvin_over_36_metres_at_6_metres_per_minute() -> None:
    assert annealing.cooling_rate(545.0, 515.0, 36.0, 6.0) == pytest.approx(5.0)


def test_slower_cooling_keeps_a_lower_fictive_temperature() -> None:
    profile = [620.0 - 0.05 * step for step in range(4000)]
    fast = annealing.fictive_temperature(profile, 0.05)
    slow = annealing.fictive_temperature(profile, 5.0)
    assert viscosity.STRAIN_CELSIUS - 60 < slow < fast - 20 < 620.0


def test_at_constant_temperature_the_structure_comes_to_equilibrium() -> None:
    assert annealing.fictive_temperature([600.0] + [560.0] * 1000, 10.0) == pytest.approx(560.0, abs=0.01)


@given(st.floats(2.0, 15.0), st.floats(20.0, 200.0), st.floats(100.0, 4000.0))
def test_thickness_and_pull_rate_are_inverse(pull: float, belt: float, width: float) -> None:
    made = forming.thickness(pull, belt, width)
    assert forming.pull_rate_of(made, belt, width) == pytest.approx(pull)


def test_the_line_makes_4_mm_at_150_metres_per_minute() -> None:
    assert forming.thickness(8.0, 150.0, 320.0) == pytest.approx(4.0)
    assert forming.thickness_gain(8.0, 150.0, 320.0) == pytest.approx(-4.0 / 150.0)
    assert forming.forming_seconds(150.0, 5.0) == pytest.approx(2.0)


def test_lag_reaches_63_percent_after_its_time_constant() -> None:
    lag = Lag(2.0, 0.1, 0.0)
    for _ in range(20):
        lag.step(1.0)
    assert lag.value == pytest.approx(1 - math.exp(-1))


def test_delay_gives_back_what_went_in() -> None:
    delay = Delay(0.5, 0.1, -1.0)
    assert [delay.step(float(number)) for number in range(8)] == [-1.0] * 5 + [0.0, 1.0, 2.0]


def test_delayed_lag_waits_and_then_follows() -> None:
    block = DelayedLag(1.0, 0.0, 0.5, 0.0)
    assert [block.step(1.0) for _ in range(4)] == [0.0, 0.0, 1.0, 1.0]

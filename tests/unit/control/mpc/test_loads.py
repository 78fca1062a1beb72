"""Loads at the inputs: seen by a Kalman filter, and soon where they come all at once (CARD4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged_control.mpc.disturbances import SteadyObserver, kalman_gain, stationary_covariance
from edged_control.mpc.loads import Load, LoadObserver, at_inputs
from edged_control.process_model.linear import Channel, Port, ProcessModel
from edged_control.process_model.state_space import Array

PERIOD = 10.0
NOISES = (0.5, 0.008)
PAIR = ProcessModel(
    (Port("furnace", "degC"), Port("belt", "m/min")),
    (Port("glass", "degC"), Port("thickness", "mm")),
    (
        (Channel(0.8, 1200.0, 480.0, 360.0), Channel(0.3, 20.0, 30.0, 10.0)),
        (Channel(0.045, 1290.0, 480.0, 360.0), Channel(-0.04, 90.0, 1.0, 1.0)),
    ),
)
WALKS = (Load(2.0), Load(0.3))
JUMPS = (Load(2.0, jump=5.0), Load(0.3, jump=0.5))
STEP = 12.0


def observed(observer: LoadObserver, surpluses: Array) -> list[Array]:
    """What is known of the loads after each sample."""
    found = []
    for surplus in surpluses:
        observer.advance()
        observer.correct(surplus)
        found.append(observer.state[:2])
    return found


def shown(loads: Array, seed: int) -> Array:
    """What the gauges show beside the model where the loads run like this, by the lags alone."""
    rng = np.random.default_rng(seed)
    known, _ = at_inputs(PAIR, WALKS, NOISES, PERIOD)
    state, rows = np.zeros(len(known.a)), []
    for load in loads:
        state = known.a @ state
        state[:2] = load
        rows.append(known.c @ state + rng.normal(0.0, NOISES))
    return np.array(rows)


def test_without_jumps_it_is_the_filter_with_a_constant_gain() -> None:
    known, observer = at_inputs(PAIR, WALKS, NOISES, PERIOD)
    scaled = known.c / np.array(NOISES)[:, None]
    walks = np.zeros((len(known.a), len(known.a)))
    walks[0, 0], walks[1, 1] = (load.per_hour**2 * PERIOD / 3600.0 for load in WALKS)
    gain = kalman_gain(stationary_covariance(known.a, scaled, walks), scaled) / np.array(NOISES)
    steady = SteadyObserver(known, gain)
    for surplus in np.random.default_rng(1).normal(0.0, NOISES, (200, 2)):
        for each in (steady, observer):
            each.advance()
        assert observer.correct(surplus) == pytest.approx(steady.correct(surplus), rel=1e-6, abs=1e-9)
        assert observer.state == pytest.approx(steady.state, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("which", [0, 1])
def test_a_load_that_jumps_is_known_sooner_where_jumps_are_expected(which: int) -> None:
    loads = np.zeros((400, 2))
    step = (STEP, 1.25)[which]
    loads[200:, which] = step
    off: dict[tuple[Load, ...], tuple[float, float]] = {}
    for chosen in (WALKS, JUMPS):
        wrong = []
        for seed in range(5):
            found = observed(at_inputs(PAIR, chosen, NOISES, PERIOD)[1], shown(loads, seed))
            wrong.append(np.abs(np.array(found) - loads)[:, which])
        mean = np.mean(wrong, axis=0)
        off[chosen] = float(mean[200:280].sum()), float(mean[:200].mean())
    assert off[JUMPS][0] < 0.8 * off[WALKS][0], "no sooner"
    assert off[JUMPS][1] < 1.5 * off[WALKS][1], "restless where nothing jumps"


def test_an_output_that_is_missing_for_a_day_is_waited_out() -> None:
    observer = at_inputs(PAIR, JUMPS, NOISES, PERIOD)[1]
    loads = np.tile([STEP, -0.5], (9000, 1))
    surpluses = shown(loads, 3)
    surpluses[200:8840, 1] = math.nan
    found = observed(observer, surpluses)
    assert np.isfinite(found).all()
    assert found[-1] == pytest.approx(loads[-1], abs=1.0)
    observer.advance()
    assert (observer.correct(np.array([math.nan, math.nan])) == 0.0).all()
    assert observer.evidence == pytest.approx(0.0, abs=1e-12)


def test_one_wild_value_of_a_gauge_is_no_jump_of_a_slow_load() -> None:
    """It moves the estimate about as far as where no jumps are expected."""
    moved = []
    for loads in (WALKS, (Load(2.0, jump=5.0), Load(0.3))):
        calm, struck = (at_inputs(PAIR, loads, NOISES, PERIOD)[1] for _ in range(2))
        surpluses = shown(np.zeros((60, 2)), 4)
        observed(calm, surpluses)
        surpluses[-1, 1] += 20.0 * NOISES[1]
        observed(struck, surpluses)
        moved.append(float(abs(struck.state - calm.state)[0]))
    assert moved[1] < 2.0 * moved[0]


def test_evidence_is_the_probability_density_of_what_was_seen() -> None:
    known, observer = at_inputs(PAIR, WALKS, NOISES, PERIOD)
    walks = np.zeros((len(known.a), len(known.a)))
    walks[0, 0], walks[1, 1] = (load.per_hour**2 * PERIOD / 3600.0 for load in WALKS)
    scaled = known.c / np.array(NOISES)[:, None]
    expected = scaled @ stationary_covariance(known.a, scaled, walks) @ scaled.T + np.eye(2)
    surplus = np.array([0.7, -0.02])
    observer.advance()
    observer.correct(surplus)
    wrong = surplus / np.array(NOISES)
    density = -(wrong @ np.linalg.inv(expected) @ wrong + np.log(np.linalg.det(expected))) / 2.0
    assert observer.evidence == pytest.approx(density, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e300, 1e300) | st.just(math.nan)] * 2), min_size=1, max_size=10))
def test_no_finite_surplus_poisons_it(surpluses: Sequence[tuple[float, float]]) -> None:
    observer = at_inputs(PAIR, JUMPS, NOISES, PERIOD)[1]
    for surplus in surpluses:
        observer.advance()
        observer.correct(np.array(surplus))
        assert np.isfinite(observer.state).all()
        assert math.isfinite(observer.evidence)

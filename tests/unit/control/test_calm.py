"""An estimate that rests on noise and wakes on news: calm where nothing happens, quick where something does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edged_control.calm import Calm
from edged_control.estimator import DisturbanceTuning, Estimator
from edged_control.model import Channel
from edged_control.state_space import Array, discretise
from tests.unit.control.known_processes import single

NOISE = 0.1
QUICK = DisturbanceTuning(0.0, 3.0)
SLOW = DisturbanceTuning(0.0, 40.0)
CALM = Calm(settling_seconds=40.0, smoothing_seconds=5.0, threshold=2.5, noise=1.1 * NOISE)
WAKING = replace(QUICK, calm=CALM)


def followed(tuning: DisturbanceTuning, disturbance: Array, noise: float = NOISE, seed: int = 1) -> Array:
    """The estimated disturbance of a process at rest."""
    estimator = Estimator(discretise(single(Channel(1.0, 3.0, 5.0)), 1.0), (tuning,), 1.0)
    rng, found = np.random.default_rng(seed), []
    for value in disturbance:
        seen = np.array([value + rng.normal(0.0, noise)])
        found.append(estimator.follow(seen, np.zeros(1), 1).final[0])
    return np.array(found)


def test_it_rests_on_noise() -> None:
    quick, waking, slow = (followed(tuning, np.zeros(3000))[500:].std() for tuning in (QUICK, WAKING, SLOW))
    assert slow < waking < 0.6 * quick


def test_it_wakes_on_a_step() -> None:
    step = np.concatenate([np.zeros(200), np.ones(60)])
    quick, waking, slow = (np.abs(followed(tuning, step) - step)[200:].sum() for tuning in (QUICK, WAKING, SLOW))
    assert waking < 2.0 * quick
    assert waking < 0.4 * slow


def test_its_bounds_are_the_two_constant_gains() -> None:
    step = np.concatenate([np.zeros(50), np.ones(50)])
    asleep = replace(QUICK, calm=replace(CALM, threshold=math.inf))
    awake = replace(QUICK, calm=replace(CALM, noise=1e-12))
    np.testing.assert_array_equal(followed(asleep, step), followed(SLOW, step))
    np.testing.assert_allclose(followed(awake, step), followed(QUICK, step), atol=1e-12)


def test_a_reset_puts_it_to_sleep() -> None:
    estimator = Estimator(discretise(single(Channel(1.0, 3.0, 5.0)), 1.0), (WAKING,), 1.0)
    fresh = Estimator(discretise(single(Channel(1.0, 3.0, 5.0)), 1.0), (WAKING,), 1.0)
    for value in (0.0, 5.0, 5.0, 5.0):
        estimator.follow(np.array([value]), np.zeros(1), 1)
    estimator.reset()
    for value in (1.0, 1.1, 0.9):
        again, first = (one.follow(np.array([value]), np.zeros(1), 1) for one in (estimator, fresh))
        assert again.final == pytest.approx(first.final)
        assert again.present == pytest.approx(first.present)

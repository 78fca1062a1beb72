"""The watch over a model: noise and disturbances pass, a model that does not fit is found out and comes back slowly."""

from __future__ import annotations

import math
import random

from edged_control.process_model.watch import MOST_TRIPS, ModelWatch

NOISE, PERIOD, PATIENCE = 0.01, 1.0, 40.0


def watch() -> ModelWatch:
    return ModelWatch(NOISE, PERIOD, PATIENCE)


def feed(watched: ModelWatch, error: float, periods: int) -> None:
    for _ in range(periods):
        watched.note(error, PERIOD)


def tripped(watched: ModelWatch) -> bool:
    feed(watched, 5.0 * NOISE, 60)
    return bool(watched.fault)


def test_noise_of_three_times_the_deviation_is_no_fault() -> None:
    watched, rng = watch(), random.Random(3)
    for _ in range(20_000):
        watched.note(rng.gauss(0.0, 3.0 * NOISE), PERIOD)
        assert not watched.fault


def test_a_disturbance_that_the_estimate_catches_up_with_is_no_fault() -> None:
    watched = watch()
    for _ in range(20):
        for k in range(120):
            watched.note(20.0 * NOISE * math.exp(-k / 2.0), PERIOD)
            assert not watched.fault


def test_an_error_to_one_side_is_a_fault_after_the_patience() -> None:
    watched = watch()
    feed(watched, 2.0 * NOISE, 40)
    assert not watched.fault
    feed(watched, 2.0 * NOISE, 20)
    assert watched.fault.startswith("the model has been wrong by 0.0")


def test_an_error_that_is_within_the_noise_never_is() -> None:
    watched = watch()
    feed(watched, 1.4 * NOISE, 5000)
    assert not watched.fault


def test_a_slow_swing_is_a_fault_too() -> None:
    watched = watch()
    for k in range(300):
        watched.note(8.0 * NOISE * math.sin(math.tau * k / 60.0), PERIOD)
    assert watched.fault


def test_it_comes_back_after_a_good_spell_that_doubles_each_time() -> None:
    watched = watch()
    for trip in range(1, MOST_TRIPS):
        assert tripped(watched)
        feed(watched, 0.0, round(PATIENCE * 2.0**trip))
        assert watched.fault, "its smoothed error took some periods to fade"
        feed(watched, 0.0, 40)
        assert not watched.fault


def test_a_bad_moment_starts_the_good_spell_anew() -> None:
    watched = watch()
    assert tripped(watched)
    for _ in range(20):
        feed(watched, 0.0, 60)
        feed(watched, 20.0 * NOISE, 2)
    assert watched.fault


def test_after_the_third_time_only_an_engineer_brings_it_back() -> None:
    watched = watch()
    for _ in range(MOST_TRIPS - 1):
        assert tripped(watched)
        feed(watched, 0.0, 1000)
        assert not watched.fault
    assert tripped(watched)
    assert "an engineer" in watched.fault
    feed(watched, 0.0, 100_000)
    assert watched.fault
    watched.trust()
    assert not watched.fault
    feed(watched, 0.0, 100)
    assert not watched.fault
    assert tripped(watched)
    feed(watched, 0.0, 1000)
    assert not watched.fault, "he has given it a new start"

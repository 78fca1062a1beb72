"""The slope of memory: a known leak is found to the byte, noise and one jump are none."""

from __future__ import annotations

import random

import pytest

from bench.memory import VALUES_PER_BAR, slope

MEGABYTES_PER_VALUE = 2.0 / VALUES_PER_BAR


def line(leak: float, noise: float = 0.0, seed: int = 1) -> list[tuple[float, float]]:
    rng = random.Random(seed)
    return [(n * 30_000.0, 120.0 + leak * n * 30_000.0 + rng.uniform(-noise, noise)) for n in range(10)]


def test_a_known_leak_is_found() -> None:
    assert slope(line(MEGABYTES_PER_VALUE)) * VALUES_PER_BAR == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(10))
def test_noise_hides_no_leak_and_makes_none(seed: int) -> None:
    assert slope(line(MEGABYTES_PER_VALUE, 0.1, seed)) * VALUES_PER_BAR == pytest.approx(2.0, abs=0.6)
    assert slope(line(0.0, 0.1, seed)) * VALUES_PER_BAR == pytest.approx(0.0, abs=0.6)


def test_one_jump_is_no_leak() -> None:
    flat = line(0.0)
    jumped = [*flat[:9], (flat[9][0], flat[9][1] + 20.0)]
    assert slope(jumped) == 0.0

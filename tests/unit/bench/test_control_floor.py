"""The least error that a controller can leave: what is known of it by other ways."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.control_floor import MEAN_OF_NORMAL, least_error, wandering_error
from bench.control_loop import END_SPAN
from bench.control_plants import COUPLED, SINGLES, WANDER_SHARE, Case

BELT = next(case for case in SINGLES if case.name == "belt")


def belt(noise: float, dead_time: float) -> Case:
    ((path,),) = BELT.paths
    return replace(
        BELT, outputs=(replace(BELT.outputs[0], noise=noise),), paths=((replace(path, dead_time=dead_time),),)
    )


def test_gauges_that_show_nothing_leave_the_whole_wander() -> None:
    ((path,),) = BELT.paths
    whole = WANDER_SHARE * BELT.loads[0] * abs(path.gain)
    slow = replace(belt(1e3, 7.0), paths=((replace(path, dead_time=700.0),),))
    assert wandering_error(slow) == pytest.approx(MEAN_OF_NORMAL * whole, rel=0.02)


def test_exact_gauges_leave_what_the_load_does_within_the_dead_time() -> None:
    """Of a load that wanders with the time constant of the case, x = 1 - exp(-2 t / span) of its variance is new."""
    known = replace(belt(1e-6, 100.0), period=1.0)
    load = WANDER_SHARE * BELT.loads[0] * abs(BELT.paths[0][0].gain)
    new = MEAN_OF_NORMAL * load * math.sqrt(1.0 - math.exp(-2.0 * 100.0 / known.span))
    assert wandering_error(known) == pytest.approx(new, rel=0.05)


def test_more_noise_and_more_dead_time_leave_more() -> None:
    assert wandering_error(belt(0.004, 7.0)) < wandering_error(belt(0.008, 7.0)) < wandering_error(belt(0.008, 14.0))


def test_steps_cost_at_least_the_dead_time() -> None:
    plain, stepped = replace(COUPLED, steps=(5.0, 0.0)), replace(COUPLED, steps=(5.0, 0.05))
    assert least_error(stepped) - least_error(plain) == pytest.approx(2.0 * 0.05 * 7.0)
    assert least_error(plain) > wandering_error(plain) * END_SPAN * plain.span

"""A plant that differs from its model: the MPC finds out how, and nothing changes its mind for nothing (CARD4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from edged_control.mpc.disturbances import DisturbanceTuning
from edged_control.mpc.linear import Fault, InputLimits, Mpc, MpcTuning, Plan
from edged_control.mpc.loads import Load
from edged_control.mpc.multiple import Deviations, MultipleModelMpc, variants_of
from edged_control.process_model.linear import Channel, Port, ProcessModel
from edged_control.process_model.state_space import discretise

BELT = ProcessModel((Port("belt", "m/min"),), (Port("thickness", "mm"),), ((Channel(-0.04, 20.0, 3.0, 1.0),),))
LIMITS = (InputLimits(50.0, 200.0, 1.0),)
NOISE = 0.005
TUNING = MpcTuning(1.0, 80.0, (0.02,), (1.0,), (0.0,), (DisturbanceTuning(0.0, 10.0),), (Load(3.0),), (NOISE,))
DEVIATIONS = (Deviations(gain=(1.3,), dead_time=(0.8, 1.25, 1.5)),)


def bank() -> MultipleModelMpc:
    return MultipleModelMpc(variants_of(BELT, DEVIATIONS), TUNING, LIMITS)


def plant_with(gain: float = 1.0, dead_time: float = 1.0) -> ProcessModel:
    channel = BELT.channels[0][0]
    own = replace(channel, gain=channel.gain * gain, dead_time_seconds=channel.dead_time_seconds * dead_time)
    return replace(BELT, channels=((own,),))


def run(mpc: Mpc | MultipleModelMpc, plant: ProcessModel, set_points: Sequence[float], seed: int = 1) -> list[float]:
    """Errors of the true output."""
    rng = np.random.default_rng(seed)
    system = discretise(plant, 1.0)
    state, applied, errors = system.steady(np.zeros(1)), 100.0, []
    for wanted in set_points:
        true = 4.0 + float((system.c @ state)[0])
        plan = mpc.update([wanted], [true + rng.normal(0.0, NOISE)], [applied], 1.0)
        assert isinstance(plan, Plan), plan
        (applied,) = plan.inputs
        state = system.advance(state, np.array([applied - 100.0]))
        errors.append(true - wanted)
    return errors


STEPS = [4.0] * 50 + ([4.1] * 150 + [4.0] * 150) * 3


def test_the_model_itself_comes_first_and_every_variant_says_how_it_differs() -> None:
    pair = replace(
        BELT, inputs=(*BELT.inputs, Port("furnace", "degC")), channels=((BELT.channels[0][0], Channel(0.1, 40.0, 9.0)),)
    )
    found = variants_of(pair, [Deviations(gain=(0.8,)), Deviations(dead_time=(1.5,))])
    assert [variant.name for variant in found] == [
        "",
        "dead time of furnace x1.5",
        "gain of belt x0.8",
        "gain of belt x0.8, dead time of furnace x1.5",
    ]
    assert found[0].model == pair
    assert found[3].model.channels == ((Channel(-0.04 * 0.8, 20.0, 3.0, 1.0), Channel(0.1, 60.0, 9.0)),)


@pytest.mark.parametrize(
    ("gain", "dead_time", "name"),
    [
        (1.0, 1.5, "dead time of belt x1.5"),
        (1.3, 1.0, "gain of belt x1.3"),
        (1.3, 1.25, "gain of belt x1.3, dead time of belt x1.25"),
    ],
)
def test_it_finds_how_the_plant_differs_and_controls_it_the_better(gain: float, dead_time: float, name: str) -> None:
    plain, knowing, plant = Mpc(BELT, TUNING, LIMITS), bank(), plant_with(gain, dead_time)
    errors = [sum(map(abs, run(mpc, plant, STEPS)[350:])) for mpc in (plain, knowing)]
    assert knowing.assumed == name
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize(
    ("gain", "dead_time"),
    [(1.0, 1.4), (0.9, 1.1), (1.2, 1.3), (1.1, 1.1), (1.0, 1.1), (0.7, 1.0), (0.75, 1.25), (1.0, 0.85), (1.5, 1.5)],
)
def test_a_plant_that_is_none_of_the_variants_is_never_controlled_worse(gain: float, dead_time: float) -> None:
    plain, knowing, plant = Mpc(BELT, TUNING, LIMITS), bank(), plant_with(gain, dead_time)
    errors = [sum(map(abs, run(mpc, plant, STEPS)[350:])) for mpc in (plain, knowing)]
    assert errors[1] <= 1.05 * errors[0]


def test_a_plant_that_fits_is_left_at_its_model() -> None:
    for seed in range(5):
        knowing, plain = bank(), Mpc(BELT, TUNING, LIMITS)
        assert run(knowing, BELT, STEPS, seed) == run(plain, BELT, STEPS, seed)
        assert knowing.assumed == ""


def test_a_plant_that_stands_still_tells_nothing() -> None:
    knowing = bank()
    rng = np.random.default_rng(2)
    for _ in range(2000):
        knowing.update([4.0], [4.0 + rng.normal(0.0, NOISE)], [100.0], 1.0)
    assert knowing.assumed == ""


@pytest.mark.parametrize("wild", [4.5, 1e9, -1e300])
def test_one_wild_value_decides_nothing(wild: float) -> None:
    knowing = bank()
    run(knowing, plant_with(dead_time=1.5), STEPS)
    before = knowing.assumed
    with np.errstate(over="ignore"):
        knowing.update([4.0], [wild], [100.0], 1.0)
    assert knowing.assumed == before


def test_it_forgets_how_the_plant_differed() -> None:
    knowing = bank()
    run(knowing, plant_with(dead_time=1.5), STEPS)
    knowing.reset()
    assert knowing.assumed == ""
    assert run(knowing, BELT, STEPS) == run(bank(), BELT, STEPS)


def test_the_same_calls_give_the_same_numbers() -> None:
    plant = plant_with(1.3, 1.25)
    assert run(bank(), plant, STEPS) == run(bank(), plant, STEPS)


def test_bad_numbers_are_faults_of_all_and_are_forgotten_by_all() -> None:
    knowing = bank()
    assert isinstance(knowing.update([4.0], [math.nan], [100.0], 1.0), Fault)
    run(knowing, BELT, [4.0] * 20)
    assert isinstance(knowing.update([4.0], [4.0], [math.nan], 1.0), Fault)
    assert isinstance(knowing.update([4.0], [4.0], [100.0], math.nan), Plan | Fault)
    assert knowing.began
    assert isinstance(knowing.update([4.0], [4.0], [100.0], 1.0), Plan)

"""State-space models: exact at every multiple of their period, bad ones refused, an MPC that runs on them (IGN7)."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_control.mpc.disturbances import DisturbanceTuning
from edged_control.mpc.linear import InputLimits, Mpc, MpcTuning, Plan
from edged_control.mpc.settings import proposed
from edged_control.process_model.linear import (
    Artefact,
    Channel,
    ProcessModel,
    UnusableModel,
    encoded,
    faults_of,
    load,
    save,
)
from edged_control.process_model.state_space import discretise
from edged_control.solver.messages import InputRange, Question, Setup
from edged_control.solver.workbench import Workbench
from tests.unit.control.known_processes import in_state_space, single, swinging

MODEL = swinging()
ARTEFACT = Artefact(MODEL, 1.0, (95.0,), (93.0,), (0.01,), "step test", "abc")


def changed(**changes: Any) -> ProcessModel:
    assert MODEL.dynamics is not None
    return replace(MODEL, dynamics=replace(MODEL.dynamics, **changes))


@given(st.integers(1, 7), st.integers(0, 12), st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=8))
def test_a_longer_period_gives_the_same_outputs(count: int, delay: int, moves: list[float]) -> None:
    fine, coarse = discretise(changed(delays=(delay,)), 1.0), discretise(changed(delays=(delay,)), float(count))
    own, other = np.zeros(len(fine.a)), np.zeros(len(coarse.a))
    for move in [*moves, *[0.0] * 8]:
        np.testing.assert_allclose(coarse.c @ other, fine.c @ own, atol=1e-9)
        for _ in range(count):
            own = fine.a @ own + fine.b @ np.array([move])
        other = coarse.a @ other + coarse.b @ np.array([move])


def test_the_steady_state_has_the_stated_gain() -> None:
    system = discretise(MODEL, 2.0)
    assert system.c @ system.steady(np.array([3.0])) == pytest.approx([6.0])


@pytest.mark.parametrize("period", [0.5, 1.5, 2.000001])
def test_a_period_between_is_refused(period: float) -> None:
    with pytest.raises(UnusableModel, match="multiple of the model's 1 s"):
        discretise(MODEL, period)


def test_it_settles_when_its_dynamics_do() -> None:
    assert MODEL.settling_seconds == 60.0
    assert replace(MODEL, dynamics=None).settling_seconds == 3.0 + 4.0 * 4.0


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"a": ((1.0, 0.0), (0.0, 0.5))}, "not stable"),
        ({"a": ((1.5, 0.0), (0.0, 0.5))}, "not stable"),
        ({"a": ((0.0, 1e200), (1e200, 0.0))}, "not stable"),
        ({"a": ((math.nan, 0.0), (0.0, 0.5))}, "finite"),
        ({"a": ((0.5,),)}, "must fit 1 states"),
        ({"a": ()}, "1 to 40 states, got 0"),
        ({"b": ((1.0,),)}, "must fit 2 states"),
        ({"c": ((1.0, 1.0),)}, "the gain is stated as 2"),
        ({"delays": (-1,)}, "within 0..2000"),
        ({"delays": (10**9,)}, "within 0..2000"),
        ({"delays": ()}, "must be 1 numbers"),
        ({"period_seconds": 0.0}, "above 0"),
        ({"settling_seconds": math.inf}, "finite"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], what: str) -> None:
    assert what in faults_of(changed(**changes))[0]


def test_an_artefact_comes_back_and_says_its_format(tmp_path: Path) -> None:
    path = tmp_path / "level.json"
    save(ARTEFACT, path)
    assert load(path) == ARTEFACT
    assert json.loads(path.read_text())["format"] == "edged-process-model-2"
    save(replace(ARTEFACT, model=single(Channel(1.0))), path)
    assert json.loads(path.read_text())["format"] == "edged-process-model-1"
    assert "dynamics" not in path.read_text()


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("edged-process-model-2", "edged-process-model-1", "hash"),
        ('"dynamics"', '"Dynamics"', "cannot be read"),
        ('"delays": [', '"delays": [0.5, ', "whole periods"),
        ('"settling_seconds": 60.0', '"settling_seconds": 61.0', "hash"),
    ],
)
def test_a_changed_artefact_is_refused(tmp_path: Path, old: str, new: str, what: str) -> None:
    path = tmp_path / "level.json"
    save(ARTEFACT, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UnusableModel, match=what):
        load(path)


def test_the_solver_plans_the_same_on_either_form() -> None:
    """The whole way that an artefact goes to the process that solves."""
    plain = single(Channel(-0.04, 7.0, 2.0, 1.0))
    answers = []
    for model in (plain, in_state_space(plain)):
        workbench = Workbench(
            Setup(
                artefact=encoded(replace(ARTEFACT, model=model)),
                settings=proposed(plain, Path("level.json"), [1.0], 1.0),
                limits=(InputRange(low=0.0, high=100.0, rate_per_second=1.0),),
                period_seconds=1.0,
            )
        )
        ask = partial(Question, set_points=(4.1,), outputs=(4.0,), applied=(50.0,), seconds=1.0, fresh=False)
        answers.append([workbench.answer(ask(number=number)) for number in range(5)])
    for one, other in zip(*answers, strict=True):
        assert one.inputs == pytest.approx(other.inputs, abs=1e-9)
        assert one.errors == pytest.approx(other.errors, abs=1e-9)
    assert answers[0][0].inputs[0] < 50.0


def test_an_mpc_brings_a_swinging_process_to_rest() -> None:
    """By the truth of the model that it knows, and without an offset under a load that it does not."""
    tuning = MpcTuning(2.0, 60.0, (1.0,), (1.0,), (4.0,), (DisturbanceTuning(4.0, 4.0),))
    mpc = Mpc(MODEL, tuning, [InputLimits(0.0, 100.0, 2.0)])
    system = discretise(MODEL, 2.0)
    state, applied, seen = np.zeros(len(system.a)), 50.0, []
    for _ in range(120):
        seen.append(100.0 + float((system.c @ state)[0]))
        plan = mpc.update([101.0], [seen[-1]], [applied], 2.0)
        assert isinstance(plan, Plan)
        applied = plan.inputs[0]
        state = system.a @ state + system.b @ np.array([applied - 50.0 + 0.3])
    assert seen[-1] == pytest.approx(101.0, abs=1e-3)
    np.testing.assert_allclose(seen[60:], 101.0, atol=0.05)

"""Process models: their exact discrete form, and an artefact that only comes back as it was written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_control.process_model.linear import (
    Artefact,
    Channel,
    Port,
    ProcessModel,
    UnusableModel,
    faults_of,
    load,
    save,
)
from edged_control.process_model.state_space import discretise

BELT, THICKNESS = Port("line/belt", "m/min"), Port("line/thickness", "mm")
SINGLE = ProcessModel((BELT,), (THICKNESS,), ((Channel(-0.04, 7.0, 2.0, 1.0),),))
ARTEFACT = Artefact(SINGLE, 1.0, (95.0,), (93.0,), (0.01,), "step test of 3 March", "abc")

times = st.floats(0.3, 30.0)


def single(channel: Channel) -> ProcessModel:
    return ProcessModel((BELT,), (THICKNESS,), ((channel,),))


def exact(channel: Channel, seconds: float) -> float:
    """The step response as the textbooks give it."""
    passed = max(seconds - channel.dead_time_seconds, 0.0)
    slow, fast = channel.lag_seconds, channel.second_lag_seconds
    if fast == 0.0:
        return channel.gain * (1.0 - math.exp(-passed / slow))
    mixed = (slow * math.exp(-passed / slow) - fast * math.exp(-passed / fast)) / (slow - fast)
    return channel.gain * (1.0 - mixed)


@given(st.floats(-5.0, 5.0), st.floats(0.0, 20.0), times, times, st.floats(0.2, 4.0))
def test_the_discrete_model_is_exact_at_the_samples(
    gain: float, dead_time: float, lag: float, second: float, period: float
) -> None:
    channel = Channel(gain or 1.0, dead_time, lag, second if abs(second - lag) > 0.1 else 0.0)
    found = discretise(single(channel), period).step_responses(30)[:, 0, 0]
    wanted = [exact(channel, n * period) for n in range(31)]
    np.testing.assert_allclose(found, wanted, atol=1e-6 * abs(channel.gain))


def test_a_steady_state_stays_and_shows_the_gains() -> None:
    model = ProcessModel(
        (BELT, Port("line/furnace", "degC")),
        (THICKNESS, Port("line/glass", "degC")),
        ((Channel(-0.04, 7, 1, 1), Channel(0.045, 60, 20, 5)), (Channel(0.3, 2.5, 3), Channel(0.0))),
    )
    system, inputs = discretise(model, 2.0), np.array([10.0, -4.0])
    state = system.steady(inputs)
    np.testing.assert_allclose(system.a @ state + system.b @ inputs, state, atol=1e-9)
    np.testing.assert_allclose(system.c @ state, [-0.4 - 0.18, 3.0], atol=1e-9)


def test_the_state_keeps_one_row_of_past_inputs_per_input() -> None:
    model = ProcessModel((BELT,), (THICKNESS, Port("line/x", "1")), ((Channel(1, 5, 1),), (Channel(1, 3.5, 1),)))
    assert len(discretise(model, 1.0).a) == 2 + 5


@pytest.mark.parametrize(
    ("channel", "what"),
    [
        (Channel(math.nan), "finite"),
        (Channel(1.0, -1.0), "negative"),
        (Channel(1.0, 1.0, 0.0), "above 0"),
        (Channel(1.0, 1.0, 1.0, math.inf), "finite"),
        (Channel(0.0), "no input moves it"),
    ],
)
def test_a_wrong_channel_is_named(channel: Channel, what: str) -> None:
    assert what in faults_of(single(channel))[0]
    with pytest.raises(UnusableModel, match=what):
        discretise(single(channel), 1.0)


def test_wrong_shapes_and_names_are_named() -> None:
    assert "1 rows of 1" in faults_of(ProcessModel((BELT,), (THICKNESS,), ()))[0]
    assert "each once" in faults_of(ProcessModel((BELT,), (BELT,), ((Channel(1.0),),)))[0]
    assert "none" in faults_of(ProcessModel((), (), ()))[0]


def test_an_artefact_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "belt.json"
    save(ARTEFACT, path)
    assert load(path) == ARTEFACT
    assert load(path, (BELT,), (THICKNESS,)).hash == ARTEFACT.hash


def test_the_hash_covers_every_number() -> None:
    other = replace(ARTEFACT, model=single(replace(SINGLE.channels[0][0], dead_time_seconds=7.0000001)))
    assert other.hash != ARTEFACT.hash
    assert replace(ARTEFACT, data_hash="abd").hash != ARTEFACT.hash


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("-0.04", "-0.05", "hash"),
        ("edged-process-model-1", "edged-process-model-9", "format"),
        ('"gain"', '"Gain"', "cannot be read"),
        ("7.0", "NaN", "finite"),
        ("{", "[", "cannot be read"),
        ("line/belt", "line/bolt", "hash"),
    ],
)
def test_a_changed_artefact_is_refused(tmp_path: Path, old: str, new: str, what: str) -> None:
    path = tmp_path / "belt.json"
    save(ARTEFACT, path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UnusableModel, match=what):
        load(path)


def test_an_artefact_for_other_signals_or_units_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "belt.json"
    save(ARTEFACT, path)
    with pytest.raises(UnusableModel, match="line/furnace"):
        load(path, (Port("line/furnace", "degC"),), (THICKNESS,))
    with pytest.raises(UnusableModel, match="outputs must be"):
        load(path, (BELT,), (Port("line/thickness", "um"),))


def test_an_absent_or_hashless_artefact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="cannot be read"):
        load(tmp_path / "none.json")
    path = tmp_path / "belt.json"
    save(ARTEFACT, path)
    content = json.loads(path.read_text())
    del content["hash"]
    path.write_text(json.dumps(content))
    with pytest.raises(UnusableModel, match="hash"):
        load(path)


def test_an_unusable_model_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel):
        save(replace(ARTEFACT, model=single(Channel(math.nan))), tmp_path / "bad.json")
    assert not (tmp_path / "bad.json").exists()

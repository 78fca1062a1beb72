"""Identification: known models are found again, and data that can't carry one is refused with the reason."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edged_control.identification.identify import IdentificationReport, identify
from edged_control.identification.recording import Recording
from edged_control.process_model.linear import Channel, Port, ProcessModel
from edged_control.process_model.state_space import discretise

ONE_LAG = ((Channel(2.0, 7.3, 4.0),),)
TWO_LAGS = ((Channel(-1.5, 20.0, 8.0, 6.0),),)
PAIR = (
    (Channel(0.8, 20.0, 8.0, 6.0), Channel(0.3, 3.0, 4.0, 1.0)),
    (Channel(0.5, 21.0, 8.0, 6.0), Channel(-0.4, 7.0, 2.0, 1.0)),
)


def record(
    channels: tuple[tuple[Channel, ...], ...], samples: int = 800, noise: float = 0.02, seed: int = 3, **changes: Any
) -> Recording:
    """A plant in discrete time, its inputs moved at random between three levels."""
    rng = np.random.default_rng(seed)
    model = ProcessModel(
        tuple(Port(f"line/u{j}", "m/min") for j in range(len(channels[0]))),
        tuple(Port(f"line/y{i}", "mm") for i in range(len(channels))),
        channels,
    )
    system = discretise(model, 1.0)
    held = np.zeros(len(channels[0]))
    state = system.steady(held)
    inputs, outputs = np.zeros((samples, len(held))), np.zeros((samples, len(channels)))
    for k in range(samples):
        outputs[k] = 100.0 + system.c @ state + rng.normal(0.0, noise, len(channels))
        held = np.where(rng.random(len(held)) < 1 / 40, rng.choice([-1.0, 0.0, 1.0], len(held)), held)
        inputs[k] = 5.0 + held
        state = system.a @ state + system.b @ held
    return replace(Recording(1.0, model.inputs, model.outputs, inputs, outputs), **changes)


def assert_found(report: IdentificationReport, channels: tuple[tuple[Channel, ...], ...]) -> None:
    assert report.faults == ()
    assert report.artefact is not None
    for row, wanted in zip(report.artefact.model.channels, channels, strict=True):
        for found, true in zip(row, wanted, strict=True):
            assert found.gain == pytest.approx(true.gain, rel=0.03)
            assert found.dead_time_seconds == pytest.approx(true.dead_time_seconds, abs=0.7)
            lags = found.lag_seconds + found.second_lag_seconds
            assert lags == pytest.approx(true.lag_seconds + true.second_lag_seconds, rel=0.1)


@pytest.mark.parametrize("channels", [ONE_LAG, TWO_LAGS], ids=["one lag", "two lags"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_known_model_is_found_again(channels: tuple[tuple[Channel, ...], ...], seed: int) -> None:
    assert_found(identify(record(channels, seed=seed)), channels)


def test_a_pair_is_found_again() -> None:
    assert_found(identify(record(PAIR, samples=1500)), PAIR)


def test_one_lag_is_not_dressed_up_as_two() -> None:
    (channel,) = identify(record(ONE_LAG)).outputs[0].channels
    assert channel.second_lag_seconds < 0.1 * channel.lag_seconds


def test_a_past_that_fades_does_not_spoil_the_gain() -> None:
    recording = record(ONE_LAG)
    fading = 5.0 * np.exp(-np.arange(800) / 4.0)[:, None]
    assert_found(identify(replace(recording, outputs=recording.outputs + fading)), ONE_LAG)


def test_the_artefact_says_where_it_comes_from() -> None:
    recording = record(ONE_LAG)
    report = identify(recording, "step test")
    assert report.artefact is not None
    assert report.artefact.source == "step test"
    assert report.artefact.data_hash == recording.hash
    assert report.artefact.held_out_percent[0] > 90.0


def refused(recording: Recording, reason: str) -> None:
    report = identify(recording)
    assert report.artefact is None
    assert any(reason in fault for fault in report.faults), report.faults


def test_too_little_is_refused() -> None:
    recording = record(ONE_LAG)
    refused(replace(recording, inputs=recording.inputs[:99], outputs=recording.outputs[:99]), "at least 100 samples")
    refused(replace(recording, outputs=recording.outputs[:500]), "at least")
    refused(replace(recording, period_seconds=0.0), "period")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    recording = record(ONE_LAG)
    outputs = recording.outputs.copy()
    outputs[17] = bad
    refused(replace(recording, outputs=outputs), "not finite")


def test_an_input_that_stands_still_is_refused() -> None:
    recording = record(ONE_LAG)
    refused(replace(recording, inputs=np.full_like(recording.inputs, 5.0)), "moves 0 times")
    stopped = recording.inputs.copy()
    stopped[540:] = stopped[540]
    refused(replace(recording, inputs=stopped), "held-out part")


def test_an_output_that_stands_still_is_refused() -> None:
    recording = record(ONE_LAG)
    refused(replace(recording, outputs=np.full_like(recording.outputs, 4.0)), "does not move")


def test_inputs_that_move_together_are_refused() -> None:
    recording = record(PAIR, samples=600)
    inputs = recording.inputs.copy()
    inputs[:, 1] = 2.0 * inputs[:, 0]
    refused(replace(recording, inputs=inputs), "move alike")


def test_an_output_that_does_not_follow_is_refused() -> None:
    recording = record(ONE_LAG)
    noise = np.random.default_rng(5).normal(size=recording.outputs.shape)
    refused(replace(recording, outputs=noise), "the model explains")


def test_a_plant_that_changed_after_the_test_is_refused() -> None:
    recording = record(ONE_LAG)
    outputs = recording.outputs.copy()
    outputs[560:] = 200.0 - outputs[560:]
    refused(replace(recording, outputs=outputs), "on the held-out part")


def test_an_integrating_process_is_refused() -> None:
    recording = record(ONE_LAG)
    outputs = np.cumsum(np.roll(recording.inputs - 5.0, 1, axis=0), axis=0) * 0.1
    refused(replace(recording, outputs=outputs), "integrate")

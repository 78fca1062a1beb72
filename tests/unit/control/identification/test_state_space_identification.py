"""Processes that dead time and lags can't describe, and histories of loops that a controller led (IGN7)."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged_control.identification.identify import identify
from edged_control.identification.recording import Recording
from edged_control.identification.residuals import left_over, unwhiteness
from edged_control.identification.structures import Structure
from edged_control.process_model.dynamics import Dynamics
from edged_control.process_model.linear import Channel, Port, ProcessModel
from edged_control.process_model.state_space import discretise
from tests.unit.control.known_processes import moved_by_a_controller, moved_by_hand, single, stepping, swinging

PLAIN = Channel(2.0, 5.0, 10.0)
PAIR = ProcessModel(
    (Port("line/a", "%"), Port("line/b", "%")),
    (Port("line/x", "mm"), Port("line/y", "degC")),
    ((Channel(0.8, 4.0, 12.0), Channel(0.3, 2.0, 6.0)), (Channel(0.5, 4.0, 12.0), Channel(-0.4, 2.0, 6.0))),
)


def found(recording: Recording, structure: Structure = Structure.AUTO) -> ProcessModel:
    report = identify(recording, "history", structure)
    assert report.faults == ()
    assert report.artefact is not None
    return report.artefact.model


def assert_same_answer(model: ProcessModel, truth: ProcessModel, share: float) -> None:
    """Every step response stays within a share of its gain."""
    steps = 80
    responses, wanted = discretise(model, 1.0).step_responses(steps), discretise(truth, 1.0).step_responses(steps)
    assert (np.abs(responses - wanted) <= share * np.abs(wanted[-1])).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_process_that_swings_and_first_goes_the_wrong_way_is_found(seed: int) -> None:
    truth = swinging()
    model = found(moved_by_hand(truth, noise=0.1, seed=seed))
    assert model.dynamics is not None
    assert model.dynamics.delays == (3,)
    assert_same_answer(model, truth, 0.05)
    (channel,) = model.channels[0]
    assert channel.gain == pytest.approx(2.0, rel=0.02)
    assert 40.0 < model.dynamics.settling_seconds < 80.0


def test_dead_time_and_a_lag_stay_what_they_are() -> None:
    assert found(moved_by_hand(single(PLAIN))).dynamics is None


@pytest.mark.parametrize("channel", [PLAIN, Channel(-0.5, 0.0, 6.0), Channel(1.0, 20.0, 5.0, 4.0)])
def test_a_state_space_says_the_same_of_a_plain_process(channel: Channel) -> None:
    recording = moved_by_hand(single(channel), noise=0.02)
    assert_same_answer(found(recording, Structure.STATE_SPACE), single(channel), 0.06)


def test_a_pair_shares_its_poles() -> None:
    model = found(moved_by_hand(PAIR, 2000, 0.02), Structure.STATE_SPACE)
    assert_same_answer(model, PAIR, 0.1)


def test_a_structure_that_was_asked_for_is_kept() -> None:
    recording = moved_by_hand(single(PLAIN))
    assert found(recording, Structure.FOPDT).channels[0][0].second_lag_seconds == 0.0
    assert found(recording, Structure.SOPDT).channels[0][0].second_lag_seconds > 0.0
    report = identify(moved_by_hand(swinging(damping=0.1)), "", Structure.FOPDT)
    assert report.structure is Structure.FOPDT
    assert report.artefact is None


def test_an_integrating_process_has_no_state_space() -> None:
    recording = moved_by_hand(single(PLAIN))
    outputs = np.cumsum(np.roll(recording.inputs - 50.0, 1, axis=0), axis=0) * 0.1
    noisy = outputs + np.random.default_rng(1).normal(0.0, 0.01, outputs.shape)
    report = identify(replace(recording, outputs=noisy), "", Structure.STATE_SPACE)
    assert report.artefact is None


def test_the_residual_tells_what_is_missing() -> None:
    recording = moved_by_hand(swinging(), noise=0.05)
    (good,) = identify(recording, "", Structure.STATE_SPACE).outputs
    (poor,) = identify(recording, "", Structure.FOPDT).outputs
    assert good.unwhiteness < 1.0 < poor.unwhiteness
    assert good.left_over[0] < 1.0 < poor.left_over[0]
    assert good.held_out_answer.value == pytest.approx(1.0, abs=0.05)


def test_the_tests_of_a_residual_keep_to_chance() -> None:
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(size=2000)) * 0.1
    white = [(unwhiteness(noise), left_over(noise, walk)) for noise in rng.normal(size=(200, 2000))]
    assert sum(one > 1.0 for one, _ in white) <= 2
    assert sum(other > 1.0 for _, other in white) <= 8
    assert unwhiteness(walk) > 10.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_history_under_control_gives_the_process_and_not_the_controller(seed: int) -> None:
    report = identify(moved_by_a_controller(single(PLAIN), stepping(2500, seed=seed), 0.03, seed=seed))
    assert [port.signal for port in report.led] == ["line/valve"]
    assert report.faults == ()
    (channel,), (error,) = report.outputs[0].channels, report.outputs[0].gain_errors
    assert abs(channel.gain - PLAIN.gain) < max(3.0 * error, 0.1)
    assert channel.gain == pytest.approx(PLAIN.gain, rel=0.15)
    assert channel.dead_time_seconds == pytest.approx(PLAIN.dead_time_seconds, abs=1.5)
    assert report.outputs[0].held_out_answer.value == pytest.approx(1.0, abs=0.3)


def test_a_recording_moved_by_hand_is_not_taken_for_one_under_control() -> None:
    assert all(identify(moved_by_hand(single(PLAIN), seed=seed)).led == () for seed in range(1, 6))


def test_a_loop_whose_set_point_never_moved_teaches_nothing() -> None:
    report = identify(moved_by_a_controller(single(PLAIN), [0.0] * 1500, 0.05))
    assert report.artefact is None
    assert "change its set-point" in report.faults[0]


def test_a_set_point_that_hardly_moved_is_not_enough() -> None:
    report = identify(moved_by_a_controller(single(PLAIN), stepping(size=0.4), 0.2))
    assert report.artefact is None
    assert any("uncertain" in fault or "needed" in fault for fault in report.faults)


def test_normal_operation_of_a_plant_is_refused_with_reasons(recorded_data: Path) -> None:
    """Tennessee Eastman: the reactor's cooling water follows its temperature, and nobody moves the set-point."""
    with gzip.open(recorded_data / "tep" / "d00.dat.gz") as file:
        rows = np.loadtxt(file).T
    water, temperature = Port("tep/xmv_10", "%"), Port("tep/xmeas_9", "degC")
    report = identify(Recording(180.0, (water,), (temperature,), rows[:, [50]], rows[:, [8]]))
    assert report.led == (water,)
    assert report.artefact is None
    assert any("the gain" in fault and "uncertain" in fault for fault in report.faults)


def test_the_matrices_are_those_of_the_fit() -> None:
    dynamics = found(moved_by_hand(PAIR, 2000, 0.02), Structure.STATE_SPACE).dynamics
    assert isinstance(dynamics, Dynamics)
    assert len(dynamics.b[0]) == len(dynamics.c) == 2

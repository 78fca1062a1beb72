"""Loop KPIs: what a window says about its loop, against processes whose answer is known (IGN6)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edged_control.kpi.assessment import DELAYS, LoopAssessment, assess
from edged_control.kpi.data_gates import data_faults
from edged_control.kpi.harris import harris_indices
from edged_control.kpi.movement import movement
from edged_control.kpi.oscillation import autocorrelation, oscillation
from edged_control.kpi.stiction import Finding, bicoherence, cross_correlation, curve_index
from edged_control.kpi.window import Cycle, Floats, LoopWindow, WindowRecorder
from tests.unit.control.kpi.simulated_loop import HIGH, LOW, START, SimulatedLoop

SAMPLES = 2000
NOISE = np.random.default_rng(3).standard_normal(SAMPLES)
SECONDS = np.arange(SAMPLES, dtype=np.float64)


def window(process_value: Floats, output: Floats, set_point: Floats | float = START) -> LoopWindow:
    set_points = np.broadcast_to(np.asarray(set_point, np.float64), process_value.shape)
    cycles = [
        Cycle(float(k), float(r), float(y), float(u), LOW, HIGH, automatic=True, clipped=False, fell_back=False)
        for k, (r, y, u) in enumerate(zip(set_points, process_value, output, strict=True))
    ]
    return LoopWindow.of(cycles, 1.0)


def text(judged: LoopAssessment) -> str:
    return "; ".join(reason.text for reason in judged.reasons)


@pytest.mark.parametrize("pole", [0.5, 0.9])
def test_the_harris_index_of_a_known_process(pole: float) -> None:
    shocks = np.random.default_rng(5).standard_normal(20_000)
    error = np.zeros_like(shocks)
    for k in range(1, len(shocks)):
        error[k] = pole * error[k - 1] + shocks[k]
    found = harris_indices(error, (1, 2, 5))
    expected = [1.0 - pole ** (2 * delay) for delay in (1, 2, 5)]
    assert found == pytest.approx(expected, abs=0.03)


def test_the_harris_index_of_white_noise_is_one_and_of_a_swing_nearly_zero() -> None:
    assert min(harris_indices(NOISE, DELAYS)) > 0.95
    assert max(harris_indices(np.sin(SECONDS / 8.0) + 0.001 * NOISE, DELAYS)) < 0.05
    assert harris_indices(np.ones(200), DELAYS) == (1.0,) * len(DELAYS)


@pytest.mark.parametrize("period", [12.0, 40.0, 150.0])
def test_a_swing_is_found_with_its_period(period: float) -> None:
    found = oscillation(np.sin(2.0 * np.pi * SECONDS / period) + 0.2 * NOISE, 2.0)
    assert found.found
    assert found.period_seconds == pytest.approx(2.0 * period, rel=0.02)


@pytest.mark.parametrize("values", [NOISE, np.cumsum(NOISE), np.ones(SAMPLES), np.exp(-SECONDS / 50.0)])
def test_noise_drift_and_constants_do_not_swing(values: Floats) -> None:
    found = oscillation(values, 1.0)
    assert not found.found
    assert math.isfinite(found.decay_ratio)


def test_autocorrelation_is_that_of_its_definition() -> None:
    values = NOISE[:64] - NOISE[:64].mean()
    expected = [float(values[lag:] @ values[: len(values) - lag] / (values @ values)) for lag in range(32)]
    assert autocorrelation(NOISE[:64]) == pytest.approx(expected)


def test_a_triangle_is_a_sticking_valve_and_a_sinusoid_is_none() -> None:
    triangle = 2.0 * np.abs(2.0 * ((SECONDS / 50.0) % 1.0) - 1.0) - 1.0
    assert curve_index(triangle + 0.02 * NOISE) > 0.6
    assert curve_index(np.sin(2.0 * np.pi * SECONDS / 50.0) + 0.02 * NOISE) < 0.4
    assert curve_index(np.linspace(-1.0, 1.0, 100)) == 0.5


def test_output_and_process_value_a_quarter_apart_are_a_sticking_valve_half_apart_they_are_none() -> None:
    output = np.sin(2.0 * np.pi * SECONDS / 50.0)
    assert cross_correlation(output, -np.cos(2.0 * np.pi * SECONDS / 50.0)) is Finding.STICTION
    assert cross_correlation(output, -output) is Finding.NONE
    assert cross_correlation(output, np.ones(SAMPLES)) is Finding.UNDECIDED


def test_coupled_waves_are_not_linear() -> None:
    wave = np.sin(2.0 * np.pi * SECONDS / 16.0 + 0.3)
    assert bicoherence(wave + wave**2 + 0.1 * NOISE) is Finding.STICTION
    assert bicoherence(NOISE) is Finding.NONE
    assert bicoherence(NOISE[:100]) is Finding.UNDECIDED


def test_error_integrals_and_travel_of_a_window_worked_out_by_hand() -> None:
    set_point = np.array([1.0, 1.0, 3.0, 3.0, 3.0, 3.0])
    process_value = np.array([1.0, 1.0, 1.0, 2.0, 3.0, 3.0])
    output = np.array([5.0, 5.0, 8.0, 6.0, 7.0, 7.0])
    found = movement(replace(window(process_value, output, set_point), period_seconds=2.0))
    assert found.integral_absolute_error == 2.0 * (2.0 + 1.0)
    assert found.integral_squared_error == 2.0 * (4.0 + 1.0)
    assert found.integral_time_error == 2.0 * (2.0 * 0.0 + 1.0 * 2.0)
    assert found.output_variation == 3.0 + 2.0 + 1.0
    assert found.reversals_per_hour == pytest.approx(2 / (12.0 / 3600.0))
    assert found.travel_per_hour == pytest.approx(6.0 / (12.0 / 3600.0))
    assert (found.settling_seconds, found.overshoot_percent) == (4.0, 0.0)


def test_overshoot_is_told_in_percent_of_the_step_in_either_direction() -> None:
    for sign in (1.0, -1.0):
        answer = 10.0 * (1.0 - np.exp(-SECONDS[:200] / 8.0) * np.cos(SECONDS[:200] / 4.0))
        process_value = START + sign * np.concatenate((np.zeros(50), answer))
        set_point = START + sign * np.concatenate((np.zeros(50), np.full(200, 10.0)))
        found = movement(window(process_value, process_value, set_point))
        assert found.overshoot_percent == pytest.approx(10.0 * float(answer.max() - 10.0), abs=0.5)
        assert found.settling_seconds is not None
        assert 10.0 < found.settling_seconds < 40.0


@pytest.mark.parametrize(
    ("process_value", "output", "set_point", "fault"),
    [
        (START + NOISE[:50], START + NOISE[:50], START, "only 50 cycles in AUTO, at least 100 are needed"),
        (np.full(SAMPLES, START), START + NOISE, START, "the process value stands still although the output moves"),
        (START + NOISE, np.full(SAMPLES, START), START, "the output stands still"),
        (START + np.round(NOISE), START + NOISE, START, "the process value has only"),
        (START + NOISE, np.clip(START + 40.0 * NOISE, LOW, HIGH), START, "the output is at a limit for"),
        (START + NOISE, START + NOISE, START + SECONDS / 100.0, "the set-point moves for 100% of the time"),
    ],
)
def test_a_window_that_says_nothing_is_not_judged(
    process_value: Floats, output: Floats, set_point: Floats | float, fault: str
) -> None:
    judged = assess(window(process_value, output, set_point))
    assert judged.score is None
    assert judged.movement is None
    assert any(told.startswith(fault) for told in judged.faults), judged.faults


def test_a_healthy_loop_passes_the_gates_and_scores_high() -> None:
    healthy = SimulatedLoop(step=5.0).run()
    assert data_faults(healthy) == ()
    judged = assess(healthy)
    assert judged.score is not None
    assert judged.score > 95.0
    assert judged.movement is not None
    assert judged.movement.settling_seconds is not None


def test_a_loop_that_is_tuned_too_tight_swings_without_stiction() -> None:
    judged = assess(SimulatedLoop(gain=6.3, load=5.0).run())
    assert judged.score is not None
    assert judged.score < 75.0
    assert "swings with a period of" in text(judged)
    assert "stick" not in text(judged)


def test_a_disturbance_from_outside_is_no_stiction() -> None:
    judged = assess(SimulatedLoop(swing=5.0).run())
    assert "swings with a period of 60 s" in text(judged)
    assert "stick" not in text(judged)


@pytest.mark.parametrize("seed", range(5))
def test_a_sticking_valve_is_named(seed: int) -> None:
    judged = assess(SimulatedLoop(stick=1.0, noise=0.02, load=5.0, seed=seed).run())
    assert "the valve or drive seems to stick" in text(judged)


def test_service_clips_and_fallbacks_cost_points_with_their_reason() -> None:
    healthy = SimulatedLoop(noise=0.3).run()
    count = len(healthy.time)
    half, tenth = np.arange(count) < count // 2, np.arange(count) >= count - count // 10
    judged = assess(replace(healthy, automatic=~half, clipped=tenth, fell_back=tenth))
    assert judged.service_factor == 0.5
    assert judged.clipped_share == pytest.approx(0.2)
    assert "in AUTO for 50% of the time" in text(judged)
    assert "the gate clipped 20% of the wishes" in text(judged)
    assert "on its fallback for 20% of the time" in text(judged)
    whole = assess(healthy)
    assert judged.score is not None
    assert whole.score is not None
    assert whole.score - judged.score == pytest.approx(20.0 + 4.0 + 2.0, abs=2.0)


def test_a_loop_that_never_ran_has_no_score() -> None:
    manual = replace(SimulatedLoop().run(), automatic=np.zeros(1800, np.bool_))
    judged = assess(manual)
    assert (judged.score, judged.service_factor) == (None, 0.0)
    assert judged.faults[0].startswith("only 0 cycles in AUTO")
    assert assess(LoopWindow.of([], 1.0)).faults == ("there were no cycles",)


def test_a_recorder_forgets_what_is_older_than_its_window() -> None:
    recorder = WindowRecorder(10.0, 2.0)
    for k in range(8):
        recorder.note(Cycle(2.0 * k, 1.0, 1.0, 1.0, LOW, HIGH, automatic=True, clipped=False, fell_back=False))
    assert recorder.window().time.tolist() == [6.0, 8.0, 10.0, 12.0, 14.0]

"""Feature windows: the statistics are right, bad and stale data give no vector (CARD3)."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.types import NANOSECONDS_PER_SECOND, Quality, Sample
from edged_inference.features import Feature, FeatureWindows, Statistic

START = 1_800_000_000
PATH = "line_a/furnace/temperature"


def feature(statistic: Statistic, seconds: int = 10) -> Feature:
    return Feature(signal="furnace/temperature", statistic=statistic, window_seconds=seconds)


def at(second: float, value: float | None, quality: int = Quality.GOOD) -> Sample:
    time = round((START + second) * NANOSECONDS_PER_SECOND)
    return Sample(PATH, value, time, time, quality)


def vector(samples: list[Sample], statistic: Statistic, now: float) -> tuple[list[float], str]:
    windows = FeatureWindows([feature(statistic)], "line_a")
    windows.update(samples)
    return windows.vector(round((START + now) * NANOSECONDS_PER_SECOND))


@given(st.lists(st.floats(-1e4, 1e4), min_size=10, max_size=10))
def test_statistics_match_the_standard_library(values: list[float]) -> None:
    samples = [at(second, value) for second, value in enumerate(values)]
    expected = {
        Statistic.MEAN: statistics.fmean(values),
        Statistic.STANDARD_DEVIATION: statistics.pstdev(values),
        Statistic.MINIMUM: min(values),
        Statistic.MAXIMUM: max(values),
        Statistic.SLOPE: statistics.linear_regression(range(10), values).slope,
    }
    for statistic, wanted in expected.items():
        found, missing = vector(samples, statistic, 9)
        assert missing == ""
        assert found[0] == pytest.approx(wanted, rel=1e-6, abs=0.05)


def test_only_the_window_counts() -> None:
    samples = [at(second, 1000.0) for second in range(20)] + [at(20 + second, 1.0) for second in range(10)]
    assert vector(samples, Statistic.MAXIMUM, 29)[0] == [1.0]


def test_bad_samples_and_other_signals_are_left_out() -> None:
    good = [at(second, 5.0) for second in range(10)]
    bad = [at(second, 1e9, Quality.UNCERTAIN) for second in range(10)] + [at(9, None, Quality.BAD)]
    other = [Sample("line_a/furnace/pressure", 1e9, 0, 0)]
    assert vector([*good, *bad, *other], Statistic.MAXIMUM, 9)[0] == [5.0]


def test_stale_data_name_the_signal() -> None:
    samples = [at(second, 5.0) for second in range(10)]
    assert vector(samples, Statistic.MEAN, 17) == ([], PATH)
    assert vector([], Statistic.MEAN, 0) == ([], PATH)


def test_a_late_sample_does_not_disturb_the_order() -> None:
    samples = [at(second, 5.0) for second in range(10)]
    assert vector([*samples, at(3, 99.0)], Statistic.MAXIMUM, 9)[0] == [5.0]

"""Features: statistics of signals over sliding windows, computed alike in training and on the edge."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from edged.types import NANOSECONDS_PER_SECOND, Quality, Sample

BUCKET_SECONDS = 1


class Statistic(StrEnum):
    """What is computed over a window; slope in units per second."""

    MEAN = "mean"
    STANDARD_DEVIATION = "standard_deviation"
    SLOPE = "slope"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"


class Feature(BaseModel):
    """One number that a model sees. `signal` is the path below the line, so that a model fits every line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signal: str
    statistic: Statistic
    window_seconds: int = Field(gt=0)


class _Bucket(NamedTuple):
    """What one second of one signal leaves behind."""

    second: int
    readings: int
    total: float
    squares: float
    low: float
    high: float


class _Window:
    """One signal's buckets over its longest window."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._buckets: deque[_Bucket] = deque()

    def add(self, second: int, value: float) -> None:
        buckets = self._buckets
        if buckets and buckets[-1].second == second:
            last = buckets[-1]
            buckets[-1] = _Bucket(
                second,
                last.readings + 1,
                last.total + value,
                last.squares + value * value,
                min(last.low, value),
                max(last.high, value),
            )
        elif not buckets or second > buckets[-1].second:
            buckets.append(_Bucket(second, 1, value, value * value, value, value))
        while buckets[0].second <= second - self._seconds:
            buckets.popleft()

    def compute(self, statistic: Statistic, now_second: int, window: int) -> float | None:
        """The statistic over `window` seconds up to now; None while fewer than half of the seconds have data."""
        inside = [bucket for bucket in self._buckets if now_second - window < bucket.second <= now_second]
        if len(inside) * 2 < window:
            return None
        count = sum(bucket.readings for bucket in inside)
        mean = sum(bucket.total for bucket in inside) / count
        match statistic:
            case Statistic.MEAN:
                return mean
            case Statistic.STANDARD_DEVIATION:
                return math.sqrt(max(0.0, sum(bucket.squares for bucket in inside) / count - mean * mean))
            case Statistic.MINIMUM:
                return min(bucket.low for bucket in inside)
            case Statistic.MAXIMUM:
                return max(bucket.high for bucket in inside)
            case Statistic.SLOPE:
                return _slope(inside)


def _slope(buckets: Sequence[_Bucket]) -> float:
    """Least squares over the buckets' means, units per second."""
    times = [bucket.second - buckets[0].second for bucket in buckets]
    means = [bucket.total / bucket.readings for bucket in buckets]
    time_mean, value_mean = sum(times) / len(times), sum(means) / len(means)
    spread = sum((time - time_mean) ** 2 for time in times)
    if spread == 0.0:
        return 0.0
    return sum((time - time_mean) * (mean - value_mean) for time, mean in zip(times, means, strict=True)) / spread


class FeatureWindows:
    """Windows of every signal that a model needs. Only GOOD numbers enter; time is the samples' receive time."""

    def __init__(self, features: Sequence[Feature], line: str) -> None:
        self._features = tuple((f"{line}/{feature.signal}", feature) for feature in features)
        longest: dict[str, int] = {}
        for path, feature in self._features:
            longest[path] = max(longest.get(path, 0), feature.window_seconds)
        self._windows = {path: _Window(seconds) for path, seconds in longest.items()}

    def update(self, samples: Sequence[Sample]) -> None:
        """A listener of the bus: cheap for signals that no feature needs."""
        windows = self._windows
        for sample in samples:
            window = windows.get(sample[0])
            if window is not None and sample[4] == Quality.GOOD and isinstance(sample[1], int | float):
                window.add(sample[3] // (BUCKET_SECONDS * NANOSECONDS_PER_SECOND), float(sample[1]))

    def vector(self, now: int) -> tuple[list[float], str]:
        """The features in order at `now` (ns UTC) and "", or an empty list and the name of what is missing or stale."""
        second = now // NANOSECONDS_PER_SECOND
        values: list[float] = []
        for path, feature in self._features:
            value = self._windows[path].compute(feature.statistic, second, feature.window_seconds)
            if value is None:
                return [], path
            values.append(value)
        return values, ""

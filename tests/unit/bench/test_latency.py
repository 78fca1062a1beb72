"""Percentiles from a Prometheus histogram: by the bound that is surely not exceeded."""

from __future__ import annotations

import math

from bench.latency import bucket_percentile, read_buckets, since
from edged.metrics import Metrics


def page(values: list[float]) -> str:
    metrics = Metrics()
    histogram = metrics.histogram("edged_way_seconds", "a way", buckets=(0.001, 0.005, 0.01))
    metrics.histogram("edged_way_seconds_other", "another")
    for value in values:
        histogram.observe(value)
    return metrics.render().decode()


def test_a_share_lies_below_the_bound_of_its_bucket() -> None:
    buckets = read_buckets(page([0.0005] * 94 + [0.004] * 5 + [0.5]), "edged_way_seconds")
    assert list(buckets.values()) == [94.0, 99.0, 99.0, 100.0]
    assert bucket_percentile(buckets, 0.94) == 0.001
    assert bucket_percentile(buckets, 0.95) == 0.005
    assert bucket_percentile(buckets, 1.0) == math.inf


def test_only_the_window_counts() -> None:
    before, after = page([0.5] * 50), page([0.5] * 50 + [0.002] * 20)
    window = since(read_buckets(after, "edged_way_seconds"), read_buckets(before, "edged_way_seconds"))
    assert bucket_percentile(window, 0.95) == 0.005


def test_nothing_observed_is_no_number() -> None:
    assert math.isnan(bucket_percentile({}, 0.95))
    assert math.isnan(bucket_percentile(read_buckets(page([]), "edged_way_seconds"), 0.95))

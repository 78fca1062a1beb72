"""Which intervals a query of statistics runs over, for every back end."""

from __future__ import annotations

from typing import NamedTuple

from edged.columns import INT64_MAX

FEW = 2_000
"""Up to here it is cheaper to read one range of the index per interval than to group the rows."""


class Starts(NamedTuple):
    """The first and the last start of the intervals that hold rows."""

    first: int
    last: int


def few_starts(first_time: int, last_time: int, bucket_ns: int) -> Starts | None:
    """The starts for rows between two times, both included; None when there are many, or one is beyond 64 bits."""
    starts = Starts(first_time // bucket_ns * bucket_ns, last_time // bucket_ns * bucket_ns)
    many = starts.last - starts.first > (FEW - 1) * bucket_ns
    return None if many or starts.first < -INT64_MAX or starts.last + bucket_ns > INT64_MAX else starts

"""Samples to DDATA payloads: by alias, one message per device, everything else left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from edged.settings import HostProfile
from edged.types import NANOSECONDS_PER_MILLISECOND, Quality, Sample
from edged_connectors.north.births import SequenceNumber
from edged_connectors.north.catalog import Catalog, Point
from edged_connectors.north.codec import (
    QUALITY_PROPERTY,
    UNFIT,
    AddMetric,
    DataType,
    quality_code,
    set_property,
    told_quality,
)
from edged_connectors.north.sparkplug_pb2 import Payload

MAX_METRICS_PER_MESSAGE = 2000
"""About 50 kB: far below any broker's limit."""

GOOD = int(Quality.GOOD)
BY_SOURCE_TIME = itemgetter(Sample._fields.index("source_time"))


class DataMessage(NamedTuple):
    """One DDATA, to be published at once: its seq is taken."""

    device: str
    payload: bytes
    rows: int


class DataEncoder:
    """Turns samples into messages and remembers per point what the host holds.

    A value that is older than the one the host holds is marked historical, so that no host refuses it.
    """

    def __init__(self, catalog: Catalog, profile: HostProfile, sequence: SequenceNumber) -> None:
        self._catalog = catalog
        self._profile = profile
        self._sequence = sequence
        self._good = quality_code(profile, Quality.GOOD)
        self.strangers = 0
        self.mistyped = 0

    def messages(self, samples: Sequence[Sample], *, historical: bool, now: int) -> Iterator[DataMessage]:
        """Per device, oldest first. `strangers` counts samples of unconfigured signals, `mistyped` unfit values, until
        the caller takes them."""
        ordered = sorted(samples, key=BY_SOURCE_TIME)
        stamp = now // NANOSECONDS_PER_MILLISECOND
        for start in range(0, len(ordered), MAX_METRICS_PER_MESSAGE):
            payloads = {device: Payload(timestamp=stamp) for device in self._catalog.devices}
            adders = {device: payload.metrics.add for device, payload in payloads.items()}
            self._fill(adders, ordered[start : start + MAX_METRICS_PER_MESSAGE], historical)
            for device, payload in payloads.items():
                rows = len(payload.metrics)
                if rows:
                    payload.seq = self._sequence.next()
                    yield DataMessage(device, payload.SerializeToString(), rows)

    def _fill(self, adders: dict[str, AddMetric], samples: Sequence[Sample], historical: bool) -> None:
        """The hot path: a good value of a good signal in order is one dictionary look-up and one metric."""
        good = self._good
        find = self._catalog.by_path.get
        for sample in samples:
            signal, value, source_time, _, quality, _ = sample
            point = find(signal)
            if point is None:
                self.strangers += 1
                continue
            stamp = source_time // NANOSECONDS_PER_MILLISECOND
            past = historical or stamp < point.last_time
            add = adders[point.device]
            if quality != GOOD or point.code != good or value is None:
                self._add_special(add, point, sample, stamp, past)
                continue
            try:
                metric = point.write(add, point.alias, stamp, value)
            except UNFIT:
                self._add_mistyped(add, point, stamp, past)
                continue
            if past:
                metric.is_historical = True
            else:
                point.last_time = stamp

    def _add_special(self, add: AddMetric, point: Point, sample: Sample, stamp: int, past: bool) -> None:
        """Bad or uncertain quality, back to good, or no value."""
        quality = told_quality(sample.value, sample.quality)
        if sample.value is None or quality < Quality.UNCERTAIN:
            metric = add(alias=point.alias, timestamp=max(stamp, 0), is_null=True)
        else:
            try:
                metric = point.write(add, point.alias, stamp, sample.value)
            except UNFIT:
                self._add_mistyped(add, point, stamp, past)
                return
        self._finish(metric, point, stamp, quality_code(self._profile, quality), past)

    def _add_mistyped(self, add: AddMetric, point: Point, stamp: int, past: bool) -> None:
        """A value that does not fit the signal's declared type still travels: as null, of bad quality."""
        self.mistyped += 1
        metric = add(alias=point.alias, timestamp=max(stamp, 0), is_null=True)
        self._finish(metric, point, stamp, quality_code(self._profile, Quality.BAD), past)

    def _finish(self, metric: Payload.Metric, point: Point, stamp: int, code: int, past: bool) -> None:
        if past:
            metric.is_historical = True
        else:
            point.last_time = stamp
        if code != self._good or code != point.code:
            set_property(metric, QUALITY_PROPERTY, DataType.INT32, code)
        point.code = code

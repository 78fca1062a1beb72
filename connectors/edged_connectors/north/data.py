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
    DataType,
    quality_code,
    set_property,
    told_quality,
)
from edged_connectors.north.metric_bytes import (
    DOUBLE_BYTES,
    OPENINGS,
    metric_bytes,
    pack_double,
    payload_bytes,
    stamp_bytes,
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
            devices: dict[str, list[bytes]] = {device: [] for device in self._catalog.devices}
            self._fill(devices, ordered[start : start + MAX_METRICS_PER_MESSAGE], historical)
            for device, metrics in devices.items():
                if metrics:
                    yield DataMessage(device, payload_bytes(stamp, metrics, self._sequence.next()), len(metrics))

    def _fill(self, devices: dict[str, list[bytes]], samples: Sequence[Sample], historical: bool) -> None:
        """The hot path: a good double of a good signal is one dictionary look-up and its bytes."""
        good = self._good
        find = self._catalog.by_path.get
        told, told_past, between, rest = -1, False, b"", 0
        for sample in samples:
            signal, value, source_time, _, quality, _ = sample
            point = find(signal)
            if point is None:
                self.strangers += 1
                continue
            stamp = source_time // NANOSECONDS_PER_MILLISECOND
            past = historical or stamp < point.last_time
            double = point.double
            if double and type(value) is float and quality == GOOD and point.code == good and stamp >= 0:
                if stamp != told or past != told_past:
                    told, told_past, between = stamp, past, stamp_bytes(stamp, past)
                    rest = len(between) + DOUBLE_BYTES
                metric = OPENINGS[len(double) + rest] + double + between + pack_double(value)
                if not past:
                    point.last_time = stamp
            else:
                metric = metric_bytes(self._metric(point, sample, stamp, past))
            devices[point.device].append(metric)

    def _metric(self, point: Point, sample: Sample, stamp: int, past: bool) -> Payload.Metric:
        """Any other: of another type, of bad or uncertain quality, back to good, or without a value."""
        quality = told_quality(sample.value, sample.quality)
        if sample.value is None or quality < Quality.UNCERTAIN:
            metric = _without_value(point, stamp)
        else:
            try:
                metric = point.write(Payload.Metric, point.alias, stamp, sample.value)
            except UNFIT:
                self.mistyped += 1
                metric, quality = _without_value(point, stamp), Quality.BAD
        return self._finish(metric, point, stamp, quality_code(self._profile, quality), past)

    def _finish(self, metric: Payload.Metric, point: Point, stamp: int, code: int, past: bool) -> Payload.Metric:
        if past:
            metric.is_historical = True
        else:
            point.last_time = stamp
        if code != self._good or code != point.code:
            set_property(metric, QUALITY_PROPERTY, DataType.INT32, code)
        point.code = code
        return metric


def _without_value(point: Point, stamp: int) -> Payload.Metric:
    return Payload.Metric(alias=point.alias, timestamp=max(stamp, 0), is_null=True)

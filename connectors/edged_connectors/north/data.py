"""Samples to DDATA payloads: by alias, one message per device, everything else left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from edged.settings import HostProfile
from edged.types import NANOSECONDS_PER_MILLISECOND, Quality, Sample
from edged_connectors.north.births import SequenceNumber
from edged_connectors.north.catalog import Catalog, Point
from edged_connectors.north.codec import QUALITY_PROPERTY, UNFIT, DataType, quality_code, set_property, told_quality
from edged_connectors.north.sparkplug_pb2 import Payload

MAX_METRICS_PER_MESSAGE = 2000
"""About 50 kB: far below any broker's limit."""

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
        """Per device, oldest first. `strangers` counts samples of unconfigured signals, `mistyped` unfit values."""
        stamp = now // NANOSECONDS_PER_MILLISECOND
        for device, rows in self._by_device(samples).items():
            for start in range(0, len(rows), MAX_METRICS_PER_MESSAGE):
                part = rows[start : start + MAX_METRICS_PER_MESSAGE]
                payload = Payload(timestamp=stamp, seq=self._sequence.next())
                self._fill(payload.metrics.add, part, historical)
                yield DataMessage(device, payload.SerializeToString(), len(part))

    def _by_device(self, samples: Sequence[Sample]) -> dict[str, list[tuple[Point, Sample]]]:
        find = self._catalog.by_path.get
        devices: dict[str, list[tuple[Point, Sample]]] = {device: [] for device in self._catalog.devices}
        for sample in sorted(samples, key=BY_SOURCE_TIME):
            point = find(sample[0])
            if point is None:
                self.strangers += 1
            else:
                devices[point.device].append((point, sample))
        return devices

    def _fill(self, add: Callable[..., Payload.Metric], rows: Sequence[tuple[Point, Sample]], historical: bool) -> None:
        good = self._good
        for point, sample in rows:
            _, value, source_time, _, quality, _ = sample
            stamp = source_time // NANOSECONDS_PER_MILLISECOND
            past = historical or stamp < point.last_time
            if quality != Quality.GOOD or point.code != good or value is None or past:
                self._add_special(add, point, sample, stamp, past)
                continue
            point.last_time = stamp
            try:
                point.write(add, point.alias, stamp, value)
            except UNFIT:
                self._add_mistyped(add, point, stamp, past)

    def _add_special(
        self, add: Callable[..., Payload.Metric], point: Point, sample: Sample, stamp: int, past: bool
    ) -> None:
        """Bad or uncertain quality, back to good, no value, or from the past."""
        quality = told_quality(sample.value, sample.quality)
        if sample.value is None or quality < Quality.UNCERTAIN:
            metric = add(alias=point.alias, timestamp=stamp, is_null=True)
        else:
            try:
                metric = point.write(add, point.alias, stamp, sample.value)
            except UNFIT:
                self._add_mistyped(add, point, stamp, past)
                return
        self._finish(metric, point, stamp, quality_code(self._profile, quality), past)

    def _add_mistyped(self, add: Callable[..., Payload.Metric], point: Point, stamp: int, past: bool) -> None:
        """A value that does not fit the signal's declared type still travels: as null, of bad quality."""
        self.mistyped += 1
        metric = add(alias=point.alias, timestamp=stamp, is_null=True)
        self._finish(metric, point, stamp, quality_code(self._profile, Quality.BAD), past)

    def _finish(self, metric: Payload.Metric, point: Point, stamp: int, code: int, past: bool) -> None:
        if past:
            metric.is_historical = True
        else:
            point.last_time = stamp
        if code != self._good or code != point.code:
            set_property(metric, QUALITY_PROPERTY, DataType.INT32, code)
        point.code = code

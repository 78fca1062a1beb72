"""Birth and death certificates, made from the configuration and the latest values."""

from __future__ import annotations

from collections.abc import Callable

from edged.settings import HostProfile
from edged.types import NANOSECONDS_PER_MILLISECOND, Quality, Sample
from edged_connectors.north.catalog import Catalog, Point
from edged_connectors.north.codec import (
    QUALITY_PROPERTY,
    UINT64_MASK,
    UNFIT,
    DataType,
    milliseconds,
    quality_code,
    set_property,
    told_quality,
)
from edged_connectors.north.sparkplug_pb2 import Payload

BDSEQ_METRIC = "bdSeq"
REBIRTH_METRIC = "Node Control/Rebirth"
BDSEQ_COUNT = 256
SEQ_COUNT = 256
UNKNOWN_BEFORE_MILLISECONDS = 3_600_000
"""A point without any value is born with a time so long ago: hosts refuse what is older than the value they hold, and
the first value may come from a device whose clock is behind (further than this, it is stamped on receipt)."""


class SequenceNumber:
    """The seq of one session: 0 at NBIRTH, then 1..255 and round again, over all messages of node and devices."""

    def __init__(self) -> None:
        self.last = 0

    def restart(self) -> int:
        """The number of an NBIRTH."""
        self.last = 0
        return 0

    def next(self) -> int:
        """The number of any other message; taken only when it is published at once."""
        self.last = (self.last + 1) % SEQ_COUNT
        return self.last


class Certificates:
    """Makes NBIRTH, DBIRTH and NDEATH payloads; a birth also notes what the host has been told."""

    def __init__(self, catalog: Catalog, profile: HostProfile, latest: Callable[[str], Sample | None]) -> None:
        self._catalog = catalog
        self._profile = profile
        self._latest = latest

    def node_death(self, bdseq: int, now: int) -> bytes:
        """Will and explicit NDEATH: bdSeq alone, no seq. `now` in ns UTC."""
        stamp = milliseconds(now)
        payload = Payload(timestamp=stamp)
        _add_bdseq(payload, bdseq, stamp)
        return payload.SerializeToString()

    def node_birth(self, bdseq: int, seq: int, now: int) -> bytes:
        """NBIRTH: bdSeq and the rebirth control."""
        stamp = milliseconds(now)
        payload = Payload(timestamp=stamp, seq=seq)
        _add_bdseq(payload, bdseq, stamp)
        payload.metrics.add(name=REBIRTH_METRIC, timestamp=stamp, datatype=DataType.BOOLEAN, boolean_value=False)
        return payload.SerializeToString()

    def device_birth(self, device: str, seq: int, now: int) -> bytes:
        """DBIRTH: every point of the device with its latest value, null while there is none; oldest value first."""
        payload = Payload(timestamp=milliseconds(now), seq=seq)
        metrics = payload.metrics
        aged = sorted(((self._current(point, now), point) for point in self._catalog.devices[device]), key=_time)
        for sample, point in aged:
            self._declare(metrics.add, point, sample)
        return payload.SerializeToString()

    def _current(self, point: Point, now: int) -> Sample:
        held = self._latest(point.signal.path)
        if held is not None:
            return held
        past = now - UNKNOWN_BEFORE_MILLISECONDS * NANOSECONDS_PER_MILLISECOND
        return Sample(point.signal.path, None, past, now, Quality.BAD, "no value yet")

    def _declare(self, add: Callable[..., Payload.Metric], point: Point, sample: Sample) -> None:
        stamp = max(milliseconds(sample.source_time), 0)
        quality = told_quality(sample.value, sample.quality)
        metric = None
        if sample.value is not None and quality >= Quality.UNCERTAIN:
            try:
                metric = point.write(add, point.alias, stamp, sample.value)
            except UNFIT:
                quality = Quality.BAD
        if metric is None:
            metric = add(alias=point.alias, timestamp=stamp, is_null=True)
        metric.name = point.name
        metric.datatype = point.datatype
        point.last_time = stamp
        point.code = quality_code(self._profile, quality)
        self._describe(metric, point)

    def _describe(self, metric: Payload.Metric, point: Point) -> None:
        signal = point.signal
        set_property(metric, QUALITY_PROPERTY, DataType.INT32, point.code)
        set_property(metric, "engUnit", DataType.STRING, signal.unit)
        if signal.low is not None:
            set_property(metric, "engLow", DataType.DOUBLE, signal.low)
        if signal.high is not None:
            set_property(metric, "engHigh", DataType.DOUBLE, signal.high)
        set_property(metric, "documentation", DataType.STRING, signal.description)


def _add_bdseq(payload: Payload, bdseq: int, stamp: int) -> None:
    payload.metrics.add(name=BDSEQ_METRIC, timestamp=stamp, datatype=DataType.INT64, long_value=bdseq & UINT64_MASK)


def _time(aged: tuple[Sample, Point]) -> int:
    return aged[0].source_time

"""One Sparkplug edge node as a host knows it: births, aliases, sequence, deaths, and what they say of our signals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edged.types import Gap, Quality, Sample, ValueType
from edged_connectors.north.births import BDSEQ_METRIC, SEQ_COUNT
from edged_connectors.north.codec import DataType
from edged_connectors.north.sparkplug_pb2 import Payload
from edged_connectors.south.mqtt_messages import NO_TIME, Message
from edged_connectors.south.mqtt_metric import quality_of, time_of, value_of
from edged_connectors.south.mqtt_payload import CONVERTERS, BadPayload, misfit
from edged_connectors.south.seen import UNCHANGED

NODE_OFFLINE = "node_offline"
DEVICE_OFFLINE = "device_offline"
NOT_BORN = "not in the birth certificate"
TOLD_BAD = "told as bad"
TOLD_UNCERTAIN = "told as uncertain"
SEQUENCE_GAP = "sparkplug_sequence"
NO_BIRTH = "sparkplug_birth_missing"
DEVICE_BIRTH_SECONDS = 10.0
"""A device that is not born again so long after its node counts as gone."""


class Heard(NamedTuple):
    """What one message said: samples of now and of the past, losses, a fault, and whether to ask for a rebirth."""

    samples: Sequence[Sample] = ()
    past: Sequence[Sample] = ()
    gaps: Sequence[Gap] = ()
    fault: str = ""
    rebirth: bool = False


@dataclass(slots=True)
class Track:
    """A bound metric, and what was last told of it. `doubted`: it was declared BAD since."""

    signal: str
    type: ValueType
    datatype: int = DataType.DOUBLE
    quality: int = Quality.GOOD
    last: Sample | None = None
    doubted: bool = False


@dataclass(slots=True)
class Owner:
    """The node itself, or one of its devices: bound metrics by name, and what its birth told of all of them."""

    tracks: dict[str, Track] = field(default_factory=dict)
    names: dict[str, Track | None] = field(default_factory=dict)
    aliases: dict[int, Track | None] = field(default_factory=dict)
    born: bool = False


class EdgeNode:
    """State of one node between its messages. Nothing that a message holds can raise."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._owners: dict[str, Owner] = {"": Owner()}
        self._bdseq: int | None = None
        self._seq = 0
        self._born_at = 0.0
        self._heard_at: int | None = None
        self._lost_from: int | None = None

    def bind(self, device: str, metric: str, signal: str, kind: ValueType) -> None:
        """A metric of the node, or of a device, is a signal of ours."""
        self._owners.setdefault(device, Owner()).tracks[metric] = Track(signal, kind)

    def node_birth(self, payload: Payload, message: Message, now: float) -> Heard:
        """NBIRTH: a session begins, or is told anew; devices count as unborn until they follow."""
        bdseq = _bdseq(payload)
        samples: list[Sample] = []
        if self._owners[""].born and bdseq != self._bdseq:
            samples += self._doubt(self._devices(), message.received, DEVICE_OFFLINE)
        for owner in self._devices():
            owner.born = False
        self._bdseq, self._seq, self._born_at = bdseq, payload.seq % SEQ_COUNT, now
        gaps = self._found(message.received)
        samples += self._birth(self._owners[""], payload, message)
        return Heard(samples, gaps=gaps)

    def device_birth(self, device: str, payload: Payload, message: Message) -> Heard:
        """DBIRTH."""
        if not self._owners[""].born:
            return self._miss(message, f"the birth of {device} without one of its node")
        gaps = self._advance(payload, message)
        owner = self._owners.get(device)
        samples = self._birth(owner, payload, message) if owner is not None else []
        return Heard(samples, gaps=gaps, rebirth=bool(gaps))

    def data(self, device: str, payload: Payload, message: Message) -> Heard:
        """NDATA or DDATA: values by alias or by name."""
        if not self._owners[""].born:
            return self._miss(message, "data of a node that is not born")
        gaps = self._advance(payload, message)
        owner = self._owners.get(device)
        if owner is None:
            return Heard(gaps=gaps, rebirth=bool(gaps))
        if not owner.born:
            missed = self._miss(message, f"data of {device}, which is not born")
            return missed._replace(gaps=[*gaps, *missed.gaps])
        samples: list[Sample] = []
        past: list[Sample] = []
        fault = ""
        for metric in payload.metrics:
            known = owner.aliases if metric.HasField("alias") else owner.names
            key = metric.alias if metric.HasField("alias") else metric.name
            if key not in known:
                fault = f"{'alias' if metric.HasField('alias') else 'metric'} {key!r} is in no birth"
                continue
            track = known[key]  # type: ignore[index]
            if track is not None:
                sample = self._sample(track, metric, payload, message.received)
                (past if self._is_past(metric, sample) else samples).append(sample)
        if fault:
            missed = self._miss(message, fault)
            return Heard(samples, past, [*gaps, *missed.gaps], fault, rebirth=True)
        return Heard(samples, past, gaps, rebirth=bool(gaps))

    def device_death(self, device: str, payload: Payload, message: Message) -> Heard:
        """DDEATH."""
        gaps = self._advance(payload, message) if self._owners[""].born else []
        owner = self._owners.get(device)
        samples = self._doubt([owner], message.received, DEVICE_OFFLINE) if owner is not None else []
        if owner is not None:
            owner.born = False
        return Heard(samples, gaps=gaps, rebirth=bool(gaps))

    def node_death(self, payload: Payload, message: Message) -> Heard:
        """NDEATH, unless it is the death of an earlier session."""
        bdseq = _bdseq(payload)
        if self._owners[""].born and bdseq is not None and self._bdseq is not None and bdseq != self._bdseq:
            return Heard(fault=f"the death of session {bdseq} while {self._bdseq} lives")
        for owner in self._owners.values():
            owner.born = False
        return Heard(self._doubt(self._owners.values(), message.received, NODE_OFFLINE))

    def spoiled(self, device: str, message: Message, fault: str) -> Heard:
        """A message that cannot be read: what its sender told before is in doubt."""
        owner = self._owners.get(device)
        samples = self._doubt([owner], message.received, fault) if owner is not None else []
        return Heard(samples, fault=fault, rebirth=True)

    def overdue(self, now: float, received: int) -> list[Sample]:
        """BAD samples of devices that did not follow their node's birth."""
        if not self._owners[""].born or now - self._born_at < DEVICE_BIRTH_SECONDS:
            return []
        return self._doubt([owner for owner in self._devices() if not owner.born], received, DEVICE_OFFLINE)

    def _devices(self) -> list[Owner]:
        return [owner for device, owner in self._owners.items() if device]

    def _birth(self, owner: Owner, payload: Payload, message: Message) -> list[Sample]:
        owner.born = True
        owner.names, owner.aliases = {}, {}
        samples: list[Sample] = []
        for metric in payload.metrics:
            track = owner.names[metric.name] = owner.tracks.get(metric.name)
            if metric.HasField("alias"):
                owner.aliases[metric.alias] = track
            if track is None:
                continue
            track.datatype, track.quality = metric.datatype, Quality.GOOD
            last, doubted = track.last, track.doubted
            sample = self._sample(track, metric, payload, message.received)
            if doubted or last is None or sample[1:3] != last[1:3] or sample.quality != last.quality:
                samples.append(sample)
        absent = Owner({name: track for name, track in owner.tracks.items() if name not in owner.names})
        return samples + self._doubt([absent], message.received, NOT_BORN)

    def _sample(self, track: Track, metric: Payload.Metric, payload: Payload, received: int) -> Sample:
        track.quality = quality_of(metric, track.quality)
        stamp = time_of(metric, payload)
        quality, reason = track.quality, "" if track.quality == Quality.GOOD else TOLD_UNCERTAIN
        if stamp is None:
            stamp, quality, reason = received, min(quality, Quality.UNCERTAIN), reason or NO_TIME
        try:
            told = value_of(metric, metric.datatype or track.datatype)
            value = CONVERTERS[track.type](told)
            fault = "" if value is not None else misfit(told, track.type)
        except BadPayload as refusal:
            value, fault = None, str(refusal)
        if quality == Quality.BAD:
            value, fault = None, TOLD_BAD
        sample = Sample(track.signal, value, stamp, received, quality, reason)
        if fault:
            sample = sample._replace(quality=Quality.BAD, reason=fault)
        if self._is_past(metric, sample):
            return sample
        repeated = track.doubted and track.last is not None and stamp <= track.last.source_time
        track.last, track.doubted = sample, False
        return sample._replace(source_time=received, reason=sample.reason or UNCHANGED) if repeated else sample

    def _is_past(self, metric: Payload.Metric, sample: Sample) -> bool:
        return metric.is_historical and sample.source_time < sample.receive_time

    def _doubt(self, owners: Iterable[Owner], received: int, reason: str) -> list[Sample]:
        """One BAD sample for each signal of theirs that is not in doubt already."""
        samples = []
        for owner in owners:
            for track in owner.tracks.values():
                if not track.doubted:
                    track.doubted = True
                    samples.append(Sample(track.signal, None, received, received, Quality.BAD, reason))
        return samples

    def _advance(self, payload: Payload, message: Message) -> list[Gap]:
        """Takes the next number; a gap when others were expected before it."""
        before, self._heard_at = self._heard_at, message.received
        if not payload.HasField("seq"):
            return []
        expected, self._seq = (self._seq + 1) % SEQ_COUNT, payload.seq % SEQ_COUNT
        if payload.seq == expected:
            return []
        return [self._gap(before, message.received, SEQUENCE_GAP)]

    def _miss(self, message: Message, fault: str) -> Heard:
        """What cannot be understood without a birth is lost: told at once, and in full when the birth comes."""
        gaps: list[Gap] = []
        if self._lost_from is None:
            self._lost_from = message.received
            gaps = [self._gap(self._heard_at, message.received, NO_BIRTH)]
        return Heard(gaps=gaps, fault=fault, rebirth=True)

    def _found(self, received: int) -> list[Gap]:
        since, self._lost_from, self._heard_at = self._lost_from, None, received
        return [] if since is None else [self._gap(since, received, NO_BIRTH)]

    def _gap(self, since: int | None, until: int, reason: str) -> Gap:
        """A clock that was set back leaves no time between."""
        return Gap(self._source, until if since is None else min(since, until), until, reason)


def _bdseq(payload: Payload) -> int | None:
    for metric in payload.metrics:
        if metric.name == BDSEQ_METRIC:
            number: int = metric.long_value or metric.int_value
            return number
    return None

"""A small line for the Sparkplug tests, and the messages that its node would publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edged.settings import HostProfile
from edged.types import Sample, Signal, Value, ValueType
from edged_connectors.north.births import Certificates, SequenceNumber
from edged_connectors.north.catalog import Catalog
from edged_connectors.north.data import DataEncoder
from edged_connectors.north.topics import Topics

NOW = 1_790_000_000_000_000_000
MILLISECOND = 1_000_000
TEMPERATURE = "line_a/furnace/temperature"
SETPOINT = "line_a/furnace/temperature_setpoint"
RUNNING = "line_a/forming/running"
COUNT = "line_a/forming/zone/count"
DEFECT = "line_a/inspection/last_defect"
SIGNALS = (
    Signal(TEMPERATURE, "degC", low=1200, high=1700, description="crown"),
    Signal(SETPOINT, "degC", low=1200, high=1700, writable=True),
    Signal(RUNNING, "1", ValueType.BOOL, writable=True),
    Signal(COUNT, "1", ValueType.INT, writable=True),
    Signal(DEFECT, "1", ValueType.STRING, writable=True),
)


class Published(NamedTuple):
    """One message of the node."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


def sample(path: str, value: Value | None, milliseconds: int = 0, quality: int = 192) -> Sample:
    """A sample so many ms after NOW."""
    time = NOW + milliseconds * MILLISECOND
    return Sample(path, value, time, time, quality)


class LineNode:
    """The pure parts of the node put together: what it would publish, without a broker."""

    def __init__(self, profile: HostProfile = HostProfile.SPEC, latest: Sequence[Sample] = ()) -> None:
        held = {sample.signal: sample for sample in latest}
        self.latest = held
        self.catalog = Catalog.of(SIGNALS)
        self.sequence = SequenceNumber()
        self.topics = Topics("glassworks", "line_a")
        self.certificates = Certificates(self.catalog, profile, held.get)
        self.encoder = DataEncoder(self.catalog, profile, self.sequence)

    def births(self, bdseq: int = 0, now: int = NOW) -> list[Published]:
        """NBIRTH and every DBIRTH."""
        birth = self.certificates.node_birth(bdseq, self.sequence.restart(), now)
        messages = [Published(self.topics.of_node("NBIRTH"), birth)]
        for device in self.catalog.devices:
            birth = self.certificates.device_birth(device, self.sequence.next(), now)
            messages.append(Published(self.topics.of_device("DBIRTH", device), birth))
        return messages

    def data(self, samples: Sequence[Sample], *, historical: bool = False, now: int = NOW) -> list[Published]:
        """The DDATA messages of these samples."""
        return [
            Published(self.topics.of_device("DDATA", message.device), message.payload)
            for message in self.encoder.messages(samples, historical=historical, now=now)
        ]

    def death(self, bdseq: int = 0, now: int = NOW) -> Published:
        """NDEATH."""
        return Published(self.topics.of_node("NDEATH"), self.certificates.node_death(bdseq, now), 1)

"""What the writer thread and the loop hand each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edged.intervals import IntervalSet
from edged.types import BatchKey, Event, Lane, Sample


class Piece(NamedTuple):
    """What one `append` brought."""

    source: str
    samples: Sequence[Sample]
    marks: Sequence[bytes]

    @property
    def last_heard(self) -> int | None:
        """Receive time of the last sample with a value: that a source is away is not heard from the source."""
        return next((sample.receive_time for sample in reversed(self.samples) if sample.value is not None), None)


class EventPiece(NamedTuple):
    """What one `record` brought, encoded already."""

    events: Sequence[Event]
    blob: bytes
    source: str
    marks: Sequence[bytes]


class SinkRow(NamedTuple):
    """What one sink is done with in one lane of one stream, as text intervals."""

    sink: str
    stream: str
    lane: Lane
    confirmed: str
    forgone: str


class Span(NamedTuple):
    """Sequence numbers of one lane, both included."""

    lane: Lane
    first: int
    last: int


class AgeMark(NamedTuple):
    """The newest number of each lane at the monotonic time `last` (s); the mark was begun at `first`."""

    first: float
    last: float
    heads: Sequence[int]


@dataclass(frozen=True, slots=True)
class Transaction:
    """Everything that one commit makes durable."""

    now: int
    pieces: Sequence[Piece] = ()
    events: Sequence[EventPiece] = ()
    sinks: Sequence[SinkRow] = ()
    removals: Sequence[Span] = ()
    drained: Sequence[str] = ()
    oldest: Sequence[tuple[Lane, int]] = ()
    """Batches of which the time of the commit is asked for."""
    ages: Sequence[AgeMark] = ()
    """What the next run has to know of the ages; empty when there is nothing new."""
    probe: bool = False
    """Writes something even if there is nothing else, to see whether the disk lets us."""

    def heard(self) -> dict[str, int]:
        """When sources were last heard in it, ns UTC."""
        return {piece.source: heard for piece in self.pieces if (heard := piece.last_heard) is not None}


class RawBatch(NamedTuple):
    """A batch as stored; samples or events only while they are in memory anyway."""

    key: BatchKey
    rows: int
    blob: bytes
    committed: int
    samples: Sequence[Sample] | None = None
    events: Sequence[Event] | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit brought about."""

    batches: Sequence[RawBatch]
    rows: Mapping[Lane, int]
    """All rows that the file holds now."""
    oldest: Mapping[tuple[Lane, int], int]
    used_bytes: int
    free_pages: int
    seconds: float


class BatchTimes(NamedTuple):
    """First and last source time of a batch, and when it is committed, ns UTC. Events count by their commit."""

    first: int
    last: int
    committed: int

    @property
    def spread(self) -> int:
        """How far from the commit the source times go, ns."""
        return max(self.committed - self.first, self.last - self.committed)


class NewBatch(NamedTuple):
    """A batch that has no number yet."""

    lane: Lane
    rows: int
    blob: bytes
    times: BatchTimes
    samples: Sequence[Sample] | None = None
    events: Sequence[Event] | None = None


class Fetched(NamedTuple):
    """What a read found: in order, until its bytes were used up; `rest` was not looked at."""

    batches: list[RawBatch]
    damaged: list[int]
    rest: Sequence[int]


class Extent(NamedTuple):
    """What is known of a run of batches, for the Gap that replaces them. Times in ns UTC; None where unknown."""

    rows: int | None
    start: int | None
    end: int | None


class StoredAside(NamedTuple):
    """A file that was set aside, as the current one remembers it."""

    file: str
    stream: str
    drained: bool


@dataclass(frozen=True, slots=True)
class StoredState:
    """What a file holds when it is opened."""

    stream: str
    heads: Mapping[Lane, int]
    stored: Mapping[Lane, IntervalSet]
    rows: Mapping[Lane, int]
    used_bytes: int
    free_pages: int
    sinks: Sequence[SinkRow]
    sources: Mapping[str, int]
    marks: Mapping[str, Sequence[bytes]]
    asides: Sequence[StoredAside]
    ages: Sequence[AgeMark]
    """Of earlier runs since the machine was started."""

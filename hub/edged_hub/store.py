"""The hub's store as everyone else sees it: one interface, and what goes in and comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from edged.errors import EdgedError
from edged.types import SeqRange, Value
from edged_cloud_sync.wire import Answer, WireBatch


class StoreUnavailable(EdgedError):
    """The hub's database cannot be read or written: free the disk or repair it. The edges keep their values."""


class StoreBusy(EdgedError):
    """More is arriving than the database can take at the moment: the edges send it again a little later."""


class WrongSchema(EdgedError):
    """The database was written by another version of the hub: use that version, or another data directory."""


class IdentityKind(StrEnum):
    """Who can show a secret: the daemon of a line, or a person."""

    EDGE = "edge"
    USER = "user"


class Role(StrEnum):
    """What an identity may do. A viewer reads, an engineer also commands, and so does the admin."""

    EDGE = "edge"
    VIEWER = "viewer"
    ENGINEER = "engineer"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """A known identity; of its secret only a salted hash is kept."""

    kind: IdentityKind
    name: str
    role: Role
    salt: bytes
    hash: bytes
    created: int


class Span(NamedTuple):
    """Sequence numbers `first..last`, both included."""

    first: int
    last: int


class HeldSample(NamedTuple):
    """One sample as the store returns it; `signal` is the full path."""

    node: str
    signal: str
    unit: str | None
    source_time: int
    receive_time: int
    value: Value | None
    quality: int
    reason: str
    seq: int
    row: int


class Bucket(NamedTuple):
    """One interval of one signal's history. Statistics are over numeric values that are not BAD, None without any."""

    start: int
    minimum: float | None
    mean: float | None
    maximum: float | None
    samples: int
    good_share: float


class HeldEvent(NamedTuple):
    """One event; `body` is its JSON."""

    node: str
    kind: str
    time: int
    source: str
    body: str
    seq: int
    row: int


class HeldGap(NamedTuple):
    """A known loss. `stream`, `lane`, `first_seq`, `last_seq` name the batches that an outbox gave up."""

    node: str
    source: str
    start: int
    end: int
    reason: str
    stream: str
    lane: str
    first_seq: int
    last_seq: int
    samples: int | None


class Minute(NamedTuple):
    """Rows of the batches that ended in one minute (`start` in ns UTC)."""

    start: int
    rows: int


@dataclass(frozen=True, slots=True)
class LaneHoldings:
    """What is held of one lane of one stream."""

    node: str
    stream: str
    lane: str
    batches: int
    rows: int
    last_received: int
    held: Sequence[Span]
    missing: Sequence[Span]
    given_up: Sequence[Span]
    refused: int
    minutes: Sequence[Minute]


@dataclass(frozen=True, slots=True)
class Totals:
    """The size of the store in records."""

    nodes: int
    signals: int
    batches: int
    samples: int
    events: int
    gaps: int
    refused_batches: int
    last_received: int


@dataclass(frozen=True, slots=True)
class Period:
    """`start <= time < end`, ns UTC."""

    start: int
    end: int


class Store(Protocol):
    """Holds what the edges sent. Every method may raise StoreUnavailable."""

    async def ingest(self, node: str, batches: Sequence[WireBatch], offers: Sequence[SeqRange] = ()) -> Answer:
        """Returns after the commit of everything it accepts; nothing is ever held twice. Raises StoreBusy."""
        ...

    async def latest(self, node: str | None = None, signal: str | None = None) -> Sequence[HeldSample]:
        """The newest sample of each signal by source time."""
        ...

    async def history(
        self, signal: str, period: Period, limit: int, *, node: str | None = None
    ) -> Sequence[HeldSample]:
        """The oldest `limit` samples of the period, oldest first."""
        ...

    async def buckets(
        self, signal: str, period: Period, bucket_ns: int, limit: int, *, node: str | None = None
    ) -> Sequence[Bucket]:
        """Statistics per interval of `bucket_ns`; intervals without samples are left out."""
        ...

    async def events(
        self, period: Period, limit: int, *, kind: str | None = None, node: str | None = None
    ) -> Sequence[HeldEvent]:
        """The newest `limit` events of the period, newest first."""
        ...

    async def gaps(self, period: Period, limit: int, *, node: str | None = None) -> Sequence[HeldGap]:
        """The gaps that overlap the period, oldest first."""
        ...

    async def holdings(self, since: int, *, node: str | None = None) -> Sequence[LaneHoldings]:
        """Completeness per stream and lane; minutes only after `since` (ns UTC)."""
        ...

    async def totals(self) -> Totals:
        """Counts for status pages."""
        ...

    async def put_identity(self, identity: Identity) -> None:
        """Adds an identity or replaces the one of the same kind and name."""
        ...

    async def identity(self, kind: IdentityKind, name: str) -> Identity | None:
        """The identity, or None."""
        ...

    async def identities(self) -> Sequence[Identity]:
        """All of them, by kind and name."""
        ...

    async def close(self) -> None:
        """Finishes the transaction under way and closes every connection."""
        ...

"""What components ask of each other. Only `app` knows the concrete classes behind these."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from edged.types import BatchKey, Command, Event, Gap, Lane, Proposal, Sample, SeqRange, Value, Verdict


class SignalStatus(NamedTuple):
    """Whether one signal could be set up at the source; a refused one names its reason and is retried on its own."""

    signal: str
    accepted: bool
    reason: str = ""


class Connection(NamedTuple):
    """What `connect` found. `resumed` is true when the source kept everything since the last connection (no gap).

    `recall_seconds` says how far back the source may be asked for what it could not deliver; 0 is not at all.
    """

    signals: Sequence[SignalStatus]
    resumed: bool = False
    recall_seconds: float = 0.0


class Reading(NamedTuple):
    """What one `read` brought; empty, it is a sign of life. `receipt` goes back to `acknowledge` after the commit.

    `marks` identify the messages in it and are committed in the same transaction; a reading with marks carries
    samples or events, never both (docs/adr/0003-mqtt-redelivery.md). `rejected` messages could not be used. `past` are
    samples that the source itself tells late: they are kept, and nobody acts on them. Samples of a direct read that
    `come_again` will be reported too, behind older ones that are on their way.
    """

    samples: Sequence[Sample] = ()
    gaps: Sequence[Gap] = ()
    receipt: object | None = None
    events: Sequence[Event] = ()
    marks: Sequence[bytes] = ()
    rejected: int = 0
    past: Sequence[Sample] = ()
    come_again: bool = False


class Connector(Protocol):
    """A south connector: dumb on purpose. The runner owns retry, back-off, watchdog, metrics and status."""

    async def connect(self) -> Connection:
        """Sets up every signal. Raises SourceUnreachable or AccessRefused."""
        ...

    async def read(self) -> Reading:
        """Waits for the next data or sign of life. Raises SourceLost."""
        ...

    async def close(self) -> None:
        """Leaves the source in good order; never raises, never hangs (own time limit)."""
        ...


@runtime_checkable
class Writer(Protocol):
    """A connector that can write. It accepts only a Command that bears its seal and has not expired."""

    async def write(self, command: Command) -> None:
        """Sends one value. Raises WriteFailed when rejected, WriteUnknown when nobody can tell."""
        ...


@runtime_checkable
class Poller(Protocol):
    """A connector that can read given signals now, past any report by exception."""

    async def poll(self, signals: Sequence[str]) -> Reading:
        """Reads the signals at the source and returns everything that was read (whole blocks included)."""
        ...


@runtime_checkable
class Acknowledger(Protocol):
    """A connector whose source wants to hear that data is safe (MQTT)."""

    def acknowledge(self, receipt: object) -> None:
        """Called on the loop, in order, after the commit of the reading that carried the receipt."""
        ...


@runtime_checkable
class Resumer(Protocol):
    """A connector whose source may deliver again what is committed already (MQTT)."""

    def resume(self, marks: Sequence[bytes]) -> None:
        """Called before every `connect`, once everything read so far is committed or lost: `Road.marks(source)`."""
        ...


class Span(NamedTuple):
    """A part of one signal's past: source times (ns UTC) after `after` and before `until`, both left out."""

    signal: str
    after: int
    until: int


class Recalled(NamedTuple):
    """A part of the past: samples, per signal in the order of their source times, and what the source did not keep."""

    samples: Sequence[Sample] = ()
    holes: Sequence[Span] = ()


@runtime_checkable
class Historian(Protocol):
    """A connector whose source keeps the past of some signals (OPC UA HistoryRead)."""

    def recall(self, spans: Sequence[Span]) -> AsyncGenerator[Recalled, None]:
        """Everything that the source kept of the spans, part by part; the rest as holes. Raises SourceLost."""
        ...


class Plant(Protocol):
    """How the control loop reaches the plant: fresh reads and sealed writes, routed to the right source."""

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        """Fresh samples of the given signals, in that order; a failed read is a BAD sample. Recorded like any other."""
        ...

    async def write(self, command: Command) -> None:
        """Raises WriteFailed or WriteUnknown."""
        ...


class Recorder(Protocol):
    """Where samples and events become durable."""

    @property
    def writable(self) -> bool:
        """False while degraded: then no decision is made."""
        ...

    def append(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Takes samples at once; the awaitable is done when they are durable, or their loss is recorded as a Gap.

        The source's `marks` become durable in the same transaction as the samples.
        """
        ...

    def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Takes events at once and commits without waiting for a group. Raises OutboxUnavailable when degraded.

        The source's `marks` become durable in the same transaction as the events.
        """
        ...


class Road(Protocol):
    """The one road that plant data takes: latest values, listeners, outbox. `edged.bus.Bus` is the real one."""

    def publish(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Hands samples to every listener and to the outbox; the awaitable is done when they are durable."""
        ...

    def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Hands events to every listener and to the outbox."""
        ...

    def marks(self, source: str) -> Sequence[bytes]:
        """The source's last `MARKS_KEPT` durable marks, oldest first, also of earlier runs."""
        ...

    def last_seen(self, source: str) -> int | None:
        """Receive time (ns UTC) of the source's last durable sample, also of earlier runs; None if never seen."""
        ...


class SourceRoad(Road, Protocol):
    """The road as a source sees it."""

    def restore(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        """Hands samples of the past to the outbox alone: nobody acts on a value that is over."""
        ...


class StoredBatch(Protocol):
    """A durable batch as a sink sees it."""

    @property
    def key(self) -> BatchKey: ...

    @property
    def blob(self) -> bytes:
        """The encoded records, exactly as stored."""
        ...

    @property
    def rows(self) -> int: ...

    @property
    def live(self) -> bool:
        """True when it was committed after the sink last went online; False for backlog."""
        ...

    def samples(self) -> Sequence[Sample]:
        """The samples of a process batch; decoded only if they are no longer in memory. Raises DamagedRecord."""
        ...

    def events(self) -> Sequence[Event]:
        """The events of an events batch. Raises DamagedRecord."""
        ...


class Sink(Protocol):
    """One consumer's view of the outbox. It keeps confirmed intervals, so live batches need not wait for backlog."""

    async def take(self, lane: Lane, *, live: bool, max_batches: int, max_bytes: int) -> Sequence[StoredBatch]:
        """Unconfirmed batches that are not out already, oldest first, from the live part or the backlog."""
        ...

    async def wait(self, seconds: float) -> None:
        """Returns when something new was committed, or after the time."""
        ...

    async def confirm(self, keys: Sequence[BatchKey]) -> None:
        """These are held by the other side for good."""
        ...

    def release(self, keys: Sequence[BatchKey]) -> None:
        """These did not arrive; they will be taken again, as backlog."""
        ...

    def reopen(self) -> None:
        """The sink went online (again): everything unconfirmed so far becomes backlog, what comes now is live."""
        ...

    async def unconfirm(self, since: int, until: int) -> int:
        """Makes confirmed process batches with samples in since..until (ns UTC) backlog again; returns how many."""
        ...

    def depth(self, lane: Lane) -> int:
        """Batches not confirmed yet."""
        ...


@runtime_checkable
class Announcer(Protocol):
    """A sink that can say what it will still send, so that the other side does not take a backlog for a loss."""

    def offers(self) -> Sequence[SeqRange]:
        """Per stream and lane the span from the oldest unconfirmed batch to the newest number given out."""
        ...


class ProposalDesk(Protocol):
    """The only door for wishes from outside: operators, hub and Sparkplug commands."""

    async def submit(self, proposal: Proposal) -> Verdict:
        """Judges the wish now; an allowed one is carried out by its loop, step by step within the rate."""
        ...


class Role(StrEnum):
    """What somebody at the box may do: operators run loops, engineers may also take them out of service."""

    OPERATOR = "operator"
    ENGINEER = "engineer"


class Action(StrEnum):
    """What can be asked of control."""

    MODE = "mode"
    SET_POINT = "setpoint"
    OUTPUT = "output"
    OVERRIDE = "override"
    APPROVE = "approve"
    ROLL_BACK = "rollback"
    LIMITS = "limits"


class Order(NamedTuple):
    """What a known person asks. `target` is a loop, for limits the line; `value` depends on the action.

    `reason` is in the person's words.
    """

    action: Action
    target: str
    value: Value | None
    reason: str
    identity: str
    role: Role


class Outcome(StrEnum):
    """What became of an order. `waits` needs an approval; `denied` came from somebody who may not ask."""

    ACCEPTED = "accepted"
    WAITS = "waits"
    REFUSED = "refused"
    DENIED = "denied"


class Answer(NamedTuple):
    """What became of an order, and why."""

    outcome: Outcome
    reason: str = ""


class OperatorDesk(Protocol):
    """Where people's orders are carried out. Each leaves a record, also one that is not carried out."""

    async def act(self, order: Order) -> Answer:
        """Carries an order out, or says why not."""
        ...

    async def deny(self, action: str, identity: str, reason: str) -> None:
        """Records a call of somebody who may not ask; many in a row are told together."""
        ...


MARKS_KEPT = 4000
"""Marks kept per source: well beyond what a broker may have in flight, so that any redelivery is recognised."""

SampleListener = Callable[[Sequence[Sample]], None]
EventListener = Callable[[Sequence[Event]], None]

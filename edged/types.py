"""The words of the domain: immutable values that cross module borders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeAlias

Value: TypeAlias = float | int | bool | str
"""What a signal can carry. NaN and infinities never travel: they become `None` with quality BAD."""

NANOSECONDS_PER_SECOND = 1_000_000_000
NANOSECONDS_PER_MILLISECOND = 1_000_000


class Quality(IntEnum):
    """OPC quality, reduced to the three classes that a decision can use."""

    BAD = 0
    UNCERTAIN = 64
    GOOD = 192


class ValueType(StrEnum):
    """The type a signal declares in the configuration."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    STRING = "string"


class Sample(NamedTuple):
    """One value of one signal. Times are nanoseconds UTC. A sample without a value still travels, with its reason."""

    signal: str
    value: Value | None
    source_time: int
    receive_time: int
    quality: int = Quality.GOOD
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """What is known of a signal before any value comes. `path` is `line/equipment/name`; `low..high` in `unit`."""

    path: str
    unit: str
    type: ValueType = ValueType.FLOAT
    low: float | None = None
    high: float | None = None
    deadband: float = 0.0
    writable: bool = False
    description: str = ""

    @property
    def equipment(self) -> str:
        """The equipment that the signal belongs to: the second part of its path."""
        return self.path.split("/", 2)[1]

    @property
    def name(self) -> str:
        """The rest of the path, below the equipment."""
        return self.path.split("/", 2)[2]


class Lane(StrEnum):
    """The two numbered lanes of an outbox stream."""

    PROCESS = "process"
    EVENTS = "events"


class BatchKey(NamedTuple):
    """The identity of a batch at one node. With the row number it identifies one record everywhere."""

    stream: str
    lane: Lane
    seq: int


class SeqRange(NamedTuple):
    """Sequence numbers `first..last` of one stream and lane, both included."""

    stream: str
    lane: Lane
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A known loss, itself a record. `start..end` in ns UTC; sequence numbers when whole batches were given up."""

    source: str
    start: int
    end: int
    reason: str
    stream: str = ""
    lane: str = ""
    first_seq: int = 0
    last_seq: int = 0
    samples: int | None = None


class Priority(StrEnum):
    """Alarm priorities, most urgent first."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class AlarmState(StrEnum):
    """ISA-18.2 states that an edge can produce; acknowledgement and shelving come with the hub's alarm service."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One transition of one alarm. `source` is a signal path or the name of a service."""

    name: str
    source: str
    state: AlarmState
    priority: Priority
    message: str
    time: int
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said: a probability 0..1 for `horizon_seconds` ahead, or None and the reason why it could not."""

    model: str
    version: str
    signal: str
    time: int
    value: float | None
    horizon_seconds: float
    reason: str = ""
    model_hash: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """The envelope of one writable signal, in its unit; the approval threshold is a cumulative span."""

    signal: str
    low: float
    high: float
    rate_per_second: float
    approval_threshold: float
    unit: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A wish to move a writable signal. The proposer accepts `low..high`; `expires` is in monotonic seconds."""

    source: str
    signal: str
    value: float
    priority: int
    expires: float
    low: float | None = None
    high: float | None = None
    identity: str = ""

    @property
    def who(self) -> str:
        """Whose wish it is, for records: where it came from and, where that is known, the person."""
        return f"{self.source} {self.identity}".strip()


@dataclass(frozen=True, slots=True)
class Allowed:
    """The gate lets the proposed value through as it is."""

    value: float


@dataclass(frozen=True, slots=True)
class Clamped:
    """The gate lets a narrower value through; only controllers are clamped."""

    value: float
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The gate lets nothing through: nothing is written."""

    reason: str


@dataclass(frozen=True, slots=True)
class Waits(Refused):
    """Nothing is written until an approval for `value` comes; then it goes on by itself."""

    value: float


Verdict: TypeAlias = Allowed | Clamped | Refused
"""`Waits` is a refusal for now: whoever knows nothing of approvals takes it for what it is."""


class Seal:
    """The mark of the gate. `app` makes one, gives it to the gate and to the writers, and to nobody else."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Command:
    """An admitted value on its way to a writer. `issued` and `expires` are monotonic seconds."""

    signal: str
    value: float
    origin: str
    issued: float
    expires: float
    decision: str
    seal: Seal


class DecisionPhase(StrEnum):
    """A decision is recorded before the write and again with what came of it."""

    DECIDED = "decided"
    COMPLETED = "completed"


class WriteOutcome(StrEnum):
    """What became of a decision at the plant."""

    NONE = "none"
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything that led to one command, or to none. Both phases carry the same `identity`."""

    identity: str
    phase: DecisionPhase
    loop: str
    signal: str
    time: int
    mode: str
    controller: str
    set_point: float | None
    process_value: float | None
    readback_before: float | None
    proposed: float | None
    verdict: str
    reason: str
    written: float | None
    readback_after: float | None
    outcome: WriteOutcome
    config_hash: str
    model_hash: str = ""


@dataclass(frozen=True, slots=True)
class QualityResult:
    """What the inspection machine said of one unit (GLS4)."""

    unit_identity: str
    time: int
    passed: bool
    defect_type: str
    source: str


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """What a person, or a guard in a person's name, asked of control, and what came of it.

    `target` is a loop or a signal; `value` is written as it was asked for, with its unit; `outcome` is one word and
    `reason` holds the person's words, and where it was not done why not.
    """

    identity: str
    action: str
    target: str
    value: str
    reason: str
    time: int
    outcome: str


Event: TypeAlias = Gap | Alarm | Prediction | Decision | QualityResult | OperatorAction

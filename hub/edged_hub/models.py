"""What the read API takes and gives, as typed models; the OpenAPI document is made from these."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from edged.types import NANOSECONDS_PER_MILLISECOND, NANOSECONDS_PER_SECOND, Quality
from edged_cloud_sync.wire import NODE_PATTERN
from edged_cloud_sync.wire_commands import MAX_LIFE_SECONDS, MAX_SIGNAL_LENGTH, SIGNAL_PATTERN, CommandState

MAX_ROWS = 10_000
DEFAULT_ROWS = 1_000
DEFAULT_LIFE_SECONDS = 30.0
MAX_MINUTES = 7 * 24 * 60
LATEST_TIME = 2**63 - 1
FRACTION = re.compile(r"[.,](\d{1,9})")
MAX_EPOCH_MILLISECONDS = LATEST_TIME // NANOSECONDS_PER_MILLISECOND


def parse_time(given: object) -> object:
    """Turns text into ns UTC: ISO 8601 (UTC unless it has an offset) or milliseconds since 1970."""
    if not isinstance(given, str):
        return given
    try:
        number = int(given)
    except ValueError:
        pass
    else:
        if abs(number) > MAX_EPOCH_MILLISECONDS:
            raise ValueError("milliseconds since 1970 are out of range")
        return number * NANOSECONDS_PER_MILLISECOND
    fraction = FRACTION.search(given)
    moment = datetime.fromisoformat(FRACTION.sub("", given))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _nanoseconds(moment) + (int(fraction[1].ljust(9, "0")) if fraction else 0)


def iso_time(time: int) -> str:
    """ISO 8601 UTC with as many digits as the time needs, at least milliseconds."""
    seconds, rest = divmod(time, NANOSECONDS_PER_SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    digits = f"{rest:09d}"
    while len(digits) > 3 and digits.endswith("000"):
        digits = digits[:-3]
    return f"{whole}.{digits}Z"


def _nanoseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    time = (since.days * 86_400 + since.seconds) * NANOSECONDS_PER_SECOND
    if abs(time) > LATEST_TIME:
        raise ValueError("years 1678..2261 only")
    return time


Time = Annotated[
    int,
    BeforeValidator(parse_time),
    Field(
        description="ISO 8601, or milliseconds since 1970", json_schema_extra={"type": "string", "format": "date-time"}
    ),
]
IsoTime = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Limit = Annotated[int, Field(ge=1, le=MAX_ROWS, description="rows at most")]


class Query(BaseModel):
    """Base of every set of query parameters: unknown ones are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Answer(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(frozen=True)


class NoQuery(Query):
    """No parameters."""


class PeriodQuery(Query):
    """Base of queries over a period."""

    start: Time = Field(default=0, alias="from")
    end: Time = Field(default=LATEST_TIME, alias="to", description="not included")
    limit: Limit = DEFAULT_ROWS

    @model_validator(mode="after")
    def _ordered(self) -> PeriodQuery:
        if self.start > self.end:
            raise ValueError("from must not be after to")
        return self


class LatestQuery(Query):
    """Which signals."""

    node: str | None = None
    signal: str | None = Field(default=None, description="full path, such as line_a/furnace/temperature")


class HistoryQuery(PeriodQuery):
    """One signal over a period; with `bucket_seconds` statistics per interval instead of rows."""

    signal: str = Field(description="full path")
    node: str | None = None
    bucket_seconds: float | None = Field(default=None, ge=0.001, le=366 * 86_400)


class EventsQuery(PeriodQuery):
    """Events of a period, newest first."""

    kind: str | None = Field(
        default=None, description="Alarm, Decision, Gap, OperatorAction, Prediction or QualityResult"
    )
    node: str | None = None


class GapsQuery(PeriodQuery):
    """Gaps that overlap a period."""

    node: str | None = None


class CompletenessQuery(Query):
    """How far back the rows per minute go."""

    node: str | None = None
    minutes: int = Field(default=60, ge=1, le=MAX_MINUTES)


class CommandsQuery(Query):
    """Of which line."""

    node: str | None = None
    limit: Limit = DEFAULT_ROWS


class CommandBody(Query):
    """What a line is asked to do. It is done or refused in that time, or not at all."""

    model_config = ConfigDict(strict=True)

    node: str = Field(pattern=f"^{NODE_PATTERN.pattern}$", description="the line, as it was enrolled")
    signal: str = Field(
        pattern=f"^{SIGNAL_PATTERN.pattern}$",
        max_length=MAX_SIGNAL_LENGTH,
        description="full path, such as line_a/forming/belt_speed_setpoint",
    )
    value: float = Field(allow_inf_nan=False, description="in the signal's unit")
    lives_seconds: float = Field(default=DEFAULT_LIFE_SECONDS, gt=0, le=MAX_LIFE_SECONDS)


class Status(StrEnum):
    """GLS6 status of a record, worked out from its quality."""

    OK = "OK"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class Record(Answer):
    """One value in the GLS6 shape; quality is 192 good, 64 uncertain, 0 bad."""

    timestamp: IsoTime
    sensor_id: str = Field(description="full path of the signal")
    parameter_name: str
    value: float | int | bool | str | None
    unit: str | None
    status: Status
    production_line: str
    quality: int
    reason: str
    received: IsoTime
    node: str


class LatestAnswer(Answer):
    """The newest value of each signal."""

    records: list[Record]


class BucketRecord(Answer):
    """One interval; statistics over numeric values that are not bad."""

    timestamp: IsoTime
    minimum: float | None
    mean: float | None
    maximum: float | None
    count: int
    good_share: float = Field(ge=0, le=1)


class HistoryAnswer(Answer):
    """Rows, or buckets when asked for. `next` is the `from` of the following page when the limit was reached."""

    signal: str
    records: list[Record] = []
    buckets: list[BucketRecord] = []
    next: IsoTime | None = None


class EventRecord(Answer):
    """One event; the body's fields depend on the kind, times in it are ns UTC."""

    node: str
    kind: str
    timestamp: IsoTime
    source: str
    body: dict[str, Any]


class EventsAnswer(Answer):
    """Events, newest first."""

    events: list[EventRecord]


class GapRecord(Answer):
    """A known loss. Sequence numbers are 0 unless an outbox gave up whole batches."""

    node: str
    source: str
    start: IsoTime
    end: IsoTime
    reason: str
    stream: str
    lane: str
    first_seq: int
    last_seq: int
    samples: int | None


class GapsAnswer(Answer):
    """Gaps, oldest first."""

    gaps: list[GapRecord]


class SeqSpan(Answer):
    """Sequence numbers, both included."""

    first: int
    last: int


class MinuteRecord(Answer):
    """Rows of batches that ended in this minute."""

    timestamp: IsoTime
    rows: int


class LaneRecord(Answer):
    """What is held of one lane of one stream, and what is not: `missing` is neither held nor known to be lost."""

    node: str
    stream: str
    lane: str
    batches: int
    rows: int
    last_received: IsoTime
    complete: bool
    held: list[SeqSpan]
    missing: list[SeqSpan]
    given_up: list[SeqSpan]
    refused_batches: int
    minutes: list[MinuteRecord]


class CompletenessAnswer(Answer):
    """Completeness per stream and lane, and the gaps of the same time."""

    lanes: list[LaneRecord]
    gaps: list[GapRecord]


class StatusAnswer(Answer):
    """The hub in numbers."""

    version: str
    started: IsoTime
    now: IsoTime
    nodes: int
    signals: int
    batches: int
    samples: int
    events: int
    gaps: int
    refused_batches: int
    last_received: IsoTime | None


class CommandTaken(Answer):
    """A command that waits for its line."""

    id: str
    state: CommandState


class CommandRecord(Answer):
    """One command. `handed_over` without a later verdict: the answer was lost on its way; it is never sent again."""

    id: str
    node: str
    user: str
    timestamp: IsoTime
    signal: str
    value: float
    state: CommandState
    reason: str


class CommandsAnswer(Answer):
    """Commands, newest first."""

    commands: list[CommandRecord]


class ErrorAnswer(Answer):
    """What was wrong, in a sentence."""

    error: str


def status_of(quality: int) -> Status:
    """GOOD is OK, UNCERTAIN a WARNING, BAD an ERROR; CRITICAL is for alarms."""
    if quality >= Quality.GOOD:
        return Status.OK
    return Status.WARNING if quality >= Quality.UNCERTAIN else Status.ERROR


def line_name(node: str) -> str:
    """GLS6 name of a line: line_a is Line_A."""
    return node.title()

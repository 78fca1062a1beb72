"""How deeds are written down: msgpack of plain rows, and back into the words of control."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

import msgpack

from edged.errors import EdgedError, OutboxUnavailable, SourceLost, SourceUnreachable, WriteFailed, WriteUnknown
from edged.ports import Action, Order, Role
from edged.signature import NoKey
from edged.types import Decision, Event, Proposal, Refused, Sample
from edged_control.approval import NotApproved
from edged_control.decisions import reason_of, word
from edged_control.flight.boundary import Crossing, Deed
from edged_control.flight.state import frozen, thawed
from edged_control.gate import Mode
from edged_control.solver.messages import Answer, Question

FAULT, VALUE, LONG = 1, 2, 3
"""Extension types of msgpack: an exception, a value of control, an integer of more than 64 bits."""
UNTELLABLE = (ValueError, TypeError, OverflowError, AttributeError, LookupError, RecursionError)
"""What packing raises for something that can't be told: it will be missing, and nobody's cycle fails for it."""
FEWEST_STEPS = 2
RECORDABLE = (EdgedError, OSError, asyncio.CancelledError)
"""What may come from outside in place of an answer."""
FAULTS = {
    fault.__name__: fault
    for fault in (NotApproved, NoKey, OutboxUnavailable, SourceLost, SourceUnreachable, WriteFailed, WriteUnknown)
}
"""Those that come back as themselves; control makes no difference between the others."""

CYCLE_FIELDS = (
    "actual_mode",
    "target_mode",
    "reason",
    "controller",
    "rung",
    "rung_reason",
    "set_point",
    "readback",
    "output",
    "last_verdict",
    "last_reason",
    "baseline",
    "grant",
    "line_state",
    "grade",
)
"""What a cycle leaves behind, of the loop's status."""
QUESTION_FIELDS, ANSWER_FIELDS = tuple(Question.model_fields), tuple(Answer.model_fields)
DECISION_FIELDS = (
    "phase",
    "mode",
    "controller",
    "set_point",
    "process_value",
    "readback_before",
    "proposed",
    "verdict",
    "reason",
    "written",
    "readback_after",
    "outcome",
    "model_hash",
)
"""What makes a decision; identities, times and the hash of the configuration do not."""
OUTCOME_FIELDS: Mapping[Deed, Sequence[str]] = {
    Deed.CYCLE: CYCLE_FIELDS,
    Deed.ORDER: ("answer", "because"),
    Deed.WISH: ("answer", "because"),
    Deed.MODE: ("answer", "because"),
}
_cycle_row = attrgetter(*CYCLE_FIELDS)
_decision_row = attrgetter(*DECISION_FIELDS)


class Step(NamedTuple):
    """One answer from outside, the `order`-th in all, and what was asked at once after it.

    `told` is what control said when it asked. The first step of a deed is its beginning, the last its end.
    """

    order: int
    crossing: str
    told: Any
    answer: Any
    readings: dict[str, list[Any]]


@dataclass(slots=True)
class Record:
    """One deed. `wall` in ns UTC; every deed that began before `low` and isn't told yet has begun after it.

    `outcome` holds the values of `OUTCOME_FIELDS`; None where the deed did not come to its end.
    """

    serial: int
    kind: Deed
    target: str
    told: Any
    wall: int
    steps: list[Step] = field(default_factory=list)
    low: int = 0
    outcome: list[Any] | None = None

    @property
    def order(self) -> int:
        """Where it began among everything that came in."""
        return self.steps[0].order


def packed(record: Record) -> bytes:
    """The record as it is kept. Raises one of UNTELLABLE."""
    row = (record.serial, record.kind, record.target, _told(record), record.wall, record.steps, record.low)
    body: bytes = msgpack.packb((*row, record.outcome), default=_extension)
    return body


def unpacked(body: bytes) -> list[Record]:
    """The records that stand one after the other in a body. Raises ValueError."""
    unpacker = msgpack.Unpacker(ext_hook=_extended, use_list=True, strict_map_key=False, max_buffer_size=0)
    unpacker.feed(body)
    return [_record(*row) for row in unpacker]


def plain(value: Any) -> Any:
    """A value as it comes back from what was kept."""
    return msgpack.unpackb(msgpack.packb(value, default=_extension), ext_hook=_extended)


def outcome_row(kind: Deed, outcome: Any) -> list[Any]:
    """The values of `OUTCOME_FIELDS` for what came of a deed."""
    match kind:
        case Deed.CYCLE:
            return list(_cycle_row(outcome))
        case Deed.ORDER:
            return [outcome.outcome, outcome.reason]
        case Deed.WISH:
            return [word(outcome), reason_of(outcome)]
        case Deed.MODE:
            return ["refused", outcome.reason] if isinstance(outcome, Refused) else ["accepted", ""]
        case _:
            return []


def decision_rows(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """The values of `DECISION_FIELDS`, for the decisions among the events."""
    return [_decision_row(event) for event in events if isinstance(event, Decision)]


def question_row(question: Question) -> tuple[Any, ...]:
    """What a solver is asked."""
    return tuple(getattr(question, name) for name in QUESTION_FIELDS)


def question_of(row: Sequence[Any]) -> Question:
    """The question in control's words; older recordings do not say which inputs were free and which outputs counted."""
    return Question.model_construct(**_fields(QUESTION_FIELDS, row))


def _fields(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    """By name; an older recording has fewer."""
    return {name: _untied(value) for name, value in zip(names, row, strict=False)}


def _untied(value: Any) -> Any:
    """Lists come back where tuples went."""
    return tuple(value) if isinstance(value, list) else value


def answer_row(answer: Answer) -> tuple[Any, ...]:
    """What it says."""
    return tuple(getattr(answer, name) for name in ANSWER_FIELDS)


def answer_of(crossing: str, row: Any) -> Any:
    """The answer of a crossing in control's words; exceptions are values here."""
    if isinstance(row, BaseException):
        return row
    match crossing:
        case Crossing.POLL:
            return [Sample(*sample) for sample in row]
        case Crossing.SOLVE:
            return Answer.model_construct(**_fields(ANSWER_FIELDS, row))
        case _:
            return None


def _told(record: Record) -> Any:
    """What is signed may not have been used: what it says is among the readings, the signature is not kept."""
    told = record.told
    if isinstance(told, Order) and told.action in (Action.APPROVE, Action.LIMITS):
        return told._replace(value=None)
    return astuple(told) if isinstance(told, Proposal) else told


def _record(
    serial: int, kind: str, target: str, told: Any, wall: int, steps: list[Any], low: int, outcome: list[Any] | None
) -> Record:
    deed = Deed(kind)
    if len(steps) < FEWEST_STEPS or not all(isinstance(step[0], int) for step in steps):
        raise ValueError("a deed has a beginning and an end")
    match deed:
        case Deed.ORDER:
            action, loop, value, reason, identity, role = told
            told = Order(Action(action), loop, value, reason, identity, Role(role))
        case Deed.WISH:
            told = Proposal(*told)
        case Deed.MODE:
            told = (Mode(told[0]), told[1])
    return Record(serial, deed, target, told, wall, [Step(*step) for step in steps], low, outcome)


def _extension(value: Any) -> Any:
    """What msgpack does not know."""
    if isinstance(value, BaseException):
        number, text = getattr(value, "errno", None), getattr(value, "strerror", None)
        return msgpack.ExtType(FAULT, msgpack.packb((_kind(value), str(value), number, text)))
    if isinstance(value, int):
        return msgpack.ExtType(LONG, str(value).encode())
    return msgpack.ExtType(VALUE, msgpack.packb(frozen(value)))


def _kind(fault: BaseException) -> str:
    if isinstance(fault, asyncio.CancelledError):
        return "CancelledError"
    if isinstance(fault, OSError):
        return "OSError"
    return type(fault).__name__


def _extended(code: int, content: bytes) -> Any:
    if code == FAULT:
        return _fault(*msgpack.unpackb(content))
    if code == VALUE:
        return thawed(msgpack.unpackb(content))
    if code == LONG:
        return int(content)
    raise ValueError(f"unknown extension {code}")


def _fault(kind: str, text: str, number: int | None, reason: str | None) -> BaseException:
    """The exception, of its own class where control looks at that."""
    if kind == "CancelledError":
        return asyncio.CancelledError()
    if kind == "OSError":
        return OSError(text) if number is None else OSError(number, reason)
    return FAULTS.get(kind, EdgedError)(text)

"""Events as flat items: each kind has a number for good, its fields travel in the order of the dataclass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from math import isfinite
from typing import NamedTuple, TypeAlias, get_type_hints

from edged.columns import INT64_MAX, INT64_MIN, ColumnReader, ColumnWriter, Item
from edged.types import Alarm, Decision, Event, Gap, OperatorAction, Prediction, QualityResult

KINDS: tuple[type[Event], ...] = (Gap, Alarm, Prediction, Decision, QualityResult, OperatorAction)
"""The number of a kind is its place here: append only."""
MAX_FIELDS = 64

_Convert: TypeAlias = Callable[[object], Item]


class _EventField(NamedTuple):
    name: str
    write: _Convert
    read: _Convert


class _EventKind(NamedTuple):
    number: int
    make: Callable[..., Event]
    fields: tuple[_EventField, ...]
    required: int


def write_event(writer: ColumnWriter, event: Event) -> None:
    """Adds one event. Raises TypeError or OverflowError for a field that cannot be stored."""
    kind = _BY_TYPE.get(type(event))
    if kind is None:
        raise TypeError(f"{type(event).__name__} is no event")
    writer.items(kind.number, len(kind.fields))
    writer.items(*(field.write(getattr(event, field.name)) for field in kind.fields))


def read_event(reader: ColumnReader) -> Event:
    """The next event. Raises ValueError or TypeError."""
    kind = _KINDS[reader.integer(0, len(_KINDS) - 1)]
    items = [reader.item() for _ in range(reader.integer(kind.required, MAX_FIELDS))]
    return kind.make(*(field.read(item) for field, item in zip(kind.fields, items, strict=False)))


def _write_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is expected, got {type(value).__name__}")
    return str(value) if value.isascii() else value.encode("utf-8", "replace").decode()


def _read_text(item: object) -> str:
    if type(item) is not str:
        raise TypeError("a text is expected")
    return item


def _flag(item: object) -> bool:
    if type(item) is not bool:
        raise TypeError("a truth value is expected")
    return item


def _integer(item: object) -> int:
    if isinstance(item, bool) or not isinstance(item, int):
        raise TypeError("an integer is expected")
    if not INT64_MIN <= item <= INT64_MAX:
        raise OverflowError("an integer is outside int64")
    return int(item)


def _number(item: object) -> float:
    if isinstance(item, bool) or not isinstance(item, int | float):
        raise TypeError("a number is expected")
    number = float(item)
    if not isfinite(number):
        raise OverflowError("a number is not finite")
    return number


def _optional_integer(item: object) -> int | None:
    return None if item is None else _integer(item)


def _optional_number(item: object) -> float | None:
    return None if item is None else _number(item)


def _finite_or_none(value: object) -> float | None:
    return None if isinstance(value, float) and not isfinite(value) else _optional_number(value)


_CONVERTERS: dict[object, tuple[_Convert, _Convert]] = {
    str: (_write_text, _read_text),
    bool: (_flag, _flag),
    int: (_integer, _integer),
    float: (_number, _number),
    int | None: (_optional_integer, _optional_integer),
    float | None: (_finite_or_none, _optional_number),
}


def _converters(hint: object) -> tuple[_Convert, _Convert]:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _write_text, hint
    return _CONVERTERS[hint]


def _kind(number: int, event: type[Event]) -> _EventKind:
    hints = get_type_hints(event)
    known: tuple[Field[object], ...] = fields(event)
    columns = tuple(_EventField(field.name, *_converters(hints[field.name])) for field in known)
    required = sum(field.default is MISSING for field in known)
    return _EventKind(number, event, columns, required)


_KINDS = tuple(_kind(number, event) for number, event in enumerate(KINDS))
_BY_TYPE: dict[type[Event], _EventKind] = dict(zip(KINDS, _KINDS, strict=True))

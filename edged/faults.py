"""Faults of files: collected, placed by file and line, and worded so that they can be corrected without help."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Protocol, TypeAlias, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edged.controller_settings import CONTROLLER_FIELDS, CONTROLLER_KINDS
from edged.errors import ConfigError
from edged.section import NAME_PATTERN, PATH_PATTERN

Where: TypeAlias = tuple[str | int, ...]
"""A place in a document: keys and list positions from the top."""

SHOWN_CHARACTERS = 60
"""A wrong value is quoted up to here."""

BEGINNING_CHARACTERS = 5
"""A word so long that is the beginning of another probably means that one."""

SECRET_KEYS = frozenset({"secret", "token", "password", "credential"})
"""What stands under these keys may be a secret put in the wrong place: it is never shown."""


class Origin(Protocol):
    """A file that values come from."""

    @property
    def file(self) -> str:
        """The file as the user named it."""
        ...

    def line(self, where: Where) -> int:
        """The line of a place, or of the nearest place above it that exists."""
        ...


class Faults:
    """Collects faults, so that all are listed at once."""

    def __init__(self) -> None:
        self._texts: list[tuple[str, int, str]] = []
        self._places: set[tuple[str, Where]] = set()

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, origin: Origin, where: Where, what: str) -> None:
        """Notes one fault at a place."""
        self.add_at(origin.file, origin.line(where), dotted(where), what)
        self._places.add((origin.file, where))

    def add_at(self, file: str, line: int, place: str, what: str) -> None:
        """Notes one fault where no document could be read."""
        text = f"{file}:{line}: {place}: {what}" if place else f"{file}:{line}: {what}"
        self._texts.append((file, line, text))

    def at(self, origin: Origin, where: Where) -> bool:
        """True when the place has a fault already; a second sentence about it would only confuse."""
        return (origin.file, where) in self._places

    def raise_any(self) -> None:
        """Raises ConfigError when anything was noted."""
        if self._texts:
            raise self.error()

    def error(self) -> ConfigError:
        """Everything noted, in file and line order."""
        files = list(dict.fromkeys(file for file, _, _ in self._texts))
        ordered = sorted(dict.fromkeys(self._texts), key=lambda fault: (files.index(fault[0]), fault[1]))
        return ConfigError([text for _, _, text in ordered])


def dotted(where: Where) -> str:
    """The place as the user reads it: `sources.furnace.signals.3.unit`."""
    return ".".join(str(part) for part in where)


def did_you_mean(wrong: object, choices: Iterable[str]) -> str:
    """`, did you mean 'x'?` when one of the choices is close, else nothing."""
    word = str(wrong).lower()
    by_lower = {choice.lower(): choice for choice in choices}
    cut_short = len(word) >= BEGINNING_CHARACTERS
    begun = sorted((choice for choice in by_lower if choice.startswith(word)), key=len) if cut_short else []
    close = begun or get_close_matches(word, by_lower, n=1, cutoff=0.6)
    return f", did you mean {by_lower[close[0]]!r}?" if close else ""


def got(value: object, where: Where = ()) -> str:
    """`got X`, short, and without what may be a secret."""
    if not SECRET_KEYS.isdisjoint(str(part) for part in where):
        return "got something else (not shown, it may be a secret)"
    if isinstance(value, Mapping):
        return "got a mapping"
    if isinstance(value, list | tuple):
        return "got a list"
    if value is None:
        return "got nothing"
    shown = repr(value)
    return f"got {shown}" if len(shown) <= SHOWN_CHARACTERS else f"got {shown[:SHOWN_CHARACTERS]}..."


def report(error: ValidationError, model: type[BaseModel], origin: Origin, base: Where, faults: Faults) -> None:
    """Adds every fault that pydantic found in the value at `base`, which should have been a `model`."""
    for details in error.errors(include_url=False):
        where = base + _place(details)
        if not faults.at(origin, where):
            faults.add(origin, where, _sentence(details, model, where))


def _place(details: ErrorDetails) -> Where:
    """Where a fault stands in the file: without the words that pydantic adds for keys and for kinds of controllers."""
    location = details["loc"]
    place = tuple(
        part
        for before, part in zip(("", *location), location, strict=False)
        if part != "[key]" and not (before in CONTROLLER_FIELDS and part in CONTROLLER_KINDS)
    )
    return (*place, "kind") if details["type"] == "union_tag_invalid" else place


def _sentence(details: ErrorDetails, model: type[BaseModel], where: Where) -> str:
    kind, value = details["type"], details["input"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        hint = did_you_mean(where[-1], [key for key in _keys_at(model, details["loc"][:-1]) if key != where[-1]])
        comma = " (text that holds a comma needs quotes)" if value is None and not hint else ""
        return f"unknown key{hint}{comma}"
    if kind == "value_error":
        return details["msg"].removeprefix("Value error, ")
    if kind == "union_tag_invalid":
        value = details.get("ctx", {}).get("tag")
    wording = _WORDING.get(kind, _reworded)(details)
    hint = did_you_mean(value, _quoted(details)) if isinstance(value, str) else ""
    return f"{wording}, {got(value, where)}{hint}"


def _quoted(details: ErrorDetails) -> list[str]:
    if details["type"] not in {"enum", "literal_error", "union_tag_invalid"}:
        return []
    context = details.get("ctx", {})
    return re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags", ""))))


def _reworded(details: ErrorDetails) -> str:
    return details["msg"].replace("Input should be", "must be").replace("Input should", "must")


def _pattern(details: ErrorDetails) -> str:
    pattern = details.get("ctx", {}).get("pattern")
    if pattern == NAME_PATTERN:
        return "expected lower case letters, digits and underscores, starting with a letter"
    if pattern == PATH_PATTERN:
        return "expected equipment/name in lower case letters, digits and underscores"
    return f"expected text that matches {pattern}"


def _expected(what: str) -> Callable[[ErrorDetails], str]:
    return lambda _: f"expected {what}"


_WORDING: dict[str, Callable[[ErrorDetails], str]] = {
    "string_pattern_mismatch": _pattern,
    "union_tag_invalid": lambda details: f"must be {details.get('ctx', {}).get('expected_tags', '')}",
    "string_type": _expected("text (put it in quotes)"),
    "path_type": _expected("a path (put it in quotes)"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _expected("a whole number")),
    **dict.fromkeys(("float_type", "float_parsing"), _expected("a number")),
    **dict.fromkeys(("bool_type", "bool_parsing"), _expected("true or false")),
    "finite_number": _expected("a finite number"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), _expected("a mapping of keys to values")),
    **dict.fromkeys(("tuple_type", "list_type"), _expected("a list")),
}


def _keys_at(model: type[BaseModel], where: tuple[Any, ...]) -> list[str]:
    """The keys that the model allows at a place below it."""
    models = [model]
    for part in where:
        deeper = [found for each in models if part in each.model_fields for found in _models(each.model_fields[part])]
        models = deeper or models
    return [field.alias or name for each in models for name, field in each.model_fields.items()]


def _models(field: object) -> list[type[BaseModel]]:
    """Every model that an annotation mentions."""
    annotation = getattr(field, "annotation", field)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models(argument)]

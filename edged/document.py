"""YAML documents that know the line of every value, with `${NAME}` and `${NAME:-default}` from the environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn, cast

import yaml

from edged.faults import Faults, Where

MAX_DEPTH = 40
"""Nesting beyond this is no configuration; it would exhaust the stack."""

MAX_VALUES = 2_000_000
"""Values in one document after anchors are followed; beyond it a small file could fill the memory."""

_SUBSTITUTION = re.compile(r"\$(?P<escape>\$)?\{(?P<body>[^}]*)(?P<end>\})?")
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<has_default>:-(?P<default>.*))?", re.DOTALL)
_WHOLE = re.compile(r"[-+]?[0-9]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NAMED_NUMBERS = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NOTHING = {"", "~", "null", "Null", "NULL"}
_LONGEST_NUMBER = 400
"""Digits; longer ones stay text, which no number field accepts."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Document:
    """Plain values of one file and the lines they stand on."""

    def __init__(self, file: str, data: object, lines: Mapping[Where, int]) -> None:
        self.file = file
        self.data = data
        self._lines = lines

    def line(self, where: Where) -> int:
        """The line of a place, or of the nearest place above it that exists."""
        while where and where not in self._lines:
            where = where[:-1]
        return self._lines.get(where, 1)

    def at(self, *where: str | int) -> object:
        """The value at a place, or None."""
        value = self.data
        for part in where:
            try:
                value = value[part]  # type: ignore[index]
            except (TypeError, KeyError, IndexError):
                return None
        return value

    def section(self, head: str) -> Document:
        """The same document with one of its sections alone: the rest takes no memory any more."""
        data = {head: self.data[head]} if isinstance(self.data, dict) and head in self.data else {}
        return Document(self.file, data, {where: line for where, line in self._lines.items() if where[:1] == (head,)})

    def entries(self, *where: str | int) -> list[tuple[Where, object]]:
        """The items of the list or the values of the mapping at a place; nothing when it is neither."""
        value = self.at(*where)
        if isinstance(value, dict):
            return [((*where, key), item) for key, item in value.items()]
        if isinstance(value, list):
            return [((*where, position), item) for position, item in enumerate(value)]
        return []


def read_document(path: Path, faults: Faults, environment: Mapping[str, str] | None = None) -> Document | None:
    """Reads a YAML file; None when nothing of it can be used. Without an environment nothing is substituted."""
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        faults.add_at(file, 1, "", f"cannot be read: {error.strerror}")
        return None
    except UnicodeDecodeError as error:
        faults.add_at(file, 1, "", f"is not UTF-8 text, byte {error.start} is {error.object[error.start]:#04x}")
        return None
    except ValueError as error:
        faults.add_at(file, 1, "", f"cannot be read: {error}")
        return None
    builder = _Builder(file, faults, environment)
    try:
        return builder.build(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        hint = " (inside { } a ${NAME} needs quotes)" if "${" in _line(text, line) else ""
        faults.add_at(file, line, "", f"is not YAML: {error.problem or error.context}{hint}")
    except yaml.YAMLError as error:
        faults.add_at(file, 1, "", f"is not YAML: {' '.join(str(error).split())}")
    return None


class _Builder:
    """Builds plain values from YAML events: no tags, no merge keys, no tree of nodes in between."""

    def __init__(self, file: str, faults: Faults, environment: Mapping[str, str] | None) -> None:
        self._lines: dict[Where, int] = {(): 1}
        self._document = Document(file, None, self._lines)
        self._faults = faults
        self._environment = environment
        self._anchors: dict[str, tuple[object, int]] = {}
        self._size = 0
        self._events: Iterator[yaml.Event] = iter(())

    def build(self, text: str) -> Document | None:
        self._events = iter(yaml.parse(text, Loader=_LOADER))
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second document begins here, one file holds one")
                self._document.data = self._value(next(self._events), ())
        return self._document

    def _value(self, event: yaml.Event, where: Where) -> object:
        self._size += 1
        if self._size > MAX_VALUES:
            self._refuse(event, f"holds more than {MAX_VALUES} values")
        if len(where) > MAX_DEPTH:
            self._refuse(event, f"is nested deeper than {MAX_DEPTH} levels")
        self._lines.setdefault(where, _row(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._size
        value = self._content(event, where)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._anchors[event.anchor] = (value, self._size - before)
        return value

    def _content(self, event: yaml.Event, where: Where) -> object:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, where)
        if isinstance(event, yaml.CollectionStartEvent) and event.tag is not None and not event.implicit:
            self._faults.add(self._document, where, f"tags are not used here, got {event.tag}")
        return self._mapping(where) if isinstance(event, yaml.MappingStartEvent) else self._list(where)

    def _list(self, where: Where) -> list[object]:
        items: list[object] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._value(event, (*where, len(items))))
        return items

    def _mapping(self, where: Where) -> dict[str, object]:
        items: dict[str, object] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key must be a word")
            key, line = event.value, _row(event)
            place = (*where, key)
            if key in items:
                text = f"duplicate key, first on line {self._lines[place]}"
                self._faults.add_at(self._document.file, line, ".".join(map(str, place)), text)
                self._value(next(self._events), (*where, f"{key} (again)"))
                continue
            self._lines[place] = line
            items[key] = self._value(next(self._events), place)
        return items

    def _alias(self, event: yaml.AliasEvent) -> object:
        anchor = event.anchor or ""
        if anchor not in self._anchors:
            self._refuse(event, f"*{anchor} stands for nothing above it")
        value, size = self._anchors[anchor]
        self._size += size
        return value

    def _scalar(self, event: yaml.ScalarEvent, where: Where) -> object:
        text: str = event.value
        if event.tag is not None and event.tag != "!":
            self._faults.add(self._document, where, f"tags are not used here, got {event.tag}")
        if self._environment is not None and "${" in text:
            text = _SUBSTITUTION.sub(lambda match: self._substitute(match, where), text)
        return _plain(text) if event.implicit[0] else text

    def _substitute(self, match: re.Match[str], where: Where) -> str:
        if match["escape"]:
            return match[0][1:]
        variable = _VARIABLE.fullmatch(match["body"]) if match["end"] else None
        if variable is None:
            text = f"expected ${{NAME}} or ${{NAME:-default}} ($${{ for a plain ${{), got {match[0]!r}"
            self._faults.add(self._document, where, text)
            return ""
        value = (self._environment or {}).get(variable["name"])
        if variable["has_default"]:
            return value or variable["default"]
        if value is None:
            self._faults.add(self._document, where, f"environment variable {variable['name']} is not set")
            return ""
        return value

    def _refuse(self, event: yaml.Event, why: str) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=why, problem_mark=cast("yaml.Mark | None", event.start_mark))


def _row(event: yaml.Event) -> int:
    """The line on which an event begins, from 1."""
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number - 1] if number <= len(lines) else ""


def _plain(text: str) -> object:
    """An unquoted word as YAML 1.2 reads it: `on`, `yes` and `12:30` are text."""
    if text in _NOTHING:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.lower() in _NAMED_NUMBERS:
        return float(_NAMED_NUMBERS[text.lower()])
    return text

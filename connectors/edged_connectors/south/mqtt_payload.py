"""What an MQTT message says: topic filters, JSON paths, times and values; nothing in a payload can raise."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, TypeAlias

import orjson

from edged.types import Value, ValueType

NANOSECONDS_PER_MICROSECOND = 1000
LARGEST_INTEGER = 2**63 - 1
"""Values and times beyond do not fit into the stores."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EPOCH_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
"""Below the first number a time counts in units of so many nanoseconds: s, ms, us; else ns. Good from 1973 to 5138."""
PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
PLAIN_TRUTHS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
PATH_STEP = re.compile(r"""\.([^.\[\]"']+)|\[(\d+)\]|\["([^"]+)"\]|\['([^']+)'\]""")


class Absent(Enum):
    """What a path finds where nothing is."""

    MISSING = "missing"


MISSING: Final = Absent.MISSING
Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | Absent | None


class BadPayload(Exception):
    """The payload cannot be used at all; the message is the reason that its signals get."""


@dataclass(frozen=True, slots=True)
class JsonPath:
    """`$.a.b[0]["c d"]`; `$` is the whole document."""

    steps: tuple[str | int, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Raises ValueError."""
        if not text.startswith("$"):
            raise ValueError(f"a JSON path begins with $, got {text!r}")
        steps: list[str | int] = []
        at = 1
        while at < len(text):
            found = PATH_STEP.match(text, at)
            if found is None:
                raise ValueError(f'expected .name, [index] or ["name"] at character {at + 1} of {text!r}')
            name, index, double, single = found.groups()
            steps.append(int(index) if index else name or double or single)
            at = found.end()
        return cls(tuple(steps))

    def find(self, document: Json) -> Json:
        """What the document holds there, or MISSING."""
        node = document
        for step in self.steps:
            node = child(node, step)
        return node


def child(node: Json, step: str | int) -> Json:
    """A member of an object or an item of an array, or MISSING."""
    if isinstance(step, str):
        return node.get(step, MISSING) if isinstance(node, dict) else MISSING
    if isinstance(node, list) and step < len(node):
        return node[step]
    return MISSING


def parse_json(payload: bytes) -> Json:
    """Raises BadPayload; NaN, infinities, invalid UTF-8 and nesting beyond 1024 levels are not JSON."""
    try:
        document: Json = orjson.loads(payload)
    except orjson.JSONDecodeError as fault:
        raise BadPayload(f"not JSON: {fault.msg}") from None
    return document


def parse_time(value: Json) -> int | None:
    """Nanoseconds UTC from ISO 8601 (UTC if it names no zone) or from an epoch number; None when it is no time."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        nanoseconds = (moment - EPOCH) // MICROSECOND * NANOSECONDS_PER_MICROSECOND
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        unit = next((unit for limit, unit in EPOCH_UNITS if value < limit), 1)
        micros = round(value * (unit / NANOSECONDS_PER_MICROSECOND)) if isinstance(value, float) else 0
        nanoseconds = micros * NANOSECONDS_PER_MICROSECOND if isinstance(value, float) else value * unit
    else:
        return None
    return nanoseconds if 0 < nanoseconds <= LARGEST_INTEGER else None


def plain(payload: bytes, kind: ValueType) -> Json:
    """A payload that is one number, truth or text. Raises BadPayload."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise BadPayload("not UTF-8 text") from None
    if kind is ValueType.STRING:
        return text
    text = text.strip()
    if kind is ValueType.BOOL:
        return PLAIN_TRUTHS.get(text.lower(), text)
    if not PLAIN_NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("+-").isdecimal() and len(text) < 20 else float(text)


def _to_float(value: Json) -> float | None:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _to_int(value: Json) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INTEGER:
        return value
    return None


def _to_bool(value: Json) -> bool | None:
    return bool(value) if isinstance(value, bool) or (isinstance(value, int) and value in {0, 1}) else None


def _to_text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


CONVERTERS: dict[ValueType, Callable[[Json], Value | None]] = {
    ValueType.FLOAT: _to_float,
    ValueType.INT: _to_int,
    ValueType.BOOL: _to_bool,
    ValueType.STRING: _to_text,
}


def misfit(value: Json, kind: ValueType) -> str:
    """The reason why a converter found no value."""
    if value is MISSING:
        return "missing in the payload"
    if value is None:
        return "null"
    names = {
        dict: "an object",
        list: "an array",
        str: "text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
    }
    return f"expected {kind}, got {names[type(value)]}"


def check_filter(text: str) -> str:
    """A topic filter that MQTT allows. Raises ValueError."""
    levels = text.split("/")
    for at, level in enumerate(levels):
        if ("#" in level and (level != "#" or at != len(levels) - 1)) or ("+" in level and level != "+"):
            raise ValueError(f"+ stands for one whole level and # for all the rest of it, got {text!r}")
    if not text or "\0" in text or len(text.encode()) > 65_535:
        raise ValueError("a topic has 1 to 65535 bytes and no NUL")
    return text


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic (or a narrower filter) falls under the filter."""
    wanted = pattern.split("/")
    levels = topic.split("/")
    if levels[0].startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or levels[at] == "#" or (level not in ("+", levels[at])):
            return False
    return len(wanted) == len(levels)

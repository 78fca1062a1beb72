"""The checks that both decoders of the wire are made of: each returns what is sound, or raises WireError by name."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, TypeGuard

from edged.errors import EdgedError


class WireError(EdgedError):
    """A message between edge and hub cannot be understood: both sides must speak the same version."""


def fields(item: object, where: str, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """A map with these keys, and of the optional ones any."""
    if not isinstance(item, dict) or not set(names) <= item.keys() <= {*names, *optional}:
        raise WireError(f"{where}: expected a map of {', '.join(names)}, got {shown(item)}")
    return item


def items(item: object, where: str, longest: int) -> list[object]:
    """A list of at most `longest`."""
    if not is_list(item) or len(item) > longest:
        raise WireError(f"{where}: expected a list of at most {longest}, got {shown(item)}")
    return item


def is_list(item: object) -> TypeGuard[list[object]]:
    """Whether it is a list of anything."""
    return isinstance(item, list)


def text(item: object, where: str, pattern: re.Pattern[str]) -> str:
    """A text that matches as a whole."""
    if not isinstance(item, str) or pattern.fullmatch(item) is None:
        raise WireError(f"{where}: expected text like {pattern.pattern}, got {shown(item)}")
    return item


def whole_number(item: object, where: str, low: int, high: int) -> int:
    """An integer of `low..high`."""
    if not isinstance(item, int) or isinstance(item, bool) or not low <= item <= high:
        raise WireError(f"{where}: expected a whole number {low}..{high}, got {shown(item)}")
    return item


def finite_number(item: object, where: str) -> float:
    """A number that is neither NaN nor infinite."""
    if not isinstance(item, int | float) or isinstance(item, bool) or not math.isfinite(item):
        raise WireError(f"{where}: expected a finite number, got {shown(item)}")
    return float(item)


def shown(item: object) -> str:
    """A short, safe rendering of a wrong item: whole payloads never reach a log line."""
    if isinstance(item, str | int | float | None):
        return repr(item)[:40]
    if isinstance(item, bytes | list | dict):
        return f"{type(item).__name__} of {len(item)}"
    return type(item).__name__

"""The state of control as plain values: whatever has changed in it since it was built, found by walking its objects.

No class has to tell what its state is. What stands for something outside is left out, and so is what never changes:
settings and limits are those of whoever takes the state up.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

import msgpack
from pydantic import BaseModel

from edged_control.flight.boundary import Boundary, Flight

State: TypeAlias = dict[str, Any]
"""Plain values by where they are."""
WALKED, KNOWN = "edged_control.", ("edged.types", "edged.ports", "edged_control.")
"""Objects of these modules are walked through; values of these may be part of the state."""
MOST_BITS = 63
"""Of an integer that msgpack can tell."""


class Leaf(NamedTuple):
    """One attribute."""

    path: str
    owner: dict[str, Any]
    name: str
    value: Any


class KeyFrame(NamedTuple):
    """The state between two deeds. `built` is the record of how control was built, `state` what has changed since."""

    serial: int
    built: bytes
    state: State


class NotPlain(TypeError):
    """Nothing that could be kept."""


def state_of(root: object) -> State:
    """Every plain value that is reachable, as it is now."""
    found = {}
    for leaf in _leaves(root, "", set()):
        try:
            found[leaf.path] = frozen(leaf.value)
        except NotPlain:
            continue
    return found


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> State:
    """What is different from before."""
    return {path: value for path, value in now.items() if path not in before or before[path] != value}


def take_up(root: object, state: Mapping[str, Any]) -> list[str]:
    """Puts a state into what was newly built; where there was something that has no place in it any more."""
    left = dict(state)
    for leaf in list(_leaves(root, "", set())):
        if leaf.path in state and _put(leaf, state[leaf.path]):
            del left[leaf.path]
    return list(left)


def packed_state(serial: int, built: bytes, state: State) -> bytes:
    """A key-frame as it is kept."""
    body: bytes = msgpack.packb((serial, built, state))
    return body


def unpacked_state(body: bytes) -> KeyFrame:
    """Raises ValueError or TypeError."""
    frame = KeyFrame(*msgpack.unpackb(body))
    if not (isinstance(frame.built, bytes) and isinstance(frame.state, dict)):
        raise TypeError("it is no key-frame")
    return frame


def _put(leaf: Leaf, plain: Any) -> bool:
    """False for what this version does not know, and for a list that has another length here."""
    try:
        value = thawed(plain)
    except (ValueError, TypeError, LookupError, ImportError):
        return False
    if isinstance(value, list) and len(value) != len(leaf.value):
        return False
    leaf.owner[leaf.name] = value
    return True


def _leaves(node: object, path: str, seen: set[int]) -> Iterator[Leaf]:
    if id(node) in seen:
        return
    seen.add(id(node))
    owner = vars(node)
    for name, value in list(owner.items()):
        where = f"{path}.{name}"
        inner = list(_nodes(value))
        if not inner:
            yield Leaf(where, owner, name, value)
        for key, child in inner:
            yield from _leaves(child, f"{where}{key}:{type(child).__name__}", seen)


def _nodes(value: object) -> Iterator[tuple[str, object]]:
    """Objects of control in an attribute: itself, or what a dict, list or tuple holds."""
    if isinstance(value, dict):
        candidates = [(f"[{key}]", child) for key, child in value.items()]
    elif type(value) in (list, tuple):
        candidates = [(f"[{position}]", child) for position, child in enumerate(value)]  # type: ignore[arg-type, var-annotated]
    else:
        candidates = [("", value)]
    return ((key, child) for key, child in candidates if _is_node(child))


def _is_node(value: object) -> bool:
    """Objects with a state of their own; values are part of somebody's state."""
    kind = type(value)
    if not kind.__module__.startswith(WALKED) or isinstance(value, type | tuple | Enum | BaseModel | Boundary | Flight):
        return False
    return hasattr(value, "__dict__") and not is_dataclass(value) and not callable(value)


def frozen(value: Any) -> Any:
    """A value in the words of msgpack: what it has no word for becomes a dict with the name of its kind."""
    if type(value) is int and value.bit_length() > MOST_BITS:
        return {"kind": "int", "value": str(value)}
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, Enum):
        return {"kind": _name(value), "value": value.value}
    if isinstance(value, BaseModel):
        return {"kind": _name(value), "value": value.model_dump_json()}
    if type(value) in (list, tuple, deque):
        return {"kind": type(value).__name__, "value": [frozen(one) for one in value]}
    if type(value) is dict:
        return {"kind": "dict", "value": [[frozen(key), frozen(one)] for key, one in value.items()]}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"kind": _name(value), "value": [frozen(one) for one in value]}
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": _name(value), "value": [frozen(getattr(value, field.name)) for field in fields(value)]}
    raise NotPlain


def thawed(plain: Any) -> Any:
    """The value again. Raises ValueError for a kind that is none of ours."""
    if not isinstance(plain, dict):
        return plain
    kind, value = plain["kind"], plain["value"]
    match kind:
        case "int":
            return int(value)
        case "list":
            return [thawed(one) for one in value]
        case "tuple":
            return tuple(thawed(one) for one in value)
        case "deque":
            return deque(thawed(one) for one in value)
        case "dict":
            return {thawed(key): thawed(one) for key, one in value}
    found = _class(kind)
    if issubclass(found, BaseModel):
        return found.model_validate_json(value)
    if issubclass(found, Enum):
        return found(value)
    return found(*map(thawed, value))


def _name(value: object) -> str:
    kind = type(value)
    if not f"{kind.__module__}.".startswith(KNOWN):
        raise NotPlain
    return f"{kind.__module__}:{kind.__qualname__}"


def _class(name: str) -> type[Any]:
    """One of the value classes of ours, and nothing else: the file may come from anywhere."""
    module, _, kind = name.partition(":")
    found = getattr(importlib.import_module(module), kind, None) if f"{module}.".startswith(KNOWN) else None
    is_value = isinstance(found, type) and (
        issubclass(found, Enum | BaseModel) or is_dataclass(found) or hasattr(found, "_fields")
    )
    if not is_value:
        raise ValueError(f"{name} is no value of control")
    assert isinstance(found, type)
    return found

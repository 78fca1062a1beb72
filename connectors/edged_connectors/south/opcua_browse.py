"""A server's variables as a configuration stub: paste it below `sources:` and keep what you want."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from asyncua import ua

from edged.errors import EdgedError, SourceLost
from edged_connectors.south.opcua_options import OpcUaOptions
from edged_connectors.south.opcua_session import Session

DEEPEST_LEVEL = 12
MOST_VARIABLES = 20_000
WRITE_BIT = 1 << ua.AccessLevel.CurrentWrite
OBJECTS = ua.NodeId(ua.ObjectIds.ObjectsFolder)
HAS_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)
SERVER_NAMESPACE = 0
PROPERTIES = ("EngineeringUnits", "EURange")

TYPES = {
    ua.VariantType.Boolean: "bool",
    ua.VariantType.Float: "float",
    ua.VariantType.Double: "float",
    ua.VariantType.String: "string",
    ua.VariantType.LocalizedText: "string",
} | {
    kind: "int"
    for kind in ua.VariantType
    if kind.name in {"SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64"}
}
"""Variables of other types (arrays, structures, times) are left out: a signal cannot carry them."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A variable and its place in the server's tree."""

    node: ua.NodeId
    names: tuple[str, ...]


async def browse(options: OpcUaOptions) -> str:
    """YAML of one source. Raises SourceUnreachable, AccessRefused or SourceLost."""
    lost: list[EdgedError] = []
    session = Session(options, lost.append)
    try:
        await session.open()
        variables = await _variables(session)
        signals = await _describe(session, variables)
    finally:
        await session.close()
    return _stub(options, signals)


async def _variables(session: Session) -> list[_Found]:
    """Every variable below Objects outside the server's own namespace, level by level, each node once."""
    seen: set[ua.NodeId] = {OBJECTS}
    level = [_Found(OBJECTS, ())]
    variables: list[_Found] = []
    for _ in range(DEEPEST_LEVEL):
        below: list[_Found] = []
        for parent, references in zip(level, await session.browse([found.node for found in level]), strict=True):
            for reference in references:
                node = _plain(reference.NodeId)
                if node in seen or node.NamespaceIndex == SERVER_NAMESPACE or reference.ReferenceTypeId == HAS_PROPERTY:
                    continue
                seen.add(node)
                found = _Found(node, (*parent.names, reference.BrowseName.Name))
                (variables if reference.NodeClass == ua.NodeClass.Variable else below).append(found)
        if len(variables) > MOST_VARIABLES:
            raise SourceLost(f"more than {MOST_VARIABLES} variables: browse a smaller server or list signals by hand")
        level = below
        if not level:
            break
    return variables


async def _describe(session: Session, variables: Sequence[_Found]) -> list[dict[str, Any]]:
    nodes = [found.node for found in variables]
    values = await session.read(nodes)
    access = await session.read(nodes, ua.AttributeIds.UserAccessLevel)
    descriptions = await session.read(nodes, ua.AttributeIds.Description)
    properties = await _properties(session, nodes)
    taken: set[str] = set()
    signals = []
    for found, value, level, description in zip(variables, values, access, descriptions, strict=True):
        variant = value.Value
        if variant is None or variant.is_array or variant.VariantType not in TYPES:
            continue
        signal: dict[str, Any] = {
            "name": _unique(_path(found.names), taken),
            "address": {"node": session.name_of(found.node)},
            "type": TYPES[variant.VariantType],
        }
        signal |= _engineering(properties.get(found.node, {}))
        if level.Value is not None and int(level.Value.Value or 0) & WRITE_BIT:
            signal["writable"] = True
        text = description.Value.Value.Text if description.Value is not None and description.Value.Value else None
        if text and text != found.names[-1]:
            signal["description"] = text
        signals.append(signal)
    return signals


async def _properties(session: Session, nodes: Sequence[ua.NodeId]) -> dict[ua.NodeId, dict[str, Any]]:
    """The engineering properties that the variables have, by variable and property name."""
    wanted: list[tuple[ua.NodeId, str, ua.NodeId]] = []
    for node, references in zip(nodes, await session.browse(nodes), strict=True):
        wanted += [(node, r.BrowseName.Name, _plain(r.NodeId)) for r in references if r.BrowseName.Name in PROPERTIES]
    values = await session.read([target for _, _, target in wanted])
    found: dict[ua.NodeId, dict[str, Any]] = {}
    for (node, name, _), data in zip(wanted, values, strict=True):
        if data.Value is not None and data.Value.Value is not None:
            found.setdefault(node, {})[name] = data.Value.Value
    return found


def _plain(node: ua.NodeId) -> ua.NodeId:
    """The node id without the server and namespace URI that references may carry."""
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)


def _engineering(properties: dict[str, Any]) -> dict[str, Any]:
    """Unit and range as the server declares them."""
    said: dict[str, Any] = {}
    unit, span = properties.get("EngineeringUnits"), properties.get("EURange")
    if unit is not None and unit.DisplayName.Text:
        said["unit"] = unit.DisplayName.Text
    if span is not None and span.Low < span.High:
        said |= {"low": span.Low, "high": span.High}
    return said


def _path(names: Sequence[str]) -> str:
    """equipment/name out of the browse path: the last folder is the equipment."""
    equipment = names[-2] if len(names) > 1 else "plant"
    return f"{_word(equipment)}/{_word(names[-1])}"


def _word(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    word = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_") or "signal"
    return word if word[0].isalpha() else f"n{word}"


def _unique(path: str, taken: set[str]) -> str:
    candidate, number = path, 2
    while candidate in taken:
        candidate, number = f"{path}_{number}", number + 1
    taken.add(candidate)
    return candidate


def _flow(entry: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.strip()


def _stub(options: OpcUaOptions, signals: Sequence[dict[str, Any]]) -> str:
    given = options.model_dump(mode="json", exclude_unset=True)
    lines = ["opcua:", "  kind: opcua", f"  options: {_flow(given)}", "  signals:"]
    lines += [f"    - {_flow(signal)}" for signal in signals]
    if not signals:
        lines[-1] = "  signals: []"
    return "\n".join(lines) + "\n"

"""JSON Schema of the configuration file, for editors: with every kind's options and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

from edged.registry import ConnectorKind
from edged.settings import LineSettings
from edged.units import UNITS

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SUBSTITUTION: Schema = {"type": "string", "pattern": r"\$\{", "description": "taken from the environment"}

SIMPLE_TYPES = frozenset({"integer", "number", "boolean"})
VERBATIM = frozenset({"default", "enum", "examples", "const"})
"""Keywords that hold values, not schemas."""


def json_schema(kinds: Mapping[str, ConnectorKind]) -> Schema:
    """The schema of one line's file. `kind` decides which options and addresses a source may have."""
    schema = LineSettings.model_json_schema()
    definitions: Schema = schema["$defs"]
    for section in ("SignalSettings", "LimitSettings"):
        definitions[section]["properties"]["unit"]["examples"] = list(UNITS)
    source = definitions["SourceSettings"]
    source["properties"]["kind"]["enum"] = sorted(kinds)
    source["allOf"] = [_when(name, kinds[name], definitions) for name in sorted(kinds)]
    result: Schema = _substitutable(schema)
    return {"$schema": DIALECT, **result}


def _when(name: str, kind: ConnectorKind, definitions: Schema) -> Schema:
    options = _hoisted(name, "options", kind.options, definitions)
    address = _hoisted(name, "address", kind.address, definitions)
    signals = {"type": "array", "items": {"properties": {"address": address}}}
    return {
        "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
        "then": {"properties": {"options": options, "signals": signals}},
    }


def _hoisted(name: str, role: str, model: type[BaseModel], definitions: Schema) -> Schema:
    """Adds a kind's model under a name of its own and refers to it."""
    prefix = f"{name}.{role}."
    schema = model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    for inner, definition in schema.pop("$defs", {}).items():
        definitions[prefix + inner] = definition
    definitions[prefix + model.__name__] = schema
    return {"$ref": f"#/$defs/{prefix}{model.__name__}"}


def _substitutable(node: Any) -> Any:
    """Lets `${NAME:-8470}` stand wherever a number, a truth value or one of a few words is expected."""
    if isinstance(node, list):
        return [_substitutable(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {key: value if key in VERBATIM else _substitutable(value) for key, value in node.items()}
    kind = inner.get("type")
    if isinstance(kind, str) and (kind in SIMPLE_TYPES or "enum" in inner):
        outer = {key: inner.pop(key) for key in ("title", "description", "default") if key in inner}
        return {**outer, "anyOf": [inner, SUBSTITUTION]}
    return inner

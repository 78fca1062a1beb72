"""The JSON Schema for editors knows every key, and what each kind of source wants."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from edged.registry import ConnectorKind
from edged.schema import SUBSTITUTION, json_schema
from edged.settings import LineSettings


@pytest.fixture(scope="session")
def schema(kinds: Mapping[str, ConnectorKind]) -> dict[str, Any]:
    return json_schema(kinds)


def references(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    names = {reference.removeprefix("#/$defs/") for reference in references(schema)}
    assert names <= set(schema["$defs"])
    assert "device.options.DeviceOptions" in names
    json.dumps(schema)


def test_every_section_is_there(schema: dict[str, Any]) -> None:
    assert set(schema["properties"]) == set(LineSettings.model_fields)
    assert schema["additionalProperties"] is False


def test_kind_decides_on_options_and_addresses(schema: dict[str, Any]) -> None:
    source = schema["$defs"]["SourceSettings"]
    assert source["properties"]["kind"]["anyOf"] == [{"enum": ["device"], "type": "string"}, SUBSTITUTION]
    (rule,) = source["allOf"]
    assert rule["if"] == {"properties": {"kind": {"const": "device"}}, "required": ["kind"]}
    assert rule["then"]["properties"]["options"] == {"$ref": "#/$defs/device.options.DeviceOptions"}
    signals = rule["then"]["properties"]["signals"]
    assert signals["items"]["properties"]["address"] == {"$ref": "#/$defs/device.address.DeviceAddress"}
    options = schema["$defs"]["device.options.DeviceOptions"]
    assert options["properties"]["order"] == {"$ref": "#/$defs/device.options.Order", "default": "ABCD"}
    assert list(schema["$defs"]["device.address.DeviceAddress"]["properties"]) == ["register", "scale"]


def test_environment_may_stand_for_numbers(schema: dict[str, Any]) -> None:
    port = schema["$defs"]["HttpSettings"]["properties"]["port"]
    assert port["default"] == 8470
    assert port["anyOf"] == [{"maximum": 65535, "minimum": 0, "type": "integer"}, SUBSTITUTION]
    assert schema["$defs"]["Priority"]["anyOf"][0]["enum"] == ["CRITICAL", "HIGH", "MEDIUM", "LOW"]


def test_units_are_offered(schema: dict[str, Any]) -> None:
    assert "degC/min" in schema["$defs"]["SignalSettings"]["properties"]["unit"]["examples"]


def test_signal_keys_named_like_keywords_survive(schema: dict[str, Any]) -> None:
    assert schema["$defs"]["SignalSettings"]["properties"]["type"]["$ref"] == "#/$defs/ValueType"

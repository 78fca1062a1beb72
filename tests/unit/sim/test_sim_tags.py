"""The simulator's table of signals is the one that configs/line-a.yaml reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from edged import units
from edged.types import ValueType
from edged_sim.tags import NAMESPACE, TAGS, Face, Status, Tag


@pytest.fixture(scope="module")
def configured() -> dict[str, dict[str, Any]]:
    path = Path(__file__).resolve().parents[3] / "configs" / "line-a.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        signal["name"]: {**signal, "kind": source["kind"]}
        for source in document["sources"].values()
        for signal in source["signals"]
    }


def test_both_name_the_same_signals_in_the_same_order(configured: dict[str, dict[str, Any]]) -> None:
    assert [tag.path for tag in TAGS] == list(configured)


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: tag.path)
def test_each_signal_is_described_alike(tag: Tag, configured: dict[str, dict[str, Any]]) -> None:
    signal = configured[tag.path]
    assert signal["kind"] == tag.face
    assert signal.get("unit", "1") == tag.unit
    assert signal.get("type", "float") == tag.type
    assert (signal.get("low"), signal.get("high")) == (tag.low, tag.high)
    assert signal.get("writable", False) == tag.writable
    assert signal["description"] == tag.description


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: tag.path)
def test_each_signal_is_found_at_the_same_address(tag: Tag, configured: dict[str, dict[str, Any]]) -> None:
    address = configured[tag.path]["address"]
    if tag.face is Face.OPCUA:
        assert address == {"node": f"nsu={NAMESPACE};s={tag.node}"}
    elif tag.face is Face.MQTT:
        assert address == {"topic": tag.topic, "path": f"$.values.{tag.name}"}
    else:
        register = tag.register
        assert register is not None
        assert (address["table"], address["register"], address["type"]) == (
            register.table,
            register.address,
            register.encoding,
        )
        assert address.get("word_order", "ABCD") == register.order
        assert address.get("scale", 1.0) == register.scale


def test_registers_do_not_overlap() -> None:
    used = [
        (tag.register.table, tag.register.address + word)
        for tag in TAGS
        if tag.register
        for word in range(tag.register.size)
    ]
    assert len(used) == len(set(used))


def test_units_are_those_that_configurations_know() -> None:
    assert all(units.known(tag.unit) for tag in TAGS)


def test_status_follows_the_bands() -> None:
    rate = next(tag for tag in TAGS if tag.path == "annealing/cooling_rate")
    assert [rate.status(value) for value in (5.0, 6.5, 7.5, None)] == [
        Status.OK,
        Status.WARNING,
        Status.CRITICAL,
        Status.ERROR,
    ]
    furnace = next(tag for tag in TAGS if tag.path == "furnace/temperature")
    assert [furnace.status(value) for value in (1440.0, 1470.0, 1530.0, 1610.0)] == [
        Status.CRITICAL,
        Status.WARNING,
        Status.OK,
        Status.CRITICAL,
    ]
    text = next(tag for tag in TAGS if tag.type is ValueType.STRING)
    assert text.status("bubble") is Status.OK

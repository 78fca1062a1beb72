"""Tag lists as CSV: the same signals, the same faults, with the line of the list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edged.config import LineConfig, load
from edged.errors import ConfigError
from edged.registry import ConnectorKind
from edged.types import Signal, ValueType

HEADER = "name,unit,type,low,high,deadband,writable,description,address.register,address.scale\n"
NAMELESS = "1: the first line names the columns and needs a column name"
TYPES = "must be 'float', 'int', 'bool' or 'string', got 'flaot', did you mean 'float'?"
DUPLICATE = "name: duplicate signal name"
ROW = "mill/a,s,,,,,,,1\n"
USE = ("    signals:\n", "    signals_file: lists/tags.csv\n    signals:\n")


@pytest.fixture
def listed(write: Callable[..., Path], kinds: Mapping[str, ConnectorKind]) -> Callable[[str], LineConfig]:
    """Loads the sound line with a tag list added."""

    def listed(text: str) -> LineConfig:
        path = write(USE)
        (path.parent / "lists").mkdir(exist_ok=True)
        (path.parent / "lists/tags.csv").write_text(text, encoding="utf-8")
        return load(path, {}, kinds=kinds)

    return listed


def test_rows_become_signals(listed: Callable[[str], LineConfig]) -> None:
    config = listed(
        "\ufeff"
        + HEADER
        + 'mill/speed,rpm,,0,3000,0.5,,"fast, usually",40,0.1\n'
        + "# spare\n\n"
        + "mill/on,,bool,,,,true,,41\n"
    )
    assert config.signals["line_x/mill/speed"] == Signal(
        "line_x/mill/speed", "rpm", ValueType.FLOAT, 0.0, 3000.0, 0.5, False, "fast, usually"
    )
    assert config.signals["line_x/mill/on"] == Signal("line_x/mill/on", "1", ValueType.BOOL, writable=True)
    addresses = [binding.address.model_dump() for binding in config.sources[0].bindings]
    assert addresses[-2:] == [{"number": 40, "scale": 0.1}, {"number": 41, "scale": 1.0}]


def test_hash_covers_the_list(listed: Callable[[str], LineConfig]) -> None:
    first = listed(HEADER + "mill/speed,rpm,,,,,,,40\n").hash
    assert listed(HEADER + "mill/speed,rpm,,,,,,,40\n\n").hash == first
    assert listed(HEADER + "mill/speed,Hz,,,,,,,40\n").hash != first


def test_hash_covers_addresses_in_the_list(listed: Callable[[str], LineConfig]) -> None:
    assert listed(HEADER + "mill/a,,,,,,,,40\n").hash != listed(HEADER + "mill/a,,,,,,,,41\n").hash


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", [NAMELESS]),
        ("name;unit\na/b;s\n", [f"{NAMELESS}; separate the columns by commas"]),
        ("name,unti\n", ["1: unti: unknown column, did you mean 'unit'?"]),
        ("name,unit,unit\n", ["1: unit: duplicate column"]),
        ("name,address.\n", ["1: address.: unknown column, did you mean 'address.<key>'?"]),
        (HEADER + "mill/a,C,,,,,,,1\n", ["2: unit: unknown unit, got 'C', did you mean 'degC'?"]),
        (HEADER + "\nmill/a,s,flaot,,,,,,1\n", [f"3: type: {TYPES}"]),
        (HEADER + 'mill/a,s,,,,,,"two\nlines",1\nmill/b,s,,x,,,,,1\n', ["4: low: expected a number, got 'x'"]),
        (HEADER + "mill/a,s,,5,1,,,,1\n", ["2: low must be below high, got low 5.0 and high 1.0"]),
        (HEADER + "mill/a,s,,,,,perhaps,,1\n", ["2: writable: expected true or false, got 'perhaps'"]),
        (HEADER + "mill/a,s,,,,,,,one\n", ["2: address.register: expected a whole number, got 'one'"]),
        (HEADER + "mill/a,s\n", ["2: address.register: is missing"]),
        (HEADER + ",s,,,,,,,1\n", ["2: name: is missing"]),
        (HEADER + "mill/a,s,,,,,,,1,2,3\n", ["2: expected 10 cells as in the first line, got 11"]),
        (HEADER + 'mill/a,"s\n', ["2: is not CSV: unexpected end of data"]),
        (HEADER + ROW + ROW, [f"3: {DUPLICATE}, got 'mill/a', first at lists/tags.csv:2"]),
        (HEADER + "oven/remote" + ROW[6:], [f"2: {DUPLICATE}, got 'oven/remote', first at line.yaml:16"]),
    ],
    ids=range(17),
)  # fmt: skip
def test_faults(listed: Callable[[str], LineConfig], tmp_path: Path, text: str, faults: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        listed(text)
    found = [fault.replace(f"{tmp_path}/", "") for fault in raised.value.faults]
    assert found == [f"lists/tags.csv:{fault}" for fault in faults]


def test_missing_list(write: Callable[..., Path], kinds: Mapping[str, ConnectorKind]) -> None:
    with pytest.raises(ConfigError, match=r"lists/tags\.csv:1: cannot be read: No such file or directory"):
        load(write(USE), {}, kinds=kinds)


def test_list_that_is_not_text(write: Callable[..., Path], kinds: Mapping[str, ConnectorKind]) -> None:
    path = write(USE)
    (path.parent / "lists").mkdir()
    (path.parent / "lists/tags.csv").write_bytes(b"name\n\xff")
    with pytest.raises(ConfigError, match=r"lists/tags\.csv:1: is not UTF-8 text"):
        load(path, {}, kinds=kinds)

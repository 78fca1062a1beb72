"""Whatever stands in a file, loading it ends in a configuration or in ConfigError."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.config import load, load_limits
from edged.errors import ConfigError
from edged.faults import Faults
from edged.registry import ConnectorKind
from edged.taglist import COLUMNS, read_tag_list

EXAMPLE = (Path(__file__).resolve().parents[4] / "configs/line-a.yaml").read_text(encoding="utf-8")
LINES = EXAMPLE.splitlines()
WORDS = "{ } [ ] : - &a *a !!int ${X} ${ ' | > # ? << 1e999 .nan -1 true line_a oven/x 0x \x00 \ud7ff ~ \""
SCRAPS = st.sampled_from([*WORDS.split(" "), "", "\t", "- ", "---\n", "%YAML 1.1\n", "9" * 5000])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="session")
def any_kinds(kinds: Mapping[str, ConnectorKind]) -> Mapping[str, ConnectorKind]:
    """The test kind under the names that the example uses."""
    return dict.fromkeys(("opcua", "modbus", "mqtt", "device"), kinds["device"])


def must_end_well(path: Path, kinds: Mapping[str, ConnectorKind]) -> None:
    faults = [f"{path}:"]
    try:
        load(path, {}, kinds=kinds, tolerate_missing=True)
    except ConfigError as error:
        faults = error.faults
    assert faults
    assert all(fault.startswith(str(path.parent)) for fault in faults)


@given(content=st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace")))
@settings(deadline=None)
def test_arbitrary_content(folder: Path, any_kinds: Mapping[str, ConnectorKind], content: bytes) -> None:
    path = folder / "any.yaml"
    path.write_bytes(content)
    must_end_well(path, any_kinds)


@given(
    cuts=st.lists(st.tuples(st.integers(0, len(LINES) - 1), st.floats(0, 1), st.integers(0, 12), SCRAPS), max_size=6),
    moved=st.lists(st.tuples(st.integers(0, len(LINES) - 1), st.integers(0, len(LINES) - 1)), max_size=2),
)
@settings(deadline=None)
def test_mutated_example(
    folder: Path,
    any_kinds: Mapping[str, ConnectorKind],
    cuts: list[tuple[int, float, int, str]],
    moved: list[tuple[int, int]],
) -> None:
    lines = list(LINES)
    for number, place, length, scrap in cuts:
        at = round(place * len(lines[number]))
        lines[number] = lines[number][:at] + scrap + lines[number][at + length :]
    for one, other in moved:
        lines[one], lines[other] = lines[other], lines[one]
    path = folder / "mutated.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    must_end_well(path, any_kinds)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NESTED = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
SECTIONS = [
    "site",
    "line",
    "http",
    "outbox",
    "hub",
    "sparkplug",
    "sources",
    "models",
    "alarms",
    "control",
    "data_directory",
]
INNER = [
    "plc",
    "kind",
    "signals",
    "options",
    "limits",
    "loops",
    "name",
    "signal",
    "ceiling",
    "signals_file",
    "secret",
    "file",
]


@given(
    data=st.dictionaries(
        st.sampled_from(SECTIONS),
        st.recursive(
            NESTED | st.sampled_from(["device", "oven/x", "secret"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=4),
            max_leaves=12,
        ),
    )
)
@settings(deadline=None)
def test_wrong_shapes(folder: Path, any_kinds: Mapping[str, ConnectorKind], data: object) -> None:
    path = folder / "shapes.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=False), encoding="utf-8")
    must_end_well(path, any_kinds)


@given(content=st.binary(max_size=200))
@settings(deadline=None)
def test_arbitrary_ceiling(folder: Path, content: bytes) -> None:
    path = folder / "ceiling.yaml"
    path.write_bytes(b"limits:\n  - " + content)
    with pytest.raises(ConfigError):
        load_limits(path)


@given(content=st.binary(max_size=200))
@settings(deadline=None)
def test_arbitrary_tag_list(folder: Path, content: bytes) -> None:
    path = folder / "tags.csv"
    path.write_bytes(",".join(COLUMNS).encode() + b"\n" + content)
    faults = Faults()
    rows = read_tag_list(path, faults)
    assert all("address" in row.signal for row in rows)

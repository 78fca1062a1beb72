"""Kinds are found by name, loaded when asked for, and say what they lack."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edged.errors import ConfigError, MissingLibrary
from edged.registry import EVERYTHING, InstalledKinds, extra_of

PLUG_IN = """\
from pydantic import BaseModel
from edged.registry import ConnectorKind
KIND = ConnectorKind("plugged", BaseModel, BaseModel, print)
OTHER = 5
"""
ENTRIES = """\
[edged.connectors]
plugged = plug_in:KIND
wrong = plug_in:OTHER
nameless = plug_in:NOTHING
unbuilt = plug_in_gone:KIND
lacking = plug_in_lacking:KIND
"""


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstalledKinds:
    """The installed kinds with those of a third party among them."""
    (tmp_path / "plug_in.py").write_text(PLUG_IN)
    (tmp_path / "plug_in_lacking.py").write_text("import library_that_nobody_has\n")
    metadata = tmp_path / "plug_in-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("plug_in", "plug_in_lacking"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return InstalledKinds()


def test_kinds_of_third_parties_are_found(kinds: InstalledKinds) -> None:
    assert "plugged" in kinds
    assert "plugged" in set(kinds)
    assert len(kinds) >= 5
    assert kinds["plugged"].name == "plugged"


def test_looking_a_name_up_imports_nothing(kinds: InstalledKinds) -> None:
    assert "lacking" in kinds
    assert "plug_in_lacking" not in sys.modules
    assert "unheard_of" not in kinds
    with pytest.raises(KeyError):
        kinds["unheard_of"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("wrong", "not a ConnectorKind, got 5"),
        ("nameless", "cannot be loaded: module 'plug_in' has no attribute 'NOTHING'"),
        ("unbuilt", "cannot be loaded: No module named 'plug_in_gone'"),
    ],
)
def test_what_is_no_kind_is_a_configuration_fault(kinds: InstalledKinds, name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        kinds[name]


def test_missing_library_is_named(kinds: InstalledKinds) -> None:
    with pytest.raises(MissingLibrary, match=r"library_that_nobody_has is not installed: pip install 'edged\[all\]'"):
        kinds["lacking"]


def test_extras_are_found_by_library() -> None:
    assert extra_of("onnxruntime") == "inference"
    assert extra_of("aiosqlite") == "hub"
    assert extra_of("library_that_nobody_has") == EVERYTHING

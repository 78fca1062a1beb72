"""The documents tell the truth: configurations load, names exist, links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from edged.config import LineConfig, load, read_limits
from edged.registry import ConnectorKind, connector_kinds
from edged.settings import LineSettings
from edged_connectors.south.opcua_options import OpcUaOptions
from edged_control.ladder.controllers import load_models
from tests.conftest import PROJECT
from tests.integration.connector_from_docs import kind_from_docs
from tests.integration.documents import Block, blocks, documents, links, spans

HEAD = {"site": "some_site", "line": "some_line", "data_directory": "state"}
A_SOURCE = {"sources": {"dry": {"kind": "fake", "signals": [{"name": "dry/run"}]}}}
OPTIONS_HEAD = """\
site: some_site
line: some_line
data_directory: state
sources:
  plc:
    kind: opcua
    signals: [{ name: plc/on, address: { node: "i=2258" } }]
    options:
      endpoint: opc.tcp://127.0.0.1:4840/
"""
TAG_LIST_HEAD = """\
site: some_site
line: some_line
data_directory: state
sources:
  plc:
    kind: opcua
    options: { endpoint: "opc.tcp://127.0.0.1:4840/" }
    signals_file: tags.csv
"""
DOTTED = re.compile(r"^[a-z_]+(\.[a-z_]+)+$")
NAMED_TEST = re.compile(r"^[a-z_/]*test_[a-z_]+\.py::[A-Za-z_]+$")
INLINE_SECTION = re.compile(r"^[a-z_]+: [{\[\w$].*$")
FILE_SUFFIXES = (".yaml", ".py", ".md", ".proto", ".lock", ".service", ".onnx", ".csv")
LIMITS_BLOCKS = [block for block in blocks("yaml") if set(yaml.safe_load(block.text)) == {"limits"}]
YAML_BLOCKS = [block for block in blocks("yaml") if block not in LIMITS_BLOCKS]


def kinds() -> Mapping[str, ConnectorKind]:
    """The installed kinds, and the one that a document adds."""
    return {name: connector_kinds()[name] for name in connector_kinds()} | {"scale": kind_from_docs()}


def load_text(text: str, folder: Path) -> LineConfig:
    file = folder / "line.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, {"EDGED_DATA_DIRECTORY": "state"}, kinds=kinds(), tolerate_missing=True)


def whole(text: str) -> str:
    """A block as a whole line: sections get the head that they lack, options a server."""
    data = yaml.safe_load(text)
    if set(data) <= set(LineSettings.model_fields):
        missing = {key: value for key, value in (HEAD | A_SOURCE).items() if key not in data}
        return (yaml.safe_dump(missing) if missing else "") + text
    assert set(data) <= set(OpcUaOptions.model_fields), "neither sections of a line nor options of an OPC UA source"
    return OPTIONS_HEAD + indent(text, "      ")


@pytest.mark.parametrize("block", YAML_BLOCKS, ids=[block.name for block in YAML_BLOCKS])
def test_every_configuration_loads(block: Block, tmp_path: Path) -> None:
    config = load_text(whole(block.text), tmp_path)
    assert config.signals
    load_models(config, tolerate_missing=True)


@pytest.mark.parametrize("block", LIMITS_BLOCKS, ids=[block.name for block in LIMITS_BLOCKS])
def test_every_list_of_limits_loads(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(block.text, encoding="utf-8")
    assert read_limits(file)


def test_the_tag_list_loads(tmp_path: Path) -> None:
    (block,) = blocks("csv")
    (tmp_path / "tags.csv").write_text(block.text, encoding="utf-8")
    config = load_text(TAG_LIST_HEAD, tmp_path)
    assert len(config.signals) == len(block.text.splitlines()) - 1


def test_settings_in_prose_exist() -> None:
    dotted = [(file, text) for file, text in spans() if DOTTED.match(text) and not text.endswith(FILE_SUFFIXES)]
    named = [(file, text) for file, text in dotted if text.split(".")[0] in fields(LineSettings)]
    assert named
    for file, text in named:
        model: Any = LineSettings
        for name in text.split("."):
            assert name in fields(model), f"{file}: {text}"
            model = fields(model)[name]


def test_settings_with_values_in_prose_are_sound(tmp_path: Path) -> None:
    found = [(f, text) for f, text in spans() if INLINE_SECTION.match(text) and text.split(":")[0] in HEAD | {"hub": 0}]
    assert found
    for file, text in found:
        assert load_text(whole(text + "\n"), tmp_path).signals, file


def test_links_lead_somewhere() -> None:
    broken = [f"{file}: {target}" for file, target in links() if not (file.parent / target).exists()]
    assert not broken


def test_files_named_in_prose_exist() -> None:
    rooms = {entry.name for entry in PROJECT.iterdir() if entry.is_dir()} - {"run"}
    named = [(file, text) for file, text in spans() if text.split("/")[0] in rooms and "/" in text and " " not in text]
    named = [(file, text) for file, text in named if text.endswith((*FILE_SUFFIXES, "/")) or "." not in text]
    assert len(named) > 5
    missing = [f"{file}: {text}" for file, text in named if not list(PROJECT.glob(text.rstrip("/")))]
    assert not missing


def test_no_mark_of_unfinished_work_is_left() -> None:
    marks = re.compile(r"@[A-Z]+@|TODO|FIXME|TBD")
    assert not [file for file in documents() if marks.search(file.read_text(encoding="utf-8"))]


def fields(model: Any) -> dict[str, Any]:
    """The fields of a section and, where they are sections themselves, their models."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return {}
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        candidates = (field.annotation, *get_args(field.annotation))
        found[name] = next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)
    return found


def test_tests_named_in_prose_exist() -> None:
    named = [(file, text) for file, text in spans() if NAMED_TEST.match(text)]
    assert named
    for file, text in named:
        path, name = text.split("::")
        found = list((PROJECT / "tests").rglob(path.removeprefix("tests/")))
        assert found, f"{file}: {text}"
        text_of_test = found[0].read_text(encoding="utf-8")
        assert re.search(rf"^(?:(?:async )?def |class )?{name}\b", text_of_test, re.MULTILINE), f"{file}: {text}"

"""The connector that docs/how-to/add-a-connector.md shows, taken from there."""

from __future__ import annotations

import importlib.util
import tempfile
import tomllib
from functools import cache
from pathlib import Path

from edged.registry import CONNECTOR_GROUP, ConnectorKind
from tests.integration.documents import Block, blocks

DOCUMENT = "add-a-connector.md"


def block_of(language: str) -> Block:
    """The document's one block in a language."""
    (found,) = (block for block in blocks(language) if block.file.name == DOCUMENT)
    return found


def entry_point() -> tuple[str, str]:
    """Name and value of the entry point that the document registers."""
    ((name, value),) = tomllib.loads(block_of("toml").text)["project"]["entry-points"][CONNECTOR_GROUP].items()
    return str(name), str(value)


def write_package(folder: Path) -> None:
    """The package as somebody would have installed it: the module and what registers it."""
    name, value = entry_point()
    module = folder / Path(*value.partition(":")[0].split(".")).with_suffix(".py")
    module.parent.mkdir(parents=True)
    (module.parent / "__init__.py").touch()
    module.write_text(block_of("python").text, encoding="utf-8")
    distribution = folder / "my_package-1.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1\n", encoding="utf-8")
    (distribution / "entry_points.txt").write_text(f"[{CONNECTOR_GROUP}]\n{name} = {value}\n", encoding="utf-8")


@cache
def kind_from_docs() -> ConnectorKind:
    """The kind, imported from the text of the document."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scale_from_docs.py"
        file.write_text(block_of("python").text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("scale_from_docs", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    kind = module.KIND
    assert isinstance(kind, ConnectorKind)
    return kind

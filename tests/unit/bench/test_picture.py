"""The picture of the demo's table says what the table says, and every picture of the documents is sound."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench.picture import COMMAND, draw

NAMESPACE = "{http://www.w3.org/2000/svg}"
LINES = ["edged line_a   41 s", "", "  furnace   online   7,786 values in", "  ALARM HIGH <a> & b", ""]


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{NAMESPACE}text")]


def test_every_line_stands_in_the_picture() -> None:
    assert texts(draw(LINES)) == [COMMAND, *(line.strip() for line in LINES if line)]


@pytest.mark.parametrize("name", ["architecture.svg", "demo.svg", "demo-control.svg"])
def test_pictures_of_the_documents_are_sound(project: Path, name: str) -> None:
    svg = (project / "docs" / "pictures" / name).read_text(encoding="utf-8")
    assert texts(svg)
    _, _, width, height = map(float, ElementTree.fromstring(svg).attrib["viewBox"].split())
    for element in ElementTree.fromstring(svg).iter(f"{NAMESPACE}text"):
        assert 0 <= float(element.attrib["x"]) < width
        assert 0 < float(element.attrib["y"]) < height

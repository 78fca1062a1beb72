"""The documents as tests see them: fenced blocks, code spans, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import PROJECT

FENCE = "```"
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """One fenced block; `line` is that of its first line of text."""

    file: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """For test ids."""
        return f"{self.file.relative_to(PROJECT)}:{self.line}"


def documents() -> list[Path]:
    """Every document that people read."""
    found = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
    assert len(found) > 5
    return found


def blocks(language: str) -> list[Block]:
    """The fenced blocks of one language in every document; an empty name is for those without one."""
    return [block for file in documents() for block in _blocks(file) if block.language == language]


def spans() -> Iterator[tuple[Path, str]]:
    """Every code span outside fenced blocks."""
    for file in documents():
        for text in SPAN.findall(_prose(file)):
            yield file, text


def links() -> Iterator[tuple[Path, str]]:
    """Every link and picture that leads to a file."""
    for file in documents():
        for target in LINK.findall(_prose(file)):
            if "://" not in target:
                yield file, target.partition("#")[0]


def _blocks(file: Path) -> Iterator[Block]:
    opened: Block | None = None
    held: list[str] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.startswith(FENCE):
            held.append(line)
        elif opened is None:
            opened, held = Block(file, number + 1, line.removeprefix(FENCE).strip(), ""), []
        else:
            yield opened._replace(text="\n".join(held) + "\n")
            opened = None
    assert opened is None, f"{file}: a fence is not closed"


def _prose(file: Path) -> str:
    kept, fenced = [], False
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith(FENCE):
            fenced = not fenced
        elif not fenced:
            kept.append(line)
    return "\n".join(kept)

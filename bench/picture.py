"""Runs the demo; its last table becomes docs/pictures/demo.svg, as a dark terminal shows it, its control beside it."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from bench.demo import FOLDER, Demo
from bench.line import NODE, LineStack
from bench.processes import PROJECT, StackFailed

PICTURE = PROJECT / "docs" / "pictures" / "demo.svg"
SECONDS = 60.0
COMMAND = "$ make demo"
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
FONT_SIZE = 15
CHARACTER_WIDTH = 9.03
"""Of a fixed-width font of that size; every line is held to it, whatever font there is."""
LINE_HEIGHT = 22
MARGIN = 24
TITLE_HEIGHT = 36
BACKGROUND, TITLE, TEXT, GOOD, WARNING = "#12161c", "#1e252e", "#d7dde4", "#7ee787", "#ffb454"
BUTTONS = ("#ff5f56", "#ffbd2e", "#27c93f")
GOOD_WORDS = re.compile(r"\b(online|connected|writable|AUTO|0 lost, 0 duplicated)\b")


def draw(lines: Sequence[str]) -> str:
    """The lines as SVG text in a terminal window."""
    shown = [COMMAND, *lines]
    while not shown[-1].strip():
        shown.pop()
    width = round(max(len(line) for line in shown) * CHARACTER_WIDTH + 2 * MARGIN)
    height = TITLE_HEIGHT + MARGIN + LINE_HEIGHT * len(shown)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="{FONT}"'
    bar = f"M0 {TITLE_HEIGHT} V8 a8 8 0 0 1 8 -8 H{width - 8} a8 8 0 0 1 8 8 V{TITLE_HEIGHT} z"
    parts = [
        f'{head} font-size="{FONT_SIZE}" fill="{TEXT}">',
        f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>',
        f'<path d="{bar}" fill="{TITLE}"/>',
        *(f'<circle cx="{MARGIN + 20 * at}" cy="18" r="6" fill="{colour}"/>' for at, colour in enumerate(BUTTONS)),
        *(_line(number, line) for number, line in enumerate(shown) if line.strip()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(number: int, line: str) -> str:
    indent = len(line) - len(line.lstrip())
    text = line.strip()
    x = MARGIN + indent * CHARACTER_WIDTH
    y = TITLE_HEIGHT + MARGIN + LINE_HEIGHT * number
    colour = f' fill="{WARNING}"' if text.startswith("ALARM") else ""
    marked = GOOD_WORDS.sub(rf'<tspan fill="{GOOD}">\1</tspan>', escape(text))
    length = f'textLength="{len(text) * CHARACTER_WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x:.1f}" y="{y}" {length} xml:space="preserve" style="white-space:pre"{colour}>{marked}</text>'


def main(arguments: Sequence[str]) -> int:
    """Draws nothing when the demo did not hold its word; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench picture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="the demo's age in the picture")
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args(arguments)
    try:
        with LineStack(FOLDER, node=NODE) as stack:
            demo = Demo(stack, options.seconds)
            status = demo.run()
    except StackFailed as fault:
        print(f"picture: {fault}", file=sys.stderr)
        return 1
    if status == 0:
        options.out.write_text(draw(demo.table), encoding="utf-8")
        if demo.control_picture is not None:
            shutil.copyfile(demo.control_picture, options.out.with_name(f"{options.out.stem}-control.svg"))
    return status

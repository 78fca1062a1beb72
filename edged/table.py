"""Plain text tables of what /status answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from edged.types import NANOSECONDS_PER_SECOND

CELL_CHARACTERS = 48
"""Longer cells are cut, so that a row stays a row."""

EARLIEST_TIME = 1_000_000_000 * NANOSECONDS_PER_SECOND
"""Whole numbers above this are times in ns UTC: no counter of ours comes near."""


def render(status: Mapping[str, object]) -> str:
    """One line per plain value, then one table per list or mapping."""
    plain = {key: value for key, value in status.items() if not isinstance(value, Mapping | list)}
    lines = list(_pairs(plain))
    for key, value in status.items():
        if isinstance(value, Mapping | list) and value:
            lines += ["", key, *_section(value)]
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Columns in the order of first appearance, as wide as their widest cell."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[position]) for line in [columns, *cells]) for position in range(len(columns))]
    for line in [columns, *cells]:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def _section(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        return _pairs(value, "  ")
    rows = value if isinstance(value, list) else []
    if all(isinstance(row, Mapping) for row in rows):
        return table(rows)
    return (f"  {_text(row)}" for row in rows)


def _pairs(values: Mapping[str, object], indent: str = "") -> Iterator[str]:
    width = max((len(key) for key in values), default=0)
    for key, value in values.items():
        yield f"{indent}{key.ljust(width)}  {_text(value)}".rstrip()


def _cell(value: object) -> str:
    text = _text(value)
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 3] + "..."


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value >= EARLIEST_TIME:
        return datetime.fromtimestamp(value / NANOSECONDS_PER_SECOND, UTC).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)

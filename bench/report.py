"""What every benchmark and drill prints: a table, and as its last line one JSON object."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise: `value` is at most (or at least) `limit`."""

    name: str
    value: float
    limit: float
    sense: Literal["at_most", "at_least"] = "at_most"

    @property
    def ok(self) -> bool:
        """Whether the promise is kept; NaN and infinity keep none."""
        if not math.isfinite(self.value):
            return False
        return self.value <= self.limit if self.sense == "at_most" else self.value >= self.limit


@dataclass
class Report:
    """Collects the rows, figures and bars of one run."""

    name: str
    columns: Sequence[str]
    rows: list[Sequence[object]] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)

    def show(self) -> int:
        """Prints everything; returns the exit status: 1 when a bar is missed."""
        print(table(self.columns, self.rows))
        for bar in self.bars:
            sign = "<=" if bar.sense == "at_most" else ">="
            print(f"  {'ok  ' if bar.ok else 'MISS'} {bar.name}: {bar.value:.4g} {sign} {bar.limit:.4g}")
        bars = [{"name": bar.name, "value": bar.value, "limit": bar.limit, "ok": bar.ok} for bar in self.bars]
        told = {"name": self.name, "figures": self.figures, "bars": bars, "columns": self.columns, "rows": self.rows}
        print(json.dumps(_plain(told), allow_nan=False), flush=True)
        return 0 if all(bar.ok for bar in self.bars) else 1


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns padded to their widest cell; numbers to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    lines = ["  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True))]
    lines.append("  ".join("-" * width for width in widths))
    for row, values in zip(cells, rows, strict=True):
        padded = [
            cell.rjust(width) if isinstance(value, int | float) else cell.ljust(width)
            for cell, width, value in zip(row, widths, values, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The same as a table of a Markdown page."""
    cells = [list(columns), ["---"] * len(columns), *([cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie; NaN for none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cell(value: object) -> str:
    """A value as tables show it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: object) -> object:
    """The value with null for every number that JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value

"""Responses as SVG: set-point, output and input over time, one panel above the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.control_loop import Trace
from bench.control_plants import Case

WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, GAP = 860, 170, 78, 24, 34, 34
COLOURS = ("#c2410c", "#1d4ed8", "#15803d")
SET_POINT_COLOUR = "#525252"
TICKS = 4
POINTS = 600
"""More would not be seen."""
SECONDS_PER_MINUTE = 60.0
MARGIN_SHARE = 0.08


def draw(case: Case, traces: Mapping[str, Trace], path: Path) -> None:
    """Writes the picture: for each output and its input a panel."""
    some = next(iter(traces.values()))
    minutes = [n * case.period / SECONDS_PER_MINUTE for n in range(len(some.true))]
    panels: list[tuple[str, dict[str, list[float]], list[list[float]]]] = []
    for at, (output, entry) in enumerate(zip(case.outputs, case.inputs, strict=True)):
        lines = {name: [row[at] for row in trace.true] for name, trace in traces.items()}
        wanted = [row[at] for row in some.set_points]
        panels.append((f"{output.signal.partition('/')[2]} [{output.unit}]", lines, [wanted]))
        moves = {name: [row[at] for row in trace.applied] for name, trace in traces.items()}
        panels.append((f"{entry.signal.partition('/')[2]} [{entry.unit}]", moves, []))
    height = TOP + len(panels) * (PANEL_HEIGHT + GAP) + GAP
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
            f' font-size="12"><rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        )
    ]
    parts += [
        f'<text x="{LEFT + 90 * n}" y="18" fill="{COLOURS[n]}" font-weight="bold">{name}</text>'
        for n, name in enumerate(traces)
    ]
    parts.append(f'<text x="{LEFT + 90 * len(traces)}" y="18" fill="{SET_POINT_COLOUR}">set-point (dashed)</text>')
    for n, (title, lines, references) in enumerate(panels):
        parts += _panel(title, minutes, lines, references, TOP + n * (PANEL_HEIGHT + GAP))
    parts.append(f'<text x="{WIDTH / 2}" y="{height - 8}" text-anchor="middle">minutes</text></svg>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _panel(
    title: str,
    minutes: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    references: Sequence[Sequence[float]],
    top: float,
) -> list[str]:
    shown = [value for line in (*lines.values(), *references) for value in line]
    margin = MARGIN_SHARE * (max(shown) - min(shown))
    low, high = min(shown) - margin, max(shown) + margin
    right = WIDTH - RIGHT

    def x_of(minute: float) -> float:
        return LEFT + (right - LEFT) * minute / minutes[-1]

    def y_of(value: float) -> float:
        return top + GAP / 2 + (PANEL_HEIGHT - GAP / 2) * (high - value) / (high - low)

    parts = [f'<text x="{LEFT}" y="{top + 11}" font-weight="bold">{title}</text>']
    for tick in range(TICKS + 1):
        value, minute = low + (high - low) * tick / TICKS, minutes[-1] * tick / TICKS
        y, x = y_of(value), x_of(minute)
        parts += [
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e5e5e5"/>',
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.5g}</text>',
            f'<text x="{x:.1f}" y="{top + PANEL_HEIGHT + 14}" text-anchor="middle">{minute:.3g}</text>',
        ]
    parts += [_line(minutes, line, SET_POINT_COLOUR, x_of, y_of, ' stroke-dasharray="5 4"') for line in references]
    parts += [
        _line(minutes, line, colour, x_of, y_of, "") for line, colour in zip(lines.values(), COLOURS, strict=False)
    ]
    return parts


def _line(
    minutes: Sequence[float],
    values: Sequence[float],
    colour: str,
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
    style: str,
) -> str:
    each = max(1, len(values) // POINTS)
    points = " ".join(f"{x_of(m):.1f},{y_of(v):.1f}" for m, v in zip(minutes[::each], values[::each], strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"{style}/>'

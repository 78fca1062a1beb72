"""Responses as PNG: set-point, output and input over time, one panel above the other."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.control_loop import Trace
from bench.control_plants import Case
from edged.errors import MissingLibrary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES, PANEL_INCHES, DOTS_PER_INCH = 8.6, 1.75, 100
COLOURS = ("#c2410c", "#1d4ed8", "#15803d")
SET_POINT_COLOUR = "#525252"
PALETTE = 32
"""Colours of a picture: lines, grid and their edges need no more, and it stays below 80 kB."""
SECONDS_PER_MINUTE = 60.0


def draw(case: Case, traces: Mapping[str, Trace], path: Path) -> None:
    """Writes the picture: for each output and its input a panel. Raises MissingLibrary."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image
    except ImportError as fault:
        raise MissingLibrary("matplotlib", "dev") from fault
    panels = 2 * len(case.outputs)
    figure = Figure((WIDTH_INCHES, panels * PANEL_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    for at in range(len(case.outputs)):
        _output(axes[2 * at], case, traces, at)
        _input(axes[2 * at + 1], case, traces, at)
    axes[0].legend(loc="upper right", ncols=len(traces) + 1, fontsize="small")
    axes[-1].set_xlabel("minutes")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(buffer).convert("RGB").quantize(PALETTE).save(path, optimize=True)


def _output(axes: Axes, case: Case, traces: Mapping[str, Trace], at: int) -> None:
    """The true output under each controller, and what was wanted."""
    wanted = next(iter(traces.values())).set_points
    for (name, trace), colour in zip(traces.items(), COLOURS, strict=False):
        axes.plot(_minutes(case, trace), [row[at] for row in trace.true], color=colour, linewidth=1.2, label=name)
    minutes = _minutes(case, next(iter(traces.values())))
    axes.plot(minutes, [row[at] for row in wanted], "--", color=SET_POINT_COLOUR, linewidth=1.0, label="set-point")
    _titled(axes, f"{case.outputs[at].signal.partition('/')[2]} [{case.outputs[at].unit}]")


def _input(axes: Axes, case: Case, traces: Mapping[str, Trace], at: int) -> None:
    """What the gate let each of them apply."""
    for trace, colour in zip(traces.values(), COLOURS, strict=False):
        applied = [row[at] for row in trace.applied]
        axes.plot(_minutes(case, trace), applied, drawstyle="steps-post", color=colour, linewidth=1.0)
    _titled(axes, f"{case.inputs[at].signal.partition('/')[2]} [{case.inputs[at].unit}]")


def _titled(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize="small", fontweight="bold")
    axes.tick_params(labelsize="small")
    axes.grid(color="#e5e5e5")
    axes.margins(x=0.0)


def _minutes(case: Case, trace: Trace) -> list[float]:
    return [n * case.period / SECONDS_PER_MINUTE for n in range(len(trace.true))]

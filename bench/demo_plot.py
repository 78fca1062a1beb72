"""The control scenes of the demo as SVG: the belt, the thickness and who leads, over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, copysign, floor
from pathlib import Path

from bench.demo_evidence import NANOSECONDS, PERIOD_SECONDS, Evidence, Point
from bench.demo_story import THRESHOLD, Moment

WIDTH, LEFT, RIGHT, TOP = 900, 130, 24, 52
BELT_HEIGHT, THICKNESS_HEIGHT, LANE_HEIGHT, GAP, LINE_HEIGHT = 220, 130, 20, 34, 18
MPC, PID, OPERATOR, READ, LIMIT, WAITS = "#1d4ed8", "#c2410c", "#7e22ce", "#737373", "#b91c1c", "#a16207"
COLOURS = {"mpc": MPC, "pid": PID}
STANDING = ("unacknowledged", "acknowledged")
AFTER_SECONDS = 20.0
"""So much is shown of what comes after the last scene."""
POINTS = 600
"""More would not be seen."""
BOLD = ' font-weight="bold"'
MARGIN_SHARE = 0.08
CHARACTER_WIDTH = 8
TICK_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
MOST_TICKS = 6
TICK_SECONDS = (5, 10, 20, 60, 120, 300, 600)
MOST_TICK_SECONDS = 12

Span = tuple[float, float]


@dataclass(frozen=True)
class _Frame:
    """Where a panel is, and which seconds and values it spans."""

    seconds: float
    top: float
    height: float
    low: float
    high: float

    def x(self, second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(second, 0.0), self.seconds) / self.seconds

    def y(self, value: float) -> float:
        return self.top + self.height * (self.high - value) / (self.high - self.low)


def draw(found: Evidence, path: Path) -> None:
    """Writes the picture."""
    drawing = _Drawing(found)
    path.write_text("\n".join(drawing.parts()) + "\n", encoding="utf-8")


class _Drawing:
    """One picture, from its top to its bottom."""

    def __init__(self, found: Evidence) -> None:
        self._found = found
        moments = found.story.moments
        last = self._second(found.readbacks[-1].at)
        if Moment.GIVEN_BACK in moments:
            last = min(last, self._second(moments[Moment.GIVEN_BACK]) + AFTER_SECONDS)
        self._seconds = max(last, 1.0)

    def parts(self) -> Iterator[str]:
        belt_top, thickness_top = TOP, TOP + BELT_HEIGHT + GAP
        lanes_top = thickness_top + THICKNESS_HEIGHT + GAP
        bottom = lanes_top + len(self._lanes()) * LANE_HEIGHT
        height = bottom + GAP + LINE_HEIGHT * 2 + LINE_HEIGHT * len(self._found.story.moments)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
            f' font-size="12"><rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        )
        yield from self._belt(belt_top)
        yield from self._thickness(thickness_top)
        yield from self._lead(lanes_top)
        yield from self._seconds_axis(bottom)
        yield from self._moments(bottom + GAP + LINE_HEIGHT)
        yield "</svg>"

    def _belt(self, top: float) -> Iterator[str]:
        found = self._found
        start = found.readbacks[0].value
        readbacks = self._line(found.readbacks)
        limit = start + copysign(THRESHOLD, readbacks[-1][1] - start)
        frame = self._frame(top, BELT_HEIGHT, [*(value for _, value in readbacks), limit])
        yield from _grid(frame, ("belt speed", "set-point"), "m/min")
        yield _polyline(frame, readbacks, READ)
        end = self._second(found.story.moments.get(Moment.APPROVED, found.readbacks[-1].at))
        yield _polyline(frame, [(0.0, limit), (end, limit)], LIMIT, ' stroke-dasharray="5 4"')
        for one in found.decisions:
            second = self._second(int(one["time"]))
            if one["outcome"] == "verified" and second <= self._seconds:
                yield _dot(frame, second, one["written"], COLOURS.get(one["controller"], READ))
        if Moment.TURNED in found.story.moments:
            turned = self._second(found.story.moments[Moment.TURNED])
            yield _dot(frame, turned, found.story.operator_speed, OPERATOR, radius=5)
        names = (
            ("read back", READ),
            ("written by the MPC", MPC),
            ("by the PID", PID),
            ("by the operator", OPERATOR),
            ("approved until then", LIMIT),
        )
        x = LEFT
        for name, colour in names:
            yield f'<text x="{x}" y="{top - 28}" fill="{colour}"{BOLD}>{name}</text>'
            x += round(CHARACTER_WIDTH * (len(name) + 2))

    def _thickness(self, top: float) -> Iterator[str]:
        measured = self._line(self._found.thickness)
        wanted = [(self._second(int(one["time"])), one["set_point"]) for one in self._found.decisions]
        if wanted:
            wanted = [(0.0, wanted[0][1]), *wanted, (self._seconds, wanted[-1][1])]
        frame = self._frame(top, THICKNESS_HEIGHT, [value for _, value in (*measured, *wanted)])
        yield from _grid(frame, ("thickness", "and set-point"), "mm")
        yield _polyline(frame, wanted, READ, ' stroke-dasharray="5 4"')
        yield _polyline(frame, measured, MPC)

    def _lead(self, top: float) -> Iterator[str]:
        frame = _Frame(self._seconds, top, LANE_HEIGHT, 0.0, 1.0)
        for n, (name, colour, spans) in enumerate(self._lanes()):
            y = top + n * LANE_HEIGHT
            yield f'<text x="{LEFT - 6}" y="{y + 14}" text-anchor="end">{name}</text>'
            for (start, end), shade in (((0.0, self._seconds), "#f5f5f5"), *((span, colour) for span in spans)):
                left, right = frame.x(start), frame.x(end)
                place = f'x="{left:.1f}" y="{y + 2}" width="{right - left:.1f}" height="{LANE_HEIGHT - 4}"'
                yield f'<rect {place} fill="{shade}"/>'

    def _lanes(self) -> Sequence[tuple[str, str, list[Span]]]:
        """Who moved the belt in which cycles, and what stood in the way."""
        return (
            ("MPC moves it", MPC, self._cycles("mpc")),
            ("PID moves it", PID, self._cycles("pid")),
            ("waits for approval", WAITS, self._standing("control_approval")),
            ("local override", OPERATOR, self._standing("control_local_override")),
        )

    def _cycles(self, controller: str) -> list[Span]:
        decided = [one for one in self._found.decisions if one["phase"] == "decided"]
        starts = [self._second(int(one["time"])) for one in decided if one["controller"] == controller]
        return [(start, start + PERIOD_SECONDS) for start in starts]

    def _standing(self, alarm: str) -> list[Span]:
        spans, since = [], None
        for one in self._found.alarms:
            if one["name"] != alarm:
                continue
            second, stands = self._second(int(one["time"])), one["state"] in STANDING
            if stands and since is None:
                since = second
            elif not stands and since is not None:
                spans.append((since, second))
                since = None
        return spans if since is None else [*spans, (since, self._seconds)]

    def _seconds_axis(self, y: float) -> Iterator[str]:
        step = next((tick for tick in TICK_SECONDS if self._seconds / tick <= MOST_TICK_SECONDS), TICK_SECONDS[-1])
        frame = _Frame(self._seconds, y, 1.0, 0.0, 1.0)
        for second in range(0, int(self._seconds) + 1, step):
            yield f'<text x="{frame.x(second):.1f}" y="{y + 16}" text-anchor="middle">{second}</text>'
        yield f'<text x="{WIDTH / 2}" y="{y + GAP}" text-anchor="middle">seconds since the first data</text>'

    def _moments(self, top: float) -> Iterator[str]:
        frame = _Frame(self._seconds, TOP, top - GAP - LINE_HEIGHT - TOP, 0.0, 1.0)
        for n, (moment, at) in enumerate(self._found.story.moments.items(), start=1):
            second = self._second(at)
            x = frame.x(second)
            yield (
                f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{frame.top + frame.height:.1f}"'
                ' stroke="#111111" stroke-width="0.8" stroke-dasharray="2 3"/>'
            )
            yield f'<text x="{x:.1f}" y="{TOP - 8}" text-anchor="middle"{BOLD}>{n}</text>'
            yield f'<text x="{LEFT}" y="{top + LINE_HEIGHT * n - 6}">{n}&#160;&#160;{second:.1f} s: {moment}</text>'

    def _line(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        line = [(self._second(point.at), point.value) for point in points]
        shown = [(second, value) for second, value in line if 0.0 <= second <= self._seconds]
        return shown[:: max(1, len(shown) // POINTS)]

    def _frame(self, top: float, height: float, values: Sequence[float]) -> _Frame:
        margin = MARGIN_SHARE * (max(values) - min(values)) or 1.0
        return _Frame(self._seconds, top, height, min(values) - margin, max(values) + margin)

    def _second(self, at: int) -> float:
        return (at - self._found.story.began) / NANOSECONDS


def _grid(frame: _Frame, titles: Sequence[str], unit: str) -> Iterator[str]:
    for n, words in enumerate((*titles, unit)):
        yield f'<text x="8" y="{frame.top + 4 + 16 * n}"{BOLD if n == 0 else ""}>{words}</text>'
    step = next((step for step in TICK_STEPS if (frame.high - frame.low) / step <= MOST_TICKS), TICK_STEPS[-1])
    for tick in range(ceil(frame.low / step), floor(frame.high / step) + 1):
        value = tick * step
        y = frame.y(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e5e5e5"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.5g}</text>'


def _polyline(frame: _Frame, line: Sequence[tuple[float, float]], colour: str, style: str = "") -> str:
    points = " ".join(f"{frame.x(second):.1f},{frame.y(value):.1f}" for second, value in line)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"{style}/>'


def _dot(frame: _Frame, second: float, value: float, colour: str, radius: int = 3) -> str:
    return f'<circle cx="{frame.x(second):.1f}" cy="{frame.y(value):.1f}" r="{radius}" fill="{colour}"/>'

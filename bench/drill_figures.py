"""The figures of a drill, from the rows that the hub holds and what the host read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from bench.checker import FACE_SOURCES, Findings
from bench.disturbance import Disturbance, Span
from bench.judge import NANOSECONDS_PER_MILLISECOND, GapSpan, Row, Window
from bench.report import percentile
from bench.sparkplug_host import Value

LEAST_LIVE_VALUES = 200
"""Fewer live values during a drain say nothing about a 99th percentile."""
SOLE_SOURCE = "counters"
"""The source behind a face that is not one of the glass line's."""


def source_of(face: str) -> str:
    """The daemon's name for what stands behind a face."""
    return FACE_SOURCES.get(face, SOLE_SOURCE)


def gap_excess_seconds(gaps: Sequence[GapSpan], spans: Sequence[Span]) -> float:
    """Of one source: how much longer its gaps together are than the disturbance that they were in.

    With several disturbances the mean over them, or the mean over those that one gap spans, whichever is longer.
    """
    total, worst = 0.0, 0.0
    for start, end in union(gaps):
        met = [min(end, span.ended) - max(start, span.began) for span in spans]
        inside = [milliseconds for milliseconds in met if milliseconds > 0]
        beyond = (end - start - sum(inside)) / 1000.0
        total += beyond
        worst = max(worst, beyond / max(1, len(inside)))
    return max(worst, total / max(1, len(spans)))


def union(gaps: Sequence[GapSpan]) -> list[tuple[int, int]]:
    """The gaps as intervals that do not touch, in order."""
    found: list[tuple[int, int]] = []
    for gap in sorted(gaps, key=lambda gap: gap.start):
        if found and gap.start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], gap.end))
        else:
            found.append((gap.start, gap.end))
    return found


def union_seconds(gaps: Sequence[GapSpan]) -> float:
    """How long they are together."""
    return sum(end - start for start, end in union(gaps)) / 1000.0


def first_data_seconds(found: Findings, disturbance: Disturbance) -> float | None:
    """From the return of the sources that were away to the first value of the slowest of them; the worst of all."""
    waits = []
    for face in found.faces:
        if source_of(face) in disturbance.away:
            times = received_times(found, face)
            for span in disturbance.spans:
                after = next((time for time in times if time >= span.ended), None)
                waits.append(float("inf") if after is None else (after - span.ended) / 1000.0)
    return max(waits, default=None)


def blind_seconds(found: Findings, face: str, window: Window) -> float:
    """The longest time in which no value of a face arrived."""
    inside = [time for time in received_times(found, face) if window.since <= time <= window.until]
    return max(later - earlier for earlier, later in pairwise([window.since, *inside, window.until])) / 1000.0


def received_times(found: Findings, face: str) -> list[int]:
    """When the daemon received values of a face, in order."""
    rows = (row for signal in found.faces[face].signals for row in found.rows.get(signal, ()))
    return sorted({row.received for row in rows if row.value is not None and not row.restated})


def steady_milliseconds(found: Findings, since: int, until: int) -> float:
    """p99 from source to the hub's commit of what was there before anything broke."""
    before = until * NANOSECONDS_PER_MILLISECOND
    return percentile([_latency(row) for row in _good(found) if row.time >= since and row.committed < before], 0.99)


def draining_milliseconds(found: Findings, span: Span) -> float | None:
    """p99 of values that were made while the backlog of a disturbance drained; None where they were too few."""
    waited = [
        row.committed // NANOSECONDS_PER_MILLISECOND
        for row in _good(found)
        if row.received < span.ended < row.committed // NANOSECONDS_PER_MILLISECOND
    ]
    if not waited:
        return None
    begin, end = min(waited), max(waited)
    live = [_latency(row) for row in _good(found) if begin <= row.time <= end]
    return percentile(live, 0.99) if len(live) >= LEAST_LIVE_VALUES else None


def unheld(found: Findings, said: Mapping[str, int]) -> int:
    """Values that the daemon said it received since its start and that the hub does not hold."""
    return sum(max(0, said.get(source_of(face), 0) - part.received) for face, part in found.faces.items())


def missing_on_sparkplug(found: Findings, held: Mapping[str, Mapping[int, Value]]) -> list[str]:
    """Good values of the hub that the host did not read, or read otherwise."""
    return [
        f"{signal} at {row.time} is not on Sparkplug"
        for signal, rows in found.rows.items()
        for row in rows
        if row.good and row.value is not None and held.get(signal, {}).get(row.time) != row.value
    ]


def _good(found: Findings) -> Iterator[Row]:
    for part in found.faces.values():
        for signal in part.signals:
            yield from (row for row in found.rows.get(signal, ()) if row.good and not row.restated)


def _latency(row: Row) -> float:
    return row.committed / NANOSECONDS_PER_MILLISECOND - row.time

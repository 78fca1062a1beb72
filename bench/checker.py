"""The checker: what the plant says it offered against what the hub holds. It shares no code with the data path.

Truth is each face's journal (see edged_sim.journal for the format). A value is identified by signal and source time in
ms; a Modbus value by the scan counter that came with it; a coil only by how often its block was answered.
Lost means: offered while the daemon was reading, not in the hub, and not inside a Gap that the hub was told of.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from bench.report import Bar, Report, percentile

GUARD_MILLISECONDS = 1000
"""The last second before the last value held is not judged: a publish may end between two signals of one tick."""
ANSWER_MILLISECONDS = 100
"""A Modbus value bears the time when its answer came: a gap begins so much later than the device answered at most."""
LATE_SECONDS = 5.0
NANOSECONDS_PER_MILLISECOND = 1_000_000
RESTATED = "unchanged"
"""Reason of a value that a new connection brought and that was known before."""
FACE_SOURCES = {"opcua": "furnace", "modbus": "forming", "mqtt": "cold_end"}

JOINED = "JOIN batches b USING (batch_id) JOIN streams t USING (stream_id) WHERE t.node = ?"
SAMPLES = f"FROM sample_rows r JOIN signals n USING (signal_id) {JOINED}"
ROWS = f"""
SELECT n.signal, r.source_time, r.value_number, r.value_text, b.committed_ns, r.quality, r.reason
{SAMPLES} ORDER BY t.stream_id, b.seq, r.row
"""
RECEIVE_TIMES = f"SELECT r.receive_time {SAMPLES} AND n.signal LIKE ? AND r.value_type <> 0"
LATENCIES = f"""
SELECT b.committed_ns, r.source_time {SAMPLES} AND r.quality = 192
AND r.source_time > ? + (SELECT min(first_time) FROM batches WHERE stream_id = t.stream_id)
"""
GAPS = f"SELECT r.source, r.start, r.end, r.reason FROM gap_rows r {JOINED} ORDER BY r.start"
UNITS = f"SELECT r.body FROM event_rows r {JOINED} AND r.kind = 'QualityResult'"


class Row(NamedTuple):
    """One sample as the hub holds it."""

    time: int
    value: float | str | None
    committed: int
    good: bool
    restated: bool


class GapSpan(NamedTuple):
    """A loss that the hub was told of, in ms UTC."""

    source: str
    start: int
    end: int
    reason: str

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return (self.end - self.start) / 1000.0


@dataclass
class FaceFindings:
    """The count of one protocol."""

    offered: int = 0
    held: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    covered_by_gaps: int = 0
    invented: int = 0
    late: int = 0
    last_held: int = 0


@dataclass
class Findings:
    """What one check found; `faces` by protocol."""

    faces: dict[str, FaceFindings] = field(default_factory=dict)
    gaps: list[GapSpan] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    plant_writes: int = 0
    examples: list[str] = field(default_factory=list)

    def total(self, name: str) -> int:
        """The sum of one count over all protocols."""
        return sum(getattr(part, name) for part in self.faces.values())

    @property
    def offered(self) -> int:
        return self.total("offered")

    @property
    def lost(self) -> int:
        return self.total("lost")

    @property
    def duplicated(self) -> int:
        return self.total("duplicated")

    @property
    def invented(self) -> int:
        return self.total("invented")

    @property
    def p50_milliseconds(self) -> float:
        return percentile(self.latencies, 0.5)

    @property
    def p99_milliseconds(self) -> float:
        return percentile(self.latencies, 0.99)


def check(journal: Path, hub_database: Path, node: str) -> Findings:
    """Compares everything up to now; may run while the line runs."""
    found = Findings()
    rows = read_rows(hub_database, node)
    found.gaps = read_gaps(hub_database, node)
    for path in sorted(journal.glob("*.jsonl")):
        face = path.stem
        gaps = [gap for gap in found.gaps if gap.source in (FACE_SOURCES.get(face, gap.source), "outbox")]
        lines = list(read_journal(path))
        found.plant_writes += sum("write" in line for line in lines)
        if face == "modbus":
            gaps = [gap._replace(start=gap.start - ANSWER_MILLISECONDS) for gap in gaps]
        judge = _judge_modbus if face == "modbus" else _judge_stamped
        part = found.faces[face] = judge(lines, rows, gaps, found.examples)
        if face == "mqtt":
            _judge_units(lines, read_units(hub_database, node), gaps, part, found.examples)
        _note_lateness(lines, rows, part, found)
    return found


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal; a last line that a kill cut off is left out."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def read_rows(database: Path, node: str) -> dict[str, list[Row]]:
    """Every sample of the node by signal, in the order in which the edge numbered it."""
    by_signal: dict[str, list[Row]] = defaultdict(list)
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        for signal, time, number, text, committed, quality, reason in connection.execute(ROWS, (node,)):
            value = number if text is None else text
            row = Row(time // NANOSECONDS_PER_MILLISECOND, value, committed, quality == 192, reason == RESTATED)
            by_signal[signal].append(row)
    return by_signal


def read_gaps(database: Path, node: str) -> list[GapSpan]:
    """Every gap that the hub was told of."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return [
            GapSpan(source, start // NANOSECONDS_PER_MILLISECOND, -(-end // NANOSECONDS_PER_MILLISECOND), reason)
            for source, start, end, reason in connection.execute(GAPS, (node,))
        ]


def read_receive_times(database: Path, node: str, prefix: str) -> list[int]:
    """When (ms UTC) the daemon received each value of the signals below a path."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(RECEIVE_TIMES, (node, prefix + "%"))
        return [time // NANOSECONDS_PER_MILLISECOND for (time,) in rows]


def read_latencies(database: Path, node: str, skip_seconds: float) -> list[float]:
    """Source time to the hub's commit, ms, of every value after the first `skip_seconds` of each stream."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(LATENCIES, (node, round(skip_seconds * 1e9)))
        return [(committed - time) / NANOSECONDS_PER_MILLISECOND for committed, time in rows]


def read_units(database: Path, node: str) -> Counter[str]:
    """How often each inspected unit's result is held."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return Counter(json.loads(body)["unit_identity"] for (body,) in connection.execute(UNITS, (node,)))


def _judge_stamped(
    lines: Sequence[dict[str, Any]], rows: Mapping[str, list[Row]], gaps: Sequence[GapSpan], examples: list[str]
) -> FaceFindings:
    """OPC UA and MQTT: every value has its own source time."""
    offered, unchanged = _read_offers(lines)
    part = FaceFindings()
    matched = {s: [row for row in rows.get(s, ()) if _answers(row, times)] for s, times in offered.items()}
    if not any(matched.values()):
        part.offered = part.lost = sum(len(times) for times in offered.values())
        return part
    start = max(held[0].time for held in matched.values() if held)
    part.last_held = max(held[-1].time for held in matched.values() if held)
    end = part.last_held - GUARD_MILLISECONDS
    for signal, times in offered.items():
        _count_rows(signal, rows.get(signal, ()), times, unchanged[signal], part, examples)
        held_times = {row.time for row in matched[signal]}
        for time in times:
            if start <= time <= end:
                _count_offer(signal, time, time in held_times, gaps, part, examples)
    return part


def _read_offers(lines: Sequence[dict[str, Any]]) -> tuple[dict[str, dict[int, Any]], dict[str, set[int]]]:
    """What must arrive, by signal and time; and when a client that asks just then may get the old value."""
    given_up = {(line["topic"], line["dropped"]) for line in lines if "dropped" in line}
    offered: dict[str, dict[int, Any]] = defaultdict(dict)
    unchanged: dict[str, set[int]] = defaultdict(set)
    for line in lines:
        if "signals" in line and (line.get("topic"), line["t"]) not in given_up:
            for signal, value in line["signals"].items():
                offered[signal][line["t"]] = value
            for signal in line.get("unchanged", ()):
                unchanged[signal].add(line["t"])
    return offered, unchanged


def _judge_modbus(
    lines: Sequence[dict[str, Any]], rows: Mapping[str, list[Row]], gaps: Sequence[GapSpan], examples: list[str]
) -> FaceFindings:
    """Every answered read must be held: blocks with a scan counter one by one, coils by number."""
    part = FaceFindings()
    blocks: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        if line.get("signals") and "at" in line and "write" not in line:
            blocks[(line["block"], line["start"])].append(line)
    part.last_held = max((held[-1].time for s, held in rows.items() if "/forming/" in s and held), default=0)
    for reads in blocks.values():
        if any(read["counter"] is not None for read in reads):
            _judge_counted(reads, rows, gaps, part, examples)
        else:
            _judge_uncounted(reads, rows, gaps, part, examples)
    return part


def _judge_counted(
    reads: Sequence[dict[str, Any]],
    rows: Mapping[str, list[Row]],
    gaps: Sequence[GapSpan],
    part: FaceFindings,
    examples: list[str],
) -> None:
    counter_signal = next(s for s in reads[-1]["signals"] if s.endswith("scan_counter"))
    times_of = defaultdict(list)
    for row in rows.get(counter_signal, ()):
        if row.value is not None:
            times_of[int(row.value)].append(row.time)
    values = {s: _values_by_time(rows.get(s, ())) for s in reads[-1]["signals"]}
    known = {read["counter"] for read in reads}
    part.invented += sum(len(times) for counter, times in times_of.items() if counter not in known)
    part.out_of_order += _inversions([int(r.value) for r in rows.get(counter_signal, ()) if r.value is not None])
    first, last = min(times_of, default=0), part.last_held - GUARD_MILLISECONDS
    for read in reads:
        at = read["at"] // NANOSECONDS_PER_MILLISECOND
        times = times_of.get(read["counter"], [])
        part.duplicated += max(0, len(times) - 1) * len(read["signals"])
        part.held += len(read["signals"]) * bool(times)
        if read["counter"] < first or at > last:
            continue
        for signal, value in read["signals"].items():
            right = bool(times) and times[0] in values[signal] and _same(values[signal][times[0]], value)
            _count_offer(signal, at, right, gaps, part, examples)


def _values_by_time(held: Sequence[Row]) -> dict[int, float | str | None]:
    """The values; a row without one that bears the time of a value does not hide it."""
    found: dict[int, float | str | None] = {}
    for row in held:
        if row.value is not None or row.time not in found:
            found[row.time] = row.value
    return found


def _judge_uncounted(
    reads: Sequence[dict[str, Any]],
    rows: Mapping[str, list[Row]],
    gaps: Sequence[GapSpan],
    part: FaceFindings,
    examples: list[str],
) -> None:
    for signal in reads[-1]["signals"]:
        held = [row for row in rows.get(signal, ()) if row.value is not None]
        if not held:
            part.lost += len(reads)
            continue
        answered = [r["at"] // NANOSECONDS_PER_MILLISECOND for r in reads if signal in r["signals"]]
        start, end = held[0].time - ANSWER_MILLISECONDS, held[-1].time
        inside = [at for at in answered if start <= at <= end]
        in_gaps = sum(any(gap.start <= at <= gap.end for gap in gaps) for at in inside)
        part.offered += len(inside)
        part.held += len(held)
        part.covered_by_gaps += max(0, min(in_gaps, len(inside) - len(held)))
        missing = len(inside) - in_gaps - len(held)
        if missing > 0:
            part.lost += missing
            examples.append(f"{signal}: {len(inside)} answered reads, {len(held)} held")
        part.duplicated += max(0, len(held) - len(inside))


def _judge_units(
    lines: Sequence[dict[str, Any]],
    held: Counter[str],
    gaps: Sequence[GapSpan],
    part: FaceFindings,
    examples: list[str],
) -> None:
    """Each inspected unit exactly once, or inside a gap; the newest are not judged yet."""
    end = part.last_held - GUARD_MILLISECONDS
    part.duplicated += sum(count - 1 for count in held.values())
    first = min((line["t"] for line in lines if line.get("unit") in held), default=None)
    for line in lines:
        if "unit" in line and first is not None and first <= line["t"] <= end:
            part.held += line["unit"] in held
            _count_offer(f"unit {line['unit']}", line["t"], line["unit"] in held, gaps, part, examples)


def _count_rows(
    signal: str,
    held: Sequence[Row],
    offered: Mapping[int, Any],
    unchanged: set[int],
    part: FaceFindings,
    examples: list[str],
) -> None:
    known = [row for row in held if _answers(row, offered) or (row.time in unchanged and row.value is not None)]
    part.held += len(known)
    part.out_of_order += _inversions([row.time for row in known])
    part.duplicated += len(known) - len({row.time for row in known})
    for row in held:
        if row.restated and _restates(row, offered):
            continue
        right = row.time in unchanged or (row.time in offered and _same(row.value, offered[row.time]))
        if row.good and not right:
            part.invented += 1
            examples.append(f"{signal} at {row.time}: the hub holds {row.value}, which was never offered")


def _answers(row: Row, offered: Mapping[int, Any]) -> bool:
    """Whether the row stands for an offer; without a value (a poll that failed, a lost source) it may bear its time."""
    return row.time in offered and (row.value is not None or offered[row.time] is None)


def _restates(row: Row, offered: Mapping[int, Any]) -> bool:
    """Whether the daemon said again, after a loss, what the source last said: honest, and no value of its own."""
    earlier = [time for time in offered if time <= row.time]
    return bool(earlier) and _same(row.value, offered[max(earlier)])


def _count_offer(
    signal: str, time: int, held: bool, gaps: Sequence[GapSpan], part: FaceFindings, examples: list[str]
) -> None:
    part.offered += 1
    if held:
        return
    if any(gap.start <= time <= gap.end for gap in gaps):
        part.covered_by_gaps += 1
        return
    part.lost += 1
    examples.append(f"{signal} at {time} is not held")


def _note_lateness(
    lines: Sequence[dict[str, Any]],
    rows: Mapping[str, list[Row]],
    part: FaceFindings,
    found: Findings,
) -> None:
    signals = {signal for line in lines[-200:] for signal in line.get("signals", ())}
    for signal in signals:
        for row in rows.get(signal, ()):
            milliseconds = row.committed / NANOSECONDS_PER_MILLISECOND - row.time
            found.latencies.append(milliseconds)
            part.late += milliseconds > LATE_SECONDS * 1000.0


def _inversions(values: Sequence[int]) -> int:
    return sum(later < earlier for earlier, later in pairwise(values))


def _same(held: Any, offered: Any) -> bool:
    if isinstance(offered, bool) or isinstance(held, str) or isinstance(offered, str) or held is None:
        return bool(held == offered) if not isinstance(offered, bool) else held is not None and bool(held) == offered
    return abs(float(held) - float(offered)) <= 1e-9 * max(1.0, abs(float(offered)))


def main(arguments: Sequence[str]) -> int:
    """Checks a journal folder against a hub database; exit status 1 when something is lost, doubled or invented."""
    parser = argparse.ArgumentParser(prog="python -m bench check", description=__doc__)
    parser.add_argument("journal", type=Path, help="folder with the faces' *.jsonl")
    parser.add_argument("hub", type=Path, help="the hub's database file")
    parser.add_argument("--node", default="line_a")
    options = parser.parse_args(arguments)
    found = check(options.journal, options.hub, options.node)
    columns = ("face", "offered", "held", "lost", "duplicated", "out of order", "in gaps", "invented", "late")
    report = Report("check", columns)
    for face, part in found.faces.items():
        counts = (part.offered, part.held, part.lost, part.duplicated, part.out_of_order)
        report.rows.append((face, *counts, part.covered_by_gaps, part.invented, part.late))
    for gap in found.gaps:
        print(f"gap {gap.source} {gap.seconds:.1f} s: {gap.reason}")
    for example in found.examples[:10]:
        print(f"example: {example}")
    report.figures = {"p50_milliseconds": found.p50_milliseconds, "p99_milliseconds": found.p99_milliseconds}
    report.bars = [Bar(name, found.total(name), 0) for name in ("lost", "duplicated", "out_of_order", "invented")]
    return report.show()

"""The checker: what the plant says it offered against what the hub holds. It shares no code with the data path.

Truth is each face's journal (see edged_sim.journal for the format).
Lost means: offered while the daemon was reading, not in the hub, and not inside a Gap that the hub was told of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from bench.judge import ANSWER_MILLISECONDS, NANOSECONDS_PER_MILLISECOND, FaceFindings, GapSpan, Judge, Row, Window
from bench.report import Bar, Report, percentile

LATE_SECONDS = 5.0
RESTATED = "unchanged"
"""Reason of a value that a new connection brought and that was known before."""
FACE_SOURCES = {"opcua": "furnace", "modbus": "forming", "mqtt": "cold_end"}
NOTICE = "outbox_damaged"
"""Reason of a Gap that begins before anything an outbox may hold; what is known to be missing is told beside it."""
POSTGRES = "postgresql://"

ROW = "n.signal, r.source_time, r.value_number, r.value_text, {committed}, r.quality, r.reason, r.receive_time"
ROWS_OF_SQLITE = f"""
SELECT {ROW.format(committed="b.committed_ns")} FROM sample_rows r
JOIN signals n USING (signal_id) JOIN batches b USING (batch_id) JOIN streams t USING (stream_id)
WHERE t.node = ? ORDER BY t.stream_id, b.seq, r.row
"""
ROWS_OF_POSTGRES = f"""
SELECT {ROW.format(committed="c.committed_ns")} FROM sample_rows r
JOIN signals n USING (signal_id) JOIN batches b USING (stream_id, seq) JOIN commits c USING (commit_id)
JOIN streams t USING (stream_id)
WHERE t.node = ? ORDER BY t.stream_id, r.seq, r.row_number
"""
LATENCIES = """
SELECT b.committed_ns, r.source_time FROM sample_rows r
JOIN batches b USING (batch_id) JOIN streams t USING (stream_id) WHERE t.node = ? AND r.quality = 192
AND r.source_time > ? + (SELECT min(first_time) FROM batches WHERE stream_id = t.stream_id)
"""
GAPS = 'SELECT source, start, "end", reason FROM gaps WHERE node = ? ORDER BY start'
EVENTS = "SELECT kind, body FROM events WHERE node = ?"


@dataclass
class Findings:
    """What one check found; `faces` by protocol, `rows` by signal in the order in which the edge numbered them."""

    faces: dict[str, FaceFindings] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)
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


def check(journal: Path, hub: Path | str, node: str, window: Window | None = None) -> Findings:
    """Compares everything up to now with the hub's file or PostgreSQL DSN; may run while the line runs.

    After a clean stop a window tells when the daemon had data, was told to stop and was last started: then it is judged
    to the end, how much of what was offered inside the window was judged is counted, and a Gap that only says that
    something may be missing covers nothing.
    """
    gaps_told = [gap for gap in read_gaps(hub, node) if window is None or gap.reason != NOTICE]
    found = Findings(rows=read_rows(hub, node), gaps=gaps_told)
    for path in sorted(journal.glob("*.jsonl")):
        face = path.stem
        gaps = [gap for gap in found.gaps if gap.source in (FACE_SOURCES.get(face, gap.source), "outbox")]
        lines = list(read_journal(path))
        found.plant_writes += sum("write" in line for line in lines)
        if face == "modbus":
            gaps = [gap._replace(start=gap.start - ANSWER_MILLISECONDS) for gap in gaps]
        judge = Judge(lines, found.rows, gaps, window, found.examples)
        if face == "modbus":
            judge.reads()
        else:
            judge.stamped()
        if face == "mqtt":
            judge.units(read_units(hub, node))
        found.faces[face] = judge.part
        _note_lateness(judge.part, found)
    return found


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal; a last line that a kill cut off is left out."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def read_rows(hub: Path | str, node: str) -> dict[str, list[Row]]:
    """Every sample of the node by signal, in the order in which the edge numbered it."""
    by_signal: dict[str, list[Row]] = defaultdict(list)
    sql = ROWS_OF_POSTGRES if _is_postgres(hub) else ROWS_OF_SQLITE
    for signal, time, number, text, committed, quality, reason, received in _query(hub, sql, node):
        row = Row(
            time // NANOSECONDS_PER_MILLISECOND,
            number if text is None else text,
            committed,
            quality == 192,
            reason == RESTATED,
            received // NANOSECONDS_PER_MILLISECOND,
        )
        by_signal[signal].append(row)
    return by_signal


def read_gaps(hub: Path | str, node: str) -> list[GapSpan]:
    """Every gap that the hub was told of."""
    return [
        GapSpan(source, start // NANOSECONDS_PER_MILLISECOND, -(-end // NANOSECONDS_PER_MILLISECOND), reason)
        for source, start, end, reason in _query(hub, GAPS, node)
    ]


def read_latencies(database: Path, node: str, skip_seconds: float) -> list[float]:
    """Source time to the hub's commit, ms, of every value after the first `skip_seconds` of each stream."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(LATENCIES, (node, round(skip_seconds * 1e9)))
        return [(committed - time) / NANOSECONDS_PER_MILLISECOND for committed, time in rows]


def read_units(hub: Path | str, node: str) -> Counter[str]:
    """How often each inspected unit's result is held."""
    return Counter(unit["unit_identity"] for unit in read_events(hub, node, "QualityResult"))


def read_events(hub: Path | str, node: str, kind: str) -> Iterator[dict[str, Any]]:
    """Every event of that kind."""
    for held, body in _query(hub, EVENTS, node):
        if held == kind:
            yield json.loads(body)


def _is_postgres(hub: Path | str) -> bool:
    return str(hub).startswith(POSTGRES)


def _query(hub: Path | str, sql: str, node: str) -> Iterator[Sequence[Any]]:
    if _is_postgres(hub):
        yield from asyncio.run(_fetch(str(hub), sql.replace("?", "$1"), node))
        return
    with sqlite3.connect(f"file:{hub}?mode=ro", uri=True) as connection:
        yield from connection.execute(sql, (node,))


async def _fetch(dsn: str, sql: str, node: str) -> Sequence[Sequence[Any]]:
    connection = await asyncpg.connect(dsn)
    try:
        rows: Sequence[Sequence[Any]] = await connection.fetch(sql, node)
        return rows
    finally:
        await connection.close()


def _note_lateness(part: FaceFindings, found: Findings) -> None:
    for signal in part.signals:
        for row in found.rows.get(signal, ()):
            milliseconds = row.committed / NANOSECONDS_PER_MILLISECOND - row.time
            found.latencies.append(milliseconds)
            part.late += milliseconds > LATE_SECONDS * 1000.0


def main(arguments: Sequence[str]) -> int:
    """Checks a journal folder against a hub database; exit status 1 when something is lost, doubled or invented."""
    parser = argparse.ArgumentParser(prog="python -m bench check", description=__doc__)
    parser.add_argument("journal", type=Path, help="folder with the faces' *.jsonl")
    parser.add_argument("hub", help="the hub's database file, or the DSN of its PostgreSQL")
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

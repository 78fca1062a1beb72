"""What the hub's ingest costs: rows per second and CPU per row, against the plain database taking the same rows.

SQLite: one `executemany` per POST's worth of rows. PostgreSQL: one COPY of the same rows by asyncpg into a table of the
same columns, partitions and index, and into one without an index. Both are given rows made beforehand: no HTTP, no
decoding, no ledger. All sync fully. Every way takes its turn in each round; the figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeAlias

from bench.hub import BenchHub, post_together
from bench.ingest_floor import CopyFloor, Rows, executemany_floor
from bench.postgres_server import PostgresServer
from bench.report import Bar, Report
from bench.stopwatch import Stopwatch, Took
from edged.records import encode_samples
from edged.types import BatchKey, Lane, Sample
from edged_cloud_sync.wire import WireBatch

SIZES = (100, 1_000, 10_000)
START = 1_767_225_600_000_000_000
STEP_NANOSECONDS = 1_000_000
SHARE_OF_COPY = 0.6

Ways: TypeAlias = dict[str, Callable[[], Took]]


class Options(NamedTuple):
    """What is asked of one run."""

    rows: int
    batch: int
    post: int
    edges: int
    rounds: int


class Line(NamedTuple):
    """One line of the table; CPU in us per row."""

    signals: int
    way: str
    rows_per_second: float
    hub_cpu: float
    database_cpu: float
    bytes_per_row: float


def main(arguments: Sequence[str]) -> int:
    """Runs every way at every size and prints the comparison."""
    parser = argparse.ArgumentParser(prog="python -m bench hub-ingest", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--rows", type=int, default=300_000, help="rows in all (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1000, help="rows per batch (default: %(default)s)")
    parser.add_argument("--post", type=int, default=10, help="batches per POST (default: %(default)s)")
    parser.add_argument("--edges", type=int, default=4, help="edges that post at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--signals", type=int, nargs="+", default=list(SIZES), help="default: %(default)s")
    given = parser.parse_args(arguments)
    options = Options(given.rows, given.batch, given.post, given.edges, given.rounds)
    report = Report(f"hub-ingest-{given.store}", ("signals", "way", "rows/s", "hub us/row", "db us/row", "bytes/row"))
    for signals in given.signals:
        lines = at_size(given.store, signals, options)
        report.rows += lines
        add_figures(report, signals, lines)
    report.figures["load"] = round(os.getloadavg()[0], 1)
    return report.show()


def add_figures(report: Report, signals: int, lines: Sequence[Line]) -> None:
    """Ratios of the hub to the plain database; for COPY of the same table there is a bar."""
    floor, hubs = lines[0], [line for line in lines if "hub" in line.way]
    for line in lines:
        report.figures[f"{signals} signals, {line.way}, rows/s"] = round(line.rows_per_second)
    for line in hubs:
        share = line.rows_per_second / floor.rows_per_second
        report.figures[f"{signals} signals, {line.way} / {floor.way}"] = round(share, 3)
        if "COPY" in floor.way:
            report.bars.append(Bar(f"{line.way} / {floor.way}, {signals} signals", share, SHARE_OF_COPY, "at_least"))


def at_size(store: str, signals: int, options: Options) -> list[Line]:
    """All ways at one number of signals."""
    rows = [samples(number, options.batch, signals) for number in range(options.rows // options.batch)]
    with ways_of(store, signals, rows, options) as ways:
        rounds = [{name: way() for name, way in ways.items()} for _ in range(options.rounds)]
    return [Line(signals, name, *_medians([one[name] for one in rounds], options.rows)) for name in rounds[0]]


@contextmanager
def ways_of(store: str, signals: int, rows: Sequence[Rows], options: Options) -> Iterator[Ways]:
    """What is compared, by name; the floor first."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        wire = [
            WireBatch(BatchKey("bench", Lane.PROCESS, number), len(batch), encode_samples(batch))
            for number, batch in enumerate(rows, 1)
        ]
        edges = {"hub, 1 edge": 1, f"hub, {options.edges} edges": options.edges}
        if store == "sqlite":
            plain: Ways = {"executemany": partial(executemany_floor, place, rows, options.post)}
            yield plain | {name: partial(into_the_hub, place, None, wire, n, options) for name, n in edges.items()}
            return
        with PostgresServer() as server, CopyFloor(server, rows, options.post) as copies:
            floor: Ways = {"COPY, same table": copies.same_table, "COPY, no index": copies.without_index}
            yield floor | {name: partial(into_the_hub, place, server, wire, n, options) for name, n in edges.items()}


def into_the_hub(
    folder: Path, server: PostgresServer | None, wire: Sequence[WireBatch], count: int, options: Options
) -> Took:
    """So many edges post as fast as they are answered; what brings their names first is not counted."""
    with TemporaryDirectory(dir=folder) as place:
        if server is not None:
            server.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        with BenchHub(Path(place), server) as hub:
            edges = [hub.enroll(f"line_{number}") for number in range(count)]
            work = [(edge, edge.bodies(wire[number::count], options.post)) for number, edge in enumerate(edges)]
            for edge in edges:
                edge.post(edge.bodies(names_of(wire), options.post))
            watch = Stopwatch(hub.cpu_seconds, server.cpu_seconds if server else None)
            post_together(work)
            took = watch.stop()
            return took._replace(size=hub.bytes_on_disk())


def names_of(wire: Sequence[WireBatch]) -> list[WireBatch]:
    """The same batches in a stream of their own, enough of them to name every signal."""
    return [batch._replace(key=BatchKey("names", Lane.PROCESS, number)) for number, batch in enumerate(wire[:10], 1)]


def samples(number: int, size: int, signals: int) -> list[Sample]:
    """Batch `number`: all signals in turn, values that look measured."""
    first = number * size
    return [
        Sample(
            f"line_a/equipment_{row % signals % 40}/signal_{row % signals}",
            1500.0 + (row * 7919 % 1000) / 100.0,
            START + row * STEP_NANOSECONDS,
            START + row * STEP_NANOSECONDS + 3_217_000,
        )
        for row in range(first, first + size)
    ]


def _medians(rounds: Sequence[Took], rows: int) -> tuple[float, float, float, float]:
    return (
        statistics.median(rows / took.seconds for took in rounds),
        statistics.median(took.own_cpu / rows * 1e6 for took in rounds),
        statistics.median(took.database_cpu / rows * 1e6 for took in rounds),
        rounds[-1].size / rows,
    )

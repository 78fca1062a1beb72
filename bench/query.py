"""What the hub's read API costs, over HTTP as a dashboard asks: p50 and p95 of each kind of question, at three sizes.

The store holds one day of so many signals at one value per second, sent in by an edge second after second, so that the
rows of one signal lie far apart. PostgreSQL is asked twice: right after the rows came in, and after the vacuum that the
server does by itself within some minutes (then statistics are read from the index alone). The bar is on the latter. CPU
is that of hub and database together: on a busy machine the times grow, it hardly does.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.hub import BenchHub, Edge
from bench.postgres_server import PostgresServer
from bench.report import Bar, Report, percentile
from edged.records import encode_samples
from edged.types import BatchKey, Lane, Sample
from edged_cloud_sync.wire import WireBatch

SIZES = (10, 30, 100)
DAY_SECONDS = 24 * 3600
POINTS = 1_000
BUCKETS_MILLISECONDS = 50.0
BATCH_ROWS = 10_000
BATCHES_PER_POST = 10
NANOSECONDS = 1_000_000_000
START = 1_767_225_600
NODE = "line_a"
DAY_QUESTION = f"a day in {POINTS} points"

Ask = Callable[[str], bytes]


class Question(NamedTuple):
    """One kind of question; `ask` gets the signal's path."""

    name: str
    ask: Ask


def main(arguments: Sequence[str]) -> int:
    """Fills the stores step by step and asks at every size."""
    parser = argparse.ArgumentParser(prog="python -m bench query", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgres"), nargs="+", default=["sqlite", "postgres"])
    parser.add_argument("--signals", type=int, nargs="+", default=list(SIZES), help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=DAY_SECONDS, help="of data (default: one day)")
    parser.add_argument("--asks", type=int, default=100, help="of each kind (default: %(default)s)")
    options = parser.parse_args(arguments)
    report = Report("query", ("store", "rows", "state", "question", "p50 ms", "p95 ms", "CPU ms"))
    for store in options.store:
        run(report, store, sorted(options.signals), options.seconds, options.asks)
    report.figures["load"] = round(os.getloadavg()[0], 1)
    return report.show()


def run(report: Report, store: str, sizes: Sequence[int], seconds: int, asks: int) -> None:
    """One store at all sizes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(PostgresServer()) if store == "postgres" else None
        hub = stack.enter_context(BenchHub(folder, server))
        edge = hub.enroll(NODE)
        held = 0

        def cpu() -> float:
            return hub.cpu_seconds() + (server.cpu_seconds() if server else 0.0)

        for size in sizes:
            fill(edge, range(held, size), seconds)
            held = size
            questions = questions_for(hub, seconds)
            if server is not None:
                measure(report, (store, size * seconds, "just sent"), questions, size, asks, cpu)
                server.run("VACUUM ANALYZE")
            measure(report, (store, size * seconds, "settled"), questions, size, asks, cpu)


def measure(
    report: Report,
    state: tuple[str, int, str],
    questions: Sequence[Question],
    signals: int,
    asks: int,
    cpu_seconds: Callable[[], float],
) -> None:
    """Asks every question about one signal after the other."""
    for question in questions:
        used = cpu_seconds()
        times = [timed(question.ask, signal(number)) for number in islice(cycle(range(signals)), asks)]
        cpu = (cpu_seconds() - used) / asks * 1000.0
        middle, slow = percentile(times, 0.5), percentile(times, 0.95)
        report.rows.append((*state, question.name, middle, slow, cpu))
        name = ", ".join((state[0], f"{state[1]} rows", state[2], question.name))
        report.figures[name] = {"p50": round(middle, 2), "p95": round(slow, 2), "cpu": round(cpu, 2)}
        if question.name == DAY_QUESTION and state[2] == "settled":
            report.bars.append(Bar(f"p95 ms, {name}", slow, BUCKETS_MILLISECONDS))


def questions_for(hub: BenchHub, seconds: int) -> list[Question]:
    """What dashboards ask."""
    whole = {"from": str(START * 1000), "to": str((START + seconds) * 1000)}
    hour = {"from": str((START + seconds // 2) * 1000), "to": str((START + seconds // 2 + 3600) * 1000)}

    def buckets(path: str) -> bytes:
        return hub.get("history", signal=path, bucket_seconds=str(seconds / POINTS), limit=str(POINTS + 1), **whole)

    return [
        Question(DAY_QUESTION, buckets),
        Question("an hour in rows", lambda path: hub.get("history", signal=path, limit="3600", **hour)),
        Question("the newest value", lambda path: hub.get("latest", signal=path)),
        Question("the newest of all", lambda _: hub.get("latest")),
    ]


def timed(ask: Ask, path: str) -> float:
    """Milliseconds of one question."""
    began = time.perf_counter()
    ask(path)
    return (time.perf_counter() - began) * 1000.0


def fill(edge: Edge, signals: range, seconds: int) -> None:
    """Sends a day of these signals, second after second."""
    rows = samples(signals, seconds)
    batches: list[WireBatch] = []
    stream = f"day-of-{signals.start}"
    for seq, start in enumerate(range(0, seconds * len(signals), BATCH_ROWS), 1):
        part = list(islice(rows, min(BATCH_ROWS, seconds * len(signals) - start)))
        batches.append(WireBatch(BatchKey(stream, Lane.PROCESS, seq), len(part), encode_samples(part)))
        if len(batches) == BATCHES_PER_POST:
            edge.post(edge.bodies(batches, BATCHES_PER_POST))
            batches.clear()
    edge.post(edge.bodies(batches, BATCHES_PER_POST))


def samples(signals: range, seconds: int) -> Iterator[Sample]:
    """Values that look measured."""
    paths = [signal(number) for number in signals]
    for second in range(seconds):
        time_ns = (START + second) * NANOSECONDS
        for number, path in enumerate(paths):
            value = 1500.0 + ((second * 7919 + number * 104_729) % 1000) / 100.0
            yield Sample(path, value, time_ns + number, time_ns + 3_217_000)


def signal(number: int) -> str:
    """The path of a signal."""
    return f"line_a/equipment_{number % 40}/signal_{number}"

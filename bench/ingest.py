"""What the hub's ingest costs: rows per second and CPU per row, against plain SQLite taking the same rows.

The plain variant is one `executemany` per batch into the same table in a transaction of its own, rows made beforehand:
no HTTP, no decoding, no ledger. Both sync fully.
"""

from __future__ import annotations

import argparse
import http.client
import sqlite3
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.processes import Process, fetch, free_port, wait_until
from bench.report import Report
from edged.records import encode_samples
from edged.types import BatchKey, Lane, Sample
from edged_cloud_sync.wire import CONTENT_TYPE, INGEST_PATH, Envelope, WireBatch, encode_envelope
from edged_hub.rows import store_value
from edged_hub.sqlite_files import connect_writer, statement

NODE = "line_a"
SIGNALS = 70
START = 1_767_225_600_000_000_000
STEP_NANOSECONDS = 1_000_000


class Cost(NamedTuple):
    """What one way of storing rows took."""

    way: str
    rows_per_second: float
    microseconds_per_row: float
    bytes_per_row: float


def main(arguments: Sequence[str]) -> int:
    """Runs both and prints the comparison."""
    parser = argparse.ArgumentParser(prog="python -m bench ingest", description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000, help="rows in all (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1000, help="rows per batch (default: %(default)s)")
    parser.add_argument("--post", type=int, default=10, help="batches per POST (default: %(default)s)")
    options = parser.parse_args(arguments)
    batches = [samples(number, options.batch) for number in range(options.rows // options.batch)]
    with TemporaryDirectory() as folder:
        plain = into_plain_sqlite(Path(folder), batches)
        hub = into_the_hub(Path(folder), batches, options.post)
    report = Report("ingest", ("way", "rows/s", "CPU us/row", "bytes/row"), [plain, hub])
    report.figures = {
        "rows_per_second": hub.rows_per_second,
        "microseconds_per_row": hub.microseconds_per_row,
        "plain_microseconds_per_row": plain.microseconds_per_row,
        "times_plain": hub.microseconds_per_row / plain.microseconds_per_row,
    }
    return report.show()


def samples(number: int, size: int) -> list[Sample]:
    """Batch `number`: all signals in turn, values that look measured."""
    first = number * size
    return [
        Sample(
            f"line_a/equipment_{row % SIGNALS % 4}/signal_{row % SIGNALS}",
            1500.0 + (row * 7919 % 1000) / 100.0,
            START + row * STEP_NANOSECONDS,
            START + row * STEP_NANOSECONDS + 3_217_000,
        )
        for row in range(first, first + size)
    ]


def into_plain_sqlite(folder: Path, batches: Sequence[Sequence[Sample]]) -> Cost:
    """The floor."""
    path = folder / "plain.db"
    connection = connect_writer(path)
    numbers = {sample.signal: place for place, sample in enumerate(batches[0])}
    tables = [
        [
            (numbers[s.signal], s.source_time, batch, row, *store_value(s.value), s.quality, s.receive_time, s.reason)
            for row, s in enumerate(rows)
        ]
        for batch, rows in enumerate(batches)
    ]
    began, used = time.perf_counter(), time.process_time()
    for table in tables:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement("sample_insert"), table)
        connection.execute("COMMIT")
    took, cpu = time.perf_counter() - began, time.process_time() - used
    connection.close()
    return cost("plain executemany", sum(map(len, batches)), took, cpu, path)


def into_the_hub(folder: Path, batches: Sequence[Sequence[Sample]], per_post: int) -> Cost:
    """One edge posting as fast as it is answered."""
    wire = [
        WireBatch(BatchKey("bench", Lane.PROCESS, number), len(rows), encode_samples(rows))
        for number, rows in enumerate(batches, 1)
    ]
    posts = [encode_envelope(Envelope(NODE, wire[start : start + per_post])) for start in range(0, len(wire), per_post)]
    port, data = free_port(), folder / "hub"
    hub = Process("hub", [*hub_command("run"), "--data", str(data), "--port", str(port)], folder)
    try:
        wait_until("the hub", lambda: fetch(f"http://127.0.0.1:{port}/readyz") is not None, hub)
        secret = folder / "secret"
        enroll = Process("enroll", [*hub_command("enroll"), NODE, "--data", str(data), "--out", str(secret)], folder)
        enroll.wait(30)
        began, used = time.perf_counter(), hub.cpu_seconds()
        send(port, secret.read_text(encoding="utf-8").strip(), posts)
        took, cpu = time.perf_counter() - began, hub.cpu_seconds() - used
    finally:
        hub.stop()
    return cost("the hub", sum(map(len, batches)), took, cpu, data / "hub.db")


def send(port: int, secret: str, posts: Sequence[bytes]) -> None:
    """Posts one after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": CONTENT_TYPE}
    for body in posts:
        connection.request("POST", INGEST_PATH, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(f"the hub answered {answer.status}: {text.decode()}")
    connection.close()


def hub_command(name: str) -> list[str]:
    """`edged-hub NAME` by the running Python."""
    return [sys.executable, "-m", "edged_hub", name]


def cost(way: str, rows: int, took: float, cpu: float, path: Path) -> Cost:
    """Per row; the file is counted after a checkpoint."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return Cost(way, rows / took, cpu / rows * 1e6, path.stat().st_size / rows)

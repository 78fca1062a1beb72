"""The throughput benchmark's own judgement: what the hub lacks, and where the benchmark itself runs."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bench.contest import OTHER_CORE, aside
from bench.throughput import read_lost_and_duplicated

SCHEMA = """
CREATE TABLE streams (stream_id INTEGER PRIMARY KEY, node TEXT);
CREATE TABLE batches (batch_id INTEGER PRIMARY KEY, stream_id INTEGER);
CREATE TABLE signals (signal_id INTEGER PRIMARY KEY, signal TEXT);
CREATE TABLE sample_rows (signal_id INTEGER, batch_id INTEGER, value_number REAL);
INSERT INTO streams VALUES (1, 'line_a'), (2, 'line_a'), (3, 'line_b');
INSERT INTO signals VALUES (1, 'line_a/counters/c0'), (2, 'line_a/counters/c1'), (3, 'line_a/loop/level');
INSERT INTO batches VALUES (10, 1), (11, 1), (20, 2), (30, 3);
"""


def hub(path: Path, rows: Sequence[tuple[int, int, float | None]]) -> Path:
    """A database of signal, batch and counter value."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO sample_rows VALUES (?, ?, ?)", rows)
        connection.commit()
    return path


@pytest.mark.parametrize(
    ("rows", "lost", "duplicated"),
    [
        ([], 0, 0),
        ([(1, 10, 4.0), (1, 11, 5.0), (2, 10, 5.0)], 0, 0),
        ([(1, 10, 4.0), (1, 11, 7.0), (2, 10, 1.0), (2, 10, 3.0)], 3, 0),
        ([(1, 10, 4.0), (1, 11, 4.0), (1, 11, 5.0)], 0, 1),
        ([(1, 10, 4.0), (1, 20, 90.0), (1, 20, 91.0)], 0, 0),
        ([(1, 10, 4.0), (1, 30, 1.0), (1, 30, 9.0)], 0, 0),
        ([(3, 10, 4.0), (3, 10, 9.0), (3, 10, 9.0)], 0, 0),
        ([(1, 10, 4.0), (1, 10, None), (1, 10, None)], 0, 0),
    ],
    ids=[
        "none",
        "complete",
        "lost",
        "twice",
        "each daemon begins where it begins",
        "another node",
        "no counter",
        "without a value",
    ],
)
def test_counters_show_what_is_lost_and_what_is_held_twice(
    tmp_path: Path, rows: Sequence[tuple[int, int, float | None]], lost: int, duplicated: int
) -> None:
    assert read_lost_and_duplicated(hub(tmp_path / "hub.db", rows), "line_a") == (lost, duplicated)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_the_benchmark_leaves_the_measured_core_and_comes_back() -> None:
    before = os.sched_getaffinity(0)
    with aside():
        assert os.sched_getaffinity(0) == (before & {OTHER_CORE} or before)
    assert os.sched_getaffinity(0) == before

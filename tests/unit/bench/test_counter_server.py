"""The counters and their journal: groups take turns, each turn is offered once and told before."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from bench.checker import read_journal
from bench.counter_server import Lines, Ticks
from bench.notification import filetime
from bench.turns import Journal


def test_groups_count_in_turn() -> None:
    ticks = Ticks(groups=2)
    for milliseconds in (10, 20, 30, 40):
        ticks.add(milliseconds)
    assert [(tick.group, tick.value) for tick in ticks.after(0, 10)] == [(0, 1), (1, 1), (0, 2), (1, 2)]
    assert ticks.next() == (0, 3)
    assert ticks.after(0, 1)[0].time == filetime(10)


def test_a_subscription_takes_each_turn_once() -> None:
    ticks = Ticks(groups=1)
    ticks.add(1)
    ticks.add(2)
    first = ticks.after(0, 1)
    ticks.add(3)
    rest = ticks.after(first[-1].number, 10)
    assert [tick.value for tick in (*first, *rest)] == [1, 2, 3]
    assert ticks.after(rest[-1].number, 10) == []


def test_the_checker_reads_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "counters.jsonl"
    lines = Lines(["a/c0", "a/c1", "a/c2"], groups=2)
    with closing(Journal(path)) as journal:
        journal.write(lines.line(1000, 0, 7))
        journal.write(lines.line(1100, 1, 7))
    assert list(read_journal(path)) == [
        {"t": 1000, "signals": {"a/c0": 7.0, "a/c2": 7.0}},
        {"t": 1100, "signals": {"a/c1": 7.0}},
    ]

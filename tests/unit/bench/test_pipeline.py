"""The gate's pipeline does the daemon's whole job: every value of every notification reaches a Sparkplug message."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench.gate_child import SlowedPipeline
from bench.pipeline import GROUPS, NOTIFICATIONS, SIGNALS, Floor, Pipeline, notifications

VALUES = NOTIFICATIONS * SIGNALS // GROUPS


@pytest.mark.parametrize("slower", [0.0, 0.2])
async def test_every_value_goes_the_whole_way(tmp_path: Path, slower: float) -> None:
    pipeline = SlowedPipeline(tmp_path, slower) if slower else Pipeline(tmp_path)
    await pipeline.start()
    turn = await pipeline.run(notifications(1))
    assert pipeline.values == VALUES
    assert len(turn.lists) == NOTIFICATIONS
    assert sum(turn.lists) < turn.seconds
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as outbox:
        assert outbox.execute("SELECT sum(rows) FROM batch").fetchone() == (VALUES,)


def test_the_floor_stores_the_same_values(tmp_path: Path) -> None:
    turn = Floor(tmp_path).run(notifications(1))
    assert len(turn.lists) == NOTIFICATIONS
    assert 0 < sum(turn.lists) < turn.seconds
    with closing(sqlite3.connect(tmp_path / "floor.db")) as floor:
        assert floor.execute("SELECT count(*), count(DISTINCT handle) FROM samples").fetchone() == (VALUES, SIGNALS)

"""MQTT ingest as a process that can be shot: connector and runner over the smallest durable road there is.

python mqtt_ingest_process.py BROKER_PORT DATABASE
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path

import uvloop

from edged.clock import SystemClock
from edged.metrics import Metrics
from edged.ports import MARKS_KEPT
from edged.registry import Binding, SourceSetup
from edged.settings import BrokerSettings
from edged.types import Event, QualityResult, Sample, Seal, Signal, ValueType
from edged_connectors.south.mqtt import KIND
from edged_connectors.south.mqtt_options import MqttAddress, MqttOptions, ResultOptions
from edged_connectors.south.runner import SourceRunner

COMMIT_SECONDS = 0.03
SAMPLES_TOPIC = "works/line/lehr"
RESULTS_TOPIC = "works/line/unit"
SIGNAL = "line/lehr/number"


class SqliteRoad:
    """Group commit of samples, results and marks, each with its marks in one transaction."""

    def __init__(self, database: Path) -> None:
        self._database = sqlite3.connect(database)
        self._database.executescript(
            "PRAGMA journal_mode=WAL;"
            "CREATE TABLE IF NOT EXISTS samples (number INTEGER, source_time INTEGER, quality INTEGER);"
            "CREATE TABLE IF NOT EXISTS results (unit TEXT);"
            "CREATE TABLE IF NOT EXISTS marks (id INTEGER PRIMARY KEY AUTOINCREMENT, mark BLOB);"
        )
        self._samples: list[Sample] = []
        self._marks: list[bytes] = []
        self._committed = asyncio.get_running_loop().create_future()

    def publish(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        self._samples += [sample for sample in samples if sample.value is not None]
        self._marks += marks
        return self._committed

    def restore(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        raise AssertionError("a broker has no history")

    async def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> None:
        units = [(event.unit_identity,) for event in events if isinstance(event, QualityResult)]
        with self._database:
            self._database.executemany("INSERT INTO results VALUES (?)", units)
            self._remember(marks)

    def marks(self, source: str) -> Sequence[bytes]:
        return [row[0] for row in self._database.execute("SELECT mark FROM marks ORDER BY id")][-MARKS_KEPT:]

    def last_seen(self, source: str) -> int | None:
        return None

    async def keep_committing(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            done, self._committed = self._committed, asyncio.get_running_loop().create_future()
            samples, self._samples = self._samples, []
            marks, self._marks = self._marks, []
            with self._database:
                rows = [(sample.value, sample.source_time, sample.quality) for sample in samples]
                self._database.executemany("INSERT INTO samples VALUES (?, ?, ?)", rows)
                self._remember(marks)
            done.set_result(None)

    def _remember(self, marks: Sequence[bytes]) -> None:
        self._database.executemany("INSERT INTO marks (mark) VALUES (?)", [(mark,) for mark in marks])


async def main() -> None:
    options = MqttOptions(
        broker=BrokerSettings(port=int(sys.argv[1])),
        client_id="ingest",
        timestamp_path="$.timestamp",
        results=ResultOptions(topic=RESULTS_TOPIC),
    )
    signal = Signal(SIGNAL, "1", ValueType.INT)
    binding = Binding(signal, MqttAddress(topic=SAMPLES_TOPIC, path="$.number"))
    clock = SystemClock()
    setup = SourceSetup("cold_end", options, (binding,), clock, Seal(), Path())
    road = SqliteRoad(Path(sys.argv[2]))
    runner = SourceRunner(
        name="cold_end",
        signals=[signal],
        build=lambda: KIND.build(setup),
        road=road,
        clock=clock,
        metrics=Metrics(),
        silence_seconds=10.0,
        skew_limit_seconds=1e9,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(road.keep_committing())
        group.create_task(runner.run())


if __name__ == "__main__":
    uvloop.run(main())

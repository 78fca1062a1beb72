"""Training files: the plant runs faster than real time and writes what a historian would have, with labels.

DIR/features.csv   timestamp, one column per numeric signal (path below the line), then
                     defect            1 when a unit that is inspected within the next `horizon_seconds` has a defect
                     defect_type       the type of the first such defect, or none
                     oracle_probability  of `defect`, from the hidden state: the ceiling for any model, never an input
DIR/manifest.json  schema, units, rows, seed, horizon, SHA-256 of the file, and how honest the file is

Counters and texts are left out: a model that sees them learns the time of the recording.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import orjson

from edged.errors import EdgedError
from edged.types import Value, ValueType
from edged_sim.episodes import DEMO, SECONDS_PER_HOUR, Trouble, draw_episodes
from edged_sim.honesty import Honesty, judge
from edged_sim.inspection import NO_DEFECT, Unit
from edged_sim.plant import Plant
from edged_sim.records import readings_as_records, unit_as_record
from edged_sim.schedule import Sensors, forces_at
from edged_sim.tags import TAGS, Tag

SCHEMA_VERSION = 1
FEATURES_FILE = "features.csv"
MANIFEST_FILE = "manifest.json"
START_SECONDS = 1_767_225_600
"""2026-01-01, so that equal seeds give equal bytes."""

LABEL = "defect"
LABEL_TYPE = "defect_type"
ORACLE = "oracle_probability"

PROFILES: dict[str, tuple[Trouble, ...]] = {"demo": DEMO}
COLUMNS: tuple[Tag, ...] = tuple(tag for tag in TAGS if tag.type in (ValueType.FLOAT, ValueType.BOOL))


class DatasetRefused(EdgedError):
    """The training files cannot be made as asked: change the option named."""


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What is generated."""

    out: Path
    hours: float
    seed: int
    profile: str = "demo"
    period_seconds: int = 1
    horizon_seconds: int = 60
    records: Path | None = None


class Summary(NamedTuple):
    """What came out."""

    rows: int
    positive_share: float
    honesty: Honesty
    sha256: str


class _Moment(NamedTuple):
    second: int
    values: list[Value | None]


class _Judged(NamedTuple):
    second: int
    unit: Unit
    risk: float


class _Row(NamedTuple):
    moment: _Moment
    defect: bool
    defect_type: str
    oracle: float


def generate(options: DatasetOptions) -> Summary:
    """Runs the plant and writes the files; same options, same bytes."""
    if options.hours * SECONDS_PER_HOUR <= 2 * options.horizon_seconds:
        raise DatasetRefused(f"{options.hours} hours are too few for a horizon of {options.horizon_seconds} s")
    options.out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    values: list[list[Value | None]] = []
    oracle, labels = [], []
    with ExitStack() as files:
        features = files.enter_context((options.out / FEATURES_FILE).open("wb"))
        records = files.enter_context(options.records.open("wb")) if options.records is not None else None
        _emit(features, digest, ",".join(["timestamp", *(tag.path for tag in COLUMNS), LABEL, LABEL_TYPE, ORACLE]))
        for row in _label(_simulate(options, records), options.horizon_seconds):
            _emit(features, digest, _csv(row))
            values.append(row.moment.values)
            oracle.append(row.oracle)
            labels.append(row.defect)
    table = np.array(values, dtype=np.float64)
    columns = {tag.path: table[:, index] for index, tag in enumerate(COLUMNS)}
    honesty = judge(columns, np.array(oracle), np.array(labels))
    summary = Summary(len(labels), sum(labels) / len(labels), honesty, digest.hexdigest())
    manifest = orjson.dumps(_manifest(options, summary), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    (options.out / MANIFEST_FILE).write_bytes(manifest)
    return summary


def _simulate(options: DatasetOptions, records: BinaryIO | None) -> Iterator[_Moment | _Judged]:
    """Moments and inspected units in order of time."""
    seconds = round(options.hours * SECONDS_PER_HOUR)
    episodes = draw_episodes(PROFILES[options.profile], options.seed, float(seconds))
    plant = Plant(options.seed)
    sensors = Sensors(options.seed, ())
    for second in range(seconds):
        acting = [episode for episode in episodes if episode.active(second)]
        plant.forces.active = forces_at(acting, second)
        for unit in plant.advance(1.0):
            yield _Judged(second, unit, plant.inspection.risk)
            if records is not None:
                records.write(unit_as_record(_timestamp(second), unit))
        wanted = second % options.period_seconds == 0
        if wanted or records is not None:
            readings = sensors.read(plant.readings(), second)
            if wanted:
                yield _Moment(second, [readings[tag.path] for tag in COLUMNS])
            if records is not None:
                records.writelines(readings_as_records(_timestamp(second), second, readings))


def _label(stream: Iterator[_Moment | _Judged], horizon: int) -> Iterator[_Row]:
    """Holds each moment until its horizon has passed; the last ones, whose future is unknown, are left out."""
    moments: deque[_Moment] = deque()
    judged: deque[_Judged] = deque()
    for item in stream:
        while moments and item.second > moments[0].second + horizon:
            moment = moments.popleft()
            while judged and judged[0].second <= moment.second:
                judged.popleft()
            ahead = [each for each in judged if each.second <= moment.second + horizon]
            found = next((each.unit.defect_type for each in ahead if not each.unit.passed), NO_DEFECT)
            spared = 1.0
            for each in ahead:
                spared *= 1.0 - each.risk
            yield _Row(moment, found != NO_DEFECT, found, 1.0 - spared)
        if isinstance(item, _Moment):
            moments.append(item)
        else:
            judged.append(item)


def _csv(row: _Row) -> str:
    values = [str(int(value)) if isinstance(value, bool) else repr(value) for value in row.moment.values]
    return ",".join(
        [_timestamp(row.moment.second), *values, str(int(row.defect)), row.defect_type, f"{row.oracle:.6f}"]
    )


def _emit(file: BinaryIO, digest: hashlib._Hash, line: str) -> None:
    data = line.encode() + b"\n"
    digest.update(data)
    file.write(data)


def _timestamp(second: int) -> str:
    return datetime.fromtimestamp(START_SECONDS + second, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _manifest(options: DatasetOptions, summary: Summary) -> Mapping[str, object]:
    columns: list[dict[str, object]] = [{"name": "timestamp", "role": "time", "unit": "ISO 8601 UTC"}]
    columns += [
        {"name": tag.path, "role": "signal", "unit": tag.unit, "type": tag.type, "low": tag.low, "high": tag.high}
        for tag in COLUMNS
    ]
    columns += [
        {"name": LABEL, "role": "label", "unit": "1", "type": ValueType.BOOL},
        {"name": LABEL_TYPE, "role": "label", "unit": "1", "type": ValueType.STRING},
        {"name": ORACLE, "role": "oracle", "unit": "1", "type": ValueType.FLOAT},
    ]
    return {
        "schema": SCHEMA_VERSION,
        "profile": options.profile,
        "seed": options.seed,
        "hours": options.hours,
        "period_seconds": options.period_seconds,
        "horizon_seconds": options.horizon_seconds,
        "rows": summary.rows,
        "positive_share": summary.positive_share,
        "files": {FEATURES_FILE: {"sha256": summary.sha256}},
        "columns": columns,
        "honesty": summary.honesty._asdict(),
    }

"""Training files: repeatable, rightly labelled, and judged."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged_sim.dataset import COLUMNS, DatasetOptions, DatasetRefused, Summary, generate
from edged_sim.honesty import best_f1, judge, severity

HOURS = 1.5
HORIZON = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("dataset")
    options = DatasetOptions(folder, HOURS, 3, records=folder / "records.jsonl")
    return folder, generate(options)


@pytest.fixture(scope="module")
def rows(made: tuple[Path, Summary]) -> list[dict[str, str]]:
    with (made[0] / "features.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def records(made: tuple[Path, Summary]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made[0] / "records.jsonl").read_text(encoding="utf-8").splitlines()]


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    made = {name: generate(DatasetOptions(tmp_path / name, 0.2, seed)) for name, seed in (("a", 3), ("b", 3), ("c", 4))}
    first = (tmp_path / "a" / "features.csv").read_bytes()
    assert (tmp_path / "b" / "features.csv").read_bytes() == first
    assert made["a"].sha256 == made["b"].sha256 == hashlib.sha256(first).hexdigest() != made["c"].sha256


def test_the_manifest_describes_the_file(made: tuple[Path, Summary], rows: list[dict[str, str]]) -> None:
    folder, summary = made
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert [column["name"] for column in manifest["columns"]] == list(rows[0])
    assert manifest["rows"] == summary.rows == len(rows)
    assert (manifest["seed"], manifest["horizon_seconds"], manifest["schema"]) == (3, HORIZON, 1)
    assert manifest["files"]["features.csv"]["sha256"] == summary.sha256
    assert manifest["columns"][1]["unit"] == "degC"
    assert {column["role"] for column in manifest["columns"]} == {"time", "signal", "label", "oracle"}


def test_labels_tell_of_the_units_inspected_within_the_horizon(
    rows: list[dict[str, str]], records: list[dict[str, Any]]
) -> None:
    def second(text: str) -> int:
        return int(np.datetime64(text.rstrip("Z"), "s").astype(int))

    bad = [second(r["timestamp"]) for r in records if r["sensor_id"] == "MIK-1" and r["value"] != "none"]
    assert bad
    for row in rows:
        now = second(row["timestamp"])
        ahead = any(now < at <= now + HORIZON for at in bad)
        assert (row["defect"] == "1") == ahead == (row["defect_type"] != "none")


def test_the_oracle_is_calibrated(rows: list[dict[str, str]]) -> None:
    oracle = np.array([float(row["oracle_probability"]) for row in rows])
    labels = np.array([row["defect"] == "1" for row in rows])
    assert ((oracle >= 0) & (oracle <= 1)).all()
    assert oracle.mean() == pytest.approx(labels.mean(), abs=0.05)
    assert labels[oracle > 0.95].mean() > 0.9
    assert labels[oracle < 0.02].mean() < 0.05


def test_the_period_is_kept_and_counters_are_left_out(tmp_path: Path) -> None:
    summary = generate(DatasetOptions(tmp_path, 0.1, 1, period_seconds=10))
    assert summary.rows == 30
    names = {tag.path for tag in COLUMNS}
    assert len(names) == 60
    assert not names & {"inspection/units_total", "forming/scan_counter", "inspection/last_defect"}


def test_too_few_hours_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetRefused, match="too few"):
        generate(DatasetOptions(tmp_path, 0.01, 1))


def test_records_come_at_the_recorders_rates_with_every_field(records: list[dict[str, Any]]) -> None:
    assert all(
        set(record) == {"timestamp", "sensor_id", "parameter_name", "value", "unit", "status", "production_line"}
        for record in records
    )
    seconds = HOURS * 3600
    counts = {
        sensor: sum(record["sensor_id"] == sensor for record in records)
        for sensor in ("FURNACE-TEMPERATURE", "FORMING-BELT_SPEED", "ANNEALING-COOLING_RATE", "MIK-1")
    }
    assert counts["FURNACE-TEMPERATURE"] == seconds / 60
    assert counts["FORMING-BELT_SPEED"] == seconds
    assert counts["ANNEALING-COOLING_RATE"] == seconds / 2
    assert seconds / 5 < counts["MIK-1"] < seconds / 3
    assert {record["status"] for record in records} <= {"OK", "WARNING", "ERROR", "CRITICAL"}


def test_best_f1_finds_the_perfect_rule_and_knows_ties() -> None:
    labels = np.array([False, False, True, True])
    assert best_f1(np.array([1.0, 2.0, 3.0, 4.0]), labels) == (1.0, 3.0)
    assert best_f1(np.array([1.0, 1.0, 1.0, 1.0]), labels)[0] == pytest.approx(2 / 3)
    assert best_f1(np.array([1.0, 2.0]), np.array([False, False]))[0] == 0.0


def test_a_file_that_a_threshold_solves_is_rejected() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(rng.random(400) < 0.2, 20)
    normal = {
        "furnace/temperature": 1530.0,
        "forming/belt_speed": 150.0,
        "forming/mould_temperature": 420.0,
        "forming/forming_pressure": 40.0,
        "annealing/cooling_rate": 5.0,
    }
    columns = {path: value + rng.normal(0, 0.1, labels.size) for path, value in normal.items()}
    oracle = np.array(0.2 + 0.5 * labels + rng.normal(0, 0.2, labels.size), dtype=np.float64)
    hard = judge(columns, oracle, labels)
    assert hard.accepted is True
    assert hard.rule_f1 < 0.4
    columns["annealing/cooling_rate"] += 3.0 * labels
    easy = judge(columns, labels.astype(np.float64), labels)
    assert easy.accepted is False
    assert easy.rule_f1 == pytest.approx(1.0)
    assert "annealing/cooling_rate above" in easy.rule or "GLS25" in easy.rule
    assert (severity(columns)[labels] > severity(columns)[~labels].max()).all()


def test_a_short_file_is_not_judged(made: tuple[Path, Summary]) -> None:
    assert made[1].honesty.accepted is None

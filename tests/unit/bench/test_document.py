"""The page of benchmarks is made of the runs' lines alone."""

from __future__ import annotations

import json
from pathlib import Path

from bench.document import page, read_lines
from bench.every import RUNS

LATENCY = next(run for run in RUNS if run.name == "latency")
LINE = {
    "name": "latency",
    "figures": {},
    "bars": [{"name": "p95 pipeline time, ms", "value": 7.25, "limit": 5.0, "ok": False}],
    "columns": ["signals", "state", "to hub p99 ms"],
    "rows": [[1000, "just sent", 1234.5], [10000, "settled", 0.5]],
    "command": LATENCY.command,
    "loads": [0.1, 0.9],
    "seconds": 61,
}


def test_a_section_has_command_table_promises_and_load() -> None:
    text = page({LATENCY.command: LINE}, [("processor", "some, 2 cores")])
    assert f"```\n{LATENCY.command}\n```" in text
    assert "| 1,000 | just sent | 1,234 |" in text
    assert "| p95 pipeline time, ms | 7.25 | 5 | **missed** |" in text
    assert "load of the machine 0.1 before, 0.9 after" in text
    assert "| processor | some, 2 cores |" in text
    assert "## memory" not in text


def test_the_last_line_of_a_command_counts(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps({"command": "x", "seconds": n}) + "\n" for n in (1, 2)), encoding="utf-8")
    assert read_lines(path) == {"x": {"command": "x", "seconds": 2}}
    assert read_lines(tmp_path / "none") == {}


def test_every_run_is_a_command_and_told_apart() -> None:
    assert len({run.command for run in RUNS}) == len(RUNS)

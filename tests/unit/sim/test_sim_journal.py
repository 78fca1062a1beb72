"""The journal: its format is a contract with the checker."""

from __future__ import annotations

import json
import os
from pathlib import Path

from edged.clock import VirtualClock
from edged_sim.journal import Journal


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_line_is_there_when_the_method_returns(tmp_path: Path) -> None:
    clock = VirtualClock(now=5)
    journal = Journal(tmp_path / "sub" / "opcua.jsonl", "opcua", clock)
    path = tmp_path / "sub" / "opcua.jsonl"
    assert lines(path) == [{"start": 5, "pid": os.getpid(), "face": "opcua"}]
    journal.changed(7, {"line_a/a/x": 1.5, "line_a/a/y": None}, ["line_a/a/z"])
    assert lines(path)[-1] == {
        "t": 7,
        "signals": {"line_a/a/x": 1.5, "line_a/a/y": None},
        "bad": ["line_a/a/y"],
        "unchanged": ["line_a/a/z"],
    }
    journal.written("line_a/a/x", 2.0)
    assert lines(path)[-1] == {"write": "line_a/a/x", "value": 2.0, "at": 5}
    journal.close()


def test_modbus_and_mqtt_lines(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path, "modbus", VirtualClock(now=9))
    journal.answered("input", 0, 27, 3, {"line_a/f/x": None})
    journal.document(11, "t/a", {"line_a/a/x": 1})
    journal.unit(12, "t/u", "A-1", passed=False, defect_type="bubble")
    journal.acknowledged(12, "t/u")
    journal.dropped(11, "t/a")
    journal.close()
    assert lines(path)[1:] == [
        {
            "at": 9,
            "block": "input",
            "start": 0,
            "count": 27,
            "counter": 3,
            "signals": {"line_a/f/x": None},
            "bad": ["line_a/f/x"],
        },
        {"t": 11, "topic": "t/a", "signals": {"line_a/a/x": 1}, "bad": []},
        {"t": 12, "topic": "t/u", "unit": "A-1", "passed": False, "defect_type": "bubble"},
        {"acked": 12, "topic": "t/u"},
        {"dropped": 11, "topic": "t/a"},
    ]


def test_a_restarted_face_appends_and_finds_the_last_counters(tmp_path: Path) -> None:
    path = tmp_path / "modbus.jsonl"
    first = Journal(path, "modbus", VirtualClock())
    for counter in (1, 2):
        first.answered("input", 0, 27, counter, {})
    first.answered("holding", 100, 9, 41, {})
    first.answered("input", 2, 2, None, {})
    first.close()
    with path.open("ab") as file:
        file.write(b'{"at": 1, "block": "input", "counter": 9')
    second = Journal(path, "modbus", VirtualClock())
    assert (second.last_counter("input"), second.last_counter("holding"), second.last_counter("coil")) == (2, 41, 0)
    second.close()

"""What the bad-input tests share: configurations derived from the example line, and the user's views of the daemon."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.checker import Findings, check, read_journal
from bench.line import LineStack
from bench.processes import PROJECT, Process, StackFailed, fetch, program, wait_until

EXAMPLE = PROJECT / "configs" / "line-a.yaml"
STEADY = PROJECT / "configs" / "scenarios" / "drill.yaml"
"""The plant without any event of its own."""
COMMAND_SECONDS = 20.0
PATIENCE_SECONDS = 30.0
ROWS = 10_000
"""As many as the hub answers with at once."""
HEARTBEAT = "line_a/forming/heartbeat"

Json = dict[str, Any]


def derived(folder: Path, *changes: tuple[str, str]) -> Path:
    """configs/line-a.yaml with words replaced; each must be there."""
    folder.mkdir(parents=True, exist_ok=True)
    text = EXAMPLE.read_text(encoding="utf-8")
    places = (
        ("bundle: models/", f"bundle: {EXAMPLE.parent}/models/"),
        ("model: models/", f"model: {EXAMPLE.parent}/models/"),
        (":-ceiling", f":-{EXAMPLE.parent}/ceiling"),
    )
    for old, new in (*places, *changes):
        assert old in text, f"{old!r} is not in {EXAMPLE.name}"
        text = text.replace(old, new)
    path = folder / "line.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def written(folder: Path, document: Json) -> Path:
    """A configuration of its own; JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "line.yaml"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def edged(*words: object, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command of edged that is expected to end by itself."""
    return subprocess.run(
        [program("edged"), *map(str, words)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def reproduced(line: LineStack, config: Path, *words: object) -> Json:
    """What `edged replay` found of a recorded stretch in which every decision came out the same again."""
    told = edged("replay", config, *words, "--json", environment=line.environment())
    assert (told.returncode, told.stderr) == (0, ""), f"{told.stdout[:3000]}{told.stderr}"
    found: Json = json.loads(told.stdout)
    assert (found["reproduced"], found["differences"], found["missing"], found["changed"]) == (True, [], [], [])
    return found


def until(
    line: LineStack, what: str, true: Callable[[Json], bool], *, process: str = "edged", seconds: float = 0.0
) -> Json:
    """/status as soon as it satisfies a condition. Raises StackFailed with the end of the log."""
    found: list[Json] = []

    def satisfied() -> bool:
        status = line.status()
        if status is not None and true(status):
            found.append(status)
        return bool(found)

    try:
        wait_until(what, satisfied, line.processes[process], seconds or PATIENCE_SECONDS)
    except StackFailed as fault:
        raise AssertionError(f"{fault}\nlast status: {json.dumps(line.status())[:3000]}") from fault
    return found[0]


def source(status: Json, name: str) -> Json:
    """One source of /status."""
    found: Json = next(one for one in status["sources"] if one["name"] == name)
    return found


def standing(status: Json) -> set[tuple[str, str]]:
    """(alarm, source) of every alarm that stands."""
    return {(alarm["name"], alarm["source"]) for alarm in status["alarms"]}


def log_lines(process: Process, event: str = "") -> list[Json]:
    """The log of the daemon, of all its runs; only one kind of event if asked for."""
    lines = []
    for text in process.log.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if event in ("", line["event"]):
            lines.append(line)
    return lines


def metric(line: LineStack, sample: str) -> float:
    """One sample of /metrics, with its labels; 0 before it was counted."""
    page = (fetch(f"http://127.0.0.1:{line.http_port}/metrics") or b"").decode()
    found = [row.rpartition(" ")[2] for row in page.splitlines() if row.rpartition(" ")[0] == sample]
    return float(found[0]) if found else 0.0


def history(line: LineStack, signal: str) -> list[Json]:
    """Every record of a signal that the hub holds, as its API answers."""
    page = line.hub_page(f"/api/v1/history?{urlencode({'signal': signal, 'limit': ROWS})}")
    records: list[Json] = page["records"] if page else []
    assert len(records) < ROWS
    return records


def held_reasons(line: LineStack, signal: str) -> set[str]:
    """Why values of a signal are BAD at the hub."""
    return {record["reason"] for record in history(line, signal) if record["quality"] == 0}


def held_alarms(line: LineStack, name: str) -> list[Json]:
    """The transitions of an alarm at the hub, oldest first."""
    page = line.hub_page(f"/api/v1/events?{urlencode({'kind': 'Alarm', 'limit': ROWS})}") or {"events": []}
    return [event["body"] for event in reversed(page["events"]) if event["body"]["name"] == name]


def held_gaps(line: LineStack) -> list[Json]:
    """Every Gap that the hub was told of."""
    page = line.hub_page(f"/api/v1/gaps?limit={ROWS}")
    gaps: list[Json] = page["gaps"] if page else []
    return gaps


def plant_writes(line: LineStack) -> list[tuple[str, float]]:
    """(signal, value) of everything that was written to the plant but heartbeats, by the plant's own journals."""
    lines = [entry for path in sorted(line.journal.glob("*.jsonl")) for entry in read_journal(path)]
    return [(entry["write"], entry["value"]) for entry in lines if entry.get("write", HEARTBEAT) != HEARTBEAT]


def finish(line: LineStack) -> Findings:
    """Stops the daemon cleanly and lets the checker judge: nothing lost, doubled or invented, no traceback."""
    assert line.stop_edge() == 0
    assert "Traceback" not in (line.folder / "edged.log").read_text(encoding="utf-8")
    found = check(line.journal, line.hub_data / "hub.db", line.node)
    assert len(found.faces) == 3
    counts = {name: found.total(name) for name in ("lost", "duplicated", "out_of_order", "invented")}
    assert not any(counts.values()), (counts, found.examples[:10], found.gaps)
    return found


def start_line(line: LineStack, config: Path | None = None, *, parts: Sequence[str] = ("broker", "hub")) -> None:
    """The steady plant, the parts that it needs, and the daemon with data from every source."""
    if "broker" in parts:
        line.start_broker()
    if "hub" in parts:
        line.start_hub()
    line.start_plant(STEADY)
    line.start_edge(config)
    line.wait_for_data()

"""The checker finds what a broken line would do: every planted fault is counted, a clean line counts zero."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.checker import NOTICE, Findings, check
from bench.judge import ANSWER_MILLISECONDS, START_MILLISECONDS, Window

START = 1_800_000_000_000
TICKS = 100
TICK = 100
TEMPERATURE = "line_a/furnace/temperature"
PRESSURE = "line_a/furnace/pressure"
COUNTER = "line_a/forming/scan_counter"
SPEED = "line_a/forming/belt_speed"
RUNNING = "line_a/forming/running"
ZONE = "line_a/annealing/zone_1_temperature"

Rows = list[tuple[str, int, float | None]]


class Hub:
    """A hub's database with the product's own schema, filled by hand."""

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._connection = sqlite3.connect(path)
        self._connection.executescript(schema)
        self._connection.execute(
            "INSERT INTO streams (stream_id, node, stream, lane) VALUES (1, 'line_a', 's', 'process')"
        )

    def fill(self, rows: Rows, gaps: list[tuple[str, int, int]], units: list[str], reason: str = "offline") -> None:
        execute = self._connection.execute
        execute("INSERT INTO batches VALUES (1, 1, 1, ?, 0, ?, ?, 0, ?)", (len(rows), START, START, START * 1_000_000))
        names = sorted({signal for signal, _, _ in rows})
        for number, name in enumerate(names):
            execute("INSERT INTO signals VALUES (?, 'line_a', ?, NULL)", (number, name))
        for row, (signal, time, value) in enumerate(rows):
            execute(
                "INSERT INTO sample_rows VALUES (?, ?, 1, ?, 1, ?, NULL, ?, ?, '')",
                (names.index(signal), time * 1_000_000, row, value, 192 * (value is not None), time * 1_000_000),
            )
        for row, (source, start, end) in enumerate(gaps):
            values = (row, source, start * 1_000_000, end * 1_000_000, reason)
            execute("INSERT INTO gap_rows VALUES (1, ?, ?, ?, ?, ?, '', '', 0, 0, NULL)", values)
        for row, unit in enumerate(units):
            body = json.dumps({"unit_identity": unit})
            execute("INSERT INTO event_rows VALUES (1, ?, 'QualityResult', 0, '', ?)", (row, body))
        self._connection.commit()
        self._connection.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Ten seconds of three faces."""
    folder = tmp_path / "journal"
    folder.mkdir()
    opcua = [{"t": START + i * TICK, "signals": {TEMPERATURE: 1500.0 + i, PRESSURE: 20.0 + i}} for i in range(TICKS)]
    modbus: list[dict[str, object]] = []
    for i in range(TICKS):
        at = (START + i * TICK) * 1_000_000
        signals = {COUNTER: i + 1, SPEED: 150.0 + i}
        modbus.append({"at": at, "block": "input", "start": 0, "count": 4, "counter": i + 1, "signals": signals})
        modbus.append({"at": at, "block": "coil", "start": 0, "count": 1, "counter": None, "signals": {RUNNING: True}})
    mqtt: list[dict[str, object]] = [{"t": START + i * TICK, "signals": {ZONE: 500.0 + i}} for i in range(TICKS)]
    mqtt += [{"t": START + i * TICK, "unit": f"u{i}"} for i in range(0, TICKS, 10)]
    for name, lines in (("opcua", opcua), ("modbus", modbus), ("mqtt", mqtt)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def clean_rows() -> Rows:
    rows: Rows = []
    for i in range(TICKS):
        time = START + i * TICK
        rows += [(TEMPERATURE, time, 1500.0 + i), (PRESSURE, time, 20.0 + i), (ZONE, time, 500.0 + i)]
        rows += [(COUNTER, time + 3, float(i + 1)), (SPEED, time + 3, 150.0 + i), (RUNNING, time + 4, 1.0)]
    return rows


WHOLE = Window(START, START + TICKS * TICK, 0)
UNITS = [f"u{i}" for i in range(0, TICKS, 10)]


@pytest.fixture
def judge(tmp_path: Path, journal: Path, project: Path) -> Callable[..., Findings]:
    def run(
        rows: Rows,
        gaps: list[tuple[str, int, int]] | None = None,
        units: list[str] | None = None,
        window: Window | None = None,
        reason: str = "offline",
    ) -> Findings:
        schema = "".join(
            path.read_text(encoding="utf-8") for path in sorted((project / "hub/edged_hub/sql").glob("schema_*.sql"))
        )
        hub = Hub(tmp_path / "hub.db", schema)
        hub.fill(rows, gaps or [], units if units is not None else UNITS, reason)
        return check(journal, hub.path, "line_a", window)

    return run


def without(signal: str, tick: int, offset: int = 0) -> Rows:
    time = START + tick * TICK + offset
    return [row for row in clean_rows() if (row[0], row[1]) != (signal, time)]


def test_a_clean_line_counts_zero(judge: Callable[..., Findings]) -> None:
    found = judge(clean_rows())
    assert (found.lost, found.duplicated, found.invented, found.total("out_of_order")) == (0, 0, 0, 0)
    assert set(found.faces) == {"opcua", "modbus", "mqtt"}
    assert found.offered > 4 * TICKS
    assert found.p50_milliseconds == pytest.approx(-TICKS * TICK / 2, abs=TICK)


@pytest.mark.parametrize(
    ("signal", "offset"),
    [(TEMPERATURE, 0), (ZONE, 0), (SPEED, 3), (RUNNING, 4)],
    ids=["opcua", "mqtt", "modbus", "coil"],
)
def test_a_missing_value_is_lost(judge: Callable[..., Findings], signal: str, offset: int) -> None:
    assert judge(without(signal, 40, offset)).lost == 1


def test_a_missing_scan_loses_the_whole_block(judge: Callable[..., Findings]) -> None:
    time = START + 40 * TICK + 3
    rows = [row for row in clean_rows() if not (row[0] in (COUNTER, SPEED) and row[1] == time)]
    assert judge(rows).lost == 2


def test_a_missing_value_inside_a_gap_of_its_source_is_covered(judge: Callable[..., Findings]) -> None:
    found = judge(without(TEMPERATURE, 40), [("furnace", START + 39 * TICK, START + 41 * TICK)])
    assert (found.lost, found.total("covered_by_gaps")) == (0, 1)


def test_a_gap_of_another_source_covers_nothing(judge: Callable[..., Findings]) -> None:
    assert judge(without(TEMPERATURE, 40), [("forming", START + 39 * TICK, START + 41 * TICK)]).lost == 1


def test_a_signal_that_falls_silent_is_lost_to_the_end(judge: Callable[..., Findings]) -> None:
    rows = [row for row in clean_rows() if row[0] != PRESSURE or row[1] < START + 50 * TICK]
    assert judge(rows).lost >= 35


def test_a_source_that_never_came_is_lost_whole(judge: Callable[..., Findings]) -> None:
    assert judge([row for row in clean_rows() if row[0] != ZONE]).faces["mqtt"].lost == TICKS


@pytest.mark.parametrize(("signal", "offset"), [(TEMPERATURE, 0), (ZONE, 0), (COUNTER, 3), (RUNNING, 4)])
def test_a_doubled_value_is_counted(judge: Callable[..., Findings], signal: str, offset: int) -> None:
    twin = next(row for row in clean_rows() if row[:2] == (signal, START + 40 * TICK + offset))
    assert judge([*clean_rows(), twin]).duplicated >= 1


def test_a_value_that_was_never_offered_is_invented(judge: Callable[..., Findings]) -> None:
    assert judge([*clean_rows(), (TEMPERATURE, START + 40 * TICK + 1, 7.0)]).invented == 1


def test_a_changed_value_is_invented(judge: Callable[..., Findings]) -> None:
    assert judge([*without(TEMPERATURE, 40), (TEMPERATURE, START + 40 * TICK, 7.0)]).invented == 1


def test_a_value_numbered_too_late_is_out_of_order(judge: Callable[..., Findings]) -> None:
    moved = (TEMPERATURE, START + 40 * TICK, 1540.0)
    assert judge([*without(TEMPERATURE, 40), moved]).total("out_of_order") == 1


def test_a_missing_and_a_doubled_unit_are_counted(judge: Callable[..., Findings]) -> None:
    found = judge(clean_rows(), units=[unit for unit in UNITS if unit != "u30"] + ["u50"])
    assert (found.faces["mqtt"].lost, found.faces["mqtt"].duplicated) == (1, 1)


@pytest.mark.parametrize(("source", "lost"), [("outbox", 0), ("cold_end", 0), ("furnace", 1)])
def test_a_missing_unit_inside_a_gap_of_its_own_is_no_loss(
    judge: Callable[..., Findings], source: str, lost: int
) -> None:
    around = START + 30 * TICK
    found = judge(clean_rows(), [(source, around - 1, around + 1)], [unit for unit in UNITS if unit != "u30"])
    assert (found.faces["mqtt"].lost, found.faces["mqtt"].covered_by_gaps) == (lost, 1 - lost)


@pytest.mark.parametrize(("early", "lost"), [(1, 0), (ANSWER_MILLISECONDS, 0), (ANSWER_MILLISECONDS + 1, 1)])
def test_a_gap_in_modbus_begins_with_the_answer(judge: Callable[..., Findings], early: int, lost: int) -> None:
    """Tick 30 was answered `early` ms before the gap of its source begins."""
    begin = START + 30 * TICK + early
    found = judge(without(SPEED, 30, 3), [("forming", begin, begin + 1)])
    assert found.faces["modbus"].lost == lost


@pytest.mark.parametrize(
    ("signal", "offset"), [(TEMPERATURE, 0), (ZONE, 0), (SPEED, 3)], ids=["opcua", "mqtt", "modbus"]
)
def test_a_row_without_value_neither_hides_nor_doubles_nor_replaces_one(
    judge: Callable[..., Findings], tmp_path: Path, signal: str, offset: int
) -> None:
    silent = (signal, START + 40 * TICK + offset, None)
    found = judge([*clean_rows(), silent])
    assert (found.lost, found.duplicated, found.invented) == (0, 0, 0)
    (tmp_path / "hub.db").unlink()
    assert judge([*without(signal, 40, offset), silent]).lost == 1


def test_a_signal_that_came_late_does_not_hide_what_was_offered_before(judge: Callable[..., Findings]) -> None:
    late = 50
    rows = [row for row in clean_rows() if row[0] != PRESSURE or row[1] >= START + late * TICK]
    assert judge(rows).faces["opcua"].lost == late - START_MILLISECONDS // TICK


def test_the_last_second_is_judged_after_a_clean_stop(judge: Callable[..., Findings], tmp_path: Path) -> None:
    rows = without(TEMPERATURE, TICKS - 5)
    assert judge(rows).lost == 0
    (tmp_path / "hub.db").unlink()
    assert judge(rows, window=WHOLE).lost == 1


@pytest.mark.parametrize(("signals", "face"), [((TEMPERATURE, PRESSURE), "opcua"), ((ZONE,), "mqtt")])
def test_a_face_that_fell_silent_has_a_small_judged_share(
    judge: Callable[..., Findings], signals: tuple[str, ...], face: str
) -> None:
    rows = [row for row in clean_rows() if row[0] not in signals or row[1] < START + TICK * TICKS // 2]
    found = judge(rows, window=WHOLE)
    assert found.faces[face].judged_share < 0.5
    assert found.faces["modbus"].judged_share > 0.95


def test_what_was_received_since_the_last_start_is_counted(judge: Callable[..., Findings]) -> None:
    found = judge(clean_rows(), window=Window(START, START + TICKS * TICK, START + TICKS * TICK // 2))
    assert found.faces["opcua"].received == TICKS


def test_a_coil_that_falls_silent_is_lost_to_the_end(judge: Callable[..., Findings]) -> None:
    rows = [row for row in clean_rows() if row[0] != RUNNING or row[1] < START + 50 * TICK]
    assert judge(rows).faces["modbus"].lost >= 35


def test_a_gap_around_held_values_of_a_coil_covers_no_other_loss(judge: Callable[..., Findings]) -> None:
    gap = ("forming", START + 20 * TICK, START + 30 * TICK)
    assert judge(without(RUNNING, 40, 4), [gap]).lost == 1


def test_answers_to_two_reads_at_once_belong_to_both(judge: Callable[..., Findings]) -> None:
    """The answer to the read of tick 40 came after the read of tick 41 had been answered too."""
    rows = [*without(RUNNING, 40, 4), (RUNNING, START + 41 * TICK + 3, 1.0)]
    found = judge(sorted(rows, key=lambda row: row[1]))
    assert (found.lost, found.duplicated) == (0, 0)


@pytest.mark.parametrize(("reason", "lost"), [("offline", 0), (NOTICE, 1)])
def test_a_gap_that_only_says_that_something_may_be_missing_covers_nothing(
    judge: Callable[..., Findings], reason: str, lost: int
) -> None:
    found = judge(without(TEMPERATURE, 40), [("outbox", 0, START + TICKS * TICK)], window=WHOLE, reason=reason)
    assert (found.lost, len(found.gaps)) == (lost, 1 - lost)

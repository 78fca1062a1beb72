"""What can be seen of an outbox from outside, while it is in use."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.outbox_report import CSV_COLUMNS, NotAnOutbox, export, inspect, verify
from edged.outbox_schema import batch_id
from edged.types import Gap, Lane, Sample
from tests.unit.edged.outbox_bench import committed, opened, put, take

GAP = Gap("source", 1, 2, "overflow", stream="another", lane="process", first_seq=3, last_seq=4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


async def write(path: Path) -> str:
    """Three batches, of which the hub has the first, and one gap; its stream."""
    async with opened(path, VirtualClock()) as outbox:
        sink = outbox.sink("hub")
        outbox.sink("other")
        samples = [
            Sample("s", 1.5, 10, 11),
            Sample("s", True, 12, 13),
            Sample("s", 7, 14, 15, 64, "skew"),
            Sample("s", None, 16, 17, 0, "offline"),
            Sample("s", 'a "b",\nc', 18, 19),
        ]
        await committed(outbox, outbox.append("source", samples))
        await put(outbox, count=2, start=20)
        await put(outbox, count=2, start=30)
        await outbox.record([GAP])
        await sink.confirm([batch.key for batch in await take(sink, count=1)])
        await outbox.flush()
        report = inspect(path)
        assert not report.clean
        assert verify(path) == []
        return outbox.stream


async def test_inspect_tells_what_a_file_in_use_holds(path: Path) -> None:
    stream = await write(path)
    report = inspect(path)
    assert (report.stream, report.clean, report.schema, report.old_files) == (stream, True, 1, ())
    process, events = report.lanes
    assert (process.lane, process.head, process.batches, process.rows, process.held) == ("process", 3, 3, 9, "1-3")
    assert (process.first_time, process.last_time) == (10, 31)
    assert (events.lane, events.head, events.batches, events.rows) == ("events", 1, 1, 1)
    (hub,) = report.sinks
    assert (hub.name, hub.lane, hub.confirmed, hub.waiting) == ("hub", "process", "1", 2)
    assert report.sources == (("source", 31),)
    assert report.bytes > report.free_bytes >= 0


async def test_export_as_json_lines(path: Path) -> None:
    stream = await write(path)
    out = io.StringIO()
    assert export(path, out) == 10
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert rows[1] == {
        "stream": stream,
        "lane": "process",
        "seq": 1,
        "row": 1,
        "kind": "Sample",
        "signal": "s",
        "value": True,
        "source_time": 12,
        "receive_time": 13,
        "quality": 192,
        "reason": "",
    }
    assert [(row["lane"], row["seq"], row["row"]) for row in rows][:6] == [("process", 1, row) for row in range(5)] + [
        ("process", 2, 0)
    ]
    assert (rows[-1]["stream"], rows[-1]["kind"], rows[-1]["event"]["stream"]) == (stream, "Gap", "another")


async def test_export_as_csv(path: Path) -> None:
    stream = await write(path)
    out = io.StringIO()
    assert export(path, out, "csv") == 10
    header, *rows = csv.reader(io.StringIO(out.getvalue()))
    assert tuple(header) == CSV_COLUMNS
    assert all(len(row) == len(CSV_COLUMNS) for row in rows)
    assert rows[0] == [stream, "process", "1", "0", "Sample", "s", "1.5", "float", "10", "11", "192", "", ""]
    assert [row[6:8] for row in rows[1:5]] == [["True", "bool"], ["7", "int"], ["", ""], ['a "b",\nc', "str"]]
    assert json.loads(rows[-1][-1])["reason"] == "overflow"


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (f"DELETE FROM batch WHERE id = {batch_id(Lane.PROCESS, 2)}", "process 2-2: missing"),
        (f"DELETE FROM blob WHERE id = {batch_id(Lane.PROCESS, 2)}", "process 2: its checksum does not fit"),
        (f"UPDATE blob SET rows = 9 WHERE id = {batch_id(Lane.EVENTS, 1)}", "events 1: its checksum does not fit"),
        (
            f"UPDATE blob SET crc = crc + 1 WHERE id = {batch_id(Lane.PROCESS, 3)}",
            "process 3: its checksum does not fit",
        ),
    ],
)
async def test_verify_names_every_fault(path: Path, statement: str, fault: str) -> None:
    await write(path)
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    assert verify(path) == [fault]


async def test_looking_changes_nothing(path: Path) -> None:
    await write(path)
    before = path.read_bytes()  # noqa: ASYNC240 - a test may
    inspect(path)
    verify(path)
    export(path, io.StringIO())
    assert path.read_bytes() == before  # noqa: ASYNC240 - a test may


@pytest.mark.parametrize("content", [None, b"", b"something else entirely"])
def test_what_is_no_outbox_is_said_to_be_none(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    for look in (inspect, verify):
        with pytest.raises(NotAnOutbox, match=str(path)):
            look(path)

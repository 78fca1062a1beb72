"""`edged outbox` on a real file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edged.cli import main
from edged.clock import VirtualClock
from edged.outbox import Outbox
from edged.settings import OutboxSettings
from edged.subcommand import FAILED, WRONG_INPUT
from edged.types import Alarm, AlarmState, Priority, Sample


@pytest.fixture
async def outbox_file(tmp_path: Path) -> Path:
    """An outbox with two samples and one alarm."""
    clock = VirtualClock()
    path = tmp_path / "outbox.db"
    outbox = await Outbox.open(path, OutboxSettings(), clock)
    now = clock.now()
    samples = [Sample("line/oven/temperature", value, now, now) for value in (1.5, 2.5)]
    appended = outbox.append("oven", samples)
    recorded = outbox.record([Alarm("hot", "oven", AlarmState.UNACKNOWLEDGED, Priority.HIGH, "too hot", now)])
    await outbox.flush()
    await appended
    await recorded
    await outbox.close()
    return path


def test_inspect(outbox_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbox", "inspect", str(outbox_file)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["path", str(outbox_file)]
    assert "\nlanes\n" in out
    assert "process" in out
    assert "events" in out


def test_verify(outbox_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbox", "verify", str(outbox_file)]) == 0
    assert capsys.readouterr().out == f"{outbox_file}: ok\n"


def test_export(outbox_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbox", "export", str(outbox_file)]) == 0
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [row["value"] for row in rows if row["lane"] == "process"] == [1.5, 2.5]
    assert captured.err == "3 rows\n"
    assert main(["outbox", "export", "--format", "csv", str(outbox_file)]) == 0
    assert capsys.readouterr().out.startswith("stream,lane,seq,row,")


def test_damage_is_told(outbox_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = outbox_file.read_bytes()
    outbox_file.write_bytes(content[: len(content) // 2])
    assert main(["outbox", "verify", str(outbox_file)]) == FAILED
    captured = capsys.readouterr()
    assert captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("command", ["inspect", "verify", "export"])
def test_what_is_no_outbox(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    text = tmp_path / "text"
    text.write_text("not an outbox at all")
    for path in (text, tmp_path / "gone", tmp_path):
        assert main(["outbox", command, str(path)]) == FAILED
        captured = capsys.readouterr()
        assert captured.err.startswith("edged: ")
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [("outbox",), ("outbox", "inspect"), ("outbox", "repair", "x")])
def test_usage(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert leaving.value.code == WRONG_INPUT

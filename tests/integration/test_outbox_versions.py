"""A data directory goes to the next version of edged and back, by whole processes: no batch is lost (CARD5)."""

from __future__ import annotations

import io
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.processes import PROJECT, Process, fetch, free_port, wait_until
from edged.outbox_report import export, inspect, verify
from edged.outbox_schema import SCHEMA_VERSION
from edged.subcommand import FAILED

CONFIG = """\
site: works
line: line_1
data_directory: data
http: {{ port: {port} }}
outbox: {{ commit_seconds: 0.05 }}
hub: {{ url: "http://127.0.0.1:{dead_port}", secret: {{ file: secret }} }}
sources:
  press:
    kind: fake
    options: {{ period_milliseconds: 10 }}
    signals:
      - {{ name: press/force }}
"""
VERSIONS = "SCHEMA_VERSION = len(MIGRATIONS)\n"
STEP = """\
MIGRATIONS = (
    *MIGRATIONS,
    Migration(
        upgrade=(
            "CREATE INDEX committed{number} ON batch (committed)",
            "CREATE TABLE tag{number} (batch INTEGER PRIMARY KEY, tag TEXT)",
            "INSERT INTO tag{number} SELECT id, 'old' FROM batch",
        ),
        downgrade=("DROP INDEX committed{number}", "DROP TABLE tag{number}"),
    ),
)
"""
RUN = ["-P", "-c", "import sys; from edged.cli import main; sys.exit(main())"]
MORE_SAMPLES = 50


class Content(NamedTuple):
    """What a data directory holds."""

    version: int
    stream: str
    rows: list[str]


class Box:
    """One data directory and the programs that use it, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = folder / "data" / "outbox.db"
        self.url = ""
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_text("none", encoding="utf-8")

    def program(self, steps: int) -> str:
        """The folder of an edged whose schema has so many versions more."""
        if not steps:
            return str(PROJECT)
        place = self.folder / f"version{steps}"
        shutil.copytree(PROJECT / "edged", place / "edged", ignore=shutil.ignore_patterns("__pycache__"))
        schema = place / "edged" / "outbox_schema.py"
        before, versions, after = schema.read_text(encoding="utf-8").partition(VERSIONS)
        assert versions
        added = "".join(STEP.format(number=number) for number in range(steps))
        schema.write_text(f"{before}{added}{versions}{after}", encoding="utf-8")
        return str(place)

    def start(self, steps: int) -> Process:
        """That edged over the data directory."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/status"
        config = self.folder / "line.yaml"
        config.write_text(CONFIG.format(port=port, dead_port=free_port()), encoding="utf-8")
        environment = {"PYTHONPATH": self.program(steps)}
        return Process("edged", [sys.executable, *RUN, "run", str(config)], self.folder, environment=environment)

    def run(self, steps: int, *, kill: bool = False) -> Content:
        """Collects for a while and stops; what is there then."""
        held = inspect(self.outbox).lanes[0].rows if self.outbox.exists() else 0
        process = self.start(steps)
        try:
            wait_until("the pages", lambda: fetch(self.url) is not None, process)
            wait_until("batches", lambda: inspect(self.outbox).lanes[0].rows >= held + MORE_SAMPLES, process)
            if kill:
                process.kill()
            else:
                assert process.stop() == 0, process.tail()
        finally:
            process.stop()
        return self.content()

    def content(self) -> Content:
        """As `edged outbox inspect`, `verify` and `export` tell it."""
        assert verify(self.outbox) == []
        report, rows = inspect(self.outbox), io.StringIO()
        assert export(self.outbox, rows) >= report.lanes[0].rows
        assert [path.name for path in self.outbox.parent.glob("outbox*.db")] == [self.outbox.name]
        return Content(report.schema, report.stream, rows.getvalue().splitlines())

    def tables(self) -> Sequence[str]:
        """The names of all tables."""
        with closing(sqlite3.connect(self.outbox)) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_one_version_up_and_back_with_every_batch(tmp_path: Path, *, kill: bool) -> None:
    box = Box(tmp_path)
    old = box.run(0, kill=kill)
    new = box.run(1, kill=kill)
    assert "tag0" in box.tables()
    back = box.run(0)
    assert "tag0" not in box.tables()
    assert [old.version, new.version, back.version] == [SCHEMA_VERSION, SCHEMA_VERSION + 1, SCHEMA_VERSION]
    assert old.stream == new.stream == back.stream
    assert set(old.rows) < set(new.rows) < set(back.rows)
    assert len(set(back.rows)) == len(back.rows)


def test_two_versions_back_are_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    box = Box(tmp_path)
    ahead = box.run(2)
    process = box.start(0)
    assert process.wait(30.0) == FAILED
    said = (
        f"its schema has version {SCHEMA_VERSION + 2}, this edged knows {SCHEMA_VERSION} and one version more at most"
    )
    assert said in process.tail()
    assert box.content() == ahead

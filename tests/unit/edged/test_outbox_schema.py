"""A file of another version: brought up, taken back one version, or refused untouched."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.outbox import Outbox
from edged.outbox_schema import (
    MIGRATIONS,
    SCHEMA_VERSION,
    Migration,
    OutboxTooNew,
    connect,
    create,
    migrate,
    new_stream,
)
from edged.settings import OutboxSettings, Synchronous
from tests.unit.edged.outbox_bench import drain, opened, put, query, seqs

NEXT = Migration(
    upgrade=("ALTER TABLE source ADD COLUMN note TEXT",), downgrade=("ALTER TABLE source DROP COLUMN note",)
)


def columns(connection: sqlite3.Connection) -> list[str]:
    return [name for _, name, *_ in connection.execute("PRAGMA table_info(source)")]


def version(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_an_older_file_is_brought_up(path: Path) -> None:
    create(path, new_stream(), 0)
    connection = connect(path, Synchronous.FULL)
    migrate(connection, (*MIGRATIONS, NEXT))
    assert version(connection) == SCHEMA_VERSION + 1
    assert columns(connection) == ["name", "last_seen", "note"]
    connection.close()


async def test_a_file_of_the_next_version_is_taken_back_with_all_it_holds(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock) as outbox:
        await put(outbox)
    connection = connect(path, Synchronous.FULL)
    migrate(connection, (*MIGRATIONS, NEXT))
    connection.close()
    async with opened(path, clock) as outbox:
        assert seqs(await drain(outbox.sink("hub"))) == [1]
        assert outbox.last_seen("source") == 0
        assert await query(outbox, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert await query(outbox, "SELECT * FROM source") == [("source", 0)]


@pytest.mark.parametrize("steps", [2, 3])
def test_a_file_that_is_further_ahead_is_refused_and_left_alone(path: Path, steps: int) -> None:
    more = tuple(
        Migration((f"ALTER TABLE source ADD COLUMN c{number} TEXT",), (f"ALTER TABLE source DROP COLUMN c{number}",))
        for number in range(steps)
    )
    create(path, new_stream(), 0, (*MIGRATIONS, *more))
    before = path.read_bytes()
    with pytest.raises(OutboxTooNew, match=f"version {SCHEMA_VERSION + steps}"):
        asyncio.run(Outbox.open(path, OutboxSettings(), VirtualClock()))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["outbox.db"]


def test_a_step_that_fails_changes_nothing(path: Path) -> None:
    create(path, new_stream(), 0)
    connection = connect(path, Synchronous.FULL)
    broken = Migration(upgrade=(*NEXT.upgrade, "CREATE TABLE source (again)"), downgrade=())
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*MIGRATIONS, broken))
    assert version(connection) == SCHEMA_VERSION
    assert columns(connection) == ["name", "last_seen"]
    connection.close()


def test_every_step_but_the_first_has_a_way_back() -> None:
    steps: tuple[Migration, ...] = MIGRATIONS
    assert all(step.downgrade for step in steps[1:])


def test_a_new_file_appears_complete_and_private(path: Path) -> None:
    path.with_name("outbox.db.new").write_bytes(b"left over from a crash")
    create(path, new_stream(), 7)
    assert [file.name for file in path.parent.iterdir()] == ["outbox.db"]
    assert path.stat().st_mode & 0o777 == 0o600

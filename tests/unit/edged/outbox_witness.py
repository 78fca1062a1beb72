"""A copy of the outbox's folder in the middle of an operation: what a crash at that moment would leave."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

STEP_OPCODES = 20
"""Steps of SQLite's machine between two moments."""
MOMENTS = frozenset({"os.rename", "os.remove", "sqlite3.connect"})


class Witness:
    """Counts moments: statements, steps within them, renames, deletions, openings. Copies the folder at one of them."""

    active: Witness | None = None

    def __init__(self, folder: Path, copy: Path, moment: int) -> None:
        self._folder = folder
        self._copy = copy
        self._left = moment
        self.taken = False

    def watch(self, connection: sqlite3.Connection) -> None:
        """Its statements are moments from now on."""
        connection.set_trace_callback(lambda _: self.note())
        connection.set_progress_handler(self.note, STEP_OPCODES)

    def note(self) -> int:
        """A moment."""
        self._left -= 1
        if self._left == 0 and not self.taken:
            self.taken = True
            copy_folder(self._folder, self._copy)
        return 0


def copy_folder(folder: Path, copy: Path) -> None:
    """Databases, logs and what was set aside; SQLite's index of the log does not outlive a process."""
    copy.mkdir(exist_ok=True)
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.name.endswith("-shm"):
            with suppress(FileNotFoundError):
                shutil.copy(file, copy)


def unwatch(connection: sqlite3.Connection) -> None:
    """Its statements count no more."""
    connection.set_trace_callback(None)
    connection.set_progress_handler(None, 0)


@contextmanager
def witness(folder: Path, copy: Path, moment: int) -> Iterator[Witness]:
    """Counts while the block runs; connections that it opens are watched too."""
    if not HOOKED:
        sys.addaudithook(_hear)
        HOOKED.append(True)
    current = Witness.active = Witness(folder, copy, moment)

    def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = CONNECT(*arguments, **options)
        current.watch(connection)
        return connection

    try:
        with patch("sqlite3.connect", watched):
            yield current
    finally:
        Witness.active = None


CONNECT = sqlite3.connect
HOOKED: list[bool] = []
"""An audit hook stays for good: there is one."""


def _hear(event: str, _: tuple[object, ...]) -> None:
    if Witness.active is not None and event in MOMENTS:
        Witness.active.note()

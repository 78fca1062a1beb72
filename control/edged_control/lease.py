"""The lease of a line: one writer at a time on a box, held by an exclusive lock on a file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


class Lease:
    """Held by one process at a time; the kernel gives it back when that process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        """True while the lock is ours and the file is still the one that others would lock."""
        if self._file is None:
            return False
        try:
            there = self._path.stat()
        except OSError:
            return False
        ours = os.fstat(self._file.fileno())
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def take(self) -> bool:
        """Tries to get hold of the lease, without waiting."""
        if self.held:
            return True
        self.release()
        try:
            file = self._path.open("a", encoding="utf-8")
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return self.held

    def release(self) -> None:
        """Lets others have it."""
        if self._file is not None:
            self._file.close()
            self._file = None

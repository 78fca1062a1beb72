"""The lease of a line: one writer at a time on a box, held by exclusive locks on files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

OWNER_ONLY, OWNER_READS = 0o700, 0o600
OPENED = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Lease:
    """All its files are held by one process at a time; the kernel gives them back when that process ends, however."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._locks = tuple(map(_Lock, paths))

    @property
    def held(self) -> bool:
        """True while every lock is ours and every file is still the one that others would lock."""
        return all(lock.held for lock in self._locks)

    def take(self) -> bool:
        """Tries to get hold of the lease, without waiting; all of it or nothing."""
        if all(lock.take() for lock in self._locks):
            return True
        self.release()
        return False

    def release(self) -> None:
        """Lets others have it."""
        for lock in self._locks:
            lock.release()


class _Lock:
    """One file; its folder is made where it is missing."""

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
            self._path.parent.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
            file = os.fdopen(os.open(self._path, OPENED, OWNER_READS), "a", encoding="utf-8")
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

"""What control must remember across restarts: approved baselines, chosen modes and who holds the output."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edged.settings import Finite
from edged_control.gate import Mode


class Remembered(BaseModel):
    """One loop's lasting state. `baseline` is None when it isn't known; `yielded` tells why the loop let go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: Finite | None = None
    target: Mode = Mode.AUTOMATIC
    yielded: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    loops: dict[str, Remembered]


class Memory:
    """A small file, replaced as a whole and synced; changes are rare (operators' entries and mode requests)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loops: dict[str, Remembered] = {}
        self.damaged = False
        self.load()

    def recall(self, loop: str) -> Remembered | None:
        """What was kept for the loop; None for a loop that is new here."""
        return self._loops.get(loop)

    def keep(self, loop: str, state: Remembered) -> None:
        """Returns when the state is on disk. Raises OSError, and then still holds what was kept before."""
        loops = {**self._loops, loop: state}
        self._replace(_File(loops=loops).model_dump_json(indent=1))
        self._loops = loops
        self.damaged = False

    def load(self) -> None:
        """Reads the file again: another process may have held the lease since."""
        self._loops, self.damaged = {}, False
        try:
            self._loops = _File.model_validate_json(self._path.read_bytes()).loops
        except FileNotFoundError:
            return
        except (OSError, ValidationError):
            self.damaged = True

    def _replace(self, text: str) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError:
            with suppress(OSError):
                fresh.unlink()
            raise
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

"""What control must remember across restarts: approved baselines, chosen modes and who holds the output."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edged.durable import replace_file
from edged.settings import Finite
from edged_control.gate import Mode

DAMAGED = "the remembered state of control was damaged: a person must take the output over and hand it back"


class Remembered(BaseModel):
    """One loop's lasting state. `baseline` is None when it isn't known; `yielded` tells why the loop let go.

    `set_point` is a person's, entered while the configuration said `configured`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: Finite | None = None
    target: Mode = Mode.AUTOMATIC
    yielded: str = ""
    set_point: Finite | None = None
    configured: Finite | None = None


class _File(BaseModel):
    """`lost` says that an earlier file was damaged: a loop that isn't named here may have had a state in it."""

    model_config = ConfigDict(extra="forbid")

    loops: dict[str, Remembered]
    lost: bool = False


class Memory:
    """A small file, replaced as a whole and synced; changes are rare (operators' entries and mode requests)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loops: dict[str, Remembered] = {}
        self._lost = False
        self.load()

    def recall(self, loop: str) -> Remembered | None:
        """What was kept for the loop; None for a loop that is new here. What was lost, a person must hand back."""
        known = self._loops.get(loop)
        return Remembered(yielded=DAMAGED) if known is None and self._lost else known

    def keep(self, loop: str, state: Remembered) -> None:
        """Returns when the state is on disk. Raises OSError, and then still holds what was kept before."""
        loops = {**self._loops, loop: state}
        replace_file(self._path, _File(loops=loops, lost=self._lost).model_dump_json(indent=1))
        self._loops = loops

    def load(self) -> None:
        """Reads the file again: another process may have held the lease since."""
        self._loops, self._lost = {}, False
        try:
            file = _File.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValidationError):
            self._lost = True
        else:
            self._loops, self._lost = file.loops, file.lost

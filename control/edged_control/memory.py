"""What control must remember across restarts: approved baselines, used approvals, modes and who holds the output."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edged.clock import Clock
from edged.settings import Finite
from edged_control.consent import SpentList
from edged_control.files import LOCAL, Files
from edged_control.gate import Mode

DAMAGED = "the remembered state of control was damaged: a person must take the output over and hand it back"


class Granted(BaseModel):
    """An approval that was accepted and is not used up yet; times in ns UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Finite
    span: Finite
    accepted: int
    expires: int
    identity: str
    signer: str


class Remembered(BaseModel):
    """One loop's lasting state. `baseline` is None when it isn't known; `yielded` tells why the loop let go.

    `target` and `set_point` are a person's choice, None where nobody made one; the set-point was entered while the
    configuration said `configured` and the line made `grade`, None where it told none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: Finite | None = None
    grant: Granted | None = None
    target: Mode | None = None
    yielded: str = ""
    set_point: Finite | None = None
    configured: Finite | None = None
    grade: str | None = None


class _File(SpentList):
    """`lost` says that an earlier file was damaged: a loop that isn't named here may have had a state in it."""

    loops: dict[str, Remembered] = Field(default_factory=dict)
    lost: bool = False


class Memory:
    """A small file, replaced as a whole and synced; changes are rare (operators' entries and mode requests)."""

    def __init__(self, path: Path, clock: Clock, files: Files = LOCAL) -> None:
        self._path = path
        self._clock = clock
        self._files = files
        self._file = _File()
        self.load()

    def recall(self, loop: str) -> Remembered | None:
        """What was kept for the loop; None for a loop that is new here. What was lost, a person must hand back."""
        known = self._file.loops.get(loop)
        return Remembered(yielded=DAMAGED) if known is None and self._file.lost else known

    def is_spent(self, identity: str, issued: int) -> bool:
        """Whether an approval was used, or may have been."""
        return self._file.is_spent(identity, issued)

    def keep(self, loop: str, state: Remembered) -> None:
        """Returns when the state is on disk. Raises OSError, and then still holds what was kept before."""
        self._replace(self._file.model_copy(update={"loops": {**self._file.loops, loop: state}}))

    def spend(self, loop: str, state: Remembered, identity: str, issued: int) -> None:
        """Keeps the state together with the approval that it comes from, which is used from now on. Raises OSError."""
        changes = {"loops": {**self._file.loops, loop: state}, **self._file.spending(identity, issued)}
        self._replace(self._file.model_copy(update=changes))

    def load(self) -> None:
        """Reads the file again: another process may have held the lease since."""
        try:
            self._file = _File.model_validate_json(self._files.read(self._path))
        except FileNotFoundError:
            self._file = _File()
        except (OSError, ValidationError):
            self._file = _File(lost=True, spent_until=self._clock.now())

    def _replace(self, file: _File) -> None:
        self._files.replace(self._path, file.model_dump_json(indent=1))
        self._file = file

"""What one loop remembers, and the alarm while it can't."""

from __future__ import annotations

from edged.types import Priority
from edged_control.memory import Remembered
from edged_control.surroundings import MEMORY_ALARM, Surroundings


class LoopMemory:
    """The loop's part of the line's memory. In advisory nothing is ours to remember."""

    def __init__(self, loop: str, around: Surroundings) -> None:
        self._loop = loop
        self._around = around

    def recall(self) -> Remembered | None:
        """What an earlier run kept; None for a new loop, and in advisory."""
        return None if self._around.advisory else self._around.memory.recall(self._loop)

    def state(self) -> Remembered:
        """What to change and keep."""
        return self.recall() or Remembered()

    def is_spent(self, approval: str, issued: int) -> bool:
        """Whether the approval was used, or may have been."""
        return self._around.memory.is_spent(approval, issued)

    def keep(self, state: Remembered, spent: tuple[str, int] | None = None) -> bool:
        """True when the state is on disk, with the approval (identity, issued) that it spent; else an alarm stands."""
        around = self._around
        if around.advisory:
            return True
        try:
            if spent is None:
                around.memory.keep(self._loop, state)
            else:
                around.memory.spend(self._loop, state, *spent)
        except OSError as fault:
            around.alarms.raise_alarm(MEMORY_ALARM, self._loop, Priority.HIGH, f"state can't be kept: {fault}")
            return False
        around.alarms.clear_alarm(MEMORY_ALARM, self._loop)
        return True

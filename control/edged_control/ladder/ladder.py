"""Which rung moves the output: the highest that is well. It falls in the same cycle and climbs after good ones only."""

from __future__ import annotations

from collections.abc import Sequence


class Ladder:
    """Rungs by name, the configured one first. A rung that stands lower than the one that leads is always ready."""

    def __init__(self, rungs: Sequence[str], good_cycles: int) -> None:
        self._rungs = tuple(rungs)
        self._good_cycles = good_cycles
        self._good = [0] * len(self._rungs)
        self._leader = len(self._rungs) - 1
        self.reason = ""
        """Why the configured rung does not lead; empty when it does."""

    @property
    def leader(self) -> str:
        """The rung that leads."""
        return self._rungs[self._leader]

    @property
    def fallen(self) -> bool:
        """Whether a lower rung than the configured one leads."""
        return self._leader > 0

    def step(self, faults: Sequence[str]) -> int | None:
        """One cycle: `faults` tells for each rung why it can't lead, empty when it can. None where none can."""
        for position, fault in enumerate(faults):
            self._good[position] = 0 if fault else self._good[position] + 1
        ready = [position for position, fault in enumerate(faults) if not fault and self._may_lead(position)]
        self.reason = self._why_not(faults, ready)
        if not ready:
            return None
        self._leader = ready[0]
        return ready[0]

    def _may_lead(self, position: int) -> bool:
        return position >= self._leader or self._good[position] >= self._good_cycles

    def _why_not(self, faults: Sequence[str], ready: Sequence[int]) -> str:
        if ready and ready[0] == 0:
            return ""
        if faults[0]:
            return faults[0]
        return f"well again, waits for {self._good_cycles} good cycles"

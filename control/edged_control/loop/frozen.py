"""A process value that stands still while its output moves says nothing any more, however good it claims to be."""

from __future__ import annotations

from edged.settings import LoopSettings
from edged_control.limits.envelope import EffectiveLimits

PATIENCE_SECONDS = 30.0
PATIENCE_PERIODS = 30.0
"""Without a setting: the longer of the two. It must outlast the dead time of the process."""
MOVE_OF_RANGE = 0.005
MOVE_DEADBANDS = 2.0
MOVE_TOLERANCES = 10.0
"""An output moves when it has left its place by the largest of these."""


class FrozenWatch:
    """Frozen is what has not changed at all since the output left its place, for longer than the patience."""

    def __init__(self, patience_seconds: float, move: float) -> None:
        self._patience = patience_seconds
        self._move = move
        self._value: float | None = None
        self._place = 0.0
        self._left_at: float | None = None
        self.frozen = False

    def adopt(self, move: float) -> None:
        """From now on an output that has left its place by so much has moved."""
        self._move = move

    def note(self, process_value: float | None, present: float | None, now: float) -> None:
        """One cycle's good values, None for what was not good; `now` is monotonic."""
        if process_value is None or present is None:
            return
        if process_value != self._value:
            self._value, self._place, self._left_at, self.frozen = process_value, present, None, False
        elif self._left_at is None:
            if abs(present - self._place) > self._move:
                self._left_at = now
        elif now - self._left_at >= self._patience:
            self.frozen = True


def frozen_watch(settings: LoopSettings, limits: EffectiveLimits) -> FrozenWatch:
    """The watch that fits a loop."""
    patience = settings.frozen_seconds or max(PATIENCE_SECONDS, PATIENCE_PERIODS * settings.period_seconds)
    return FrozenWatch(patience, noticed_move(settings, limits))


def noticed_move(settings: LoopSettings, limits: EffectiveLimits) -> float:
    """By how much an output has to leave its place so that the process value should answer."""
    moves = (
        MOVE_DEADBANDS * settings.output_deadband,
        MOVE_TOLERANCES * settings.readback_tolerance,
        MOVE_OF_RANGE * (limits.high - limits.low),
    )
    return max(moves)

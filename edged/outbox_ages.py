"""How old batches are at least by a clock that does not jump, across restarts of the process, not of the machine."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

from edged.clock import Clock
from edged.outbox_schema import LANES
from edged.outbox_types import AgeMark
from edged.types import NANOSECONDS_PER_SECOND, Lane

MOST_KEPT = 100
"""So many marks outlive the process."""


class Ages:
    """Marks in order of time. The first may be without one: what it names existed before the machine was started."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._marks: deque[AgeMark] = deque()
        self._opened = (0.0, 0)
        self._news = False

    def begin(self, heads: Mapping[Lane, int], marks: Sequence[AgeMark]) -> None:
        """A file was opened that has these newest numbers; the marks are those of earlier runs on this machine."""
        now = self._clock.monotonic()
        self._opened = (now, self._clock.now())
        newest = tuple(heads[lane] for lane in LANES)
        known = [mark for mark in marks if mark.last <= now] or [AgeMark(-math.inf, -math.inf, newest)]
        self._marks = deque([*known, AgeMark(now, now, newest)])
        self._news = True

    def note(self, heads: Mapping[Lane, int], grain_seconds: float) -> None:
        """These are the newest numbers now; a mark is made once per grain."""
        now = self._clock.monotonic()
        first = self._marks[-1].first
        if now - first < grain_seconds:
            self._marks.pop()
        else:
            first, self._news = now, True
        self._marks.append(AgeMark(first, now, tuple(heads[lane] for lane in LANES)))

    def older_than(self, seconds: float) -> Mapping[Lane, int]:
        """The newest numbers that existed so long ago, as far as there are marks."""
        before = self._clock.monotonic() - seconds
        found = next((mark.heads for mark in reversed(self._marks) if -math.inf < mark.last <= before), None)
        return _by_lane(found)

    def before(self) -> Mapping[Lane, int]:
        """The newest numbers from before the machine was started; only wall time says how old they are."""
        return _by_lane(self._marks[0].heads if self._marks[0].last == -math.inf else None)

    def wall(self) -> int:
        """Wall time (ns UTC), or what it would be without jumps since the file was opened, if that is less."""
        opened, then = self._opened
        return min(self._clock.now(), then + round((self._clock.monotonic() - opened) * NANOSECONDS_PER_SECOND))

    def forget_beyond(self, seconds: float) -> None:
        """What is older is of one age."""
        before = self._clock.monotonic() - seconds
        while len(self._marks) > 1 and self._marks[1].last <= before:
            self._marks.popleft()

    def take_news(self) -> bool:
        """Whether there is a new mark since the last call."""
        news, self._news = self._news, False
        return news

    def restore_news(self) -> None:
        """They could not be written."""
        self._news = True

    def kept(self) -> Sequence[AgeMark]:
        """The marks for the next run: the first, and of the others so many that they are few."""
        first, *others = self._marks
        step = math.ceil(len(others) / MOST_KEPT) or 1
        return (first, *others[::-step][::-1])


def _by_lane(heads: Sequence[int] | None) -> Mapping[Lane, int]:
    return dict.fromkeys(LANES, 0) if heads is None else dict(zip(LANES, heads, strict=True))

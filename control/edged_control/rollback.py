"""The guard behind a change: when defects rise within half an hour, the loop goes back to where it was (GLS33).

It works at the box alone. What was before outlives a restart; the watch goes on with what is left of it.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from edged.log import get_logger
from edged.settings import Finite, RollbackSettings
from edged_control.files import LOCAL, Files

log = get_logger("control")


class Previous(BaseModel):
    """What a loop held before a change; `changed` in ns UTC, `watched_seconds` of it have passed.

    `defect_rate` is the mean before the change, None where it was not known well enough: then only a person rolls back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_point: Finite
    changed: int
    identity: str
    defect_rate: Finite | None
    watched_seconds: Finite = 0.0


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    loops: dict[str, Previous] = {}


class RollbackMemory:
    """One small file for the loops of a line; a damaged one forgets what was before, and nothing is rolled back."""

    def __init__(self, path: Path, files: Files = LOCAL) -> None:
        self._path = path
        self._files = files
        try:
            self._file = _File.model_validate_json(files.read(path))
        except (OSError, ValidationError):
            self._file = _File()

    def recall(self) -> dict[str, Previous]:
        """What was before, by loop."""
        return dict(self._file.loops)

    def keep(self, loops: dict[str, Previous]) -> None:
        """Returns when it is on disk. Raises OSError."""
        file = _File(loops=loops)
        self._files.replace(self._path, file.model_dump_json(indent=1))
        self._file = file


class DefectRate:
    """The newest defect rates while the line ran, for a mean over a stretch of time."""

    def __init__(self, keep_seconds: float, fewest: int) -> None:
        self._keep = keep_seconds
        self._fewest = fewest
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, value: float, now: float) -> None:
        """One reading; `now` is monotonic."""
        self._seen.append((now, value))
        while self._seen[0][0] < now - self._keep:
            self._seen.popleft()

    def mean_since(self, start: float) -> float | None:
        """None where there are too few readings to tell."""
        found = [value for time, value in self._seen if time >= start]
        return sum(found) / len(found) if len(found) >= self._fewest else None


class Watch(NamedTuple):
    """One loop that is watched, since when (monotonic), and for how long it had been watched before a restart."""

    previous: Previous
    since: float
    before: float


class RollbackGuard:
    """Pure but for its memory: it is told of changes and defect rates, and tells what to roll back and why."""

    def __init__(self, settings: RollbackSettings, memory: RollbackMemory, now: float) -> None:
        self._settings = settings
        self._memory = memory
        self._rates = DefectRate(settings.watch_seconds, settings.fewest_readings)
        self._watches = {
            loop: Watch(previous, now, previous.watched_seconds) for loop, previous in memory.recall().items()
        }

    def previous(self, loop: str) -> Previous | None:
        """What the loop would go back to."""
        watch = self._watches.get(loop)
        return watch.previous if watch else None

    def note_rate(self, value: float, now: float) -> None:
        """A defect rate that was read while the line ran."""
        self._rates.note(value, now)

    def note_change(self, loop: str, set_point: float, identity: str, now: float, wall: int) -> None:
        """The loop is about to leave this set-point. A second change within the watch keeps the first as its previous.

        Raises OSError, and then nothing is watched anew.
        """
        watch = self._watches.get(loop)
        if watch is not None and watch.previous.defect_rate is not None:
            return
        rate = self._rates.mean_since(now - self._settings.watch_seconds)
        previous = Previous(set_point=set_point, changed=wall, identity=identity, defect_rate=rate)
        self._memory.keep({**self._all(), loop: previous})
        self._watches[loop] = Watch(previous, now, 0.0)

    def worse(self, now: float) -> dict[str, str]:
        """Loops to roll back, with the reason."""
        found = {}
        for loop, watch in self._watches.items():
            reason = self._judge(watch)
            if reason and not self._over(watch, now):
                found[loop] = reason
        return found

    def settle(self, now: float) -> tuple[str, ...]:
        """Closes the watches whose time is over, and keeps how far the others are. Raises OSError."""
        ended = tuple(loop for loop, watch in self._watches.items() if self._over(watch, now))
        for loop in ended:
            del self._watches[loop]
        if ended or self._watches:
            self._memory.keep(
                {
                    loop: watch.previous.model_copy(update={"watched_seconds": watch.before + now - watch.since})
                    for loop, watch in self._watches.items()
                }
            )
        return ended

    def forget(self, loop: str) -> None:
        """Nothing to go back to any more. Raises OSError."""
        self._watches.pop(loop, None)
        self._memory.keep(self._all())

    def _all(self) -> dict[str, Previous]:
        return {loop: watch.previous for loop, watch in self._watches.items()}

    def _over(self, watch: Watch, now: float) -> bool:
        return watch.before + now - watch.since >= self._settings.watch_seconds

    def _judge(self, watch: Watch) -> str:
        before = watch.previous.defect_rate
        since = self._rates.mean_since(watch.since)
        if before is None or since is None:
            return ""
        allowed = max(before, self._settings.least_rate_percent) * (1.0 + self._settings.rise)
        if since <= allowed:
            return ""
        return f"defect rate {since:.3g} % since the change, {before:.3g} % before: more than {allowed:.3g} %"

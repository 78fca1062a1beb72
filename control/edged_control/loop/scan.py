"""Fresh reads of the plant around one loop, judged for what they are worth to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edged.errors import EdgedError
from edged.settings import LineStateSettings, LoopSettings
from edged.types import Quality, Sample
from edged_control.gate import Observed, Permissive, number
from edged_control.surroundings import Surroundings


class LineState(StrEnum):
    """What the line does, as far as the plant tells."""

    RUNNING = "running"
    STOPPED = "stopped"
    CHANGEOVER = "changeover"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one cycle has read. `heartbeat` is None when the loop has none, `grade` when the line tells none.

    The conditions of the line's state are among the permissives.
    """

    process_value: Observed
    readback: Observed
    permissives: tuple[Permissive, ...]
    line_state: LineState
    grade: Observed | None
    heartbeat: Observed | None

    def present(self) -> float | None:
        """The readback, if it is good."""
        return good_number(self.readback)

    def is_denied(self) -> bool:
        """Whether the plant says for sure that it doesn't take our writes now."""
        return any(permissive.is_denied() for permissive in self.permissives)


class Scan:
    """Reads one loop's signals. What can't be read, is out of its range or older than the last is BAD."""

    def __init__(self, settings: LoopSettings, line: LineStateSettings, around: Surroundings) -> None:
        self._running = [condition for condition in (settings.running, line.running) if condition is not None]
        self._changeover = line.changeover
        self._conditions = [
            (condition.signal, condition.equals) for condition in (*settings.permissives, *self._running)
        ]
        if line.changeover is not None:
            self._conditions.append((line.changeover.signal, not line.changeover.equals))
        self._heartbeat, self._grade = settings.heartbeat, line.grade
        names = [settings.process_value, settings.readback, *(name for name, _ in self._conditions)]
        names += [name for name in (self._grade, self._heartbeat) if name is not None]
        self._line = around.line
        self._paths = tuple(dict.fromkeys(map(self._full, names)))
        self._process_value = self._full(settings.process_value)
        self._readback = self._full(settings.readback)
        self._plant = around.plant
        self._clock = around.clock
        self._signals = around.signals
        self._last: dict[str, Sample] = {}

    async def everything(self) -> Seen:
        """Process value, readback, conditions, grade and heartbeat in one go."""
        found = await self._read(self._paths)
        return Seen(
            process_value=found[self._process_value],
            readback=found[self._readback],
            permissives=tuple(Permissive(name, found[self._full(name)], equals) for name, equals in self._conditions),
            line_state=self._state(found),
            grade=None if self._grade is None else found[self._full(self._grade)],
            heartbeat=None if self._heartbeat is None else found[self._full(self._heartbeat)],
        )

    async def readback(self) -> Observed:
        """The readback alone."""
        found = await self._read((self._readback,))
        return found[self._readback]

    def _state(self, found: Mapping[str, Observed]) -> LineState:
        told = [Permissive("", found[self._full(condition.signal)], condition.equals) for condition in self._running]
        changeover = self._changeover
        if changeover is not None:
            is_over = Permissive("", found[self._full(changeover.signal)], not changeover.equals)
            if is_over.is_denied():
                return LineState.CHANGEOVER
        if any(permissive.is_denied() for permissive in told):
            return LineState.STOPPED
        is_told = bool(told) and all(permissive.observed.quality == Quality.GOOD for permissive in told)
        return LineState.RUNNING if is_told else LineState.UNKNOWN

    async def _read(self, paths: Sequence[str]) -> Mapping[str, Observed]:
        """One observation for each path, stamped with the monotonic time at which the read began."""
        asked = self._clock.monotonic()
        try:
            samples = await self._plant.poll(paths)
        except (EdgedError, OSError):
            samples = ()
        found = {sample.signal: self._observe(sample, asked) for sample in samples if sample.signal in paths}
        return {path: found.get(path, Observed(None, Quality.BAD, asked)) for path in paths}

    def _full(self, name: str) -> str:
        return f"{self._line}/{name}"

    def _observe(self, sample: Sample, asked: float) -> Observed:
        last = self._last.get(sample.signal)
        self._last[sample.signal] = sample
        if sample.value is None or _is_late(sample, last) or not self._is_credible(sample):
            return Observed(None, Quality.BAD, asked)
        return Observed(sample.value, sample.quality, asked)

    def _is_credible(self, sample: Sample) -> bool:
        """False for numbers that are not finite or outside the range that the signal declares."""
        if not isinstance(sample.value, float | int):
            return True
        signal, value = self._signals[sample.signal], number(sample.value)
        if value is None:
            return isinstance(sample.value, bool)
        return (signal.low is None or value >= signal.low) and (signal.high is None or value <= signal.high)


def good_number(observed: Observed) -> float | None:
    """The value of a good observation, if it is a finite number."""
    return number(observed.value) if observed.quality == Quality.GOOD else None


def _is_late(sample: Sample, last: Sample | None) -> bool:
    """An older source time in a newer answer is out of order; when our own clock was set back, both are older."""
    return last is not None and sample.source_time < last.source_time and sample.receive_time >= last.receive_time

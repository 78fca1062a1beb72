"""Fresh reads of the plant around one loop, judged for what they are worth to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edged.clock import Clock
from edged.errors import EdgedError
from edged.ports import Plant
from edged.settings import LoopSettings
from edged.types import Quality, Sample, Signal
from edged_control.gate import Observed, Permissive, number


@dataclass(frozen=True, slots=True)
class Seen:
    """What one cycle has read. `heartbeat` is None when the loop has none."""

    process_value: Observed
    readback: Observed
    permissives: tuple[Permissive, ...]
    heartbeat: Observed | None

    def present(self) -> float | None:
        """The readback, if it is good."""
        return good_number(self.readback)

    def is_denied(self) -> bool:
        """Whether the plant says for sure that it doesn't take our writes now."""
        return any(
            permissive.observed.quality == Quality.GOOD and permissive.observed.value != permissive.equals
            for permissive in self.permissives
        )


class Scan:
    """Reads one loop's signals. What can't be read, is out of its range or older than the last is BAD."""

    def __init__(
        self, settings: LoopSettings, line: str, plant: Plant, clock: Clock, signals: Mapping[str, Signal]
    ) -> None:
        self._conditions = (*settings.permissives, *((settings.running,) if settings.running else ()))
        self._has_heartbeat = settings.heartbeat is not None
        names = [settings.process_value, settings.readback, *(condition.signal for condition in self._conditions)]
        if settings.heartbeat is not None:
            names.append(settings.heartbeat)
        self._paths = tuple(f"{line}/{name}" for name in names)
        self._readback = f"{line}/{settings.readback}"
        self._plant = plant
        self._clock = clock
        self._signals = signals
        self._last: dict[str, Sample] = {}

    async def everything(self) -> Seen:
        """Process value, readback, conditions and heartbeat in one go."""
        process_value, readback, *others = await self._read(self._paths)
        permissives = tuple(
            Permissive(condition.signal, observed, condition.equals)
            for condition, observed in zip(self._conditions, others, strict=False)
        )
        return Seen(process_value, readback, permissives, others[-1] if self._has_heartbeat else None)

    async def readback(self) -> Observed:
        """The readback alone."""
        (observed,) = await self._read((self._readback,))
        return observed

    async def _read(self, paths: Sequence[str]) -> tuple[Observed, ...]:
        """One observation for each path, in that order, stamped with the monotonic time at which the read began."""
        asked = self._clock.monotonic()
        try:
            samples = await self._plant.poll(tuple(dict.fromkeys(paths)))
        except (EdgedError, OSError):
            samples = ()
        found = {sample.signal: self._observe(sample, asked) for sample in samples if sample.signal in paths}
        return tuple(found.get(path, Observed(None, Quality.BAD, asked)) for path in paths)

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

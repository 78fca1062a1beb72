"""Fresh reads of the plant, judged for what they are worth to a control loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edged.clock import Clock
from edged.errors import EdgedError
from edged.ports import Plant
from edged.types import Quality, Sample, Signal
from edged_control.gate import Observed, number


class Scan:
    """Reads signals at the plant. What can't be read, is out of its range or older than the last is BAD."""

    def __init__(self, plant: Plant, clock: Clock, signals: Mapping[str, Signal]) -> None:
        self._plant = plant
        self._clock = clock
        self._signals = signals
        self._last: dict[str, Sample] = {}

    async def read(self, paths: Sequence[str]) -> tuple[Observed, ...]:
        """One observation for each path, in that order, stamped with the monotonic time at which the read began."""
        asked = self._clock.monotonic()
        unique = tuple(dict.fromkeys(paths))
        try:
            samples = await self._plant.poll(unique)
        except (EdgedError, OSError):
            samples = ()
        found = {sample.signal: self._observe(sample, asked) for sample in samples if sample.signal in unique}
        return tuple(found.get(path, Observed(None, Quality.BAD, asked)) for path in paths)

    def _observe(self, sample: Sample, asked: float) -> Observed:
        last = self._last.get(sample.signal)
        self._last[sample.signal] = sample
        if sample.value is None or self._is_late(sample, last) or self._is_out_of_range(sample):
            return Observed(None, Quality.BAD, asked)
        return Observed(sample.value, sample.quality, asked)

    def _is_late(self, sample: Sample, last: Sample | None) -> bool:
        """An older source time in a newer answer is out of order; when our own clock was set back, both are older."""
        return last is not None and sample.source_time < last.source_time and sample.receive_time >= last.receive_time

    def _is_out_of_range(self, sample: Sample) -> bool:
        signal = self._signals[sample.signal]
        value = number(sample.value)
        if value is None:
            return isinstance(sample.value, float)
        below = signal.low is not None and value < signal.low
        return below or (signal.high is not None and value > signal.high)

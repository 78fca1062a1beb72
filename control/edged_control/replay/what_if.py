"""The plant of a replay: what was recorded, except that an output stands where the replay has put it.

Process values stay as they were recorded, whatever the replay writes: nobody knows what the plant would have done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edged.types import Quality, Sample
from edged_control.gate import number


class _Output:
    """One output: what was recorded of it, and where the replay has put it, None while both are the same."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._shown: float | None = None
        self._sent: float | None = None
        self.standing: float | None = None

    def recorded_readback(self, value: float) -> None:
        """One that nobody of us wrote was entered at the plant: there the replayed output is from now on, too."""
        if not (self._is(value, self._shown) or self._is(value, self._sent)):
            self.standing = None
        self._shown = value

    def recorded_write(self, value: float, *, replayed: bool) -> None:
        """What the daemon sent then. Where the replay sends nothing its output stays."""
        if not replayed and self.standing is None:
            self.standing = self._shown
        self._sent = value

    def _is(self, value: float, known: float | None) -> bool:
        return known is not None and abs(value - known) <= self._tolerance


class WhatIf:
    """`readbacks` names for each output its readback and the tolerance between both."""

    def __init__(self, readbacks: Mapping[str, tuple[str, float]]) -> None:
        self._outputs = {output: _Output(tolerance) for output, (_, tolerance) in readbacks.items()}
        self._shown_by: dict[str, _Output] = {}
        for output, (readback, _) in readbacks.items():
            self._shown_by[output] = self._shown_by[readback] = self._outputs[output]
        self._readbacks = {readback: self._outputs[output] for output, (readback, _) in readbacks.items()}
        self._latest: dict[str, Sample] = {}

    def recorded_poll(self, samples: Sequence[Sample]) -> None:
        """A read that was answered in the recording."""
        for sample in samples:
            self._latest[sample.signal] = sample
            output, value = self._readbacks.get(sample.signal), number(sample.value)
            if output is not None and value is not None and sample.quality == Quality.GOOD:
                output.recorded_readback(value)

    def recorded_write(self, signal: str, value: float, *, replayed: bool) -> None:
        """A write in the recording; `replayed` tells that the replay made the very same."""
        output = self._outputs.get(signal)
        if output is not None:
            output.recorded_write(value, replayed=replayed)
            if replayed:
                output.standing = None

    def write(self, signal: str, value: float) -> None:
        """A write that was not recorded: the plant takes it at once."""
        output = self._outputs.get(signal)
        if output is not None:
            output.standing = value

    def read(self, signals: Sequence[str]) -> list[Sample]:
        """The latest of each signal that there is."""
        return self.shown([self._latest[signal] for signal in signals if signal in self._latest])

    def shown(self, samples: Sequence[Sample]) -> list[Sample]:
        """Recorded samples as the replay sees them."""
        return [self._seen(sample) for sample in samples]

    def _seen(self, sample: Sample) -> Sample:
        output = self._shown_by.get(sample.signal)
        if output is None or output.standing is None or sample.value is None:
            return sample
        return sample._replace(value=output.standing)

"""Report by exception: signals with a deadband are passed on when they moved, changed quality, or were silent long."""

from __future__ import annotations

from collections.abc import Iterable

from edged.types import Sample, Value
from edged_connectors.south.modbus_types import Field


class Reports:
    """Remembers what was reported last of each signal that has a deadband; the others pass always."""

    def __init__(self, fields: Iterable[Field], heartbeat_seconds: float) -> None:
        self._rules = {
            field.signal.path: (field.signal.deadband, field.address.heartbeat_seconds or heartbeat_seconds)
            for field in fields
            if field.signal.deadband > 0
        }
        self._last: dict[str, tuple[Sample, float]] = {}

    def worthwhile(self, samples: list[Sample], now: float) -> list[Sample]:
        """Those to report at the monotonic second `now`."""
        if not self._rules:
            return samples
        chosen = [sample for sample in samples if self._wanted(sample, now)]
        self.reported(chosen, now)
        return chosen

    def reported(self, samples: list[Sample], now: float) -> None:
        """Takes note of samples that were passed on whatever they said."""
        for sample in samples:
            if sample.signal in self._rules:
                self._last[sample.signal] = (sample, now)

    def _wanted(self, sample: Sample, now: float) -> bool:
        rule = self._rules.get(sample.signal)
        last = self._last.get(sample.signal)
        if rule is None or last is None:
            return True
        deadband, heartbeat = rule
        before, at = last
        if sample.quality != before.quality or now - at >= heartbeat:
            return True
        return _moved(before.value, sample.value, deadband)


def _moved(before: Value | None, value: Value | None, deadband: float) -> bool:
    numbers = isinstance(before, int | float) and isinstance(value, int | float)
    return abs(value - before) > deadband if numbers else value != before  # type: ignore[operator]

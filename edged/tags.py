"""The latest sample of every signal."""

from __future__ import annotations

from collections.abc import Sequence

from edged.types import Sample


class Tags:
    """Latest values by full path; a listener of the bus."""

    def __init__(self) -> None:
        self._latest: dict[str, Sample] = {}

    def update(self, samples: Sequence[Sample]) -> None:
        """Keeps the last sample per signal in the order given: an older source time after a newer one is kept out."""
        latest = self._latest
        for sample in samples:
            held = latest.get(sample[0])
            if held is None or sample[3] >= held[3]:
                latest[sample[0]] = sample

    def get(self, path: str) -> Sample | None:
        """The latest sample, or None before the first."""
        return self._latest.get(path)

    def all(self) -> Sequence[Sample]:
        """The latest sample of every signal seen so far."""
        return list(self._latest.values())

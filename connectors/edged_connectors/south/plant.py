"""The plant as control sees it: each signal's reads and writes go to the runner of its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edged.errors import WriteFailed
from edged.types import Command, Sample


class DirectAccess(Protocol):
    """What the router needs of a source's runner."""

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]: ...

    async def write(self, command: Command) -> None: ...


class PlantRouter:
    """Implements `ports.Plant` over one runner per source."""

    def __init__(self, runners: Mapping[str, DirectAccess]) -> None:
        self._runners = dict(runners)

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        """Reads every source once, one after the other, and returns the samples in the order asked for."""
        wanted: dict[int, list[str]] = {}
        for signal in signals:
            wanted.setdefault(id(self._runners[signal]), []).append(signal)
        found: dict[str, Sample] = {}
        for names in wanted.values():
            for sample in await self._runners[names[0]].poll(names):
                found[sample.signal] = sample
        return [found[signal] for signal in signals]

    async def write(self, command: Command) -> None:
        """Hands the command to the source that holds the signal. Raises WriteFailed or WriteUnknown."""
        runner = self._runners.get(command.signal)
        if runner is None:
            raise WriteFailed(f"{command.signal} belongs to no source")
        await runner.write(command)

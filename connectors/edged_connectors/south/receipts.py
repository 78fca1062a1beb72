"""Confirms readings to their source, in order, once they are durable; keeps gaps until they could be recorded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace

from edged.clock import Clock
from edged.errors import OutboxUnavailable
from edged.ports import Acknowledger, Reading, Road
from edged.types import Event, Gap

OUTSTANDING_READINGS = 1000
"""As many as an MQTT 5 source may have unacknowledged; a source that waits for receipts pauses beyond it."""
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Entry:
    commit: Awaitable[None] | None
    reading: Reading
    source: Acknowledger | None


class Receipts:
    """One source's readings between arrival and commit."""

    def __init__(self, name: str, road: Road, clock: Clock) -> None:
        self._name = name
        self._road = road
        self._clock = clock
        self._entries: deque[_Entry] = deque()
        self._gaps: dict[str, Gap] = {}
        self._gap_marks: list[bytes] = []
        self._current: Acknowledger | None = None
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._room.set()
        self._idle.set()

    @property
    def outstanding(self) -> int:
        """Readings that wait for their commit."""
        return len(self._entries)

    def connected(self, source: Acknowledger | None) -> None:
        """From now on only readings of this connection are acknowledged; None when there is no connection."""
        self._current = source

    async def put(self, reading: Reading, commit: Awaitable[None] | None) -> None:
        """Takes a reading of the current connection; waits while too many are outstanding."""
        await self._room.wait()
        source = self._current if reading.receipt is not None else None
        self._entries.append(_Entry(commit, reading, source))
        if len(self._entries) >= OUTSTANDING_READINGS:
            self._room.clear()
        self._wake()

    def keep(self, gaps: Sequence[Gap], marks: Sequence[bytes] = ()) -> None:
        """Records gaps as soon as possible, and the marks with them.

        Gaps that wait with the same reason are merged, so they stay few.
        """
        self._gap_marks += marks
        for gap in gaps:
            held = self._gaps.get(gap.reason)
            self._gaps[gap.reason] = gap if held is None else _merge(held, gap)
        self._wake()

    async def settled(self) -> None:
        """Returns once everything taken so far is durable, or its loss is recorded."""
        await self._idle.wait()

    async def run(self) -> None:
        """Settles gaps and readings for as long as the source runs."""
        while True:
            await self._work.wait()
            if self._gaps:
                gaps, self._gaps = self._gaps, {}
                marks, self._gap_marks = self._gap_marks, []
                await self._record(tuple(gaps.values()), marks)
            elif self._entries:
                await self._settle(self._entries[0])
                self._entries.popleft()
                self._room.set()
            else:
                self._work.clear()
                self._idle.set()

    async def _settle(self, entry: _Entry) -> None:
        if entry.commit is not None:
            await asyncio.shield(entry.commit)
        if entry.reading.events:
            await self._record(entry.reading.events, entry.reading.marks)
        if entry.source is not None and entry.source is self._current:
            entry.source.acknowledge(entry.reading.receipt)

    async def _record(self, events: Sequence[Event], marks: Sequence[bytes]) -> None:
        while True:
            try:
                await asyncio.shield(self._road.record(events, self._name, marks))
            except OutboxUnavailable:
                await self._clock.sleep(RETRY_SECONDS)
            else:
                return

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()


def _merge(held: Gap, gap: Gap) -> Gap:
    counted = None if held.samples is None or gap.samples is None else held.samples + gap.samples
    return replace(held, start=min(held.start, gap.start), end=max(held.end, gap.end), samples=counted)

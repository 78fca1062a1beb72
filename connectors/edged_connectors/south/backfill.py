"""What a source kept while nobody listened: its history fills a gap, and only what it lacks remains one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

from edged.clock import Clock
from edged.errors import EdgedError
from edged.log import get_logger
from edged.ports import Historian, SourceRoad, Span
from edged.supervise import start_task
from edged.types import NANOSECONDS_PER_SECOND, Gap, Sample
from edged_connectors.south.deadline import deadline, within
from edged_connectors.south.lost import Lost, opened, settled, untold
from edged_connectors.south.receipts import Receipts
from edged_connectors.south.seen import Seen
from edged_connectors.south.skew import is_skewed
from edged_connectors.south.status import SourceMeters

FIRST_VALUES_SECONDS = 5.0
"""After the first value of a new connection: signals that have brought none by then are not waited for."""
MOST_GAPS = 16
"""That wait for the history at a time; beyond it the oldest stays a gap."""
RETRY_SECONDS = 5.0
MOST_FAILURES = 3
"""In a row and without any progress, over all connections: some servers break off whenever they are asked."""

log = get_logger("source")


class Backfill:
    """The gaps of one source that wait for its history. They survive connections; after a crash they are gaps."""

    def __init__(
        self,
        name: str,
        road: SourceRoad,
        clock: Clock,
        meters: SourceMeters,
        receipts: Receipts,
        seen: Seen,
        skew_limit_nanoseconds: int,
    ) -> None:
        self._name = name
        self._road = road
        self._clock = clock
        self._meters = meters
        self._receipts = receipts
        self._seen = seen
        self._skew_limit = skew_limit_nanoseconds
        self._window = 0
        self._lost: deque[Lost] = deque()
        self._remembered = False
        self._heard = asyncio.Event()
        self._complete = asyncio.Event()
        self.waiting = False

    def remember(self) -> None:
        """Records the gaps that an earlier run left waiting; does so once."""
        if not self._remembered:
            self._remembered = True
            for gap in untold(self._name, self._road.marks(self._name)):
                self._record(gap)

    def expect(self, gap: Gap, signals: Iterable[str], recall_seconds: float) -> None:
        """A new connection stands: each signal lacks what lies between its last value and its next one."""
        self._window = round(recall_seconds * NANOSECONDS_PER_SECOND)
        awaited = {signal for lost in self._lost for signal in lost.awaited}
        lacking = {signal: self._seen.told_until(signal) for signal in signals if signal not in awaited}
        if lacking:
            self._lost.append(Lost(gap, lacking))
        while len(self._lost) > MOST_GAPS:
            oldest = self._lost.popleft()
            oldest.give_up()
            self._tell(oldest)
        self._watch()
        self._heard.clear()

    def note(self, samples: Sequence[Sample]) -> list[bytes]:
        """Takes samples as they came; returns what has to be durable with them."""
        marks = []
        for lost in self._lost:
            if lost.awaited:
                if lost.begin(samples[0].receive_time):
                    marks.append(opened(lost.gap))
                for sample in samples:
                    if sample[0] in lost.awaited:
                        lost.returned(sample, believable=not is_skewed([sample], self._skew_limit))
        self._heard.set()
        self._watch()
        return marks

    @asynccontextmanager
    async def running(self, historian: Historian | None) -> AsyncIterator[None]:
        """Fills the gaps that wait, beside the live data, for as long as the connection stands."""
        if historian is None:
            yield
            return
        task = start_task(f"source:{self._name}:backfill", self._run(historian))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            fault = None if task.cancelled() else task.exception()
            if fault is not None:
                log.error("backfill_broke_off", source=self._name, fault=repr(fault))

    async def _run(self, historian: Historian) -> None:
        if not self._lost:
            return
        await self._heard.wait()
        with suppress(TimeoutError):
            async with deadline(self._clock, within(self._clock, FIRST_VALUES_SECONDS)):
                await self._complete.wait()
        for lost in self._lost:
            lost.stop_waiting()
        self._watch()
        while self._lost:
            lost = self._lost[0]
            try:
                await self._recall(lost, historian)
            except (EdgedError, OSError) as fault:
                log.warning("history_read_failed", source=self._name, fault=str(fault))
                if lost.failed() < MOST_FAILURES:
                    await self._clock.sleep(RETRY_SECONDS)
                    continue
                lost.give_up()
            self._tell(self._lost.popleft())

    async def _recall(self, lost: Lost, historian: Historian) -> None:
        lost.forget_before(self._window)
        spans = lost.spans()
        if not spans:
            return
        commit: Awaitable[None] | None = None
        async with aclosing(historian.recall(spans)) as parts:
            async for part in parts:
                if commit is not None:
                    await asyncio.shield(commit)
                commit = self._take(lost, part.samples, part.holes)

    def _take(self, lost: Lost, samples: Sequence[Sample], holes: Sequence[Span]) -> Awaitable[None] | None:
        for hole in holes:
            lost.missing(hole)
        new = self._seen.without_polled(lost.new(samples))
        if not new:
            return None
        self._meters.recalled(len(new))
        return self._road.restore(self._name, new)

    def _tell(self, lost: Lost) -> None:
        """What remains is a gap; without any, the mark alone says that nothing is owed."""
        rest = lost.rest()
        log.info("history_read", source=self._name, samples=lost.filled, complete=rest is None)
        if rest is None:
            self._road.restore(self._name, (), [settled(lost.gap)])
        else:
            self._record(rest, lost.gap)

    def _record(self, gap: Gap, whole: Gap | None = None) -> None:
        self._meters.lost(1)
        self._receipts.keep([gap], [settled(whole or gap)])

    def _watch(self) -> None:
        self.waiting = any(lost.awaited for lost in self._lost)
        if self.waiting:
            self._complete.clear()
        else:
            self._complete.set()

"""What a source's history fills of a gap, and what remains of it, on virtual time with a scripted history (CARD2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from edged.clock import VirtualClock
from edged.errors import SourceLost, SourceUnreachable
from edged.metrics import Metrics
from edged.ports import Connection, Reading, Recalled, SignalStatus, Span
from edged.types import NANOSECONDS_PER_SECOND, Gap, Sample, Signal
from edged_connectors.south.backfill import FIRST_VALUES_SECONDS, MOST_FAILURES, MOST_GAPS, RETRY_SECONDS
from edged_connectors.south.lost import untold
from edged_connectors.south.runner import SourceRunner
from tests.integration.recording_road import RecordingRoad

A, B = "line_a/plc/a", "line_a/plc/b"
SECOND = NANOSECONDS_PER_SECOND
WINDOW_SECONDS = 600.0
SKEW_LIMIT_SECONDS = 3600.0


class Plc:
    """A source with a history: every value goes into it, only those of a standing connection are reported."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.kept: dict[str, list[Sample]] = {A: [], B: []}
        self.without_history: set[str] = set()
        self.forgets_before = 0
        self.refused: set[str] = set()
        self.reachable = True
        self.breaks_after_parts: int | None = None
        self.breaks_always = False
        self.asked: list[Span] = []
        self.page = 2
        self._line: asyncio.Queue[Reading | SourceLost] | None = None

    def change(self, signal: str, value: float, *, behind_seconds: float = 0.0) -> None:
        now = self.clock.now()
        sample = Sample(signal, value, now - round(behind_seconds * SECOND), now)
        self.kept[signal].append(sample)
        if self._line is not None:
            self._line.put_nowait(Reading((sample,)))

    def cut(self) -> None:
        """The connection ends; values go on in the plant."""
        assert self._line is not None
        self._line.put_nowait(SourceLost("cut"))
        self._line = None

    async def connect(self) -> Connection:
        if not self.reachable:
            raise SourceUnreachable("away")
        self._line = asyncio.Queue()
        for signal, samples in self.kept.items():
            if samples and signal not in self.refused:
                self._line.put_nowait(Reading((samples[-1]._replace(receive_time=self.clock.now()),)))
        statuses = [SignalStatus(signal, signal not in self.refused, "refused") for signal in self.kept]
        return Connection(statuses, recall_seconds=WINDOW_SECONDS)

    async def read(self) -> Reading:
        assert self._line is not None
        found = await self._line.get()
        if isinstance(found, SourceLost):
            raise found
        return found

    async def recall(self, spans: Sequence[Span]) -> AsyncGenerator[Recalled, None]:
        self.asked += spans
        parts = 0
        for span in spans:
            if span.signal in self.without_history:
                yield Recalled(holes=[span])
                continue
            held = [s for s in self.kept[span.signal] if max(span.after, self.forgets_before) <= s.source_time]
            held = [s._replace(receive_time=self.clock.now()) for s in held if s.source_time <= span.until]
            for start in range(0, len(held), self.page):
                if parts == self.breaks_after_parts or self.breaks_always:
                    self.breaks_after_parts = None
                    raise SourceLost("cut again")
                parts += 1
                yield Recalled(held[start : start + self.page])
            if self.forgets_before > span.after:
                yield Recalled(holes=[Span(span.signal, span.after, self.forgets_before)])

    async def close(self) -> None:
        return


class Bench:
    """A runner over the source, and its road."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.road = RecordingRoad()
        self.plc = Plc(self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        runner = SourceRunner(
            name="plc",
            signals=[Signal(A, "1"), Signal(B, "1")],
            build=lambda: self.plc,
            road=self.road,
            clock=self.clock,
            metrics=Metrics(),
            silence_seconds=3600.0,
            skew_limit_seconds=SKEW_LIMIT_SECONDS,
        )
        task = asyncio.get_running_loop().create_task(runner.run())
        await self.clock.advance(0)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def count(self, first: int, last: int, *signals: str) -> None:
        for number in range(first, last + 1):
            for signal in signals or (A, B):
                self.plc.change(signal, float(number))
            await self.clock.advance(1.0)

    async def away(self, first: int, last: int, *signals: str) -> None:
        """Counts while there is no connection; then there is one again."""
        self.plc.reachable = False
        self.plc.cut()
        await self.count(first, last, *signals)
        self.plc.reachable = True
        await self.clock.advance(3.0)

    def numbers(self, signal: str) -> list[int]:
        """The values that came, in the order of their source times; a repeated last value is left out."""
        came = [s for s in self.road.of(signal) if s.value is not None and s.reason != "unchanged"]
        return [int(s.value or 0) for s in sorted(came, key=lambda s: s.source_time)]

    @property
    def open_gaps(self) -> int:
        return len(untold("plc", [mark for _, _, marks in self.road.calls for mark in marks]))

    @property
    def settled(self) -> bool:
        return not self.open_gaps


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_history_that_kept_everything_leaves_no_gap_and_doubles_nothing(bench: Bench) -> None:
    async with bench.running():
        await bench.count(1, 3)
        await bench.away(4, 9)
        await bench.count(10, 12)
    assert bench.numbers(A) == bench.numbers(B) == list(range(1, 13))
    assert not bench.road.gaps
    assert bench.settled
    assert bench.road.restored


async def test_nothing_is_asked_for_a_signal_that_did_not_change(bench: Bench) -> None:
    async with bench.running():
        await bench.count(1, 3)
        await bench.away(4, 9, A)
    assert {span.signal for span in bench.plc.asked} == {A}
    assert not bench.road.gaps


async def test_a_signal_without_history_keeps_the_gap(bench: Bench) -> None:
    bench.plc.without_history = {B}
    async with bench.running():
        await bench.count(1, 3)
        last = bench.clock.now() - SECOND
        await bench.away(4, 9)
    (gap,) = bench.road.gaps
    returned = min(s.receive_time for s in bench.road.of(B) if s.value == 9)
    assert (gap.source, gap.start, gap.end, gap.reason) == ("plc", last - SECOND, returned, "source_lost")
    assert bench.numbers(A) == list(range(1, 10))
    assert bench.settled


async def test_a_history_that_forgot_the_beginning_leaves_that_as_the_gap(bench: Bench) -> None:
    async with bench.running():
        await bench.count(1, 3)
        last = bench.clock.now() - SECOND
        bench.plc.forgets_before = bench.clock.now() + SECOND // 2
        await bench.away(4, 9)
    (gap,) = bench.road.gaps
    assert (gap.start, gap.end) == (last - SECOND, bench.plc.forgets_before)
    assert bench.numbers(A) == [1, 2, 3, *range(5, 10)]


async def test_a_connection_that_breaks_while_history_is_read_goes_on_with_the_next(bench: Bench) -> None:
    async with bench.running():
        await bench.count(1, 3)
        bench.plc.breaks_after_parts = 1
        await bench.away(4, 9)
        await bench.count(10, 12)
        await bench.away(13, 15)
        await bench.count(16, 18)
        assert len(bench.plc.asked) > 4
    assert bench.numbers(A) == bench.numbers(B) == list(range(1, 19))
    assert not bench.road.gaps
    assert bench.settled


async def test_a_gap_that_waited_when_the_process_died_is_recorded_by_the_next(bench: Bench) -> None:
    bench.plc.breaks_after_parts = 0
    async with bench.running():
        await bench.count(1, 3)
        await bench.away(4, 9)
    assert not bench.road.gaps
    marks = tuple(mark for _, _, marks in bench.road.calls for mark in marks)
    again = Bench()
    again.road.known_marks["plc"] = marks
    async with again.running():
        await again.count(1, 1)
    (gap,) = again.road.gaps
    assert gap == Gap("plc", gap.start, gap.end, "source_lost")
    assert gap.end - gap.start > SECOND
    third = Bench()
    third.road.known_marks["plc"] = marks + tuple(mark for _, _, held in again.road.calls for mark in held)
    async with third.running():
        await third.count(1, 1)
    assert not third.road.gaps


async def test_a_signal_that_does_not_come_back_keeps_the_gap_but_holds_nobody_up(bench: Bench) -> None:
    async with bench.running():
        await bench.count(1, 3)
        bench.plc.refused = {B}
        await bench.away(4, 9, A)
        await bench.clock.advance(FIRST_VALUES_SECONDS)
    assert bench.numbers(A) == list(range(1, 10))
    assert len(bench.road.gaps) == 1


async def test_a_signal_that_was_refused_all_along_makes_no_gap(bench: Bench) -> None:
    bench.plc.refused = {B}
    bench.plc.kept[B] = []
    async with bench.running():
        await bench.count(1, 3, A)
        await bench.away(4, 9, A)
    assert bench.numbers(A) == list(range(1, 10))
    assert not bench.road.gaps


async def test_source_times_that_cannot_be_are_not_looked_for_in_the_history(bench: Bench) -> None:
    async with bench.running():
        for number in range(1, 10):
            if number == 4:
                bench.plc.cut()
            bench.plc.change(A, float(number), behind_seconds=2 * SKEW_LIMIT_SECONDS)
            await bench.clock.advance(1.0)
    assert not bench.plc.asked
    assert len(bench.road.gaps) == 1


async def test_a_clock_that_was_set_back_keeps_the_gap(bench: Bench) -> None:
    async with bench.running():
        await bench.count(1, 3)
        bench.plc.cut()
        bench.plc.change(A, 4.0, behind_seconds=60.0)
        await bench.clock.advance(3.0)
    assert not bench.plc.asked
    assert len(bench.road.gaps) == 1


async def test_of_a_gap_beyond_the_window_only_the_end_is_filled(bench: Bench) -> None:
    async with bench.running():
        await bench.count(1, 3)
        bench.plc.reachable = False
        bench.plc.cut()
        for number in range(4, 24):
            bench.plc.change(A, float(number))
            await bench.clock.advance(60.0)
        bench.plc.reachable = True
        await bench.clock.advance(60.0)
    (gap,) = bench.road.gaps
    filled = [s.source_time for s in bench.road.restored]
    assert 0 < len(filled) < 20
    assert gap.end < min(filled)
    assert min(filled) - gap.end <= 60 * SECOND


async def test_a_history_that_fails_is_asked_again_over_the_same_connection(bench: Bench) -> None:
    bench.plc.breaks_after_parts = 1
    async with bench.running():
        await bench.count(1, 3)
        await bench.away(4, 9)
        assert not bench.settled
        await bench.clock.advance(RETRY_SECONDS)
    assert bench.numbers(A) == bench.numbers(B) == list(range(1, 10))
    assert not bench.road.gaps


async def test_a_history_that_always_fails_is_given_up(bench: Bench) -> None:
    bench.plc.breaks_always = True
    async with bench.running():
        await bench.count(1, 3)
        await bench.away(4, 9)
        await bench.clock.advance(MOST_FAILURES * RETRY_SECONDS)
    assert len(bench.road.gaps) == 1
    assert bench.settled


async def test_only_so_many_gaps_wait(bench: Bench) -> None:
    bench.plc.breaks_always = True
    async with bench.running():
        await bench.count(1, 3)
        for number in range(4 * MOST_GAPS):
            await bench.away(4 + number, 4 + number)
    assert bench.open_gaps == MOST_GAPS

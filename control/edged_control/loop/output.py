"""The written end of a loop: one write at a time, each read back, and what the plant shows now."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NamedTuple

from edged.clock import Clock
from edged.errors import EdgedError, WriteFailed
from edged.ports import Plant
from edged.types import Command, Decision, Quality, WriteOutcome
from edged_control.gate import Applied, Observed, number, remember
from edged_control.loop.applied import AppliedFile, Known
from edged_control.loop.scan import Scan

VERIFY_TRIES = 4
VERIFY_WAIT_PERIODS = 0.1
"""Between two looks at the readback; all of them fit into half a period."""


class WriteResult(NamedTuple):
    """What came of a write. `foreign` is true when the readback shows a value that is neither old nor ours."""

    outcome: WriteOutcome
    reason: str
    readback: Observed
    foreign: bool = False


class Pending(NamedTuple):
    """A write whose outcome isn't known yet."""

    value: float
    before: float
    fault: str
    decision: Decision


class Output:
    """Knows what the readback should show, when it last moved and what was sent; nothing is written but through it."""

    def __init__(
        self,
        *,
        tolerance: float,
        rate_per_second: float,
        period_seconds: float,
        plant: Plant,
        scan: Scan,
        clock: Clock,
        file: AppliedFile | None,
    ) -> None:
        self._tolerance = tolerance
        self._rate = rate_per_second
        self._period = period_seconds
        self._plant = plant
        self._scan = scan
        self._clock = clock
        self._file = file
        self._known: Known | None = None
        self.expected: float | None = None
        self.credit_since = clock.monotonic()
        self.history: tuple[Applied, ...] = ()
        self.pending: Pending | None = None
        self._sending = asyncio.Lock()

    @property
    def sending(self) -> bool:
        """Whether a command is on its way to the plant."""
        return self._sending.locked()

    async def sent(self) -> None:
        """Returns when no command is on its way that was admitted before."""
        async with self._sending:
            return

    def start(self) -> None:
        """Takes up what an earlier run, or another daemon, knew of the output."""
        if self._file is not None:
            self._known, self.expected = self._file.recall(), None

    def adopt(self, rate_per_second: float) -> None:
        """Another rate from now on. One that is higher counts from now: no credit, and for older writes no more time.

        Between any two writes the output then moves by no more than each rate allowed while it was in force.
        """
        now = self._clock.monotonic()
        if rate_per_second > self._rate:
            share = self._rate / rate_per_second
            self.history = tuple(Applied(value, now - share * (now - time)) for value, time in self.history)
            self.credit_since = now
        self._rate = rate_per_second

    def observe(self, present: float) -> str:
        """Takes note of a readback, with no write pending; who else moved it and when, empty when nobody did."""
        if self._is(present, self.expected):
            return ""
        moved = self._moved(present)
        self.expected, self._known = present, None
        self.credit_since = self._clock.monotonic()
        self._keep()
        return moved

    def announce(self, command: Command) -> str:
        """Keeps what is about to be sent; empty, or why it can't be kept."""
        assert self.expected is not None
        try:
            if self._file is not None:
                self._file.note(self.expected, command.value)
        except OSError as fault:
            return f"{command.value:g} can't be kept before it is sent: {fault.strerror}"
        return ""

    async def write(self, command: Command, decision: Decision) -> WriteResult:
        """Sends the command and reads back. Afterwards nothing is pending, unless the outcome is UNKNOWN."""
        assert self.expected is not None
        self.pending = Pending(command.value, self.expected, "the write was interrupted", decision)
        fault, tries = "", VERIFY_TRIES
        try:
            async with self._sending:
                await self._plant.write(command)
        except WriteFailed as refusal:
            fault, tries = f"rejected: {refusal}", 1
        except (EdgedError, OSError) as doubt:
            fault = f"unknown: {doubt}"
        self.pending = self.pending._replace(fault=fault)
        return self.settle(await self._verify(command.value, tries))

    def settle(self, readback: Observed) -> WriteResult:
        """Finds out from a readback what became of the pending write."""
        assert self.pending is not None
        value, before, fault, _ = self.pending
        present = number(readback.value)
        if present is None or readback.quality != Quality.GOOD:
            return WriteResult(WriteOutcome.UNKNOWN, fault or "acknowledged, but it can't be read back", readback)
        self._note(value, present)
        if self._is(present, value):
            return WriteResult(WriteOutcome.VERIFIED, fault, readback)
        if not self._is(present, before):
            reason = f"{value:g} was written, {present:g} is read back"
            return WriteResult(WriteOutcome.MISMATCH, reason, readback, foreign=True)
        if fault:
            return WriteResult(WriteOutcome.FAILED, fault, readback)
        return WriteResult(WriteOutcome.MISMATCH, f"{value:g} was acknowledged, but the readback stayed", readback)

    async def _verify(self, value: float, tries: int) -> Observed:
        """The readback, looked at until it shows the value or the tries are over."""
        observed = await self._scan.readback()
        for _ in range(tries - 1):
            if self._is(number(observed.value), value):
                break
            await self._clock.sleep(VERIFY_WAIT_PERIODS * self._period)
            observed = await self._scan.readback()
        return observed

    def _note(self, value: float, present: float) -> None:
        now = self._clock.monotonic()
        self.history = remember(self.history, Applied(value, now), self._rate)
        self.credit_since = now
        self.expected = present
        self.pending = None
        self._keep()

    def _keep(self) -> None:
        """An older value in the file looks like a change at the next start: that is the safe side."""
        if self._file is not None and self.expected is not None:
            with suppress(OSError):
                self._file.note(self.expected)

    def _moved(self, present: float) -> str:
        if self.expected is not None:
            return f"the output was moved to {present:g} at the plant"
        known = self._known
        if known is None or self._is(present, known.applied) or self._is(present, known.sent):
            return ""
        if known.applied is None:
            return "nobody can tell whether the output was moved while edged was away: its file is damaged"
        return f"the output was moved from {known.applied:g} to {present:g} while edged was away"

    def _is(self, present: float | None, value: float | None) -> bool:
        return present is not None and value is not None and abs(present - value) <= self._tolerance

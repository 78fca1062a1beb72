"""Reads the defect rate for the guard, and asks the desk for what the guard finds, as a person would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from edged.clock import Clock
from edged.log import get_logger
from edged.ports import Action, Order, Outcome, Role
from edged.settings import RollbackSettings
from edged.types import Priority, Quality, Sample
from edged_control.desk import Desk
from edged_control.flight.boundary import Deed, Flight
from edged_control.gate import number
from edged_control.loop.loop import Loop
from edged_control.loop.scan import LineState
from edged_control.rollback import RollbackGuard
from edged_control.surroundings import ROLLBACK_ALARM, AlarmBoard

GUARD = "rollback_guard"
"""The name under which the guard's orders are recorded."""
LOOK_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 60.0
"""What is refused is asked again after one look, then after twice as long each time, and at last so often."""
CHECKPOINT_SECONDS = 60.0
IDLE = frozenset({LineState.STOPPED, LineState.CHANGEOVER})

log = get_logger("control")


class _Refusal(NamedTuple):
    """Why a roll-back was refused, when it is asked for again (monotonic), and how long that is after this time."""

    reason: str
    again: float
    wait: float


class RollbackWatch:
    """Looks every few seconds; readings count only while no loop says that the line stands or changes over."""

    def __init__(
        self,
        settings: RollbackSettings,
        guard: RollbackGuard,
        *,
        line: str,
        loops: Mapping[str, Loop],
        desk: Desk,
        latest: Callable[[str], Sample | None],
        alarms: AlarmBoard,
        clock: Clock,
        flight: Flight,
    ) -> None:
        self._flight = flight
        self._signal = f"{line}/{settings.defect_rate}"
        self._guard = guard
        self._loops = loops
        self._desk = desk
        self._latest = latest
        self._alarms = alarms
        self._clock = clock
        self._refusals: dict[str, _Refusal] = {}
        self._read_until = 0
        self._next_checkpoint = clock.monotonic() + CHECKPOINT_SECONDS

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """One reading, one judgement."""
        with self._flight.deed(Deed.LOOK, self._signal):
            await self._look()

    async def _look(self) -> None:
        now = self._clock.monotonic()
        self._read(now)
        self._end_refusals()
        for loop, reason in self._guard.worse(now).items():
            refusal = self._refusals.get(loop)
            if refusal is None or now >= refusal.again:
                await self._roll_back(loop, reason, refusal, now)
        if now >= self._next_checkpoint:
            self._next_checkpoint = now + CHECKPOINT_SECONDS
            try:
                ended = self._guard.settle(now)
            except OSError as fault:
                log.warning("rollback_memory", fault=str(fault))
            else:
                for loop in ended:
                    log.info("change_kept", loop=loop)

    def _read(self, now: float) -> None:
        sample = self._latest(self._signal)
        if sample is None or sample.quality != Quality.GOOD or sample.source_time <= self._read_until:
            return
        self._read_until = sample.source_time
        rate = number(sample.value)
        if rate is not None and not any(loop.status().line_state in IDLE for loop in self._loops.values()):
            self._guard.note_rate(rate, now)

    def _end_refusals(self) -> None:
        """Of loops that have nothing to go back to any more: the change was kept, or a person has taken it back."""
        for loop in [loop for loop in self._refusals if self._guard.previous(loop) is None]:
            del self._refusals[loop]
            self._alarms.clear_alarm(ROLLBACK_ALARM, loop)

    async def _roll_back(self, loop: str, reason: str, before: _Refusal | None, now: float) -> None:
        """A refusal is recorded once; it is tried again, and recorded again when it is refused for something else."""
        order = Order(Action.ROLL_BACK, loop, None, reason, GUARD, Role.OPERATOR)
        answer = await self._desk.act(order, "" if before is None else before.reason)
        done = answer.outcome is Outcome.ACCEPTED
        told = reason if done else f"{reason}; it could not be rolled back: {answer.reason}"
        self._alarms.raise_alarm(ROLLBACK_ALARM, loop, Priority.HIGH, told)
        if done:
            self._refusals.pop(loop, None)
            self._alarms.clear_alarm(ROLLBACK_ALARM, loop)
            return
        wait = LOOK_SECONDS if before is None else min(2.0 * before.wait, LONGEST_WAIT_SECONDS)
        self._refusals[loop] = _Refusal(answer.reason, now + wait, wait)

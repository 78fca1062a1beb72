"""Who asked what of control: each call becomes an event, and none is forgotten while the outbox refuses."""

from __future__ import annotations

from collections import deque

from edged.clock import Clock
from edged.errors import OutboxUnavailable
from edged.log import get_logger
from edged.ports import Road
from edged.types import OperatorAction

HELD_ACTIONS = 1000
"""Held while the outbox refuses; then the oldest are given up."""
DENIED_PERIOD_SECONDS = 10.0
"""Calls of strangers are told once in so long, with their number: nobody can fill the outbox with them."""

log = get_logger("control")


class Audit:
    """Records what was asked, by whom, and what came of it."""

    def __init__(self, road: Road, clock: Clock) -> None:
        self._road = road
        self._clock = clock
        self._held: deque[OperatorAction] = deque(maxlen=HELD_ACTIONS)
        self._denied = 0
        self._next_denied = clock.monotonic()

    async def note(self, identity: str, action: str, target: str, value: str, reason: str, outcome: str) -> None:
        """Records one action; held and tried again while the outbox refuses."""
        entry = OperatorAction(identity, action, target, value, reason, self._clock.now(), outcome)
        log.info("operator_action", identity=identity, action=action, target=target, value=value, outcome=outcome)
        self._held.append(entry)
        await self.flush()

    async def deny(self, identity: str, action: str, reason: str) -> None:
        """Records calls of somebody who may not ask: the first at once, then a number once in a while."""
        self._denied += 1
        now = self._clock.monotonic()
        if now < self._next_denied:
            return
        self._next_denied = now + DENIED_PERIOD_SECONDS
        calls, self._denied = self._denied, 0
        told = reason if calls == 1 else f"{reason}; {calls} calls since the last record"
        await self.note(identity, action, "", "", told, "denied")

    async def flush(self) -> None:
        """Records what is held."""
        if not self._held:
            return
        batch, self._held = self._held, deque(maxlen=HELD_ACTIONS)
        try:
            await self._road.record(tuple(batch))
        except OutboxUnavailable:
            self._held = deque((*batch, *self._held), maxlen=HELD_ACTIONS)

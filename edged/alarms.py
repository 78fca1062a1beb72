"""Alarms: thresholds with deadband and delays on signals, and conditions that services report."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from types import MappingProxyType

from edged.clock import Clock
from edged.errors import OutboxUnavailable
from edged.log import get_logger
from edged.settings import AlarmSettings
from edged.types import Alarm, AlarmState, Event, Priority, Quality, Sample

TICK_SECONDS = 0.05
"""While a delay runs or the outbox refuses, look again so often."""

HELD_EVENTS = 10_000
"""Transitions held while the outbox refuses; then the oldest are given up and counted."""

LATE_SECONDS = 60.0
"""For so long after a judged sample an older one is taken for history; after that the device's clock was set back."""

log = get_logger("alarms")

_CONDITION_TRUE: Mapping[AlarmState, AlarmState] = MappingProxyType(
    {
        AlarmState.NORMAL: AlarmState.UNACKNOWLEDGED,
        AlarmState.UNACKNOWLEDGED: AlarmState.UNACKNOWLEDGED,
        AlarmState.ACKNOWLEDGED: AlarmState.ACKNOWLEDGED,
        AlarmState.RETURNED_UNACKNOWLEDGED: AlarmState.UNACKNOWLEDGED,
    }
)
_CONDITION_FALSE: Mapping[AlarmState, AlarmState] = MappingProxyType(
    {
        AlarmState.NORMAL: AlarmState.NORMAL,
        AlarmState.UNACKNOWLEDGED: AlarmState.RETURNED_UNACKNOWLEDGED,
        AlarmState.ACKNOWLEDGED: AlarmState.NORMAL,
        AlarmState.RETURNED_UNACKNOWLEDGED: AlarmState.RETURNED_UNACKNOWLEDGED,
    }
)
_ACKNOWLEDGED: Mapping[AlarmState, AlarmState] = MappingProxyType(
    {
        AlarmState.NORMAL: AlarmState.NORMAL,
        AlarmState.UNACKNOWLEDGED: AlarmState.ACKNOWLEDGED,
        AlarmState.ACKNOWLEDGED: AlarmState.ACKNOWLEDGED,
        AlarmState.RETURNED_UNACKNOWLEDGED: AlarmState.NORMAL,
    }
)
_STANDING = frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED})


def next_state(state: AlarmState, condition: bool, *, acknowledged: bool = False) -> AlarmState:
    """ISA-18.2: the state after the condition was judged and, where `acknowledged`, an operator took note."""
    judged = (_CONDITION_TRUE if condition else _CONDITION_FALSE)[state]
    return _ACKNOWLEDGED[judged] if acknowledged else judged


@dataclass(slots=True)
class _Watch:
    """One threshold alarm at work. `since` is when the pending change of condition began, in monotonic seconds."""

    settings: AlarmSettings
    signal: str
    state: AlarmState = AlarmState.NORMAL
    since: float | None = None
    value: float = 0.0

    def condition(self, value: float) -> bool:
        """Whether the value keeps or brings the alarm; the deadband lies on the safe side of the limit."""
        limit, margin = self.limit(), self.settings.deadband if self.state in _STANDING else 0.0
        return value > limit - margin if self.settings.above is not None else value < limit + margin

    def delay(self) -> float:
        """Seconds that the opposite condition must last before the alarm changes."""
        return self.settings.off_delay_seconds if self.state in _STANDING else self.settings.on_delay_seconds

    def limit(self) -> float:
        """The threshold."""
        limit = self.settings.above if self.settings.above is not None else self.settings.below
        assert limit is not None
        return limit


@dataclass(slots=True)
class _Watched:
    """The alarms of one signal, and the newest sample they have judged."""

    watches: list[_Watch] = field(default_factory=list)
    newest: int = 0
    judged: float = 0.0


class Alarms:
    """Judges samples as they pass and keeps what stands. `run` must be running: it records and ends delays."""

    def __init__(
        self,
        settings: Sequence[AlarmSettings],
        full: Callable[[str], str],
        clock: Clock,
        record: Callable[[Sequence[Event]], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._record = record
        self._signals: dict[str, _Watched] = {}
        for alarm in settings:
            path = full(alarm.signal)
            self._signals.setdefault(path, _Watched()).watches.append(_Watch(alarm, path))
        self._pending: list[_Watch] = []
        self._standing: dict[tuple[str, str], Alarm] = {}
        self._system: dict[tuple[str, str], AlarmState] = {}
        self._held: deque[Alarm] = deque()
        self._given_up = 0
        self._wake = asyncio.Event()

    @property
    def given_up(self) -> int:
        """Transitions that were lost because the outbox refused for too long."""
        return self._given_up

    async def run(self) -> None:
        """Records transitions at once and ends delays in time, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._held or self._pending:
                self.expire()
                await self._flush()
                if self._held or self._pending:
                    await self._clock.sleep(TICK_SECONDS)

    def update(self, samples: Sequence[Sample]) -> None:
        """Judges a batch; costs one set test when no signal in it has an alarm. BAD samples change nothing."""
        if self._signals.keys().isdisjoint(map(_SIGNAL, samples)):
            return
        for sample in samples:
            watched = self._signals.get(sample.signal)
            if watched is not None:
                self._judge(watched, sample)

    def expire(self) -> None:
        """Lets every delay that is over take effect."""
        now = self._clock.monotonic()
        for watch in list(self._pending):
            if watch.since is not None and now - watch.since >= watch.delay():
                self._turn(watch, self._clock.now())

    def raise_alarm(self, name: str, source: str, priority: Priority, message: str) -> None:
        """A service reports a condition; again while it stands changes nothing."""
        self._report(name, source, priority, message, condition=True)

    def clear_alarm(self, name: str, source: str) -> None:
        """The condition is over; nothing happens when it does not stand."""
        standing = self._standing.get((name, source))
        if standing is not None and (name, source) in self._system:
            self._report(name, source, standing.priority, standing.message, condition=False)

    def active(self) -> Sequence[Alarm]:
        """The alarms whose condition stands, oldest first."""
        return sorted(self._standing.values(), key=lambda alarm: alarm.time)

    def _judge(self, watched: _Watched, sample: Sample) -> None:
        if sample.quality < Quality.UNCERTAIN or sample.value is None or isinstance(sample.value, str):
            self._doubt(watched)
            return
        now = self._clock.monotonic()
        if sample.source_time < watched.newest and now - watched.judged < LATE_SECONDS:
            return
        watched.newest, watched.judged = sample.source_time, now
        for watch in watched.watches:
            watch.value = float(sample.value)
            self._weigh(watch, now, sample.source_time)

    def _doubt(self, watched: _Watched) -> None:
        """Without a value a return to normal must be proven anew; a pending alarm goes on pending."""
        for watch in watched.watches:
            if watch.state in _STANDING:
                self._settle(watch)

    def _weigh(self, watch: _Watch, now: float, time: int) -> None:
        if watch.condition(watch.value) == (watch.state in _STANDING):
            self._settle(watch)
        elif watch.delay() <= 0:
            self._turn(watch, time)
        elif watch.since is None:
            watch.since = now
            self._pending.append(watch)
            self._wake.set()
        elif now - watch.since >= watch.delay():
            self._turn(watch, time)

    def _settle(self, watch: _Watch) -> None:
        if watch.since is not None:
            watch.since = None
            self._pending.remove(watch)

    def _turn(self, watch: _Watch, time: int) -> None:
        self._settle(watch)
        watch.state = next_state(watch.state, watch.state not in _STANDING)
        settings = watch.settings
        self._note(
            Alarm(
                name=settings.name,
                source=watch.signal,
                state=watch.state,
                priority=settings.priority,
                message=settings.message,
                time=time,
                value=watch.value,
                limit=watch.limit(),
            )
        )

    def _report(self, name: str, source: str, priority: Priority, message: str, *, condition: bool) -> None:
        before = self._system.get((name, source), AlarmState.NORMAL)
        after = next_state(before, condition)
        self._system[name, source] = after
        if after is not before:
            self._note(Alarm(name, source, after, priority, message, self._clock.now()))

    def _note(self, alarm: Alarm) -> None:
        key = (alarm.name, alarm.source)
        if alarm.state in _STANDING:
            self._standing[key] = alarm
            log.warning("alarm_raised", alarm=alarm.name, source=alarm.source, value=alarm.value, message=alarm.message)
        else:
            self._standing.pop(key, None)
            log.info("alarm_cleared", alarm=alarm.name, source=alarm.source, value=alarm.value)
        if len(self._held) >= HELD_EVENTS:
            self._held.popleft()
            self._given_up += 1
        self._held.append(alarm)
        self._wake.set()

    async def _flush(self) -> None:
        """Records what is held, in order; what the outbox refuses stays held."""
        if not self._held:
            return
        batch, self._held = self._held, deque()
        try:
            await self._record(tuple(batch))
        except OutboxUnavailable:
            self._held.extendleft(reversed(batch))


_SIGNAL = itemgetter(0)

"""Alarms: thresholds, deadband, delays, doubt, and what services report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.alarms import HELD_EVENTS, LATE_SECONDS, Alarms, next_state
from edged.clock import VirtualClock
from edged.errors import OutboxUnavailable
from edged.settings import AlarmSettings
from edged.supervise import start_task
from edged.types import NANOSECONDS_PER_SECOND, Alarm, AlarmState, Event, Priority, Quality, Sample

NORMAL, RAISED, ACKNOWLEDGED, RETURNED = (
    AlarmState.NORMAL,
    AlarmState.UNACKNOWLEDGED,
    AlarmState.ACKNOWLEDGED,
    AlarmState.RETURNED_UNACKNOWLEDGED,
)
HOT = AlarmSettings(name="hot", signal="oven/temperature", priority=Priority.HIGH, above=100.0, message="too hot")
PATH = "line/oven/temperature"


class Plant:
    """Alarms under test with a clock, a stream of samples, and an outbox that can refuse."""

    def __init__(self, *settings: AlarmSettings) -> None:
        self.clock = VirtualClock()
        self.recorded: list[Event] = []
        self.calls: list[int] = []
        self.refusing = False
        self.alarms = Alarms(settings, lambda name: f"line/{name}", self.clock, self.record)

    async def record(self, events: Sequence[Event]) -> None:
        self.calls.append(len(events))
        if self.refusing:
            raise OutboxUnavailable
        self.recorded.extend(events)

    def see(self, value: float | bool | str | None, quality: int = Quality.GOOD, time: int | None = None) -> None:
        now = self.clock.now()
        self.alarms.update([Sample(PATH, value, now if time is None else time, now, quality)])

    def tick(self, seconds: float) -> None:
        self.clock.tick(seconds)
        self.alarms.expire()

    @property
    def standing(self) -> bool:
        return bool(self.alarms.active())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = start_task("alarms", self.alarms.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()


def states(events: Sequence[Event]) -> list[AlarmState]:
    return [event.state for event in events if isinstance(event, Alarm)]


@pytest.mark.parametrize(
    ("state", "condition", "acknowledged", "expected"),
    [
        (NORMAL, False, False, NORMAL),
        (NORMAL, True, False, RAISED),
        (RAISED, True, False, RAISED),
        (RAISED, False, False, RETURNED),
        (RAISED, True, True, ACKNOWLEDGED),
        (RAISED, False, True, NORMAL),
        (ACKNOWLEDGED, True, False, ACKNOWLEDGED),
        (ACKNOWLEDGED, False, False, NORMAL),
        (RETURNED, False, False, RETURNED),
        (RETURNED, True, False, RAISED),
        (RETURNED, False, True, NORMAL),
        (NORMAL, True, True, ACKNOWLEDGED),
    ],
)
def test_states_of_isa_18_2(state: AlarmState, condition: bool, acknowledged: bool, expected: AlarmState) -> None:
    assert next_state(state, condition, acknowledged=acknowledged) is expected


def test_raised_above_and_cleared_at_the_threshold() -> None:
    plant = Plant(HOT)
    plant.see(100.0)
    assert not plant.standing
    plant.see(100.1)
    (alarm,) = plant.alarms.active()
    assert alarm == Alarm("hot", PATH, RAISED, Priority.HIGH, "too hot", plant.clock.now(), 100.1, 100.0)
    plant.see(100.0)
    assert not plant.standing


def test_deadband_lies_on_the_safe_side() -> None:
    high = Plant(HOT.model_copy(update={"deadband": 5.0}))
    for value, standing in [(99.0, False), (101.0, True), (96.0, True), (95.0, False), (99.0, False), (101.0, True)]:
        high.see(value)
        assert high.standing is standing
    low = Plant(HOT.model_copy(update={"above": None, "below": 10.0, "deadband": 2.0}))
    for value, standing in [(10.0, False), (9.9, True), (11.9, True), (12.0, False), (10.5, False)]:
        low.see(value)
        assert low.standing is standing


def test_on_delay_needs_the_condition_throughout() -> None:
    plant = Plant(HOT.model_copy(update={"on_delay_seconds": 2.0}))
    plant.see(101)
    plant.tick(1.9)
    assert not plant.standing
    plant.see(99)
    plant.see(101)
    plant.tick(1.9)
    assert not plant.standing
    plant.tick(0.1)
    assert plant.standing


def test_off_delay() -> None:
    plant = Plant(HOT.model_copy(update={"off_delay_seconds": 3.0}))
    plant.see(101)
    plant.see(99)
    plant.tick(2.5)
    plant.see(101)
    plant.see(99)
    plant.tick(2.5)
    assert plant.standing
    plant.tick(0.5)
    assert not plant.standing


def test_delay_ends_with_the_next_sample_too() -> None:
    plant = Plant(HOT.model_copy(update={"on_delay_seconds": 2.0}))
    plant.see(101)
    plant.clock.tick(2.0)
    plant.see(102)
    assert [alarm.value for alarm in plant.alarms.active()] == [102.0]


@pytest.mark.parametrize(("value", "quality"), [(50.0, Quality.BAD), (None, Quality.BAD), (None, Quality.GOOD)])
def test_no_value_clears_nothing_and_raises_nothing(value: float | None, quality: Quality) -> None:
    plant = Plant(HOT)
    plant.see(101)
    plant.see(value, quality)
    assert plant.standing
    calm = Plant(HOT)
    calm.see(200.0, Quality.BAD)
    assert not calm.standing


def test_doubt_starts_the_off_delay_anew_and_keeps_the_on_delay() -> None:
    off = Plant(HOT.model_copy(update={"off_delay_seconds": 2.0}))
    off.see(101)
    off.see(99)
    off.see(None, Quality.BAD)
    off.tick(5.0)
    assert off.standing
    on = Plant(HOT.model_copy(update={"on_delay_seconds": 2.0}))
    on.see(101)
    on.see(None, Quality.BAD)
    on.tick(2.0)
    assert on.standing


def test_uncertain_values_are_judged() -> None:
    plant = Plant(HOT)
    plant.see(101, Quality.UNCERTAIN)
    assert plant.standing


def test_truth_values_are_numbers_and_text_is_none() -> None:
    plant = Plant(HOT.model_copy(update={"above": 0.5}))
    plant.see(True)
    assert plant.standing
    plant.see("off")
    assert plant.standing
    plant.see(False)
    assert not plant.standing


def test_history_that_arrives_late_is_not_judged() -> None:
    plant = Plant(HOT)
    now = plant.clock.now()
    plant.see(99, time=now)
    plant.see(150, time=now - 30 * NANOSECONDS_PER_SECOND)
    assert not plant.standing


def test_device_clock_set_back_does_not_silence_an_alarm_for_good() -> None:
    plant = Plant(HOT)
    plant.see(99)
    hour_ago = plant.clock.now() - 3600 * NANOSECONDS_PER_SECOND
    plant.clock.tick(LATE_SECONDS)
    plant.see(150, time=hour_ago)
    assert plant.standing


def test_several_alarms_on_one_signal() -> None:
    plant = Plant(HOT, HOT.model_copy(update={"name": "very_hot", "above": 200.0, "priority": Priority.CRITICAL}))
    plant.see(150)
    plant.clock.tick(1)
    plant.see(250)
    assert [alarm.name for alarm in plant.alarms.active()] == ["hot", "very_hot"]


def test_other_signals_are_passed_over() -> None:
    plant = Plant(HOT)
    plant.alarms.update([Sample(f"line/oven/{number}", 1e9, 0, 0) for number in range(1000)])
    assert not plant.standing


def test_services_raise_and_clear() -> None:
    plant = Plant()
    plant.alarms.raise_alarm("source_offline", "furnace", Priority.HIGH, "no answer")
    plant.alarms.raise_alarm("source_offline", "furnace", Priority.HIGH, "still no answer")
    plant.alarms.raise_alarm("source_offline", "forming", Priority.HIGH, "no answer")
    assert [alarm.source for alarm in plant.alarms.active()] == ["furnace", "forming"]
    plant.alarms.clear_alarm("source_offline", "furnace")
    plant.alarms.clear_alarm("source_offline", "furnace")
    plant.alarms.clear_alarm("never_raised", "furnace")
    assert [alarm.source for alarm in plant.alarms.active()] == ["forming"]


async def test_transitions_are_recorded_at_once_in_order() -> None:
    plant = Plant(HOT)
    async with plant.running():
        plant.see(101)
        plant.see(99)
        plant.alarms.raise_alarm("outbox_degraded", "outbox", Priority.CRITICAL, "disk full")
        await plant.clock.advance(0)
    assert states(plant.recorded) == [RAISED, RETURNED, RAISED]
    assert plant.calls == [3]


async def test_delays_end_while_no_sample_comes() -> None:
    plant = Plant(HOT.model_copy(update={"on_delay_seconds": 2.0, "off_delay_seconds": 1.0}))
    async with plant.running():
        plant.see(101)
        await plant.clock.advance(1.9)
        assert plant.recorded == []
        await plant.clock.advance(0.2)
        assert states(plant.recorded) == [RAISED]
        plant.see(99)
        await plant.clock.advance(1.1)
    assert states(plant.recorded) == [RAISED, RETURNED]


async def test_refused_transitions_are_held_and_recorded_in_order() -> None:
    plant = Plant(HOT)
    plant.refusing = True
    async with plant.running():
        plant.see(101)
        await plant.clock.advance(0.2)
        plant.see(99)
        await plant.clock.advance(0.2)
        assert plant.recorded == []
        plant.refusing = False
        await plant.clock.advance(0.2)
    assert states(plant.recorded) == [RAISED, RETURNED]


async def test_held_transitions_are_bounded() -> None:
    plant = Plant(HOT)
    for number in range(HELD_EVENTS + 2):
        plant.see(101 if number % 2 == 0 else 99)
    assert plant.alarms.given_up == 2
    async with plant.running():
        await plant.clock.advance(0)
    assert len(plant.recorded) == HELD_EVENTS


async def test_quiet_while_nothing_happens() -> None:
    plant = Plant(HOT)
    async with plant.running():
        for _ in range(20):
            plant.see(50)
            await plant.clock.advance(1)
    assert plant.calls == []


VALUES = st.lists(st.tuples(st.floats(80, 120), st.sampled_from(list(Quality)), st.floats(0, 3)), max_size=40)


@given(values=VALUES, deadband=st.floats(0, 10), on=st.floats(0, 3), off=st.floats(0, 3))
def test_alarm_is_never_wrong(
    values: list[tuple[float, Quality, float]], deadband: float, on: float, off: float
) -> None:
    """It stands only after a value beyond the limit and falls only after one back within the deadband."""
    changes = {"deadband": deadband, "on_delay_seconds": on, "off_delay_seconds": off}
    plant = Plant(HOT.model_copy(update=changes))
    last = 0.0
    for value, quality, wait in values:
        before = plant.standing
        plant.see(value, quality)
        last = value if quality is not Quality.BAD else last
        plant.tick(wait)
        if plant.standing and not before:
            assert last > 100.0
        if before and not plant.standing:
            assert last <= 100.0 - deadband

"""The runner of every source, on virtual time, with the scripted device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from edged.clock import VirtualClock
from edged.errors import (
    ConfigError,
    OutboxUnavailable,
    SourceLost,
    WriteFailed,
    WriteUnknown,
)
from edged.metrics import Metrics
from edged.ports import Connection, Connector, Reading
from edged.registry import Binding, SourceSetup
from edged.types import NANOSECONDS_PER_SECOND, Command, Gap, Priority, Quality, QualityResult, Sample, Seal, Signal
from edged_connectors.south.fake import FakeAddress, FakeConnector, FakeDevice, FakeOptions, Waveform
from edged_connectors.south.receipts import OUTSTANDING_READINGS
from edged_connectors.south.runner import CLOSE_SECONDS, CONNECT_SECONDS, SourceRunner
from edged_connectors.south.status import SourceState
from tests.integration.recording_road import RecordingRoad

A = "line_a/fake/a"
B = "line_a/fake/b"
SILENCE_SECONDS = 10.0
SKEW_LIMIT_SECONDS = 3600.0


class Board:
    """Takes alarms down."""

    def __init__(self) -> None:
        self.standing: dict[str, str] = {}

    def raise_alarm(self, name: str, source: str, priority: Priority, message: str) -> None:
        assert priority is Priority.HIGH
        self.standing[f"{name}:{source}"] = message

    def clear_alarm(self, name: str, source: str) -> None:
        self.standing.pop(f"{name}:{source}", None)


class Plant:
    """A runner over a fake device, and everything around it."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.device = FakeDevice(self.clock)
        self.road = RecordingRoad()
        self.board = Board()
        self.metrics = Metrics()
        self.seal = Seal()
        silent = FakeAddress(waveform=Waveform.SILENT)
        signals = [Signal(A, "1", writable=True), Signal(B, "1")]
        bindings = tuple(Binding(signal, silent) for signal in signals)
        self.setup = SourceSetup("fake", FakeOptions(), bindings, self.clock, self.seal, folder)
        self.built: list[Connector] = []
        self.make = self.fake
        self.runner = SourceRunner(
            name="fake",
            signals=signals,
            build=self.build,
            road=self.road,
            clock=self.clock,
            metrics=self.metrics,
            silence_seconds=SILENCE_SECONDS,
            skew_limit_seconds=SKEW_LIMIT_SECONDS,
            alarms=self.board,
            rng=Random(1),
        )

    def fake(self) -> Connector:
        return FakeConnector(self.setup, self.device)

    def build(self) -> Connector:
        connector = self.make()
        self.built.append(connector)
        return connector

    def command(self, value: float = 1.0) -> Command:
        now = self.clock.monotonic()
        return Command(A, value, "test", now, now + 1.0, "decision", self.seal)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.get_running_loop().create_task(self.runner.run())
        await self.clock.advance(0)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=0.2)
            if not task.done():
                self.road.commit()
                await self.clock.advance(CLOSE_SECONDS + 1)
            await asyncio.wait({task})


@pytest.fixture
async def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def sample(signal: str, value: float, time: int, received: int | None = None) -> Sample:
    return Sample(signal, value, time, time if received is None else received)


async def test_readings_reach_the_road_as_they_came(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        plant.device.change(B, 2.0)
        await plant.clock.advance(0)
    assert [(s.signal, s.value) for s in plant.road.samples] == [(A, 1.0), (B, 2.0)]
    status = plant.runner.status()
    assert (status.samples, status.sessions, status.accepted) == (2, 1, 2)
    assert status.state is SourceState.DISCONNECTED


async def test_the_state_tells_where_the_connection_stands(plant: Plant) -> None:
    plant.device.reachable = False
    async with plant.running():
        assert plant.runner.status().state is SourceState.WAITING
        assert not plant.runner.online
        plant.device.reachable = True
        await plant.clock.advance(2.0)
        assert plant.runner.status().state is SourceState.ONLINE
        assert plant.runner.online


async def test_every_attempt_gets_a_new_connector_and_closes_it(plant: Plant) -> None:
    plant.device.reachable = False
    async with plant.running():
        await plant.clock.advance(5.0)
    assert len(plant.built) == len(set(map(id, plant.built)))
    assert len(plant.built) > 3
    assert plant.device.closed == len(plant.built)


async def test_back_off_stays_within_two_seconds_for_a_source_that_is_away(plant: Plant) -> None:
    plant.device.reachable = False
    async with plant.running():
        await plant.clock.advance(60.0)
        late = len(plant.built)
        await plant.clock.advance(60.0)
        assert 30 <= len(plant.built) - late <= 60


async def test_back_off_grows_to_a_minute_for_a_refusal(plant: Plant) -> None:
    plant.device.trusts_us = False
    async with plant.running():
        await plant.clock.advance(600.0)
        late = len(plant.built)
        await plant.clock.advance(600.0)
        assert 10 <= len(plant.built) - late <= 21
    assert [fault.kind for fault in plant.runner.status().faults] == ["AccessRefused"]


async def test_a_refusal_after_long_absence_is_tried_again_soon_at_first(plant: Plant) -> None:
    plant.device.reachable = False
    async with plant.running():
        await plant.clock.advance(120.0)
        plant.device.reachable, plant.device.trusts_us = True, False
        await plant.clock.advance(2.0)
        plant.device.trusts_us = True
        await plant.clock.advance(2.0)
        assert plant.runner.online


async def test_a_configuration_fault_is_told_and_retried_slowly(plant: Plant) -> None:
    def broken() -> Connector:
        raise ConfigError(["sources.fake: no such file"])

    plant.make = broken
    async with plant.running():
        await plant.clock.advance(1.0)
        status = plant.runner.status()
        assert status.last_fault == "ConfigError: sources.fake: no such file"
        plant.make = plant.fake
        await plant.clock.advance(60.0)
        assert plant.runner.online


async def test_back_off_starts_over_after_a_healthy_minute(plant: Plant) -> None:
    plant.device.reachable = False
    async with plant.running():
        await plant.clock.advance(30.0)
        plant.device.reachable = True
        await plant.clock.advance(2.0)
        for _ in range(12):
            plant.device.send(Reading())
            await plant.clock.advance(6.0)
        plant.device.break_off()
        await plant.clock.advance(0.1)
        assert plant.runner.online


async def test_silence_ends_a_connection_and_builds_a_new_one(plant: Plant) -> None:
    async with plant.running():
        await plant.clock.advance(SILENCE_SECONDS - 0.1)
        assert plant.runner.status().sessions == 1
        await plant.clock.advance(0.3)
        assert plant.runner.status().faults[0].kind == "SourceSilent"
        await plant.clock.advance(2.0)
        assert plant.runner.status().sessions == 2


async def test_an_empty_reading_is_a_sign_of_life(plant: Plant) -> None:
    async with plant.running():
        for _ in range(5):
            await plant.clock.advance(SILENCE_SECONDS - 1)
            plant.device.send(Reading())
            await plant.clock.advance(0)
        assert plant.runner.status().sessions == 1


async def test_a_connect_that_hangs_is_given_up(plant: Plant) -> None:
    class Hanging(FakeConnector):
        async def connect(self) -> Connection:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

    plant.make = lambda: Hanging(plant.setup, plant.device)
    async with plant.running():
        await plant.clock.advance(CONNECT_SECONDS + 0.01)
        assert plant.runner.status().faults[0].kind == "SourceUnreachable"
        assert plant.device.closed == 1


async def test_a_close_that_hangs_is_given_up(plant: Plant) -> None:
    class Clinging(FakeConnector):
        async def close(self) -> None:
            await asyncio.get_running_loop().create_future()

    plant.make = lambda: Clinging(plant.setup, plant.device)
    async with plant.running():
        plant.device.break_off()
        await plant.clock.advance(CLOSE_SECONDS + 1)
        assert plant.runner.status().sessions == 2


async def test_a_loss_turns_every_signal_bad_once(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(0)
        plant.device.reachable = False
        plant.device.break_off()
        await plant.clock.advance(20.0)
    bad = [s for s in plant.road.samples if s.quality == Quality.BAD]
    assert [(s.signal, s.value, s.reason) for s in bad] == [(A, None, "source_offline"), (B, None, "source_offline")]


async def test_a_source_that_was_never_there_says_so_once(plant: Plant) -> None:
    plant.device.reachable = False
    async with plant.running():
        await plant.clock.advance(20.0)
    assert [s.reason for s in plant.road.samples] == ["source_offline"] * 2


async def test_an_alarm_stands_while_the_source_is_away(plant: Plant) -> None:
    plant.device.reachable = False
    async with plant.running():
        assert "fake device does not answer" in plant.board.standing["source_offline:fake"]
        plant.device.reachable = True
        await plant.clock.advance(2.0)
        assert not plant.board.standing


async def test_an_orderly_stop_publishes_nothing_bad(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(0)
    assert [s.quality for s in plant.road.samples] == [Quality.GOOD]


async def test_a_rebuilt_connection_records_the_gap_to_the_first_new_value(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(0)
        last = plant.clock.now()
        plant.device.reachable = False
        plant.device.break_off()
        await plant.clock.advance(7.0)
        plant.device.reachable = True
        await plant.clock.advance(2.0)
        plant.device.change(A, 2.0)
        await plant.clock.advance(0)
    (gap,) = plant.road.gaps
    first_new = next(s for s in plant.road.of(A) if s.value == 1.0 and s.reason == "unchanged").receive_time
    assert (gap.source, gap.start, gap.end) == ("fake", last - NANOSECONDS_PER_SECOND, first_new)
    assert gap.reason == "source_lost"


async def test_a_gap_waits_for_data_even_through_several_connections(plant: Plant) -> None:
    plant.road.seen_before["fake"] = plant.clock.now() - 60 * NANOSECONDS_PER_SECOND
    async with plant.running():
        for _ in range(3):
            plant.device.break_off()
            await plant.clock.advance(2.0)
        assert not plant.road.gaps
        plant.device.change(A, 1.0)
        await plant.clock.advance(0)
        now = plant.clock.now()
    (gap,) = plant.road.gaps
    assert gap == Gap("fake", plant.road.seen_before["fake"] - NANOSECONDS_PER_SECOND, now, "restart")


async def test_a_resumed_connection_has_no_gap(plant: Plant) -> None:
    plant.device.resumes = True
    plant.road.seen_before["fake"] = plant.clock.now() - NANOSECONDS_PER_SECOND
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(0)
        plant.device.break_off()
        await plant.clock.advance(2.0)
        plant.device.change(A, 2.0)
        await plant.clock.advance(0)
    assert not plant.road.gaps


async def test_a_source_seen_for_the_first_time_has_no_gap(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(0)
    assert not plant.road.gaps


async def test_gaps_of_a_reading_are_recorded_also_after_a_refusal(plant: Plant) -> None:
    plant.road.refusals = [OutboxUnavailable("full"), OutboxUnavailable("full")]
    one, two = Gap("fake", 1, 2, "overflow", samples=3), Gap("fake", 5, 9, "overflow", samples=4)
    async with plant.running():
        plant.device.send(Reading(gaps=(one,)))
        await plant.clock.advance(0)
        plant.device.send(Reading(gaps=(two, Gap("fake", 3, 4, "other"))))
        await plant.clock.advance(3.0)
    assert set(plant.road.gaps) == {one, two, Gap("fake", 3, 4, "other")}
    assert plant.runner.status().gaps == 3


async def test_gaps_that_wait_with_one_reason_become_one(plant: Plant) -> None:
    plant.road.refusals = [OutboxUnavailable("full")]
    async with plant.running():
        for start in (10, 20, 30):
            plant.device.send(Reading(gaps=(Gap("fake", start, start + 5, "overflow", samples=1),)))
            await plant.clock.advance(0)
        await plant.clock.advance(2.0)
    assert plant.road.gaps == [
        Gap("fake", 10, 15, "overflow", samples=1),
        Gap("fake", 20, 35, "overflow", samples=2),
    ]


async def test_a_revived_signal_is_stamped_when_it_was_seen_again(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(5.0)
        plant.device.break_off()
        await plant.clock.advance(2.0)
    good, bad, again = plant.road.of(A)
    assert (good.value, bad.value, again.value) == (1.0, None, 1.0)
    assert again.source_time == again.receive_time > bad.source_time
    assert (again.quality, again.reason) == (Quality.GOOD, "unchanged")


async def test_a_new_value_after_a_loss_keeps_its_own_time(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(0)
        made = plant.clock.now() + 1
        plant.device.break_off()
        await plant.clock.advance(2.0)
        plant.device.send(Reading((sample(B, 5.0, made, plant.clock.now()),)))
        await plant.clock.advance(0)
    assert plant.road.of(B)[-1].source_time == made


async def test_refused_signals_turn_bad_and_are_cleared_by_data(plant: Plant) -> None:
    plant.device.refused[B] = "BadNodeIdUnknown"
    async with plant.running():
        (bad,) = plant.road.of(B)
        assert (bad.value, bad.quality, bad.reason) == (None, Quality.BAD, "BadNodeIdUnknown")
        status = plant.runner.status()
        assert (status.accepted, [s.signal for s in status.refused]) == (1, [B])
        plant.device.change(B, 1.0)
        await plant.clock.advance(0)
        status = plant.runner.status()
        assert (status.accepted, status.refused) == (2, ())


async def test_a_source_time_that_cannot_be_is_replaced_and_kept_as_reason(plant: Plant) -> None:
    now = plant.clock.now()
    year_2000 = 946_684_800 * NANOSECONDS_PER_SECOND
    far = now + 4000 * NANOSECONDS_PER_SECOND
    near = now - 3000 * NANOSECONDS_PER_SECOND
    bad = Sample(B, None, year_2000, now, Quality.BAD, "BadSensorFailure")
    async with plant.running():
        readings = (sample(A, 1.0, year_2000, now), sample(A, 2.0, far, now), sample(A, 3.0, near, now), bad)
        plant.device.send(Reading(readings))
        await plant.clock.advance(0)
    old, future, fine, worse = plant.road.samples
    assert (old.source_time, old.quality, old.reason) == (now, Quality.UNCERTAIN, f"clock_skew:{year_2000}")
    assert (future.source_time, future.reason) == (now, f"clock_skew:{far}")
    assert fine == readings[2]
    assert (worse.quality, worse.reason) == (Quality.BAD, f"BadSensorFailure clock_skew:{year_2000}")
    assert plant.runner.status().skewed == 3


async def test_receipts_go_back_in_order_after_the_commit(plant: Plant) -> None:
    plant.road.holding = True
    async with plant.running():
        now = plant.clock.now()
        for number in range(3):
            plant.device.send(Reading((sample(A, float(number), now + number),), receipt=number))
        plant.device.send(Reading(receipt=3))
        await plant.clock.advance(0)
        assert plant.device.acknowledged == []
        assert plant.runner.status().outstanding == 4
        plant.road.commits[1].set_result(None)
        await plant.clock.advance(0)
        assert plant.device.acknowledged == []
        plant.road.commit()
        await plant.clock.advance(0)
        assert plant.device.acknowledged == [0, 1, 2, 3]


async def test_a_receipt_is_never_given_to_another_connection(plant: Plant) -> None:
    plant.road.holding = True
    async with plant.running():
        plant.device.send(Reading((sample(A, 1.0, plant.clock.now()),), receipt="old"))
        await plant.clock.advance(0)
        plant.device.break_off()
        await plant.clock.advance(2.0)
        assert plant.runner.status().sessions == 2
        plant.device.send(Reading((sample(A, 2.0, plant.clock.now()),), receipt="new"))
        await plant.clock.advance(0)
        plant.road.holding = False
        plant.road.commit()
        await plant.clock.advance(0)
        assert plant.device.acknowledged == ["new"]


async def test_events_are_recorded_with_their_marks_before_the_receipt(plant: Plant) -> None:
    result = QualityResult("u1", 1, True, "none", "fake")
    plant.road.refusals = [OutboxUnavailable("full")]
    async with plant.running():
        plant.device.send(Reading(events=(result,), receipt="r", marks=(b"m",)))
        await plant.clock.advance(0)
        assert plant.device.acknowledged == []
        await plant.clock.advance(1.5)
        assert plant.road.events == [result]
        assert plant.road.calls[-1] == ("fake", 0, (b"m",))
        assert plant.device.acknowledged == ["r"]


async def test_samples_of_the_past_keep_their_time_and_are_acknowledged_after_the_commit(plant: Plant) -> None:
    async with plant.running():
        plant.road.holding = True
        old = sample(A, 1.0, plant.clock.now() - round(2 * SKEW_LIMIT_SECONDS * 1e9), plant.clock.now())
        plant.device.send(Reading(past=(old,), receipt="r", marks=(b"m",)))
        await plant.clock.advance(0)
        assert plant.device.acknowledged == []
        plant.road.commit()
        await plant.clock.advance(0)
    assert plant.device.acknowledged == ["r"]
    assert plant.road.restored == [old]
    assert ("fake", 1, (b"m",)) in plant.road.calls


async def test_samples_are_published_with_their_marks(plant: Plant) -> None:
    async with plant.running():
        plant.device.send(Reading((sample(A, 1.0, plant.clock.now()),), marks=(b"x",)))
        await plant.clock.advance(0)
    assert plant.road.calls == [("fake", 1, (b"x",))]


async def test_too_many_outstanding_readings_hold_the_source_back(plant: Plant) -> None:
    plant.road.holding = True
    async with plant.running():
        now = plant.clock.now()
        for number in range(OUTSTANDING_READINGS + 50):
            plant.device.send(Reading((sample(A, 1.0, now + number),), receipt=number))
        await plant.clock.advance(SILENCE_SECONDS * 3)
        assert plant.runner.status().outstanding == OUTSTANDING_READINGS
        assert plant.runner.status().sessions == 1, "waiting for commits is no silence"
        plant.road.holding = False
        plant.road.commit()
        await plant.clock.advance(0)
        assert len(plant.device.acknowledged) == OUTSTANDING_READINGS + 50


async def test_a_source_without_receipts_is_never_held_back(plant: Plant) -> None:
    plant.road.holding = True
    async with plant.running():
        now = plant.clock.now()
        for number in range(OUTSTANDING_READINGS * 2):
            plant.device.send(Reading((sample(A, 1.0, now + number),)))
        await plant.clock.advance(0)
        assert len(plant.road.samples) == OUTSTANDING_READINGS * 2


async def test_a_stop_waits_for_the_commits_of_what_was_read(plant: Plant) -> None:
    plant.road.holding = True
    async with plant.running():
        plant.device.send(Reading((sample(A, 1.0, plant.clock.now()),), receipt="last"))
        await plant.clock.advance(0)
        asyncio.get_running_loop().call_later(0.05, plant.road.commit)
    assert plant.device.acknowledged == ["last"]
    assert plant.device.closed == 1


async def test_a_resumer_learns_the_marks_once_everything_is_settled(plant: Plant) -> None:
    resumed: list[Sequence[bytes]] = []

    class Resuming(FakeConnector):
        def resume(self, marks: Sequence[bytes]) -> None:
            resumed.append(marks)

    plant.make = lambda: Resuming(plant.setup, plant.device)
    plant.road.known_marks["fake"] = (b"1", b"2")
    async with plant.running():
        assert resumed == [(b"1", b"2")]
        plant.road.holding = True
        plant.device.send(Reading((sample(A, 1.0, plant.clock.now()),), receipt="r", marks=(b"3",)))
        await plant.clock.advance(0)
        plant.device.break_off()
        await plant.clock.advance(5.0)
        assert len(resumed) == 1
        plant.road.commit()
        plant.road.known_marks["fake"] = (b"1", b"2", b"3")
        await plant.clock.advance(0)
        assert resumed[1:] == [(b"1", b"2", b"3")]


async def test_poll_returns_fresh_samples_in_order_and_publishes_them(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        plant.device.change(B, 2.0)
        await plant.clock.advance(3.0)
        polled = await plant.runner.poll([B, A])
    assert [(s.signal, s.value) for s in polled] == [(B, 2.0), (A, 1.0)]
    assert all(s.receive_time == plant.clock.now() for s in polled)
    assert plant.road.samples[-2:] == [polled[0], polled[1]]


async def test_what_poll_brought_is_not_published_again_by_a_report(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(0)
        (polled,) = await plant.runner.poll([A])
        assert len(plant.road.of(A)) == 1, "the report had brought it already"
        await plant.clock.advance(1.0)
        (polled,) = await plant.runner.poll([A])
        plant.device.send(Reading((polled, sample(B, 1.0, plant.clock.now()))))
        await plant.clock.advance(0)
    assert len(plant.road.of(A)) == 2
    assert len(plant.road.of(B)) == 1


class Polled(FakeConnector):
    """Its direct reads show what a test says, as often as they are asked."""

    def __init__(self, plant: Plant, shown: Sequence[Sample], *, come_again: bool = False) -> None:
        super().__init__(plant.setup, plant.device)
        self._reading = Reading(shown, come_again=come_again)

    async def poll(self, signals: Sequence[str]) -> Reading:
        return self._reading


async def test_what_a_report_will_bring_does_not_overtake_older_values(plant: Plant) -> None:
    """Two values wait at the server for their notification when the newer one is read."""
    now = plant.clock.now()
    first, older, newer = (sample(A, value, now + at) for at, value in enumerate((1.0, 2.0, 3.0)))
    plant.make = lambda: Polled(plant, [newer], come_again=True)
    async with plant.running():
        plant.device.send(Reading((first,)))
        await plant.clock.advance(0)
        assert await plant.runner.poll([A]) == [newer]
        plant.device.send(Reading((older, newer)))
        await plant.clock.advance(0)
    assert plant.road.of(A) == [first, older, newer]


async def test_what_no_report_has_brought_yet_is_published_when_it_is_read(plant: Plant) -> None:
    read = sample(A, 1.0, plant.clock.now())
    plant.make = lambda: Polled(plant, [read], come_again=True)
    async with plant.running():
        await plant.runner.poll([A])
        assert plant.road.of(A) == [read]


async def test_what_poll_brought_is_not_published_again_by_the_next_poll(plant: Plant) -> None:
    """A write is read back more than once before a report of it comes."""
    written = sample(A, 2.0, plant.clock.now())
    plant.make = lambda: Polled(plant, [written])
    async with plant.running():
        for _ in range(3):
            assert await plant.runner.poll([A]) == [written]
        plant.device.send(Reading((written,)))
        await plant.clock.advance(0)
    assert plant.road.of(A) == [written]


async def test_what_was_polled_turns_good_again_after_a_loss_although_it_never_changed(plant: Plant) -> None:
    unchanged = sample(A, 1.0, plant.clock.now())
    plant.make = lambda: Polled(plant, [unchanged])
    async with plant.running():
        plant.device.send(Reading((unchanged,)))
        await plant.clock.advance(1.0)
        await plant.runner.poll([A])
        plant.device.break_off()
        await plant.clock.advance(2.0)
        assert plant.road.of(A)[-1].reason == "source_offline"
        await plant.runner.poll([A])
        plant.device.send(Reading((unchanged,)))
        await plant.clock.advance(0)
    assert [(one.value, one.reason) for one in plant.road.of(A)][2:] == [(1.0, "unchanged")]


async def test_what_could_not_be_polled_turns_good_again_although_it_never_changed(plant: Plant) -> None:
    unchanged = sample(A, 1.0, plant.clock.now())
    shown = [unchanged]
    plant.make = lambda: Polled(plant, shown)
    async with plant.running():
        plant.device.send(Reading((unchanged,)))
        await plant.clock.advance(1.0)
        shown.clear()
        assert [one.reason for one in await plant.runner.poll([A])] == ["not_read"]
        shown.append(unchanged)
        for _ in range(2):
            assert await plant.runner.poll([A]) == [unchanged]
    assert [(one.value, one.reason) for one in plant.road.of(A)][1:] == [(None, "not_read"), (1.0, "unchanged")]


async def test_poll_answers_bad_for_what_cannot_be_read(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(1.0)
        good, missing = await plant.runner.poll([A, B])
        assert (good.value, missing.reason, missing.quality) == (1.0, "not_read", Quality.BAD)
        plant.device.poll_fault = SourceLost("gone")
        polled = await plant.runner.poll([A, B])
        assert [(s.value, s.reason) for s in polled] == [(None, "source_lost")] * 2
        assert plant.road.samples[-2:] == polled
        plant.device.reachable = False
        plant.device.break_off()
        await plant.clock.advance(0)
        before = len(plant.road.samples)
        polled = await plant.runner.poll([A])
        assert [s.reason for s in polled] == ["source_offline"]
        assert len(plant.road.samples) == before


async def test_write_reaches_the_device_only_while_online(plant: Plant) -> None:
    async with plant.running():
        await plant.runner.write(plant.command(3.0))
        assert [c.value for c in plant.device.written] == [3.0]
        plant.device.write_fault = WriteUnknown("no answer")
        with pytest.raises(WriteUnknown):
            await plant.runner.write(plant.command())
        plant.device.write_fault = None
        with pytest.raises(WriteFailed, match="seal"):
            await plant.runner.write(replace(plant.command(), seal=Seal()))
        plant.device.reachable = False
        plant.device.break_off()
        await plant.clock.advance(0)
        with pytest.raises(WriteFailed, match="offline"):
            await plant.runner.write(plant.command())
    assert len(plant.device.written) == 1


async def test_a_connector_without_extras_can_neither_be_polled_nor_written(plant: Plant) -> None:
    class Plain:
        async def connect(self) -> Connection:
            return Connection(())

        async def read(self) -> Reading:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        async def close(self) -> None:
            return

    plant.make = Plain
    async with plant.running():
        assert [s.reason for s in await plant.runner.poll([A])] == ["not_pollable"]
        with pytest.raises(WriteFailed, match="cannot write"):
            await plant.runner.write(plant.command())


async def test_a_broken_socket_while_writing_is_an_unknown_outcome(plant: Plant) -> None:
    class Torn(FakeConnector):
        async def write(self, command: Command) -> None:
            raise ConnectionResetError("torn")

        async def poll(self, signals: Sequence[str]) -> Reading:
            raise ConnectionResetError("torn")

    plant.make = lambda: Torn(plant.setup, plant.device)
    async with plant.running():
        with pytest.raises(WriteUnknown):
            await plant.runner.write(plant.command())
        assert [s.reason for s in await plant.runner.poll([A])] == ["connection_reset_error"]


async def test_a_fault_of_the_operating_system_is_a_loss_like_any_other(plant: Plant) -> None:
    class Torn(FakeConnector):
        async def read(self) -> Reading:
            raise ConnectionResetError("torn")

    plant.make = lambda: Torn(plant.setup, plant.device)
    async with plant.running():
        await plant.clock.advance(5.0)
        assert plant.runner.status().sessions > 2


async def test_a_mistake_in_a_connector_is_told_and_leaves_nothing_trusted(plant: Plant) -> None:
    class Mistaken(FakeConnector):
        async def read(self) -> Reading:
            raise ZeroDivisionError

    plant.make = lambda: Mistaken(plant.setup, plant.device)
    with pytest.raises(ExceptionGroup) as caught:
        await plant.runner.run()
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)
    assert not plant.runner.online
    assert plant.device.closed == 1
    plant.make = plant.fake
    async with plant.running():
        assert [s.reason for s in plant.road.samples] == ["source_offline"] * 2
        assert plant.runner.online


async def test_the_metrics_tell_what_the_status_tells(plant: Plant) -> None:
    async with plant.running():
        plant.device.change(A, 1.0)
        await plant.clock.advance(0)
        plant.device.break_off()
        await plant.clock.advance(2.0)
        text = plant.metrics.render().decode()
    assert 'edged_source_online{source="fake"} 1.0' in text
    assert 'edged_source_sessions_total{source="fake"} 2.0' in text
    assert 'edged_source_faults_total{kind="SourceLost",source="fake"} 1.0' in text
    assert 'edged_source_samples_total{source="fake"} 2.0' in text


async def test_a_refusal_carries_its_sentence(plant: Plant) -> None:
    plant.device.trusts_us = False
    async with plant.running():
        assert plant.runner.status().last_fault == "AccessRefused: the fake device does not know us"
    assert plant.board.standing == {"source_offline:fake": "AccessRefused: the fake device does not know us"}

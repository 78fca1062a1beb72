"""The road: every listener sees a batch, the outbox makes it durable, the latest value wins (CARD2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from edged.bus import Bus
from edged.clock import VirtualClock
from edged.metrics import Metrics
from edged.tags import Tags
from edged.types import Event, Gap, Sample


class MemoryRecorder:
    """Keeps what it gets; durable at once."""

    def __init__(self) -> None:
        self.samples: list[tuple[str, Sequence[Sample]]] = []
        self.events: list[Event] = []
        self.writable = True

    def append(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        self.samples.append((source, samples))
        return self._done()

    def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> Awaitable[None]:
        self.events.extend(events)
        return self._done()

    def last_seen(self, source: str) -> int | None:
        return 7 if source == "furnace" else None

    def marks(self, source: str) -> Sequence[bytes]:
        return [source.encode()]

    def _done(self) -> Awaitable[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def sample(value: float, receive_time: int) -> Sample:
    return Sample("line_a/furnace/temperature", value, receive_time, receive_time)


async def test_listeners_see_the_very_list_before_it_is_durable() -> None:
    recorder = MemoryRecorder()
    bus, tags = Bus(recorder, VirtualClock(), Metrics()), Tags()
    bus.subscribe(tags.update)
    batch = [sample(1.0, 10), sample(2.0, 20)]
    durable = bus.publish("furnace", batch)
    held = tags.get("line_a/furnace/temperature")
    assert held is not None
    assert held.value == 2.0
    await durable
    assert recorder.samples == [("furnace", batch)]
    assert bus.last_seen("furnace") == 7
    assert bus.marks("furnace") == [b"furnace"]


async def test_samples_of_the_past_become_durable_and_nobody_acts_on_them() -> None:
    recorder = MemoryRecorder()
    bus, tags = Bus(recorder, VirtualClock(), Metrics()), Tags()
    bus.subscribe(tags.update)
    bus.publish("furnace", [sample(2.0, 20)])
    await bus.restore("furnace", [sample(1.0, 30)])
    held = tags.get("line_a/furnace/temperature")
    assert held is not None
    assert held.value == 2.0
    assert recorder.samples[-1] == ("furnace", [sample(1.0, 30)])


async def test_the_pipeline_time_of_a_list_is_told_by_its_first_value() -> None:
    clock, metrics = VirtualClock(), Metrics()
    bus = Bus(MemoryRecorder(), clock, metrics)
    received = clock.now()
    clock.tick(0.0015)
    bus.subscribe(lambda _: clock.tick(0.002))
    bus.publish("furnace", [sample(1.0, received), sample(2.0, received + 1_000_000)])
    bus.publish("furnace", [])
    bus.publish("furnace", [sample(3.0, clock.now() + 60_000_000_000)])
    page = metrics.render().decode()
    assert 'edged_pipeline_seconds_bucket{le="0.003"} 1.0' in page
    assert 'edged_pipeline_seconds_bucket{le="0.004"} 2.0' in page
    assert "edged_pipeline_seconds_sum 0.0035" in page


async def test_events_reach_listeners_and_the_outbox() -> None:
    recorder = MemoryRecorder()
    bus = Bus(recorder, VirtualClock(), Metrics())
    seen: list[Event] = []
    bus.subscribe_events(seen.extend)
    gap = Gap("furnace", 1, 2, "source offline")
    await bus.record([gap])
    assert seen == [gap] == recorder.events


def test_an_older_sample_does_not_replace_a_newer_one() -> None:
    tags = Tags()
    tags.update([sample(2.0, 20)])
    tags.update([sample(1.0, 10)])
    held = tags.get("line_a/furnace/temperature")
    assert held is not None
    assert held.value == 2.0
    assert tags.get("line_a/furnace/pressure") is None
    assert len(tags.all()) == 1

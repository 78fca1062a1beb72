"""A disk that is really full: degraded, nothing stopped, healed by itself, every loss counted."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.clock import SystemClock
from edged.errors import OutboxUnavailable
from edged.outbox import Outbox
from edged.outbox_report import verify
from edged.outbox_sink import Batch, OutboxSink
from edged.settings import OutboxSettings
from edged.types import Alarm, AlarmState, Gap, Lane, Priority, Sample

RING = 400
ROWS = 20
HEAL_SECONDS = 5.0
ALARM = Alarm("hot", "s", AlarmState.NORMAL, Priority.LOW, "m", 1)

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root to mount a tmpfs"),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "edged-test", str(folder)], check=False)
    if mount.returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def noise(number: int, source: str) -> list[Sample]:
    """Twenty samples of about 2 kB each, with times that can be told apart."""
    rng = random.Random(number)
    times = range(number * ROWS, (number + 1) * ROWS)
    return [Sample(f"{source}/note", rng.randbytes(1000).hex(), time, time) for time in times]


async def everything(sink: OutboxSink, lane: Lane) -> list[Batch]:
    found: list[Batch] = []
    sink.reopen()
    while batches := await sink.take(lane, live=False, max_batches=100, max_bytes=10_000_000):
        found += batches
    return found


async def until_writable(outbox: Outbox) -> None:
    async with asyncio.timeout(HEAL_SECONDS):
        while not outbox.writable:
            await asyncio.sleep(0.05)


async def test_a_full_disk_degrades_and_heals_with_a_counted_gap(small_disk: Path) -> None:
    path, filler = small_disk / "outbox.db", small_disk / "filler"
    outbox = await Outbox.open(path, OutboxSettings(ring_samples=RING, commit_seconds=0.02), SystemClock())
    sink = outbox.sink("hub")
    await outbox.append("one", noise(0, "one"))
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(65536))
                file.flush()
            except OSError:
                break
    sources = [("one", "two")[number % 2] for number in range(61)]
    promises = [outbox.append(source, noise(number, source)) for number, source in enumerate(sources) if number]
    await outbox.flush()
    assert not outbox.writable
    with pytest.raises(OutboxUnavailable):
        await outbox.record([ALARM])
    assert outbox.status().ring_samples == RING
    await asyncio.sleep(1.2)
    assert not outbox.writable
    filler.unlink()
    await until_writable(outbox)
    for promise in promises:
        await promise
    await outbox.record([ALARM])
    kept = {sample for batch in await everything(sink, Lane.PROCESS) for sample in batch.samples()}
    events = [event for batch in await everything(sink, Lane.EVENTS) for event in batch.events()]
    gaps = [event for event in events if isinstance(event, Gap)]
    offered = [sample for number, source in enumerate(sources) for sample in noise(number, source)]
    lost = [sample for sample in offered if sample not in kept]
    assert len(kept) + len(lost) == 61 * ROWS
    assert [gap.source for gap in gaps] == ["one", "two"]
    for gap in gaps:
        of_source = [sample.source_time for sample in lost if sample.signal == f"{gap.source}/note"]
        assert (gap.samples, gap.start, gap.end) == (len(of_source), min(of_source), max(of_source))
    assert outbox.status().dropped_samples == len(lost) == 61 * ROWS - ROWS - RING
    assert events[-1] == ALARM
    await outbox.close()
    assert verify(path) == []


async def test_an_outbox_that_filled_the_disk_itself_heals_when_the_hub_confirms(small_disk: Path) -> None:
    path = small_disk / "outbox.db"
    outbox = await Outbox.open(path, OutboxSettings(ring_samples=10_000, commit_seconds=0.02), SystemClock())
    sink = outbox.sink("hub")
    promises = []
    for number in range(200):
        promises.append(outbox.append("one", noise(number, "one")))
        await outbox.flush()
        if not outbox.writable:
            break
    assert not outbox.writable
    taken: set[Sample] = set()
    async with asyncio.timeout(4 * HEAL_SECONDS):
        while not all(promise.done() for promise in promises if isinstance(promise, asyncio.Future)):
            batches = await sink.take(Lane.PROCESS, live=False, max_batches=100, max_bytes=10_000_000)
            taken |= {sample for batch in batches for sample in batch.samples()}
            await sink.confirm([batch.key for batch in batches])
            await asyncio.sleep(0.05)
    taken |= {sample for batch in await everything(sink, Lane.PROCESS) for sample in batch.samples()}
    assert taken == {sample for number in range(len(promises)) for sample in noise(number, "one")}
    assert outbox.writable
    await outbox.close()


async def test_it_starts_on_a_full_disk_and_writes_when_there_is_room(small_disk: Path) -> None:
    path, filler = small_disk / "outbox.db", small_disk / "filler"
    room = os.statvfs(small_disk)
    filler.write_bytes(bytes(room.f_bavail * room.f_frsize))
    outbox = await Outbox.open(path, OutboxSettings(), SystemClock())
    assert not outbox.writable
    sink = outbox.sink("hub")
    promise = outbox.append("one", noise(1, "one"))
    await outbox.flush()
    assert not outbox.writable
    filler.unlink()
    await until_writable(outbox)
    await promise
    assert [sample for batch in await everything(sink, Lane.PROCESS) for sample in batch.samples()] == noise(1, "one")
    await outbox.close()

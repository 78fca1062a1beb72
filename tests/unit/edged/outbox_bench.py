"""What the outbox tests share: opening, samples, draining, and a disk that is full on command."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edged.clock import VirtualClock
from edged.outbox import Outbox
from edged.outbox_sink import Batch, OutboxSink
from edged.settings import OutboxSettings
from edged.types import Event, Gap, Lane, Sample

COMMIT_SECONDS = 0.2
PLENTY = 1_000_000_000


@asynccontextmanager
async def opened(path: Path, clock: VirtualClock, **settings: Any) -> AsyncIterator[Outbox]:
    """An open outbox; it is closed in good order."""
    outbox = await Outbox.open(path, OutboxSettings(**settings), clock)
    try:
        yield outbox
    finally:
        await outbox.close()


def samples_of(count: int, start: int = 0, signal: str = "line/oven/temperature") -> list[Sample]:
    """Samples that can be told apart by value and time."""
    return [Sample(signal, float(number), number, number) for number in range(start, start + count)]


def noise_of(count: int, start: int = 0, size: int = 8000) -> list[Sample]:
    """Samples that take so many bytes each, whatever the compression."""
    rng = random.Random(start)
    return [Sample("line/oven/note", rng.randbytes(size // 2).hex(), n, n) for n in range(start, start + count)]


async def committed(outbox: Outbox, waiting: Awaitable[None]) -> None:
    """Commits now instead of waiting for the group's time."""
    await outbox.flush()
    await waiting


async def put(outbox: Outbox, count: int = 1, start: int = 0, source: str = "source") -> None:
    """One batch."""
    await committed(outbox, outbox.append(source, samples_of(count, start)))


async def take(sink: OutboxSink, lane: Lane = Lane.PROCESS, *, live: bool = False, count: int = 1000) -> list[Batch]:
    return list(await sink.take(lane, live=live, max_batches=count, max_bytes=PLENTY))


async def drain(sink: OutboxSink, lane: Lane = Lane.PROCESS) -> list[Batch]:
    """Takes everything, live part last, and confirms it."""
    found: list[Batch] = []
    for live in (False, True):
        while batches := await take(sink, lane, live=live):
            await sink.confirm([batch.key for batch in batches])
            found += batches
    return found


def seqs(batches: Sequence[Batch]) -> list[int]:
    return [batch.key.seq for batch in batches]


def values(batches: Sequence[Batch]) -> list[object]:
    return [sample.value for batch in batches for sample in batch.samples()]


def gaps(batches: Sequence[Batch]) -> list[Gap]:
    return [event for event in all_events(batches) if isinstance(event, Gap)]


def all_events(batches: Sequence[Batch]) -> list[Event]:
    return [event for batch in batches for event in batch.events()]


async def query(outbox: Outbox, statement: str) -> list[Any]:
    """What the file itself says."""
    store = outbox._writer.shelf.store
    assert store is not None
    connection: sqlite3.Connection = store._connection
    return await outbox._writer.shelf.run(lambda: connection.execute(statement).fetchall())


async def limit_pages(outbox: Outbox, spare: int | None) -> None:
    """Lets SQLite itself refuse to grow the file: the same error as a full disk. None lifts the limit."""
    ((pages,),) = await query(outbox, "PRAGMA page_count")
    await query(outbox, f"PRAGMA max_page_count = {1_073_741_823 if spare is None else pages + spare}")

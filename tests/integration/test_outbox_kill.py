"""A process that is killed at any moment loses nothing that it was promised."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edged.clock import SystemClock
from edged.outbox import Outbox
from edged.outbox_aside import asides_of
from edged.outbox_report import verify
from edged.settings import OutboxSettings
from edged.types import Lane
from tests.integration.outbox_writer_child import ROWS

KILLS = 12
NUMBERS_PER_KILL = 1_000_000
LONGEST_SECONDS = 0.3
CHILD = Path(__file__).with_name("outbox_writer_child.py")


@dataclass
class Told:
    """What the killed processes said."""

    kept: set[tuple[str, int]] = field(default_factory=set)
    took: dict[int, set[str]] = field(default_factory=dict)

    def read(self, lines: list[str]) -> None:
        for line in lines:
            kind, *rest = line.split()
            if kind == "kept":
                self.kept.add((rest[0], int(rest[1])))
            else:
                again = self.took.setdefault(int(rest[0]), set(rest[1:]))
                assert again == set(rest[1:]), f"number {rest[0]} stood for two batches"


async def run_until_killed(path: Path, start: int, seconds: float) -> list[str]:
    """Kills the child so long after it said something first; the whole lines that it said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(path), str(start), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    first = await child.stdout.readline()
    reading = asyncio.gather(child.stdout.read(), asyncio.sleep(seconds))
    await asyncio.sleep(seconds)
    child.kill()
    rest, _ = await reading
    await child.wait()
    return (first + rest).decode().splitlines()


@pytest.mark.timeout(180)
async def test_what_was_promised_before_a_kill_is_there(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    rng = random.Random(os.getpid())
    told = Told()
    streams: set[str] = set()
    for kill in range(KILLS):
        told.read(await run_until_killed(path, kill * NUMBERS_PER_KILL, rng.uniform(0.0, LONGEST_SECONDS)))
        if kill % 2:
            continue
        outbox = await Outbox.open(path, OutboxSettings(), SystemClock())
        streams.add(outbox.stream)
        for name in ("one", "two"):
            last = max(number for of, number in told.kept if of == name)
            assert (outbox.last_seen(name) or 0) >= last
            assert b"%d" % last in outbox.marks(name)
        await outbox.close()
    assert len(streams) == 1
    assert len(told.kept) > 10 * KILLS
    assert len(told.took) > KILLS
    await check_contents(path, told)
    assert verify(path) == []
    assert asides_of(path) == []


async def check_contents(path: Path, told: Told) -> None:
    """Every promised append was taken before, whole, or is still there, whole and once."""
    outbox = await Outbox.open(path, OutboxSettings(), SystemClock())
    there: dict[tuple[str, int], int] = {}
    taken = {key for keys in told.took.values() for key in keys}
    sink = outbox.sink("taker")
    while batches := await sink.take(Lane.PROCESS, live=False, max_batches=100, max_bytes=10_000_000):
        for batch in batches:
            assert (
                batch.key.seq not in told.took
                or {f"{sample.signal.partition('/')[0]}:{sample.value}" for sample in batch.samples()}
                == told.took[batch.key.seq]
            )
            for sample in batch.samples():
                key = (sample.signal.partition("/")[0], int(sample.value or 0))
                there[key] = there.get(key, 0) + 1
    await outbox.close()
    missing = [key for key in told.kept if key not in there and f"{key[0]}:{key[1]}" not in taken]
    assert missing == []
    assert set(there.values()) <= {ROWS}

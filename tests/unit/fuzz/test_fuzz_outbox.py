"""Outbox files after accidents: they open, what can still be read is delivered as it was, all else is told."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest
from hypothesis import strategies as st

from edged.clock import VirtualClock
from edged.outbox_report import NotAnOutbox, inspect, verify
from edged.outbox_schema import batch_id
from edged.types import Gap, Lane
from tests.unit.edged.outbox_bench import committed, drain, gaps, noise_of, opened, put, take
from tests.unit.fuzz.tiers import tiers

BATCHES = 24
CONFIRMED = 4
OWED = set(range(CONFIRMED + 1, BATCHES + 1))
ROUNDS = 4
"""Damage may show only when the file is worked with: then it is set aside, and drains from there."""
CAP = "cap_age"
"""A damaged time of commit can make a batch look old: then it is given up by name, one by one."""
DAMAGED = (sqlite3.Error, UnicodeDecodeError)
SIZES = (60, 3000, 9000)
"""Bytes of a value: in a page with others, in one of its own, in several."""


Row: TypeAlias = tuple[object, object, object]
"""Checksum, row count and blob of a batch."""


class Accident(NamedTuple):
    """Garbage at a share of the file's length, as long as the file goes."""

    share: float
    length: int
    seed: int
    zeros: bool


@dataclass(frozen=True)
class Original:
    """An outbox as it was before the accident."""

    folder: Path
    stream: str
    rows: dict[int, Row]
    values: dict[int, Sequence[object]]


accidents = st.builds(
    Accident, st.floats(0, 1), st.sampled_from((1, 4, 60, 1000, 4096, 20_000)), st.integers(0, 99), st.booleans()
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outbox")


async def make(folder: Path, *, clean: bool) -> Original:
    """The file of a daemon that stopped in good order, or of one that was shot."""
    path = folder / ("clean" if clean else "shot") / "outbox.db"
    if not path.parent.exists():
        path.parent.mkdir()
        work = path if clean else path.with_name("work.db")
        async with opened(work, VirtualClock()) as outbox:
            sink = outbox.sink("hub")
            for number in range(BATCHES):
                samples = noise_of(3, start=3 * number, size=SIZES[number % len(SIZES)])
                await committed(outbox, outbox.append("source", samples))
            await sink.confirm([batch.key for batch in await take(sink, count=CONFIRMED)])
            await outbox.flush()
            if not clean:
                for suffix in ("", "-wal"):
                    shutil.copy(f"{work}{suffix}", f"{path}{suffix}")
    values: dict[int, Sequence[object]] = {
        seq: [sample.value for sample in noise_of(3, start=3 * (seq - 1), size=SIZES[(seq - 1) % len(SIZES)])]
        for seq in range(1, BATCHES + 1)
    }
    return Original(path.parent, *readable(path), values)


def readable(path: Path) -> tuple[str, dict[int, Row]]:
    """The stream and the batches that SQLite itself can still find by their numbers; the file is only copied."""
    copy = path.parent / "copy" / path.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    copy.parent.mkdir()
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    found: dict[int, Row] = {}
    stream = ""
    with contextlib.closing(sqlite3.connect(copy)) as connection, contextlib.suppress(*DAMAGED):
        stream = "".join(str(name) for (name,) in connection.execute("SELECT value FROM meta WHERE key = 'stream'"))
        for seq in range(1, BATCHES + 1):
            with contextlib.suppress(*DAMAGED):
                query = "SELECT crc, rows, data FROM blob WHERE id = ?"
                for row in connection.execute(query, (batch_id(Lane.PROCESS, seq),)):
                    found[seq] = row
    return stream, found


def hurt(path: Path, happened: Sequence[Accident]) -> None:
    content = bytearray(path.read_bytes())
    for share, length, seed, zeros in happened:
        at = int(share * (len(content) - 1))
        garbage = bytes(length) if zeros else random.Random(seed).randbytes(length)
        content[at : at + length] = garbage[: len(content) - at]
    path.write_bytes(content)


def numbers(told: Sequence[Gap]) -> set[int]:
    """The process batches that gaps name."""
    return {seq for gap in told if gap.lane == "process" for seq in range(gap.first_seq, gap.last_seq + 1)}


async def open_anything(folder: Path, clean: bool, in_log: bool, happened: list[Accident]) -> None:
    original = await make(folder, clean=clean)
    path = folder / "hurt" / "outbox.db"
    shutil.rmtree(path.parent, ignore_errors=True)
    shutil.copytree(original.folder, path.parent, ignore=shutil.ignore_patterns("copy", "work*"))
    hurt(path if clean or not in_log else path.with_name("outbox.db-wal"), happened)
    _, left = readable(path)
    intact = {seq for seq in OWED if left.get(seq) == original.rows[seq]}
    with contextlib.suppress(NotAnOutbox):
        inspect(path)
        verify(path)
    delivered: dict[int, list[object]] = {}
    told: list[Gap] = []
    new: list[object] = []
    async with opened(path, VirtualClock()) as outbox:
        sink = outbox.sink("hub")
        for number in range(ROUNDS):
            await put(outbox, start=number)
            for batch in await drain(sink):
                if batch.key.stream == original.stream and batch.key.seq <= BATCHES:
                    delivered[batch.key.seq] = [sample.value for sample in batch.samples()]
                else:
                    new += [sample.value for sample in batch.samples()]
            await outbox.flush()
            told += gaps(await drain(sink, Lane.EVENTS))
        assert outbox.writable
        assert sink.depth(Lane.PROCESS) == sink.depth(Lane.EVENTS) == 0
    assert all(values == original.values[seq] for seq, values in delivered.items())
    named = numbers(told)
    assert not named & delivered.keys()
    assert intact - numbers([gap for gap in told if gap.reason == CAP]) <= delivered.keys()
    whole = any(gap.source == "outbox" and not gap.lane for gap in told)
    assert whole or named | delivered.keys() >= OWED
    lost = [seq for seq in named if seq > BATCHES]
    assert set(new) <= set(range(ROUNDS))
    assert whole or len(set(new)) + len(lost) >= ROUNDS


test_outbox, test_outbox_long = tiers(
    open_anything,
    short=60,
    long=6000,
    clean=st.booleans(),
    in_log=st.booleans(),
    happened=st.lists(accidents, max_size=3),
)

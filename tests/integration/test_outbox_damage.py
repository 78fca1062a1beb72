"""Damaged files: set aside, drained as far as they can be read, and what cannot be read is said."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.outbox import Outbox
from edged.outbox_aside import asides_of
from edged.outbox_bounds import BOUNDS_SUFFIX
from edged.outbox_report import NotAnOutbox, export, inspect, verify
from edged.outbox_schema import PAGE_BYTES, batch_id
from edged.outbox_sink import Batch
from edged.settings import OutboxSettings
from edged.types import Alarm, AlarmState, Gap, Lane, Priority
from tests.unit.edged.outbox_bench import all_events, committed, drain, gaps, noise_of, opened, put, query, seqs, take

BATCHES = 60
ROWS = 5
ALARM = Alarm("hot", "line/oven/temperature", AlarmState.UNACKNOWLEDGED, Priority.HIGH, "too hot", 5)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


async def fill(outbox: Outbox, batches: int = BATCHES) -> None:
    """Batches of about 10 kB, and an alarm."""
    for number in range(batches):
        waiting = outbox.append("source", noise_of(ROWS, start=number * ROWS, size=4000))
        await committed(outbox, waiting)
    await outbox.record([ALARM])


async def filled(path: Path, clock: VirtualClock) -> str:
    """A file in good order with batches that the sink `hub` has not confirmed, but for the first three; its stream."""
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await fill(outbox)
        await sink.confirm([batch.key for batch in await take(sink, count=3)])
        return outbox.stream


async def crashed(path: Path, clock: VirtualClock) -> str:
    """The same as a power cut leaves it: in use, with its log."""
    source = path.with_name("source.db")
    async with opened(source, clock) as outbox:
        sink = outbox.sink("hub")
        await fill(outbox)
        await sink.confirm([batch.key for batch in await take(sink, count=3)])
        await outbox.flush()
        for suffix in ("", "-wal", BOUNDS_SUFFIX):
            shutil.copy(f"{source}{suffix}", f"{path}{suffix}")
        return outbox.stream


def overwrite(path: Path, offset: int, length: int, seed: int = 1) -> None:
    """Garbage in a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(random.Random(seed).randbytes(length))


def values_of(seq: int) -> list[object]:
    """What batch `seq` of `fill` holds."""
    return [sample.value for sample in noise_of(ROWS, start=(seq - 1) * ROWS, size=4000)]


def named(told: Sequence[Gap], stream: str) -> set[int]:
    """The process batches that gaps name."""
    of_lane = [gap for gap in told if (gap.stream, gap.lane) == (stream, "process")]
    return {seq for gap in of_lane for seq in range(gap.first_seq, gap.last_seq + 1)}


async def check_drained(path: Path, clock: VirtualClock, old: str) -> tuple[set[int], list[Gap]]:
    """Starts on a damaged file: what is sent is right, all else that was owed is named; both come from here."""
    async with opened(path, clock) as outbox:
        assert outbox.stream != old
        sink = outbox.sink("hub")
        batches: list[Batch] = await drain(sink)
        sent = {batch.key.seq for batch in batches if batch.key.stream == old}
        assert len(sent) == len(batches)
        for batch in batches:
            assert [sample.value for sample in batch.samples()] == values_of(batch.key.seq)
        await put(outbox)
        (new,) = await drain(sink)
        assert (new.key.stream, new.key.seq) == (outbox.stream, 1)
        told: list[Gap] = []
        while sink.depth(Lane.EVENTS):
            told += gaps(await drain(sink, Lane.EVENTS))
            await outbox.flush()
        assert sink.depth(Lane.PROCESS) == 0
        assert all(0 <= gap.start <= gap.end for gap in told)
    return sent, told


@pytest.mark.parametrize("length", [16, 100, PAGE_BYTES])
async def test_a_damaged_header_loses_nothing(path: Path, clock: VirtualClock, length: int) -> None:
    old = await filled(path, clock)
    overwrite(path, 0, length)
    sent, told = await check_drained(path, clock, old)
    assert sent == set(range(4, BATCHES + 1))
    assert told == []
    assert len(asides_of(path)) == 1


async def test_a_damaged_header_is_mended_by_the_log_beside_it(path: Path, clock: VirtualClock) -> None:
    old = await crashed(path, clock)
    overwrite(path, 0, 100)
    async with opened(path, clock) as outbox:
        assert outbox.stream == old
        assert seqs(await drain(outbox.sink("hub"))) == list(range(4, BATCHES + 1))
    assert asides_of(path) == []


@pytest.mark.parametrize("seed", range(12))
async def test_garbage_in_the_middle_is_told_and_the_rest_drains(path: Path, clock: VirtualClock, seed: int) -> None:
    old = await filled(path, clock)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '0' WHERE key = 'clean'")
    connection.close()
    rng = random.Random(seed)
    pages = path.stat().st_size // PAGE_BYTES  # noqa: ASYNC240 - a test may
    overwrite(path, rng.randrange(1, pages - 20) * PAGE_BYTES + rng.randrange(PAGE_BYTES), 8 * PAGE_BYTES, seed)
    sent, told = await check_drained(path, clock, old)
    assert sent | named(told, old) >= set(range(4, BATCHES + 1))
    assert not sent & named(told, old)
    assert len(sent) > BATCHES / 2


async def started(path: Path, clock: VirtualClock) -> str:
    """The stream after a start that touches nothing else."""
    async with opened(path, clock) as outbox:
        return outbox.stream


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
async def test_a_truncated_file_drains_what_is_left(path: Path, clock: VirtualClock, share: float) -> None:
    old = await filled(path, clock)
    size = path.stat().st_size  # noqa: ASYNC240 - a test may
    with path.open("r+b") as file:
        file.truncate(int(size * share))
    sent, told = await check_drained(path, clock, old)
    assert sent | named(told, old) >= set(range(4, BATCHES + 1))
    assert not sent & named(told, old)
    if share == 0.9:
        assert len(sent) > BATCHES / 2


@pytest.mark.parametrize("content", [b"", b"not a database", bytes(100_000), random.Random(1).randbytes(500_000)])
async def test_a_file_without_anything_readable_becomes_one_gap(
    path: Path, clock: VirtualClock, content: bytes
) -> None:
    path.write_bytes(content)  # noqa: ASYNC240 - a test may
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        (gap,) = gaps(await drain(sink, Lane.EVENTS))
        assert (gap.source, gap.reason, gap.end) == ("outbox", "outbox_damaged", clock.now())
        assert gap.start < gap.end
        await put(outbox)
        assert seqs(await drain(sink)) == [1]
    async with opened(path, clock) as outbox:
        assert await drain(outbox.sink("hub"), Lane.EVENTS) == []
    (kept,) = asides_of(path)
    assert kept.read_bytes() == content
    assert inspect(path).old_files == ()
    with pytest.raises(NotAnOutbox):
        inspect(kept)


async def test_another_database_is_not_taken_for_an_outbox(path: Path, clock: VirtualClock) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    async with opened(path, clock) as outbox:
        await put(outbox)
        assert seqs(await drain(outbox.sink("hub"))) == [1]
    assert len(asides_of(path)) == 1


async def test_one_damaged_batch_becomes_a_gap_and_is_never_sent(path: Path, clock: VirtualClock) -> None:
    old = await filled(path, clock)
    with sqlite3.connect(path) as connection:
        row = (batch_id(Lane.PROCESS, 10),)
        (data,) = connection.execute("SELECT data FROM blob WHERE id = ?", row).fetchone()
        connection.execute("UPDATE blob SET data = ? WHERE id = ?", (b"\x01" + data[1:-1] + b"?", *row))
    connection.close()
    assert verify(path) == ["process 10: its checksum does not fit"]
    async with opened(path, clock) as outbox:
        assert outbox.stream == old
        hub, other = outbox.sink("hub"), outbox.sink("other")
        assert seqs(await drain(hub)) == [*range(4, 10), *range(11, BATCHES + 1)]
        assert 10 not in seqs(await drain(other))
        told = gaps(await drain(hub, Lane.EVENTS))
        first, last = 9 * ROWS, 10 * ROWS - 1
        assert told == [Gap("outbox", first, last, "record_damaged", old, "process", 10, 10, ROWS)]
        await drain(other, Lane.EVENTS)
        await outbox.flush()
        assert outbox.status().lanes[0].batches == 0
    assert verify(path) == []


async def test_a_damaged_log_is_told(path: Path, clock: VirtualClock) -> None:
    old = await crashed(path, clock)
    log_file = path.with_name("outbox.db-wal")
    size = log_file.stat().st_size
    overwrite(log_file, size // 2, 10)
    sent, told = await check_drained(path, clock, old)
    assert sent
    assert sent <= set(range(1, BATCHES + 1))
    (gap,) = told
    assert (gap.source, gap.reason, gap.stream, gap.end) == ("outbox", "outbox_damaged", old, clock.now())


async def test_a_crash_alone_is_no_damage(path: Path, clock: VirtualClock) -> None:
    old = await crashed(path, clock)
    async with opened(path, clock) as outbox:
        assert outbox.stream == old
        assert seqs(await drain(outbox.sink("hub"))) == list(range(4, BATCHES + 1))
    assert asides_of(path) == []


async def test_a_transaction_that_was_cut_off_is_no_damage(path: Path, clock: VirtualClock) -> None:
    old = await crashed(path, clock)
    with path.with_name("outbox.db-wal").open("r+b") as file:
        file.seek(0, 2)
        file.write(bytes(PAGE_BYTES // 2))
    async with opened(path, clock) as outbox:
        assert outbox.stream == old
        assert seqs(await drain(outbox.sink("hub"))) == list(range(4, BATCHES + 1))


async def test_after_a_power_cut_without_full_sync_numbers_are_not_reused(path: Path, clock: VirtualClock) -> None:
    old = await crashed(path, clock)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = 'another boot' WHERE key = 'boot'")
    connection.close()
    async with opened(path, clock, synchronous="FULL") as outbox:
        assert outbox.stream == old
    shutil.copy(path, path.with_name("copy.db"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '0' WHERE key = 'clean'")
    connection.close()
    async with opened(path, clock, synchronous="NORMAL") as outbox:
        sink = outbox.sink("hub")
        assert outbox.stream != old
        assert {(batch.key.stream, batch.key.seq) for batch in await drain(sink)} == {
            (old, seq) for seq in range(4, BATCHES + 1)
        }
        assert [gap.stream for gap in gaps(await drain(sink, Lane.EVENTS))] == [old]


async def test_damage_that_shows_while_running_does_not_stop_anything(path: Path, clock: VirtualClock) -> None:
    old = await filled(path, clock)
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await query(outbox, "PRAGMA cache_size = 1")
        pages = path.stat().st_size // PAGE_BYTES  # noqa: ASYNC240 - a test may
        for page in range(12, pages, 9):
            overwrite(path, page * PAGE_BYTES, PAGE_BYTES, page)
        sent: list[Batch] = []
        for round_ in range(8):
            sent += await drain(sink)
            await put(outbox, start=round_)
        await outbox.flush()
        sent += await drain(sink)
        told = gaps(await drain(sink, Lane.EVENTS))
        assert outbox.writable
        from_old = {batch.key.seq for batch in sent if batch.key.stream == old and batch.key.seq <= BATCHES}
        assert from_old | named(told, old) >= set(range(4, BATCHES + 1))
        for batch in sent:
            if batch.key.stream == old and batch.key.seq <= BATCHES:
                assert [sample.value for sample in batch.samples()] == values_of(batch.key.seq)
        new = [sample.value for batch in sent for sample in batch.samples() if isinstance(sample.value, float)]
        assert set(new) == {float(round_) for round_ in range(8)}


async def test_what_was_drained_is_not_drained_again(path: Path, clock: VirtualClock) -> None:
    old = await filled(path, clock)
    overwrite(path, 0, 100)
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        await sink.confirm([batch.key for batch in await take(sink, count=20)])
        assert inspect(path).old_files == (asides_of(path)[0].name,)
        assert next(iter(sink.offers())).stream == old
    overwrite(path, 0, 100)
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        assert seqs(await drain(sink)) == list(range(24, BATCHES + 1))
        assert all_events(await drain(sink, Lane.EVENTS)) == [ALARM]
        await outbox.flush()
        assert outbox.status().old_streams == 0
    async with opened(path, clock) as outbox:
        sink = outbox.sink("hub")
        assert await drain(sink) == await drain(sink, Lane.EVENTS) == []
        assert outbox.status().old_streams == 0
    assert len(asides_of(path)) == 2


async def test_only_the_newest_drained_files_are_kept(path: Path, clock: VirtualClock) -> None:
    for _ in range(6):
        async with opened(path, clock) as outbox:
            sink = outbox.sink("hub")
            await put(outbox)
            await drain(sink)
            await drain(sink, Lane.EVENTS)
            await outbox.flush()
        overwrite(path, 0, 100)
        await clock.advance(10)
    assert 3 <= len(asides_of(path)) <= 4


async def test_last_seen_outlives_a_damaged_header(path: Path, clock: VirtualClock) -> None:
    await filled(path, clock)
    overwrite(path, 0, 100)
    for _ in range(2):
        async with opened(path, clock) as outbox:
            assert outbox.last_seen("source") == BATCHES * ROWS - 1
            assert outbox.marks("source") == ()


async def test_a_set_aside_file_can_be_looked_into(path: Path, clock: VirtualClock, tmp_path: Path) -> None:
    await filled(path, clock)
    overwrite(path, 0, 100)
    await started(path, clock)
    (kept,) = asides_of(path)
    report = inspect(kept)
    assert report.lanes[0].head == BATCHES
    assert [sink.waiting for sink in report.sinks if sink.lane == "process"] == [BATCHES - 3]
    with (tmp_path / "rows.jsonl").open("w") as out:
        assert export(kept, out) == (BATCHES - 3) * ROWS + 1


@pytest.mark.parametrize("damage", [lambda path: overwrite(path, 0, 100), lambda path: path.write_bytes(b"")])
async def test_a_crash_while_setting_aside_is_made_good(
    path: Path, clock: VirtualClock, damage: Callable[[Path], None]
) -> None:
    await crashed(path, clock)
    damage(path)
    path.rename(path.with_name("outbox.damaged-20260101T000000Z.db"))  # noqa: ASYNC240 - a test may
    async with opened(path, clock) as outbox:
        await put(outbox)
        assert seqs(await take(outbox.sink("hub"), live=False))[-1] == 1
    assert len(asides_of(path)) == 1
    assert not path.with_name("outbox.db-wal").exists()


async def test_settings_say_how_hard_it_syncs(path: Path, clock: VirtualClock) -> None:
    for level, number in (("FULL", 2), ("NORMAL", 1)):
        outbox = await Outbox.open(path, OutboxSettings.model_validate({"synchronous": level}), clock)
        assert await query(outbox, "PRAGMA synchronous") == [(number,)]
        assert await query(outbox, "PRAGMA journal_mode") == [("wal",)]
        await outbox.close()

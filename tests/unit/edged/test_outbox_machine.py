"""Whatever is done in whatever order, and wherever it is cut off: what was promised is delivered, what was confirmed
is not, no number twice; in both lanes."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edged.clock import VirtualClock
from edged.outbox import Outbox
from edged.outbox_sink import Batch
from edged.settings import OutboxSettings
from edged.types import BatchKey, Gap, Lane, Sample
from tests.unit.edged.outbox_bench import PLENTY
from tests.unit.edged.outbox_witness import Witness, copy_folder, unwatch, witness

SINKS = ("hub", "other")
MEMORY = Path("/dev/shm")
"""A disk that need not sync makes the steps ten times faster."""
MARK = "machine"
"""The reason of the events that the model records; the outbox records others of its own."""
LANES = tuple(Lane)
WAL_HEADER_BYTES = 32
LONG_EXAMPLES = 2000
LONG_SECONDS = 3600
T = TypeVar("T")
sinks = st.sampled_from(SINKS)
lanes = st.sampled_from(LANES)
moments = st.integers(1, 150) | st.integers(1, 1500)


class Machine(RuleBasedStateMachine):
    """The model keeps values: each is appended once."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-machine-", dir=MEMORY if MEMORY.is_dir() else None))
        self.clock = VirtualClock()
        self.next = 0
        self.files = 0
        self.waiting: list[tuple[Lane, set[int], Awaitable[None]]] = []
        self.promised: dict[Lane, set[int]] = {lane: set() for lane in LANES}
        self.contents: dict[BatchKey, tuple[object, ...]] = {}
        self.out: dict[str, set[BatchKey]] = {name: set() for name in SINKS}
        self.confirmed: dict[str, set[BatchKey]] = {name: set() for name in SINKS}
        self.durable: dict[str, set[BatchKey]] = {name: set() for name in SINKS}
        self.heads: dict[tuple[str, Lane], int] = {}
        self.online_at: dict[tuple[str, Lane], int] = {}

    @property
    def path(self) -> Path:
        return self.folder / str(self.files) / "outbox.db"

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def start(self) -> None:
        self.outbox = await Outbox.open(self.path, OutboxSettings(), self.clock)
        self.sinks = {name: self.outbox.sink(name) for name in SINKS}
        self.online_at = {}
        self.out = {name: set() for name in SINKS}
        self.note_heads()

    def note_heads(self) -> None:
        """How many batches each lane of each stream has given numbers to."""
        for status in self.outbox.status().lanes:
            self.heads[self.outbox.stream, Lane(status.lane)] = status.head

    def head(self, lane: Lane) -> int:
        return self.heads[self.outbox.stream, lane]

    @initialize()
    def begin(self) -> None:
        self.path.parent.mkdir()
        self.run(self.start())

    @rule(count=st.integers(1, 3), commit=st.booleans())
    def append(self, count: int, *, commit: bool) -> None:
        self.run(self.put(Lane.PROCESS, count))
        if commit:
            self.run(self.settle())

    @rule(count=st.integers(1, 3))
    def record(self, count: int) -> None:
        """Events are committed at once, and what waits with them."""
        self.run(self.put(Lane.EVENTS, count))
        self.run(self.settle())

    async def put(self, lane: Lane, count: int) -> None:
        numbers = range(self.next, self.next + count)
        self.next += count
        promise: Awaitable[None]
        if lane is Lane.PROCESS:
            samples = [Sample("s", number, number, number) for number in numbers]
            promise = self.outbox.append("source", samples, [b"%d" % numbers[-1]])
        else:
            promise = self.outbox.record([Gap("source", number, number, MARK) for number in numbers])
        self.waiting.append((lane, set(numbers), promise))

    async def settle(self) -> None:
        await self.outbox.flush()
        for lane, numbers, promise in self.waiting:
            await promise
            self.promised[lane] |= numbers
        self.waiting.clear()
        self.note_heads()
        self.durable = {name: set(keys) for name, keys in self.confirmed.items()}

    @rule(
        name=sinks,
        lane=lanes,
        online=st.booleans(),
        live=st.sampled_from([(True, False), (False, True), (True,), (False,)]),
        count=st.integers(1, 4),
        size=st.sampled_from([1, PLENTY]),
        fates=st.lists(st.sampled_from(["confirm", "release", "keep out"]), min_size=1, max_size=4),
        commit=st.booleans(),
    )
    def exchange(
        self,
        name: str,
        lane: Lane,
        live: tuple[bool, ...],
        count: int,
        size: int,
        fates: list[str],
        *,
        online: bool,
        commit: bool,
    ) -> None:
        """Takes, and then confirms, releases or keeps each batch that is out."""
        if online:
            self.go_online(name)
        for part in live:
            self.take(name, lane, count, size, live=part)
        fate_of = {key: fates[number % len(fates)] for number, key in enumerate(sorted(self.out[name]))}
        done = [key for key, fate in fate_of.items() if fate == "confirm"]
        back = [key for key, fate in fate_of.items() if fate == "release"]
        unknown = [key._replace(seq=key.seq + 1000) for key in done]
        self.run(self.sinks[name].confirm(done + unknown))
        self.sinks[name].release(back + unknown)
        self.confirmed[name] |= set(done)
        self.out[name] -= {*done, *back}
        if commit:
            self.run(self.settle())

    def go_online(self, name: str) -> None:
        self.sinks[name].reopen()
        self.out[name].clear()
        self.note_heads()
        self.online_at |= {(name, lane): self.head(lane) for lane in LANES}

    def take(self, name: str, lane: Lane, count: int, size: int, *, live: bool) -> None:
        taking = self.sinks[name].take(lane, live=live, max_batches=count, max_bytes=size)
        batches = list(self.run(taking))
        assert len(batches) <= count
        for batch in batches:
            self.check(name, batch)
            assert batch.key not in self.out[name]
            self.out[name].add(batch.key)
            if live:
                assert batch.key.stream == self.outbox.stream
                assert batch.key.seq > self.online_at[name, lane]
        assert [batch.key.seq for batch in batches] == sorted(batch.key.seq for batch in batches) or not live

    def check(self, name: str, batch: Batch) -> None:
        """No number stands for two batches, and nothing confirmed comes again."""
        if batch.key.lane is Lane.PROCESS:
            values: tuple[object, ...] = tuple(sample.value for sample in batch.samples())
        else:
            events = batch.events()
            values = tuple(event.start for event in events if isinstance(event, Gap) and event.reason == MARK)
        assert self.contents.setdefault(batch.key, values) == values
        assert batch.key not in self.confirmed[name]

    def delivered(self, name: str, lane: Lane) -> set[object]:
        """The values of all batches of a lane that were confirmed."""
        return {value for key in self.confirmed[name] if key.lane is lane for value in self.contents[key]}

    @rule(reopen=st.booleans())
    def deliver(self, *, reopen: bool) -> None:
        """Both sinks take everything; unless they go online again first, all but what is out."""
        self.run(self.deliver_all(reopen=reopen))

    @rule(how=st.sampled_from(["restart", "crash", "damage"]))
    def end(self, how: str) -> None:
        """The process ends, and another one begins."""
        if how == "crash":
            self.crash()
        else:
            self.run(self.settle())
            self.run(self.outbox.close())
        if how == "damage":
            with self.path.open("r+b") as file:
                file.write(bytes(100))
            self.clock.tick(10)
        stream = self.outbox.stream
        self.run(self.start())
        assert (self.outbox.stream != stream) == (how == "damage")

    def crash(self) -> None:
        """What is on the disk is all there is."""
        self.files += 1
        copy_folder(self.folder / str(self.files - 1), self.path.parent)
        self.forget()

    def forget(self) -> None:
        """The process is gone, and what it had not made durable."""
        self.run(self.outbox.close())
        self.waiting.clear()
        self.confirmed = {name: set(keys) for name, keys in self.durable.items()}

    @rule(moment=moments, counts=st.tuples(st.integers(0, 3), st.integers(0, 2)), torn=st.none() | st.floats(0, 1))
    def cut_off_a_commit(self, moment: int, counts: tuple[int, int], torn: float | None) -> None:
        """A crash within a commit: at a moment of SQLite's work, or when a part of the log's new bytes was written."""
        before, copy = self.path.parent, self.folder / str(self.files + 1)
        first = self.folder / "before"
        copy_folder(before, first)
        promised = {lane: set(numbers) for lane, numbers in self.promised.items()}
        wanted, durable = ({n: set(keys) for n, keys in one.items()} for one in (self.confirmed, self.durable))
        with witness(before, copy, moment) as seen:
            self.run(self.watched_commit(seen, counts))
        if torn is not None and not seen.taken:
            self.tear(first, before, copy, torn)
        if not copy.exists():
            copy_folder(before, copy)
        shutil.rmtree(first)
        self.files += 1
        self.forget()
        self.promised = promised
        self.run(self.start())
        self.believe(wanted, durable)

    async def watched_commit(self, seen: Witness, counts: tuple[int, int]) -> None:
        store = self.outbox._writer.shelf.store
        assert store is not None
        run = self.outbox._writer.shelf.run
        await run(lambda: seen.watch(store._connection))
        for lane, count in zip(LANES, counts, strict=True):
            if count:
                await self.put(lane, count)
        await self.settle()
        await run(lambda: unwatch(store._connection))

    def tear(self, first: Path, after: Path, copy: Path, share: float) -> None:
        """The database as it was, and as much of what the log has gained; nothing if the log began anew."""
        name = f"{self.path.name}-wal"
        old = (first / name).read_bytes() if (first / name).exists() else b""
        new = (after / name).read_bytes() if (after / name).exists() else b""
        if len(new) > len(old) and old[:WAL_HEADER_BYTES] == new[: min(len(old), WAL_HEADER_BYTES)]:
            copy_folder(first, copy)
            (copy / name).write_bytes(new[: len(old) + round(share * (len(new) - len(old)))])

    def believe(self, wanted: dict[str, set[BatchKey]], durable: dict[str, set[BatchKey]]) -> None:
        """One transaction was cut off: all that had been confirmed by then is, or only what was durable before."""
        for known in (durable, wanted):
            self.confirmed = {name: set(keys) for name, keys in known.items()}
            if all(self.sinks[name].depth(lane) == self.owed(name, lane) for name in SINKS for lane in LANES):
                break
        else:
            raise AssertionError("what is confirmed is neither what was before the commit nor what was after it")
        self.durable = {name: set(keys) for name, keys in self.confirmed.items()}

    @rule(moment=moments)
    def cut_off_while_setting_aside(self, moment: int) -> None:
        """A crash while a damaged file is set aside and a new one is made."""
        self.run(self.settle())
        self.run(self.outbox.close())
        with self.path.open("r+b") as file:
            file.write(bytes(100))
        self.clock.tick(10)
        before, copy = self.path.parent, self.folder / str(self.files + 1)
        with witness(before, copy, moment) as seen:
            self.run(self.start())
            self.run(self.outbox.close())
        if seen.taken:
            del self.heads[self.outbox.stream, Lane.PROCESS], self.heads[self.outbox.stream, Lane.EVENTS]
            self.files += 1
        self.clock.tick(10)
        self.run(self.start())

    def owed(self, name: str, lane: Lane) -> int:
        """Batches of a lane that the sink has not confirmed."""
        given = sum(head for (_, of), head in self.heads.items() if of is lane)
        return given - sum(key.lane is lane for key in self.confirmed[name])

    @invariant()
    def depth_is_what_is_owed(self) -> None:
        if hasattr(self, "outbox"):
            self.note_heads()
            for name in SINKS:
                for lane in LANES:
                    assert self.sinks[name].depth(lane) == self.owed(name, lane)

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.run(self.deliver_all(reopen=True))
            self.run(self.outbox.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    async def deliver_all(self, *, reopen: bool) -> None:
        await self.settle()
        for name in self.sinks:
            if reopen:
                self.go_online(name)
            for lane in LANES:
                await self.deliver_lane(name, lane)
        await self.settle()
        left = {key for keys in self.out.values() for key in keys if key.stream == self.outbox.stream}
        for status in self.outbox.status().lanes:
            assert status.batches == sum(key.lane == status.lane for key in left)

    async def deliver_lane(self, name: str, lane: Lane) -> None:
        sink = self.sinks[name]
        for live in (True, False):
            while batches := await sink.take(lane, live=live, max_batches=10, max_bytes=PLENTY):
                for batch in batches:
                    self.check(name, batch)
                    self.confirmed[name].add(batch.key)
                await sink.confirm([batch.key for batch in batches])
        out = {key for key in self.out[name] if key.lane is lane}
        assert sink.depth(lane) == len(out)
        if not out:
            assert self.promised[lane] <= self.delivered(name, lane) <= set(range(self.next))


def searched(examples: int) -> type[Any]:
    """The search as a test case of so many examples."""
    chosen = settings(
        max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    return type("Search", (Machine.TestCase,), {"settings": chosen})


TestMachine = pytest.mark.timeout(180)(searched(60))
TestMachineLong = pytest.mark.long(pytest.mark.timeout(LONG_SECONDS)(searched(LONG_EXAMPLES)))

"""Whatever is done in whatever order: what was promised is delivered, what was confirmed is not, no number twice."""

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
from edged.types import BatchKey, Lane, Sample
from tests.unit.edged.outbox_bench import PLENTY

SINKS = ("hub", "other")
MEMORY = Path("/dev/shm")
"""A disk that need not sync makes the steps ten times faster."""
T = TypeVar("T")
sinks = st.sampled_from(SINKS)


class Machine(RuleBasedStateMachine):
    """The model keeps values: each is appended once."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-machine-", dir=MEMORY if MEMORY.is_dir() else None))
        self.clock = VirtualClock()
        self.next = 0
        self.files = 0
        self.waiting: list[tuple[set[int], Awaitable[None]]] = []
        self.promised: set[int] = set()
        self.contents: dict[BatchKey, tuple[object, ...]] = {}
        self.out: dict[str, set[BatchKey]] = {name: set() for name in SINKS}
        self.confirmed: dict[str, set[BatchKey]] = {name: set() for name in SINKS}
        self.durable: dict[str, set[BatchKey]] = {name: set() for name in SINKS}
        self.heads: dict[str, int] = {}
        self.online_at: dict[str, int] = dict.fromkeys(SINKS, -1)

    @property
    def path(self) -> Path:
        return self.folder / str(self.files) / "outbox.db"

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def start(self) -> None:
        self.outbox = await Outbox.open(self.path, OutboxSettings(), self.clock)
        self.sinks = {name: self.outbox.sink(name) for name in SINKS}
        self.online_at = dict.fromkeys(SINKS, -1)
        self.out = {name: set() for name in SINKS}
        self.note_head()

    def note_head(self) -> None:
        """How many batches each stream has given numbers to."""
        self.heads[self.outbox.stream] = self.outbox.status().lanes[0].head

    @initialize()
    def begin(self) -> None:
        self.path.parent.mkdir()
        self.run(self.start())

    @rule(count=st.integers(1, 3), commit=st.booleans())
    def append(self, count: int, *, commit: bool) -> None:
        numbers = range(self.next, self.next + count)
        self.next += count

        async def append() -> None:
            samples = [Sample("s", number, number, number) for number in numbers]
            self.waiting.append((set(numbers), self.outbox.append("source", samples, [b"%d" % numbers[-1]])))

        self.run(append())
        if commit:
            self.run(self.settle())

    async def settle(self) -> None:
        await self.outbox.flush()
        for numbers, promise in self.waiting:
            await promise
            self.promised |= numbers
        self.waiting.clear()
        self.note_head()
        self.durable = {name: set(keys) for name, keys in self.confirmed.items()}

    @rule(
        name=sinks,
        online=st.booleans(),
        live=st.sampled_from([(True, False), (False, True), (True,), (False,)]),
        count=st.integers(1, 4),
        size=st.sampled_from([1, PLENTY]),
        fates=st.lists(st.sampled_from(["confirm", "release", "keep out"]), min_size=1, max_size=4),
        commit=st.booleans(),
    )
    def exchange(
        self, name: str, live: tuple[bool, ...], count: int, size: int, fates: list[str], *, online: bool, commit: bool
    ) -> None:
        """Takes, and then confirms, releases or keeps each batch that is out."""
        if online:
            self.go_online(name)
        for part in live:
            self.take(name, count, size, live=part)
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
        self.online_at[name] = self.outbox.status().lanes[0].head

    def take(self, name: str, count: int, size: int, *, live: bool) -> None:
        taking = self.sinks[name].take(Lane.PROCESS, live=live, max_batches=count, max_bytes=size)
        batches = list(self.run(taking))
        assert len(batches) <= count
        for batch in batches:
            self.check(name, batch)
            assert batch.key not in self.out[name]
            self.out[name].add(batch.key)
            if live:
                assert batch.key.stream == self.outbox.stream
                assert batch.key.seq > self.online_at[name] >= 0
        assert [batch.key.seq for batch in batches] == sorted(batch.key.seq for batch in batches) or not live

    def check(self, name: str, batch: Batch) -> None:
        """No number stands for two batches, and nothing confirmed comes again."""
        values = tuple(sample.value for sample in batch.samples())
        assert self.contents.setdefault(batch.key, values) == values
        assert batch.key not in self.confirmed[name]

    def delivered(self, name: str) -> set[object]:
        """The values of all batches that were confirmed."""
        return {value for key in self.confirmed[name] for value in self.contents[key]}

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
        before = self.path
        self.files += 1
        self.path.parent.mkdir()
        for suffix in ("", "-wal"):
            if Path(f"{before}{suffix}").exists():
                shutil.copy(f"{before}{suffix}", f"{self.path}{suffix}")
        for aside in before.parent.glob("outbox.damaged-*"):
            shutil.copy(aside, self.path.parent)
        self.run(self.outbox.close())
        self.waiting.clear()
        self.confirmed = {name: set(keys) for name, keys in self.durable.items()}

    @invariant()
    def depth_is_what_is_owed(self) -> None:
        if hasattr(self, "outbox"):
            for name in SINKS:
                assert self.sinks[name].depth(Lane.PROCESS) == sum(self.heads.values()) - len(self.confirmed[name])

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.run(self.deliver_all(reopen=True))
            self.run(self.outbox.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    async def deliver_all(self, *, reopen: bool) -> None:
        await self.settle()
        for name, sink in self.sinks.items():
            if reopen:
                self.go_online(name)
            for live in (True, False):
                while batches := await sink.take(Lane.PROCESS, live=live, max_batches=10, max_bytes=PLENTY):
                    for batch in batches:
                        self.check(name, batch)
                        self.confirmed[name].add(batch.key)
                    await sink.confirm([batch.key for batch in batches])
            assert sink.depth(Lane.PROCESS) == len(self.out[name])
            if not self.out[name]:
                assert self.promised <= self.delivered(name) <= set(range(self.next))
        await self.settle()
        left = {key for keys in self.out.values() for key in keys if key.stream == self.outbox.stream}
        assert self.outbox.status().lanes[0].batches == len(left)
        assert self.outbox.status().lanes[1].head == 0


Machine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestMachine = pytest.mark.timeout(180)(Machine.TestCase)

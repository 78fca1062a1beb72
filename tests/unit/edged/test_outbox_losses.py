"""Caps, a disk that refuses, clocks that jump, crashes: nothing is lost but what a Gap covers exactly, nothing twice.

The judge is independent of the outbox's own accounts. It knows every value that was appended, and what each number
stood for, because it reads the file itself after each commit.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from edged.clock import VirtualClock
from edged.errors import OutboxUnavailable
from edged.outbox import Outbox
from edged.outbox_read import fetch, stored_numbers
from edged.outbox_schema import LANES, connect_read_only
from edged.outbox_sink import OutboxSink
from edged.records import decode
from edged.settings import OutboxSettings
from edged.types import BatchKey, Event, Gap, Lane, Sample
from tests.unit.edged.outbox_bench import PLENTY, limit_pages, noise_of
from tests.unit.edged.outbox_witness import Witness, copy_folder, unwatch, witness

MEMORY = Path("/dev/shm")
MAIN, SECOND, NARROW = "hub", "other", "sparkplug"
SOURCES = ("a", "b")
CAP_BYTES = 1_000_000
CAP_SECONDS = {MAIN: 2000.0, SECOND: 2000.0, NARROW: 500.0}
HOLD_SECONDS = 50.0
RING_SAMPLES = 12
DAY = 86_400.0
HEAL_SECONDS = 2.0
HARMLESS = ("SELECT", "PRAGMA", "ROLLBACK", "COMMIT")
"""A commit that SQLite's hook refuses is durable all the same."""
MOST_SPARE_PAGES = 8
MARK = "machine"
LONG_EXAMPLES = 2000
LONG_SECONDS = 3600
T = TypeVar("T")
Records = tuple[Sample | Event, ...]
moments = st.integers(1, 150) | st.integers(1, 1500)


class Truth:
    """Everything that was appended and everything that a number stood for."""

    def __init__(self) -> None:
        self.offered: dict[str, dict[int, Sample]] = {source: {} for source in SOURCES}
        self.excused: dict[str, set[int]] = {source: set() for source in SOURCES}
        """Not durable when the process ended: the next run tells that from the source's last sample on."""
        self.contents: dict[BatchKey, Records] = {}
        self.born: dict[BatchKey, float] = {}
        """Monotonic time when a number was first seen."""

    def times(self, key: BatchKey) -> list[int]:
        return [record.source_time for record in self.contents[key] if isinstance(record, Sample)]

    def durable(self, source: str) -> set[int]:
        """Source times of the samples that any batch holds, in no batch twice."""
        held = [
            record.source_time
            for records in self.contents.values()
            for record in records
            if isinstance(record, Sample) and record.signal == source
        ]
        assert len(held) == len(set(held))
        return set(held)

    def gaps(self) -> Iterator[Gap]:
        """All that any batch tells, of the outbox's own."""
        for records in self.contents.values():
            yield from (record for record in records if isinstance(record, Gap) and record.reason != MARK)

    def named(self, lane: Lane) -> set[BatchKey]:
        """The batches that gaps of the road name; none is named twice."""
        keys = [
            BatchKey(gap.stream, lane, seq)
            for gap in self.gaps()
            if gap.source == "outbox" and gap.lane == lane.value
            for seq in range(gap.first_seq, gap.last_seq + 1)
        ]
        assert len(keys) == len(set(keys)), "a number is given up twice"
        return set(keys)

    def check_gaps(self) -> None:
        """Each Gap says exactly what is lost."""
        for gap in self.gaps():
            if gap.source == "outbox":
                keys = [BatchKey(gap.stream, Lane(gap.lane), seq) for seq in range(gap.first_seq, gap.last_seq + 1)]
                assert gap.samples == sum(len(self.contents[key]) for key in keys)
                if gap.lane == Lane.PROCESS:
                    times = [time for key in keys for time in self.times(key)]
                    assert (gap.start, gap.end) == (min(times), max(times))
            elif gap.reason == "outbox_unavailable":
                kept = self.durable(gap.source)
                lost = [time for time in self.offered[gap.source] if gap.start <= time <= gap.end and time not in kept]
                assert (gap.samples, gap.start, gap.end) == (len(lost), min(lost), max(lost))

    def check_sources(self, promised: dict[str, set[int]]) -> None:
        """What was promised is in a batch or in a Gap of its source; and nothing is in both."""
        for source in SOURCES:
            told = [gap for gap in self.gaps() if gap.source == source]
            for time in promised[source] - self.durable(source) - self.excused[source]:
                assert sum(gap.start <= time <= gap.end for gap in told) == 1


class Receiver:
    """What one sink took and confirmed."""

    def __init__(self) -> None:
        self.out: set[BatchKey] = set()
        self.confirmed: dict[BatchKey, float] = {}
        """With the monotonic time."""
        self.durable: set[BatchKey] = set()
        self.given_up_late: set[BatchKey] = set()
        """Taken, given up by a cap while out, and confirmed after all: told as lost although it arrived."""
        self.again: set[BatchKey] = set()
        """Those that `unconfirm` brings again, or a crash may."""
        self.must_again: set[BatchKey] = set()


class Machine(RuleBasedStateMachine):
    """Two main sinks, and one that pins nothing for long and can unconfirm."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-losses-", dir=MEMORY if MEMORY.is_dir() else None))
        self.clock = VirtualClock()
        self.truth = Truth()
        self.files = 0
        self.count = itertools.count(1)
        self.waiting: list[tuple[str, set[int], Awaitable[None]]] = []
        self.promised: dict[str, set[int]] = {source: set() for source in SOURCES}
        self.receivers = {name: Receiver() for name in CAP_SECONDS}
        self.broken = False

    @property
    def path(self) -> Path:
        return self.folder / str(self.files) / "outbox.db"

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @initialize(two=st.booleans())
    def begin(self, *, two: bool) -> None:
        if not two:
            del self.receivers[SECOND]
        self.path.parent.mkdir()
        self.run(self.start())

    async def start(self) -> None:
        chosen = OutboxSettings(cap_bytes=CAP_BYTES, cap_age_seconds=CAP_SECONDS[MAIN], ring_samples=RING_SAMPLES)
        self.outbox = await Outbox.open(self.path, chosen, self.clock)
        self.sinks: dict[str, OutboxSink] = {}
        for name, receiver in self.receivers.items():
            narrow = {"cap_age_seconds": CAP_SECONDS[NARROW], "hold_seconds": HOLD_SECONDS, "lanes": [Lane.PROCESS]}
            options: dict[str, Any] = narrow if name == NARROW else {}
            self.sinks[name] = self.outbox.sink(name, **options)
            receiver.out.clear()
        await self.look()
        for source in SOURCES:
            seen = self.outbox.last_seen(source) or 0
            kept = self.truth.durable(source)
            told = [gap for gap in self.truth.gaps() if gap.source == source]
            for time in set(self.truth.offered[source]) - kept - self.truth.excused[source]:
                if not any(gap.start <= time <= gap.end for gap in told):
                    assert time > seen, "neither kept nor told, and the source's own gap begins after it"
                    self.truth.excused[source].add(time)

    async def look(self) -> None:
        """Reads what is new in the file, on its own."""
        stream = self.outbox.stream
        if self.path.exists():
            with closing(connect_read_only(self.path)) as connection:
                for lane in LANES:
                    for key in [BatchKey(stream, lane, seq) for seq in stored_numbers(connection, lane).head(PLENTY)]:
                        if key not in self.truth.contents:
                            (batch,) = fetch(connection, stream, lane, [key.seq], PLENTY).batches
                            self.truth.contents[key] = tuple(decode(batch.blob))
                            self.truth.born[key] = self.clock.monotonic()

    @rule(source=st.sampled_from(SOURCES), count=st.integers(1, 5), large=st.booleans(), commit=st.booleans())
    def append(self, source: str, count: int, *, large: bool, commit: bool) -> None:
        self.run(self.put(source, count, large=large))
        if commit:
            self.run(self.settle())

    async def put(self, source: str, count: int, *, large: bool) -> None:
        numbers = list(itertools.islice(self.count, count))
        made = noise_of(count, start=numbers[0], size=60_000 if large else 20)
        samples = [sample._replace(signal=source) for sample in made]
        self.truth.offered[source] |= {sample.source_time: sample for sample in samples}
        self.waiting.append((source, set(numbers), self.outbox.append(source, samples)))

    @rule()
    def record(self) -> None:
        """An event is refused at once or durable; what was refused is nobody's loss."""
        self.run(self.put_event())

    async def put_event(self) -> None:
        number = next(self.count)
        promise = self.outbox.record([Gap("machine", number, number, MARK)])
        await self.settle()
        held = any(
            isinstance(r, Gap) and r.start == number and r.reason == MARK
            for rs in self.truth.contents.values()
            for r in rs
        )
        try:
            await promise
        except OutboxUnavailable:
            assert not self.outbox.writable
            assert not held
        else:
            assert held

    async def settle(self) -> None:
        """One attempt to commit; what it promised is then in the file, or told."""
        await self.outbox.flush()
        await self.look()
        await self.note_promises()
        if self.outbox.writable:
            for receiver in self.receivers.values():
                receiver.durable = set(receiver.confirmed)
        elif not self.broken:
            raise AssertionError(f"degraded on a sound disk: {self.outbox.status().degraded}")

    async def note_promises(self) -> None:
        for entry in list(self.waiting):
            source, numbers, promise = entry
            assert isinstance(promise, asyncio.Future)
            if promise.done():
                await promise
                self.promised[source] |= numbers
                self.waiting.remove(entry)
        self.truth.check_sources(self.promised)

    @rule(
        name=st.sampled_from(list(CAP_SECONDS)),
        lane=st.sampled_from(list(Lane)),
        online=st.booleans(),
        count=st.integers(1, 4),
        fates=st.lists(st.sampled_from(["confirm", "release", "keep out"]), min_size=1, max_size=4),
        commit=st.booleans(),
    )
    def exchange(self, name: str, lane: Lane, count: int, fates: list[str], *, online: bool, commit: bool) -> None:
        if name not in self.sinks:
            return
        if online:
            self.sinks[name].reopen()
            self.receivers[name].out.clear()
        for live in (True, False):
            self.run(self.take(name, lane, count, live=live))
        out = sorted(self.receivers[name].out)
        fate_of = {key: fates[number % len(fates)] for number, key in enumerate(out)}
        self.run(self.confirm(name, [key for key, fate in fate_of.items() if fate == "confirm"]))
        back = [key for key, fate in fate_of.items() if fate == "release"]
        self.sinks[name].release(back)
        self.receivers[name].out -= set(back)
        if commit:
            self.run(self.settle())

    async def take(self, name: str, lane: Lane, count: int, *, live: bool) -> list[BatchKey]:
        receiver = self.receivers[name]
        keys = []
        batches = await self.sinks[name].take(lane, live=live, max_batches=count, max_bytes=PLENTY)
        await self.look()
        for batch in batches:
            assert tuple(batch.samples() if lane is Lane.PROCESS else batch.events()) == self.truth.contents[batch.key]
            assert batch.key not in receiver.out
            if batch.key in receiver.confirmed:
                assert batch.key in receiver.again, "confirmed, and here again"
                del receiver.confirmed[batch.key]
                receiver.durable.discard(batch.key)
            receiver.again.discard(batch.key)
            receiver.must_again.discard(batch.key)
            receiver.out.add(batch.key)
            keys.append(batch.key)
        return keys

    async def confirm(self, name: str, keys: list[BatchKey]) -> None:
        receiver, sink = self.receivers[name], self.sinks[name]
        pending = {
            key for key in keys if (track := sink._tracks.get(key[:2])) is not None and key.seq in track.pending()
        }
        await sink.confirm(keys)
        receiver.confirmed |= dict.fromkeys(pending, self.clock.monotonic())
        receiver.given_up_late |= set(keys) - pending
        receiver.out -= set(keys)

    @rule(all_of_it=st.booleans())
    def unconfirm(self, *, all_of_it: bool) -> None:
        """What the narrow sink confirmed within its hold comes again; outside of the window, nothing does."""
        receiver, now = self.receivers[NARROW], self.clock.monotonic()
        far = 1 << 61
        count = self.run(self.sinks[NARROW].unconfirm(0 if all_of_it else far, far if all_of_it else far + 1))
        if not all_of_it:
            assert count == 0
            return
        recent = {key for key, when in receiver.confirmed.items() if now - when < HOLD_SECONDS}
        assert count >= len(recent - self.truth.named(Lane.PROCESS) - receiver.again)
        receiver.again |= set(receiver.confirmed)
        receiver.must_again |= recent
        receiver.durable.clear()

    @rule(seconds=st.sampled_from([1.0, HOLD_SECONDS + 1, 600.0, 2500.0]))
    def pass_time(self, seconds: float) -> None:
        self.run(self.advance(seconds))

    async def advance(self, seconds: float) -> None:
        await self.settle()  # nothing is committed, aged and removed between two looks
        await self.clock.advance(seconds)
        await self.settle()

    @rule(seconds=st.sampled_from([-DAY, DAY]))
    def jump(self, seconds: float) -> None:
        """Wall time only: nothing is older for it."""
        self.clock.jump(seconds)

    @precondition(lambda self: not self.broken)
    @rule(how=st.sampled_from(["step", "full"]), moment=moments, count=st.integers(1, 9), large=st.booleans())
    def break_disk(self, how: str, moment: int, count: int, *, large: bool) -> None:
        """From some moment of the next commit on nothing can be written."""
        self.broken = True
        self.run(self.put("a", count, large=large))
        self.run(self.fail(how, moment))

    async def fail(self, how: str, moment: int) -> None:
        left = itertools.count(moment, -1)
        if how == "step":
            await self.refuse(lambda: next(left) <= 0)
        else:
            await limit_pages(self.outbox, moment % MOST_SPARE_PAGES)
        await self.settle()
        await self.refuse(lambda: True)
        await self.settle()

    async def refuse(self, when: Callable[[], bool] | None) -> None:
        """Writing ends with an error when that says so; SQLite can always take back what it began."""
        store = self.outbox._writer.shelf.store
        assert store is not None
        statement = [""]

        def hook() -> None:
            store._connection.set_trace_callback(lambda text: statement.__setitem__(0, text))
            handler = None if when is None else lambda: int(not statement[0].startswith(HARMLESS) and when())
            store._connection.set_progress_handler(handler, 1)

        await self.outbox._writer.shelf.run(hook)

    @precondition(lambda self: self.broken)
    @rule()
    def heal(self) -> None:
        """It goes on by itself."""
        self.run(self.mend())
        assert self.outbox.writable

    async def mend(self) -> None:
        await self.refuse(None)
        await limit_pages(self.outbox, None)
        self.broken = False
        await self.clock.advance(HEAL_SECONDS)
        await self.settle()

    @rule()
    def restart(self) -> None:
        """In good order; on a disk that refuses, what is in memory is gone."""
        self.run(self.stop())
        self.run(self.start())
        self.run(self.settle())

    async def stop(self) -> None:
        await self.settle()
        store = self.outbox._writer.shelf.store
        await self.outbox.close()
        self.broken = False
        if store is not None:
            self.forget()

    def forget(self) -> None:
        """The process is gone."""
        self.waiting.clear()
        for receiver in self.receivers.values():
            lost = set(receiver.confirmed) - receiver.durable
            receiver.again |= lost
            receiver.must_again.clear()

    @rule(
        moment=moments, what=st.sampled_from(["commit", "heal", "take"]), count=st.integers(0, 4), large=st.booleans()
    )
    def crash(self, moment: int, what: str, count: int, *, large: bool) -> None:
        """At a moment of a commit, of healing, of age: the folder as it is then is all there is."""
        before, copy = self.path.parent, self.folder / str(self.files + 1)
        known = set(self.truth.contents)
        promised = {source: set(numbers) for source, numbers in self.promised.items()}
        durable = {name: set(receiver.durable) for name, receiver in self.receivers.items()}
        with witness(before, copy, moment) as seen:
            self.run(self.watched(seen, what, count, large=large))
        if not seen.taken:
            copy_folder(before, copy)
        else:
            self.promised = promised
            for name, keys in durable.items():
                self.receivers[name].durable = keys
        self.files += 1
        self.run(self.outbox.close())
        self.broken = False
        for key in set(self.truth.contents) - known:
            del self.truth.contents[key], self.truth.born[key]
        self.forget()
        self.run(self.start())
        self.run(self.settle())

    async def watched(self, seen: Witness, what: str, count: int, *, large: bool) -> None:
        store = self.outbox._writer.shelf.store
        if count:
            await self.put("b", count, large=large)
        if store is None:
            return
        handler_broken = self.broken
        if what == "heal" and handler_broken:
            self.broken = False
            await limit_pages(self.outbox, None)
        if not self.broken:
            await self.outbox._writer.shelf.run(lambda: seen.watch(store._connection))
        if what == "heal":
            await self.clock.advance(HEAL_SECONDS)
        await self.settle()
        await self.outbox._writer.shelf.run(lambda: unwatch(store._connection))

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            if self.broken:
                self.run(self.mend())
            self.run(self.judge())
            self.run(self.outbox.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    async def judge(self) -> None:
        """Everybody takes everything; then the accounts are settled."""
        for _ in range(3):
            for name, sink in self.sinks.items():
                sink.reopen()
                self.receivers[name].out.clear()
                for lane in sink.lanes:
                    while keys := await self.take(name, lane, 10, live=False):
                        await self.confirm(name, keys)
            await self.settle()
        assert not self.waiting
        self.truth.check_gaps()
        self.check_ages()
        named = {lane: self.truth.named(lane) for lane in Lane}
        for name, receiver in self.receivers.items():
            arrived = set(receiver.confirmed) | receiver.given_up_late
            assert not receiver.must_again - named[Lane.PROCESS]
            missing = {key for key in self.truth.contents if key.lane in self.sinks[name].lanes} - arrived
            if name == NARROW:
                told = [gap for gap in self.truth.gaps() if gap.source == f"outbox/{NARROW}"]
                own = missing - named[Lane.PROCESS]
                assert all(
                    any(gap.start <= time <= gap.end for gap in told) for key in own for time in self.truth.times(key)
                )
            else:
                assert missing <= named[Lane.PROCESS] | named[Lane.EVENTS]
        mains = [self.receivers[name] for name in self.receivers if name != NARROW]
        for lane in Lane:
            for key in named[lane]:
                assert any(key not in receiver.confirmed for receiver in mains), "told as lost, and everybody has it"

    def check_ages(self) -> None:
        """By age only that goes which is as old by a clock that does not jump."""
        for key, records in self.truth.contents.items():
            for gap in records:
                if isinstance(gap, Gap) and gap.reason == "cap_age":
                    cap = CAP_SECONDS[MAIN if gap.source == "outbox" else NARROW]
                    lane = Lane(gap.lane) if gap.lane else Lane.PROCESS
                    seqs = range(gap.first_seq, gap.last_seq + 1) if gap.lane else ()
                    for seq in seqs:
                        assert self.truth.born[key] - self.truth.born[BatchKey(gap.stream, lane, seq)] >= cap - 1


def searched(examples: int) -> type[Any]:
    """The search as a test case of so many examples."""
    chosen = settings(
        max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    return type("Search", (Machine.TestCase,), {"settings": chosen})


TestMachine = pytest.mark.timeout(180)(searched(60))
TestMachineLong = pytest.mark.long(pytest.mark.timeout(LONG_SECONDS)(searched(LONG_EXAMPLES)))

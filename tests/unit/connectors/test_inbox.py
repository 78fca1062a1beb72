"""The bounded queue between a protocol's callback and read."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.errors import SourceLost
from edged.ports import Reading
from edged.types import Gap, Sample
from edged_connectors.south.inbox import Inbox


def samples(*times: int) -> list[Sample]:
    return [Sample("s", float(time), time, time) for time in times]


async def test_lists_come_out_in_order_and_as_one_reading() -> None:
    inbox = Inbox("plc", 100)
    inbox.put(samples(1, 2))
    inbox.put(samples(3))
    assert list((await inbox.take()).samples) == samples(1, 2, 3)


async def test_one_list_is_handed_over_as_it_is() -> None:
    inbox, list_ = Inbox("plc", 100), samples(1, 2)
    inbox.put(list_)
    assert (await inbox.take()).samples is list_


async def test_a_sign_of_life_is_an_empty_reading() -> None:
    inbox = Inbox("plc", 100)
    inbox.put(())
    assert await inbox.take() == Reading((), [])


async def test_take_waits_for_the_next_thing() -> None:
    inbox = Inbox("plc", 100)
    inbox.put(samples(1))
    await inbox.take()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(inbox.take(), 0.01)
    asyncio.get_running_loop().call_soon(inbox.put, samples(2))
    assert list((await inbox.take()).samples) == samples(2)


async def test_the_oldest_make_room_and_become_one_gap() -> None:
    inbox = Inbox("plc", 4)
    for first in (10, 20, 30, 40):
        inbox.put(samples(first, first + 1))
    reading = await inbox.take()
    assert list(reading.samples) == samples(30, 31, 40, 41)
    assert list(reading.gaps) == [Gap("plc", 10, 21, "queue_full", samples=4)]
    inbox.put(())
    assert not (await inbox.take()).gaps


async def test_one_list_larger_than_the_queue_still_passes() -> None:
    inbox = Inbox("plc", 2)
    inbox.put(samples(1, 2, 3))
    assert len((await inbox.take()).samples) == 3


async def test_what_was_held_is_read_before_the_fault() -> None:
    inbox, first = Inbox("plc", 100), SourceLost("first")
    inbox.put(samples(1))
    inbox.tell(Gap("plc", 1, 2, "overflow"))
    inbox.fail(first)
    inbox.fail(SourceLost("second"))
    reading = await inbox.take()
    assert (len(reading.samples), len(reading.gaps)) == (1, 1)
    for _ in range(2):
        with pytest.raises(SourceLost) as caught:
            await inbox.take()
        assert caught.value is first


@given(st.lists(st.integers(1, 9), max_size=40), st.integers(1, 20))
async def test_every_sample_is_read_or_counted_as_dropped(sizes: list[int], capacity: int) -> None:
    inbox, clock = Inbox("plc", capacity), 0
    for size in sizes:
        inbox.put(samples(*range(clock, clock + size)))
        clock += size
    inbox.put(())
    reading = await inbox.take()
    dropped = sum(gap.samples or 0 for gap in reading.gaps)
    assert [sample.source_time for sample in reading.samples] == list(range(dropped, clock))

"""The queue between a way in and the desk: bounded, in order, and no fault of the desk ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edged.errors import OutboxUnavailable
from edged.proposals import MAX_WAITING_PROPOSALS, ProposalQueue
from edged.supervise import start_task
from edged.types import Allowed, Proposal, Refused, Verdict


class Desk:
    """Allows everything but what is negative; that it can't even judge."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def submit(self, proposal: Proposal) -> Verdict:
        await asyncio.sleep(0)
        self.asked.append(proposal.value)
        if proposal.value < 0:
            raise OutboxUnavailable("disk full")
        return Allowed(proposal.value)


def proposal(value: float) -> Proposal:
    return Proposal("hub", "line_a/forming/belt", value, 50, 30.0)


@asynccontextmanager
async def submitting(queue: ProposalQueue) -> AsyncIterator[None]:
    task = start_task("queue", queue.submit())
    yield
    for _ in range(1000):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})


async def test_proposals_are_judged_in_order_and_each_is_told() -> None:
    desk, told = Desk(), list[Verdict]()
    queue = ProposalQueue(desk)
    async with submitting(queue):
        for value in (1.0, -2.0, 3.0):
            assert queue.offer(proposal(value), told.append)
    assert desk.asked == [1.0, -2.0, 3.0]
    assert told[0] == Allowed(1.0)
    assert isinstance(told[1], Refused)
    assert "disk full" in told[1].reason
    assert told[2] == Allowed(3.0)


async def test_a_full_queue_takes_no_more_and_asks_nobody_to_wait() -> None:
    desk, told = Desk(), list[Verdict]()
    queue = ProposalQueue(desk)
    taken = [queue.offer(proposal(float(number)), told.append) for number in range(MAX_WAITING_PROPOSALS + 1)]
    assert taken == [True] * MAX_WAITING_PROPOSALS + [False]
    async with submitting(queue):
        pass
    assert len(told) == MAX_WAITING_PROPOSALS
    assert float(MAX_WAITING_PROPOSALS) not in desk.asked


async def test_without_a_desk_everything_is_refused() -> None:
    told = list[Verdict]()
    queue = ProposalQueue(None)
    async with submitting(queue):
        queue.offer(proposal(1.0), told.append)
    assert told == [Refused("mode: this line has no control")]

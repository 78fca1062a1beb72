"""Wishes from outside on their way to the desk: a bounded queue, so that whoever brings one never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edged.errors import EdgedError
from edged.ports import ProposalDesk
from edged.types import Proposal, Refused, Verdict

MAX_WAITING_PROPOSALS = 100
COMMAND_PRIORITY = 50
"""Of commands from afar: below a person at the box, above controllers."""
NO_DESK = Refused("mode: this line has no control")

Told = Callable[[Verdict], None]


class ProposalQueue:
    """One for each way in. Without a desk every proposal is refused."""

    def __init__(self, desk: ProposalDesk | None) -> None:
        self._desk = desk
        self._waiting: asyncio.Queue[tuple[Proposal, Told]] = asyncio.Queue(MAX_WAITING_PROPOSALS)

    def offer(self, proposal: Proposal, told: Told) -> bool:
        """Lines a proposal up; `told` gets its verdict. False when too many wait: then nothing becomes of it."""
        try:
            self._waiting.put_nowait((proposal, told))
        except asyncio.QueueFull:
            return False
        return True

    async def submit(self) -> None:
        """Hands proposals to the desk, one after the other, until cancelled; one that can't be judged is refused."""
        while True:
            proposal, told = await self._waiting.get()
            told(await self._judge(proposal))

    async def _judge(self, proposal: Proposal) -> Verdict:
        if self._desk is None:
            return NO_DESK
        try:
            return await self._desk.submit(proposal)
        except EdgedError as fault:
            return Refused(str(fault))

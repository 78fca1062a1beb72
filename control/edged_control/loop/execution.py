"""How one proposal reaches the plant: judged, recorded, judged again on a fresh look, written, read back, recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from edged.errors import OutboxUnavailable
from edged.types import Allowed, Clamped, Decision, Priority, Proposal, Refused, Waits, WriteOutcome
from edged_control.decisions import Circumstances, DecisionLog, reason_of, word
from edged_control.gate import CONTROLLERS, HOLD, PlantView, number
from edged_control.loop.output import Output, WriteResult
from edged_control.loop.people import People
from edged_control.loop.proposer import WALK
from edged_control.loop.scan import Scan, Seen
from edged_control.loop.waiting import WaitingRoom
from edged_control.status import Tally
from edged_control.surroundings import REFUSED_ALARM, WRITE_ALARM, Surroundings


class Owner(Protocol):
    """What the loop tells, and what it is told."""

    name: str

    def view(self, seen: Seen) -> PlantView:
        """The plant around the loop as the gate sees it now."""
        ...

    def circumstances(self, seen: Seen | None) -> Circumstances:
        """What a decision is made from now."""
        ...

    def shed(self, reason: str) -> None:
        """The output must hold."""
        ...


class Execution:
    """Carries out what one loop wants. What can't be recorded is not done; what failed sheds the loop."""

    def __init__(
        self,
        owner: Owner,
        people: People,
        around: Surroundings,
        output: Output,
        scan: Scan,
        log: DecisionLog,
        room: WaitingRoom,
        drop: Callable[[], None],
    ) -> None:
        self._owner = owner
        self._people = people
        self._around = around
        self._clock = around.clock
        self._output = output
        self._scan = scan
        self._log = log
        self._drop = drop
        self._room = room
        self._refused = ""
        self.tally = Tally()

    async def carry_out(self, proposal: Proposal, seen: Seen) -> Seen | None:
        """Takes a proposal through the gate to the plant; what the cycle knows afterwards, or None if not verified."""
        verdict = self._around.gate.judge(proposal, self._owner.view(seen), self._clock.monotonic())
        self.tally.verdict, self.tally.reason = word(verdict), reason_of(verdict)
        who = self._owner.circumstances(seen).controller.removeprefix(f"{WALK} ")
        began_to_wait = self._room.note(who, verdict)
        if verdict is HOLD:
            self._accepted()
            return seen
        if isinstance(verdict, Waits):
            if began_to_wait:
                await self.record_refusal(proposal, verdict, seen)
            return seen
        if isinstance(verdict, Refused):
            if self._count_refusal(verdict):
                await self.record_refusal(proposal, verdict, seen)
            return seen
        try:
            decision = await self._log.decide(proposal, verdict, self._owner.circumstances(seen))
            self.tally.decision, self.tally.value = decision.identity, verdict.value
            if self._around.advisory:
                self._accepted()
                await self._log.complete(decision, WriteOutcome.NONE, "advisory: nothing is written", None)
                return None
            return await self._write(proposal, verdict, decision, seen)
        except OutboxUnavailable as fault:
            self._owner.shed(f"mode: decisions can't be recorded: {fault}")
            return None

    async def settle(self, seen: Seen) -> None:
        """Finds out from a good readback what became of an unfinished write."""
        pending = self._output.pending
        if pending is not None:
            await self._finish(pending.decision, self._output.settle(seen.readback))

    async def record_refusal(self, proposal: Proposal, verdict: Refused, seen: Seen | None) -> None:
        """A refusal stays one when it can't be recorded: nothing was done, so nothing is undone."""
        try:
            around = self._owner.circumstances(seen)
            if proposal.source not in CONTROLLERS:
                around = around._replace(controller=proposal.who)
            decision = await self._log.refuse(proposal, verdict, around)
        except OutboxUnavailable:
            return
        self.tally.decision = decision.identity

    async def _write(
        self, proposal: Proposal, judged: Allowed | Clamped, decision: Decision, seen: Seen
    ) -> Seen | None:
        """Looks once more, has the gate check once more, writes and reads back.

        A record may have taken its time: all that the gate wants fresh is read again, and the wish is as old as it is.
        """
        seen = replace(await self._scan.everything(), process_value=seen.process_value)
        now, view = self._clock.monotonic(), self._owner.view(seen)
        verdict, command = self._around.gate.admit(proposal, judged.value, view, now, decision.identity)
        if command is None:
            assert isinstance(verdict, Refused)
            self.tally.verdict, self.tally.reason = word(verdict), verdict.reason
            self._count_refusal(verdict)
            self._people.notice(seen)  # in the next cycle the plant may deny us, and it would pass for an entry
            readback = number(seen.readback.value)
            await self._log.complete(decision, WriteOutcome.NONE, verdict.reason, readback, word(verdict))
            return None
        self._accepted()
        fault = self._output.announce(command)
        if fault:
            self._owner.shed(f"memory: {fault}")
            readback = number(seen.readback.value)
            await self._log.complete(decision, WriteOutcome.NONE, f"memory: {fault}", readback, "refused")
            return None
        result = await self._output.write(command, decision)
        await self._finish(decision, result)
        return replace(seen, readback=result.readback) if result.outcome is WriteOutcome.VERIFIED else None

    async def _finish(self, decision: Decision, result: WriteResult) -> None:
        """Draws the consequences of a write and completes its decision; an UNKNOWN one is completed again later."""
        alarms, owner = self._around.alarms, self._owner
        self._around.meters.writes[result.outcome].inc()
        if result.outcome is WriteOutcome.VERIFIED:
            self.tally.verified += 1
            alarms.clear_alarm(WRITE_ALARM, owner.name)
        else:
            self.tally.failed += result.outcome is not WriteOutcome.UNKNOWN
            alarms.raise_alarm(WRITE_ALARM, owner.name, Priority.HIGH, f"{result.outcome}: {result.reason}")
            owner.shed(f"write: {result.outcome}: {result.reason}")
        if result.foreign:
            self._people.give_way(result.reason)
        try:
            await self._log.complete(decision, result.outcome, result.reason, number(result.readback.value))
        except OutboxUnavailable as fault:
            owner.shed(f"mode: decisions can't be recorded: {fault}")

    def _accepted(self) -> None:
        self._refused = ""
        self._around.alarms.clear_alarm(REFUSED_ALARM, self._owner.name)

    def _count_refusal(self, verdict: Refused) -> bool:
        """Nothing is written; the first of a row of alike refusals raises the alarm and is worth a record."""
        self.tally.refusals += 1
        self._around.meters.refusals.inc()
        self._drop()
        check = verdict.reason.partition(":")[0]
        if check == self._refused:
            return False
        self._refused = check
        self._around.alarms.raise_alarm(REFUSED_ALARM, self._owner.name, Priority.MEDIUM, verdict.reason)
        return True

"""Decisions as records: made before a write, completed with what came of it. What can't be recorded is not done."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple
from uuid import uuid4

from edged.clock import Clock
from edged.ports import Road
from edged.types import Allowed, Clamped, Decision, DecisionPhase, Proposal, Refused, Verdict, Waits, WriteOutcome
from edged_control.gate import HOLD, number


class Circumstances(NamedTuple):
    """What a decision was made from."""

    mode: str
    controller: str
    set_point: float | None
    process_value: float | None
    readback: float | None
    model_hash: str


def word(verdict: Verdict) -> str:
    """allowed, clamped, refused, waits for an approval, or hold where nothing needed to be written."""
    if verdict == HOLD:
        return "hold"
    match verdict:
        case Allowed():
            return "allowed"
        case Clamped():
            return "clamped"
        case Waits():
            return "waits"
        case Refused():
            return "refused"


def reason_of(verdict: Verdict) -> str:
    """Why the gate did not let the proposal through as it was."""
    return "" if isinstance(verdict, Allowed) else verdict.reason


class DecisionLog:
    """Records one loop's decisions. Its awaits are done when the record is durable; they raise OutboxUnavailable."""

    def __init__(self, loop: str, signal: str, config_hash: str, road: Road, clock: Clock) -> None:
        self._loop = loop
        self._signal = signal
        self._config_hash = config_hash
        self._road = road
        self._clock = clock

    async def decide(self, proposal: Proposal, verdict: Verdict, around: Circumstances) -> Decision:
        """Phase DECIDED: `written` is the value that is about to be written."""
        decision = self._decision(proposal, verdict, around)
        await self._road.record((decision,))
        return decision

    async def refuse(self, proposal: Proposal, verdict: Refused, around: Circumstances) -> Decision:
        """A refusal is complete at once: nothing is written."""
        decision = replace(self._decision(proposal, verdict, around), phase=DecisionPhase.COMPLETED)
        await self._road.record((decision,))
        return decision

    async def complete(
        self,
        decision: Decision,
        outcome: WriteOutcome,
        reason: str,
        readback_after: float | None,
        verdict: str = "",
    ) -> Decision:
        """Phase COMPLETED: `written` is None when nothing was sent; else it was tried, and the outcome tells."""
        sent = outcome is not WriteOutcome.NONE
        completed = replace(
            decision,
            phase=DecisionPhase.COMPLETED,
            time=self._clock.now(),
            verdict=verdict or decision.verdict,
            reason=reason or decision.reason,
            written=decision.written if sent else None,
            readback_after=readback_after,
            outcome=outcome,
        )
        await self._road.record((completed,))
        return completed

    def _decision(self, proposal: Proposal, verdict: Verdict, around: Circumstances) -> Decision:
        return Decision(
            identity=uuid4().hex,
            phase=DecisionPhase.DECIDED,
            loop=self._loop,
            signal=self._signal,
            time=self._clock.now(),
            mode=around.mode,
            controller=around.controller,
            set_point=around.set_point,
            process_value=around.process_value,
            readback_before=around.readback,
            proposed=number(proposal.value),
            verdict=word(verdict),
            reason=reason_of(verdict),
            written=None if isinstance(verdict, Refused) else verdict.value,
            readback_after=None,
            outcome=WriteOutcome.NONE,
            config_hash=self._config_hash,
            model_hash=around.model_hash,
        )

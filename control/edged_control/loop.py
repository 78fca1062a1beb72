"""One control loop: reads, decides, asks the gate, records, writes, reads back, and only then beats its heart."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

from edged.errors import EdgedError, OutboxUnavailable
from edged.settings import LoopSettings
from edged.types import Allowed, Clamped, Decision, Priority, Proposal, Refused, Verdict, WriteOutcome
from edged_control.decisions import Circumstances, DecisionLog, reason_of, word
from edged_control.gate import CONTROLLERS, HOLD, Mode, PlantView, number
from edged_control.limits import EffectiveLimits
from edged_control.modes import Modes
from edged_control.output import Output, WriteResult
from edged_control.proposer import PID, Proposer
from edged_control.scan import Scan, Seen
from edged_control.status import LoopStatus, Tally
from edged_control.surroundings import OUTSIDE_ALARM, REFUSED_ALARM, WRITE_ALARM, Surroundings

TARGET_MODES = {"manual": Mode.MANUAL, "automatic": Mode.AUTOMATIC}


class Loop:
    """Runs a cycle whenever it is told to; a wish from outside waits for its turn between two cycles."""

    def __init__(self, settings: LoopSettings, limits: EffectiveLimits, around: Surroundings) -> None:
        self.name = settings.name
        self._settings = settings
        self._limits = limits
        self._around = around
        self._clock = around.clock
        self._path = self._full(settings.output)
        self._scan = Scan(settings, around.line, around.plant, around.clock, around.signals)
        self._output = Output(
            tolerance=settings.readback_tolerance,
            rate_per_second=limits.rate_per_second,
            period_seconds=settings.period_seconds,
            plant=around.plant,
            scan=self._scan,
            clock=around.clock,
        )
        self._log = DecisionLog(settings.name, self._path, around.config_hash, around.road, around.clock)
        self._modes = Modes(settings.name, TARGET_MODES[settings.target_mode], settings.good_cycles, around)
        self._proposer = Proposer(settings, self._path, limits, around.clock)
        self._entered = False
        self._refused = ""
        self._seen: Seen | None = None
        self._tally = Tally()
        self._turn = asyncio.Lock()

    @property
    def output(self) -> str:
        """The signal that this loop writes."""
        return self._path

    @property
    def mode(self) -> Mode:
        """The actual mode."""
        return self._modes.actual

    def start(self) -> None:
        """Comes up in MAN: nothing of an earlier run is assumed but what the gate must remember."""
        self._proposer.drop()
        self._modes.start()

    def stand_down(self, reason: str) -> None:
        """Out of service: neither reads nor writes."""
        self._modes.stand_down(reason)

    def status(self) -> LoopStatus:
        """A snapshot."""
        seen, tally = self._seen, self._tally
        return LoopStatus(
            name=self.name,
            actual_mode=self._modes.actual,
            target_mode=self._modes.target,
            reason=self._modes.reason,
            controller=self._proposer.name(self._modes.actual),
            set_point=self._settings.set_point,
            process_value=number(seen.process_value.value) if seen else None,
            output=tally.value,
            readback=number(seen.readback.value) if seen else None,
            verified_writes=tally.verified,
            failed_writes=tally.failed,
            refusals=tally.refusals,
            last_verdict=tally.verdict,
            last_reason=tally.reason,
            last_decision=tally.decision,
        )

    def request_mode(self, target: Mode, identity: str) -> Refused | None:
        """A person asks for AUTO or MAN; takes effect at once, also in the middle of a cycle."""
        if target not in TARGET_MODES.values():
            return Refused(f"mode: {target} can't be asked for")
        present = self._output.expected
        entered = self._entered or self._has_strayed(present)
        refused = self._modes.request(target, present, entered=entered, identity=identity)
        if refused is None:
            self._entered = False
            self._proposer.drop()
        return refused

    async def consider(self, wish: Proposal) -> Verdict:
        """Judges a wish from outside by its target; an allowed one is walked to in MAN, within the rate."""
        async with self._turn:
            verdict: Verdict | None = self._unfit(wish)
            if verdict is None:
                self._seen = seen = await self._scan.everything()
                verdict = self._around.gate.aim(wish, self._view(seen), self._clock.monotonic())
            if isinstance(verdict, Refused):
                await self._record_refusal(wish, verdict, self._seen)
            else:
                self._proposer.take(wish, verdict.value)
            return verdict

    async def cycle(self) -> None:
        """One full cycle; the heartbeat advances only at its verified end."""
        async with self._turn:
            self._seen = seen = await self._scan.everything()
            await self._settle(seen)
            fault = self._fault(seen)
            self._modes.count(fault)
            if fault:
                self._proposer.drop()
            wanted = self._proposer.propose(self._modes.actual, seen)
            if wanted.fault:
                self._modes.shed(f"finite: {wanted.fault}")
            after = seen if wanted.proposal is None else await self._carry_out(wanted.proposal, seen)
            if after is not None:
                self._seen = after
                await self._beat(after)

    async def _settle(self, seen: Seen) -> None:
        """Finds out about an unfinished write, notices foreign changes, and adopts what is there."""
        present = seen.present()
        if present is None:
            return
        pending = self._output.pending
        if pending is not None:
            await self._finish(pending.decision, self._output.settle(seen.readback))
        if self._output.observe(present):
            self._give_way(f"the output was moved to {present:g} at the plant", seen)
        limits, alarms = self._limits, self._around.alarms
        if not limits.low <= present <= limits.high:
            message = f"{present:g} is outside {limits.low:g}..{limits.high:g} {limits.unit}: a person must bring it in"
            alarms.raise_alarm(OUTSIDE_ALARM, self._path, Priority.HIGH, message)
            return
        alarms.clear_alarm(OUTSIDE_ALARM, self._path)
        if self._around.advisory:
            self._modes.follow(present)
        else:
            self._modes.establish(present)

    def _fault(self, seen: Seen) -> str:
        """Why the controller could not write now, as the gate sees it; empty when it could."""
        present = number(seen.readback.value)
        probe = self._proposer.proposal(PID, math.nan if present is None else present)
        view = replace(self._view(seen), mode=Mode.AUTOMATIC)
        verdict = self._around.gate.aim(probe, view, self._clock.monotonic())
        return verdict.reason if isinstance(verdict, Refused) else ""

    async def _carry_out(self, proposal: Proposal, seen: Seen) -> Seen | None:
        """Takes a proposal through the gate to the plant; what the cycle knows afterwards, or None if not verified."""
        gate, now = self._around.gate, self._clock.monotonic()
        verdict = gate.judge(proposal, self._view(seen), now)
        self._tally.verdict, self._tally.reason = word(verdict), reason_of(verdict)
        if verdict is HOLD:
            self._accepted()
            return seen
        if isinstance(verdict, Refused):
            if self._count_refusal(verdict):
                await self._record_refusal(proposal, verdict, seen)
            return seen
        try:
            decision = await self._log.decide(proposal, verdict, self._circumstances(seen))
            self._tally.decision, self._tally.value = decision.identity, verdict.value
            if self._around.advisory:
                self._accepted()
                await self._log.complete(decision, WriteOutcome.NONE, "advisory: nothing is written", None)
                return None
            return await self._write(proposal, verdict, decision, seen)
        except OutboxUnavailable as fault:
            self._modes.shed(f"mode: decisions can't be recorded: {fault}")
            return None

    async def _write(
        self, proposal: Proposal, judged: Allowed | Clamped, decision: Decision, seen: Seen
    ) -> Seen | None:
        """Looks once more, has the gate check once more, writes and reads back."""
        seen = replace(seen, readback=await self._scan.readback())
        now = self._clock.monotonic()
        verdict, command = self._around.gate.admit(proposal, judged.value, self._view(seen), now, decision.identity)
        if command is None:
            assert isinstance(verdict, Refused)
            self._tally.verdict, self._tally.reason = word(verdict), verdict.reason
            self._count_refusal(verdict)
            readback = number(seen.readback.value)
            await self._log.complete(decision, WriteOutcome.NONE, verdict.reason, readback, word(verdict))
            return None
        self._accepted()
        result = await self._output.write(command, decision)
        await self._finish(decision, result)
        return replace(seen, readback=result.readback) if result.outcome is WriteOutcome.VERIFIED else None

    async def _finish(self, decision: Decision, result: WriteResult) -> None:
        """Draws the consequences of a write and completes its decision; an UNKNOWN one is completed again later."""
        around = self._around
        around.meters.writes[result.outcome].inc()
        if result.outcome is WriteOutcome.VERIFIED:
            self._tally.verified += 1
            around.alarms.clear_alarm(WRITE_ALARM, self.name)
        else:
            self._tally.failed += result.outcome is not WriteOutcome.UNKNOWN
            around.alarms.raise_alarm(WRITE_ALARM, self.name, Priority.HIGH, f"{result.outcome}: {result.reason}")
            self._modes.shed(f"write: {result.outcome}: {result.reason}")
        if result.foreign:
            self._give_way(result.reason, None)
        try:
            await self._log.complete(decision, result.outcome, result.reason, number(result.readback.value))
        except OutboxUnavailable as fault:
            self._modes.shed(f"mode: decisions can't be recorded: {fault}")

    def _count_refusal(self, verdict: Refused) -> bool:
        """Nothing is written; the first of a row of alike refusals raises the alarm and is worth a record."""
        self._tally.refusals += 1
        self._around.meters.refusals.inc()
        self._proposer.drop()
        check = verdict.reason.partition(":")[0]
        if check == self._refused:
            return False
        self._refused = check
        self._around.alarms.raise_alarm(REFUSED_ALARM, self.name, Priority.MEDIUM, verdict.reason)
        return True

    async def _record_refusal(self, proposal: Proposal, verdict: Refused, seen: Seen | None) -> None:
        try:
            decision = await self._log.refuse(proposal, verdict, self._circumstances(seen))
        except OutboxUnavailable:
            return  # nothing was done, so nothing is undone by its missing record
        self._tally.decision = decision.identity

    async def _beat(self, seen: Seen) -> None:
        settings, around = self._settings, self._around
        if settings.heartbeat is None or seen.heartbeat is None:
            return
        path, now = self._full(settings.heartbeat), self._clock.monotonic()
        _, command = around.gate.beat(path, seen.heartbeat, self._view(seen), now, self._tally.decision)
        if command is None:
            return
        try:
            await around.plant.write(command)
        except (EdgedError, OSError):
            return  # the plant's watchdog notices; the next cycle reads the counter before it writes again
        around.meters.heartbeats.inc()

    def _unfit(self, wish: Proposal) -> Refused | None:
        """Why a wish can't be carried out now, whatever its value."""
        if wish.source in CONTROLLERS:
            return Refused(f"mode: {wish.source} is not a source outside")
        if self._around.advisory:
            return Refused("mode: advisory, nothing is written")
        if self._modes.actual is Mode.OUT_OF_SERVICE:
            return Refused(f"mode: the loop is out of service: {self._modes.reason}")
        if self._modes.target is Mode.AUTOMATIC:
            return Refused("mode: the loop's target is AUTO, put it in MAN first")
        return None

    def _accepted(self) -> None:
        self._refused = ""
        self._around.alarms.clear_alarm(REFUSED_ALARM, self.name)

    def _give_way(self, reason: str, seen: Seen | None) -> None:
        """Somebody else moved the output; where the plant had not given it to us, that was an entry and no override."""
        if self._around.advisory:
            return
        self._proposer.drop()
        if seen is not None and seen.is_denied() and self._output.expected is not None:
            self._modes.accept_entry(self._output.expected)
            return
        self._entered = True
        self._modes.give_way(reason)

    def _has_strayed(self, present: float | None) -> bool:
        """Whether the output is where only somebody else can have brought it."""
        baseline = self._modes.baseline
        return present is not None and (baseline is None or abs(present - baseline) > self._limits.approval_threshold)

    def _view(self, seen: Seen) -> PlantView:
        settings, output, around = self._settings, self._output, self._around
        return PlantView(
            mode=self._modes.actual,
            advisory=around.advisory,
            lease_held=around.lease.held,
            recordable=around.recorder_writable(),
            unacknowledged=output.pending is not None,
            permissives=seen.permissives,
            process_value=seen.process_value,
            readback=seen.readback,
            expected=math.nan if output.expected is None else output.expected,
            credit_since=output.credit_since,
            history=output.history,
            baseline=self._modes.baseline,
            period_seconds=settings.period_seconds,
            tolerance=settings.readback_tolerance,
            deadband=settings.output_deadband,
        )

    def _circumstances(self, seen: Seen | None) -> Circumstances:
        return Circumstances(
            mode=f"{self._modes.actual} advisory" if self._around.advisory else self._modes.actual.value,
            controller=self._proposer.name(self._modes.actual),
            set_point=self._settings.set_point,
            process_value=number(seen.process_value.value) if seen else None,
            readback=number(seen.readback.value) if seen else None,
        )

    def _full(self, name: str) -> str:
        return f"{self._around.line}/{name}"

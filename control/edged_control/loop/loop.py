"""One control loop: reads, decides, asks the gate, records, writes, reads back, and only then beats its heart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from edged.errors import EdgedError
from edged.settings import LoopSettings
from edged.types import Allowed, Clamped, Priority, Proposal, Refused, Verdict, Waits
from edged_control.decisions import Circumstances, DecisionLog
from edged_control.gate import CONTROLLERS, Mode, PlantView, credit_cap, number
from edged_control.ladder.rung import PID, Rung
from edged_control.limits.envelope import EffectiveLimits
from edged_control.loop.applied import AppliedFile
from edged_control.loop.baseline import Baseline
from edged_control.loop.execution import Execution
from edged_control.loop.frozen import frozen_watch, noticed_move
from edged_control.loop.memory import LoopMemory
from edged_control.loop.modes import Modes
from edged_control.loop.output import Output
from edged_control.loop.people import People
from edged_control.loop.proposer import Proposer
from edged_control.loop.scan import LineState, Scan, Seen, good_number
from edged_control.loop.set_point import SetPoint
from edged_control.loop.waiting import WaitingRoom
from edged_control.status import LoopStatus
from edged_control.surroundings import OUTSIDE_ALARM, Surroundings

TARGET_MODES = {"manual": Mode.MANUAL, "automatic": Mode.AUTOMATIC}


class Loop:
    """Runs a cycle whenever it is told to; a wish from outside waits for its turn between two cycles."""

    def __init__(
        self, settings: LoopSettings, limits: EffectiveLimits, rungs: Sequence[Rung], around: Surroundings
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._limits = limits
        self._around = around
        self._clock = around.clock
        self._path = self._full(settings.output)
        self._scan = Scan(settings, around.line_state, around)
        applied = around.state_directory / f"control-{around.line}-{settings.name}.applied"
        self._output = Output(
            tolerance=settings.readback_tolerance,
            rate_per_second=limits.rate_per_second,
            period_seconds=settings.period_seconds,
            plant=around.plant,
            scan=self._scan,
            clock=around.clock,
            file=None if around.advisory else AppliedFile(applied, self._path, around.files),
        )
        memory = LoopMemory(settings.name, around)
        step = limits.rate_per_second * credit_cap(settings.period_seconds)
        self._baseline = Baseline(settings.name, step, limits.approval_threshold, memory, around.clock)
        self._modes = Modes(
            settings.name,
            TARGET_MODES[settings.target_mode],
            settings.good_cycles,
            around=around,
            memory=memory,
            baseline=self._baseline,
        )
        self._set_point = SetPoint(settings, around.signals[self._full(settings.process_value)], memory)
        self._proposer = Proposer(settings, self._path, rungs, around)
        log = DecisionLog(settings.name, self._path, around.config_hash, around.road, around.clock)
        self._room = WaitingRoom(settings.name, limits.unit, around)
        self.people = People(
            self._path,
            limits,
            around,
            modes=self._modes,
            output=self._output,
            baseline=self._baseline,
            proposer=self._proposer,
            room=self._room,
        )
        self._execution = Execution(
            self, self.people, around, self._output, self._scan, log, self._room, self._proposer.drop
        )
        self._frozen = frozen_watch(settings, limits)
        self._seen: Seen | None = None
        self._turn = around.turns()

    @property
    def output(self) -> str:
        """The signal that this loop writes."""
        return self._path

    @property
    def mode(self) -> Mode:
        """The actual mode."""
        return self._modes.actual

    @property
    def target(self) -> Mode:
        """The mode that was asked for."""
        return self._modes.target

    @property
    def rests(self) -> bool:
        """Whether it moves nothing by itself: it is in MAN and stays there, or out of service."""
        if self._modes.actual is Mode.OUT_OF_SERVICE:
            return True
        return self._modes.actual is Mode.MANUAL and self._modes.target is Mode.MANUAL

    @property
    def started(self) -> bool:
        """Whether it has come up since it last had the lease; a person may have taken it out of service even so."""
        return self._modes.started

    @property
    def unit(self) -> str:
        """The unit of the output."""
        return self._limits.unit

    @property
    def process_unit(self) -> str:
        """The unit of process value and set-point."""
        return self._around.signals[self._full(self._settings.process_value)].unit

    def start(self) -> None:
        """Comes up in MAN: nothing of an earlier run is assumed but what the gate must remember."""
        self._proposer.drop()
        self._output.start()
        self._baseline.start()
        self._modes.start()
        self._set_point.start()

    def adopt(self, limits: EffectiveLimits, strays_beyond: float) -> None:
        """Other limits of the output from now on, between two waits of a cycle: what was judged is checked by them.

        What lies further than `strays_beyond` from the baseline was brought there by somebody else: the widest approval
        threshold that was in force, so that a lower one hands nothing over.
        """
        settings = self._settings
        self._limits = limits
        self.people.adopt(limits, strays_beyond)
        self._output.adopt(limits.rate_per_second)
        self._baseline.adopt(limits.rate_per_second * credit_cap(settings.period_seconds), limits.approval_threshold)
        self._frozen.adopt(noticed_move(settings, limits))
        self._proposer.adopt(limits)

    async def sent(self) -> None:
        """Returns when no command is on its way that was admitted before."""
        await self._output.sent()

    def stand_down(self, reason: str) -> None:
        """Out of service: neither reads nor writes."""
        self._modes.stand_down(reason)

    def shed(self, reason: str) -> None:
        """MAN: the output holds."""
        self._modes.shed(reason)

    def status(self) -> LoopStatus:
        """A snapshot."""
        seen, tally = self._seen, self._execution.tally
        return LoopStatus(
            name=self.name,
            actual_mode=self._modes.actual,
            target_mode=self._modes.target,
            reason=self._modes.reason,
            controller=self._proposer.name(self._modes.actual),
            rung=self._proposer.rung,
            rung_reason=self._proposer.rung_reason,
            assumed=self._proposer.assumed,
            set_point=self._set_point.value,
            process_value=number(seen.process_value.value) if seen else None,
            output=tally.value,
            readback=number(seen.readback.value) if seen else None,
            verified_writes=tally.verified,
            failed_writes=tally.failed,
            refusals=tally.refusals,
            last_verdict=tally.verdict,
            last_reason=tally.reason,
            last_decision=tally.decision,
            signal=self._path,
            unit=self._limits.unit,
            baseline=self._baseline.value,
            approval_threshold=self._limits.approval_threshold,
            grant=None if self._baseline.grant is None else self._baseline.grant.value,
            waiting=self._room.waiting,
            line_state=seen.line_state if seen else LineState.UNKNOWN,
            grade=self._set_point.grade,
        )

    def request_set_point(self, wish: object, identity: str) -> Refused | None:
        """A person asks for another set-point; takes effect at once, in AUTO within the rate."""
        return self._set_point.request(wish, identity)

    def trust_controllers(self) -> None:
        """An engineer says that its controllers are good to use, whatever they hold against themselves."""
        self._proposer.trust()

    async def consider(self, wish: Proposal) -> Verdict:
        """Judges a wish from outside by its target; an allowed one is walked to in MAN, within the rate.

        One that needs an approval waits for it, until it expires.
        """
        async with self._turn:
            verdict: Verdict | None = self._unfit(wish)
            if verdict is None:
                self._seen = seen = await self._scan.everything()
                verdict = self._around.gate.aim(wish, self.view(seen), self._clock.monotonic())
            if isinstance(verdict, Refused):
                await self._execution.record_refusal(wish, verdict, self._seen)
            if isinstance(verdict, Allowed | Clamped | Waits):
                self._room.clear()
                self._room.note(wish.who, verdict)
                self._proposer.take(wish, verdict.value)
            return verdict

    async def cycle(self) -> None:
        """One full cycle; the heartbeat advances only at its verified end."""
        async with self._turn:
            self._seen = seen = await self._scan.everything()
            self._set_point.follow(seen.grade)
            self._frozen.note(good_number(seen.process_value), seen.present(), self._clock.monotonic())
            await self._settle(seen)
            fault = self._fault(seen) or self._set_point.fault
            self._modes.count(fault)
            if self._set_point.fault or (fault and not self._frozen.frozen):
                self._proposer.drop()  # where the gauge stands still a person may go on: in MAN his eyes count
            await self._end_waiting()
            wanted = await self._proposer.propose(self._modes.actual, self._set_point.value, seen)
            if wanted.fault:
                self._modes.shed(f"finite: {wanted.fault}")
            if wanted.proposal is None:
                self._room.note()
            after = seen if wanted.proposal is None else await self._execution.carry_out(wanted.proposal, seen)
            if after is not None:
                self._seen = after
                await self._beat(after)

    def miss(self) -> None:
        """No cycle in this period: whoever controls together with this loop does not wait for it."""
        self._proposer.miss()

    def view(self, seen: Seen) -> PlantView:
        """The plant around this loop as the gate sees it now."""
        settings, output, around = self._settings, self._output, self._around
        return PlantView(
            mode=self._modes.actual,
            advisory=around.advisory,
            lease_held=around.lease_held(),
            recordable=around.recorder_writable(),
            unacknowledged=output.pending is not None,
            permissives=seen.permissives,
            process_value=seen.process_value,
            frozen=self._frozen.frozen,
            readback=seen.readback,
            expected=math.nan if output.expected is None else output.expected,
            credit_since=output.credit_since,
            history=output.history,
            baseline=self._baseline.value,
            grant=self._baseline.grant,
            period_seconds=settings.period_seconds,
            tolerance=settings.readback_tolerance,
            deadband=settings.output_deadband,
        )

    def circumstances(self, seen: Seen | None) -> Circumstances:
        """What a decision is made from now."""
        return Circumstances(
            mode=f"{self._modes.actual} advisory" if self._around.advisory else self._modes.actual.value,
            controller=self._proposer.name(self._modes.actual),
            set_point=self._set_point.value,
            process_value=number(seen.process_value.value) if seen else None,
            readback=number(seen.readback.value) if seen else None,
            model_hash=self._proposer.model_hash(self._modes.actual),
        )

    async def _settle(self, seen: Seen) -> None:
        """Finds out about an unfinished write, notices foreign changes, and adopts what is there."""
        present = seen.present()
        if present is None:
            return
        await self._execution.settle(seen)
        self.people.notice(seen)
        self.people.arrive()
        limits, alarms = self._limits, self._around.alarms
        if not limits.low <= present <= limits.high:
            message = f"{present:g} is outside {limits.low:g}..{limits.high:g} {limits.unit}: a person must bring it in"
            alarms.raise_alarm(OUTSIDE_ALARM, self._path, Priority.HIGH, message)
            return
        alarms.clear_alarm(OUTSIDE_ALARM, self._path)
        if self._around.advisory:
            self._baseline.follow(present)
        else:
            self._modes.establish(present)
            self._baseline.settle(present)

    async def _end_waiting(self) -> None:
        """A wish that has expired while it waited for an approval is refused after all."""
        wish = self._proposer.expired(self._clock.monotonic()) if self._room.waiting else None
        if wish is not None:
            self._proposer.drop()
            self._room.clear()
            reason = Refused("approval: none came before the proposal expired")
            await self._execution.record_refusal(wish, reason, self._seen)

    def _fault(self, seen: Seen) -> str:
        """Why the controller could not write now, as the gate sees it; empty when it could."""
        present = number(seen.readback.value)
        probe = self._proposer.proposal(PID, math.nan if present is None else present)
        view = replace(self.view(seen), mode=Mode.AUTOMATIC)
        verdict = self._around.gate.aim(probe, view, self._clock.monotonic())
        return verdict.reason if isinstance(verdict, Refused) else ""

    async def _beat(self, seen: Seen) -> None:
        settings, around = self._settings, self._around
        if settings.heartbeat is None or seen.heartbeat is None:
            return
        path, now = self._full(settings.heartbeat), self._clock.monotonic()
        _, command = around.gate.beat(path, seen.heartbeat, self.view(seen), now, self._execution.tally.decision)
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

    def _full(self, name: str) -> str:
        return f"{self._around.line}/{name}"

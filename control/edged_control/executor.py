"""All loops of a line: builds them, drives each at its period, holds the lease and answers wishes from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from edged.clock import Clock
from edged.log import get_logger
from edged.metrics import Metrics
from edged.ports import Plant, Road
from edged.types import Priority, Proposal, Refused, Sample, Seal, Verdict, Waits
from edged_control.audit import Audit
from edged_control.blueprint import Blueprint
from edged_control.desk import Desk
from edged_control.files import LOCAL, Files
from edged_control.flight.boundary import NEVER, Always, Deed, Flight
from edged_control.gate import Gate, Mode
from edged_control.ladder.controllers import Party, SolverFactory, ladder_of, party_of
from edged_control.ladder.round_table import RoundTable
from edged_control.lease import Lease
from edged_control.limits.envelope import effective_limits
from edged_control.limits.file import LimitsFile
from edged_control.limits.live import LimitsPush, LimitsStatus, LiveLimits
from edged_control.loop.loop import Loop
from edged_control.loop_checks import check_loops, unfit_outputs
from edged_control.memory import Memory
from edged_control.mpc.group import groups_of
from edged_control.rollback import RollbackGuard, RollbackMemory
from edged_control.rollback_watch import RollbackWatch
from edged_control.solver.process import Solver
from edged_control.status import ControlMeters, LoopStatus
from edged_control.surroundings import LEASE_ALARM, LIMITS_ALARM, WISH_ALARM, AlarmBoard, Surroundings

__all__ = ["ControlExecutor", "LoopStatus"]

log = get_logger("control")


def _nothing(path: str) -> Sample | None:
    """Where nobody keeps latest values."""
    return None


class ControlExecutor:
    """Building it checks limits and loops and raises ConfigError; it touches the plant only while it runs.

    `runtime_directory` is the same for every daemon of this box, so that two of one line find out about each other.
    """

    def __init__(
        self,
        plan: Blueprint,
        *,
        plant: Plant,
        road: Road,
        recorder_writable: Callable[[], bool],
        clock: Clock,
        metrics: Metrics,
        seal: Seal,
        state_directory: Path,
        runtime_directory: Path,
        alarms: AlarmBoard,
        engineering_keys: Path | None = None,
        latest: Callable[[str], Sample | None] = _nothing,
        build_solver: SolverFactory | None = None,
        flight: Flight | None = None,
    ) -> None:
        line, settings, signals = plan.line, plan.settings, plan.signals
        self._flight = flight = flight or Flight()
        clock, plant, road = flight.clock(clock), flight.plant(plant), flight.road(road)
        recorder_writable = flight.asked("recorder_writable", recorder_writable, Always(value=True))
        files = Files(
            flight.asked("read", LOCAL.read, NEVER),
            flight.asked("replace", LOCAL.replace, Always(None)),
            flight.asked("overwrite", LOCAL.overwrite, Always(None)),
        )
        configured = effective_limits(signals, plan.ceiling, plan.limits)
        check_loops(plan, configured)
        self._limits = LiveLimits(
            line=line,
            config_hash=plan.config_hash,
            signals=signals,
            ceiling=plan.ceiling,
            configured=plan.limits,
            unfit=lambda effective: unfit_outputs(plan, effective),
            file=LimitsFile(state_directory / f"control-{line}.limits.json", clock, files),
            clock=clock,
        )
        heartbeats = {f"{line}/{loop.heartbeat}" for loop in settings.loops if loop.heartbeat}
        self._line = line
        self._clock = clock
        self._alarms = alarms
        self._lease = Lease(
            [folder / f"control-{line}.lock" for folder in dict.fromkeys((runtime_directory, state_directory))]
        )
        self._lease_held = flight.asked("lease_held", lambda: self._lease.held, Always(value=True))
        self._take = flight.asked("lease_taken", self._lease.take, Always(value=True))
        self._memory = Memory(state_directory / f"control-{line}.json", clock, files)
        self._meters = ControlMeters(metrics)
        self._gate = Gate(self._limits.effective, seal, heartbeats)
        around = Surroundings(
            line=line,
            config_hash=plan.config_hash,
            advisory=settings.advisory,
            signals=signals,
            gate=self._gate,
            plant=plant,
            road=road,
            recorder_writable=recorder_writable,
            clock=clock,
            meters=self._meters,
            lease_held=self._lease_held,
            memory=self._memory,
            files=files,
            turns=lambda: flight.turns(asyncio.Lock()),
            state_directory=state_directory,
            line_state=settings.line_state,
            alarms=alarms,
        )
        recorded_solver = _recorded(flight, build_solver) if build_solver else None
        self._periods = {loop.name: loop.period_seconds for loop in settings.loops}
        paths = {loop.name: f"{line}/{loop.output}" for loop in settings.loops}
        own = {name: self._limits.effective.get(path) or configured[path] for name, path in paths.items()}
        self._solvers: list[tuple[str, Solver]] = []
        tables: list[RoundTable] = []
        parties: dict[str, list[Party]] = {loop.name: [] for loop in settings.loops}
        for group in groups_of(settings.loops):
            party = party_of(group, own, plan.models, recorded_solver, self._meters)
            self._solvers.append((group.owner.name, party.solver))
            tables.append(party.table)
            for loop in group.loops:
                parties[loop.name].append(party)
        self._loops = {
            loop.name: Loop(loop, own[loop.name], ladder_of(loop, own[loop.name], parties[loop.name]), around)
            for loop in settings.loops
        }
        self._tables = tables
        self._limits.serve(around.gate.adopt, self._loops.values())
        self._audit = Audit(road, clock)
        rollback = settings.rollback
        guard = None
        if rollback is not None:
            memory = RollbackMemory(state_directory / f"control-{line}.rollback.json", files)
            guard = RollbackGuard(rollback, memory, clock.monotonic())
        self._desk = Desk(
            self._loops,
            line=line,
            submit=self.submit,
            apply_limits=self.apply_limits,
            recordable=recorder_writable,
            audit=self._audit,
            clock=clock,
            engineering_keys=engineering_keys,
            flight=flight,
            guard=guard,
        )
        self.rollback: RollbackWatch | None = None
        if rollback is not None and guard is not None:
            self.rollback = RollbackWatch(
                rollback,
                guard,
                line=line,
                loops=self._loops,
                desk=self._desk,
                latest=flight.asked("latest", latest, NEVER),
                alarms=alarms,
                clock=clock,
                flight=flight,
            )
        flight.attach(self)

    @property
    def desk(self) -> Desk:
        """Where operators' orders go."""
        return self._desk

    async def run(self) -> None:
        """Drives every loop until cancelled, and closes. Without loops it only waits."""
        if not self._loops:
            await asyncio.Event().wait()
        try:
            async with asyncio.TaskGroup() as group:
                for name, solver in self._solvers:
                    group.create_task(solver.run(), name=f"solver:{name}")
                for name, period_seconds in self._periods.items():
                    group.create_task(self._drive(name, period_seconds), name=f"control:{name}")
                if self.rollback:
                    group.create_task(self.rollback.run(), name="control:rollback")
        finally:
            self.close()

    def close(self) -> None:
        """Takes every loop out of service and frees the lease; outputs hold where they are."""
        with self._flight.deed(Deed.CLOSE, self._line):
            for loop in self._loops.values():
                loop.stand_down("stopped")
        self._lease.release()

    async def step(self, name: str) -> None:
        """One cycle of one loop, if the lease of the line can be had."""
        loop = self._loops[name]
        with self._flight.deed(Deed.CYCLE, name) as ended:
            if self._in_service(loop):
                began = self._clock.monotonic()
                await loop.cycle()
                self._meters.cycle_seconds.observe(self._clock.monotonic() - began)
            else:
                loop.miss()
            ended(loop.status())
            await self._audit.flush()

    async def submit(self, proposal: Proposal) -> Verdict:
        """Judges a wish of an operator, the hub or Sparkplug now. Each refusal raises one alarm and writes nothing.

        A wish beyond the approval threshold waits for an approval until it expires.

        Only the output of a loop can be wished for, and only while the loop's target is MAN: the loop then walks there
        within the rate.
        """
        with self._flight.deed(Deed.WISH, proposal.signal, proposal) as ended:
            verdict = await self._consider(proposal)
            ended(verdict)
        if isinstance(verdict, Refused) and not isinstance(verdict, Waits):
            message = f"{proposal.who}: {proposal.value} refused: {verdict.reason}"
            self._alarms.raise_alarm(WISH_ALARM, proposal.signal, Priority.MEDIUM, message)
            self._alarms.clear_alarm(WISH_ALARM, proposal.signal)
        return verdict

    async def apply_limits(self, push: LimitsPush) -> Refused | str:
        """Puts pushed limits in force; what changed, or why nothing did. The one way in, whoever pushes.

        They hold at once for all that is judged or admitted; once this returns, for all that reaches the plant.
        """
        if not self._lease_held():
            return Refused(f"mode: this process does not hold the lease of {self._line}")
        done = self._limits.apply_limits(push)
        if isinstance(done, str):
            for loop in self._loops.values():
                await loop.sent()
        return done

    def limits(self) -> tuple[LimitsStatus, ...]:
        """The limits in force, and whose they are."""
        return self._limits.status()

    def limit_solvers(self) -> None:
        """Tells every solver the limits in force, after a state was taken up that was not built here."""
        for table in self._tables:
            table.limit_solver()

    def request_mode(self, loop: str, target: Mode, identity: str) -> Refused | None:
        """A person asks for AUTO, MAN or out of service; None when it was done."""
        with self._flight.deed(Deed.MODE, loop, (target, identity)) as ended:
            found = self._loops.get(loop)
            refused = (
                found.people.request_mode(target, identity) if found else Refused(f"mode: there is no loop {loop}")
            )
            ended(refused)
        return refused

    def status(self) -> tuple[LoopStatus, ...]:
        """One line per loop."""
        return tuple(loop.status() for loop in self._loops.values())

    async def _consider(self, proposal: Proposal) -> Verdict:
        for loop in self._loops.values():
            if loop.output == proposal.signal:
                return await loop.consider(proposal)
        return Refused(f"mode: no loop of this line writes {proposal.signal}")

    async def _drive(self, name: str, period_seconds: float) -> None:
        """Steps a loop at its period without drift; periods that were missed are counted, not caught up."""
        due = self._clock.monotonic()
        while True:
            await self.step(name)
            due += period_seconds
            missed = max(0, int((self._clock.monotonic() - due) // period_seconds) + 1)
            if missed:
                self._meters.overruns.inc(missed)
                due += missed * period_seconds
            await self._clock.sleep(due - self._clock.monotonic())

    def _in_service(self, loop: Loop) -> bool:
        """Whether this process holds the lease of the line; a loop that gets it comes up in MAN."""
        if not self._take():
            message = f"another process controls {self._line}, or its lease can't be locked"
            if loop.started:
                log.warning("lease_lost", loop=loop.name)
            loop.stand_down(message)
            self._alarms.raise_alarm(LEASE_ALARM, self._line, Priority.HIGH, message)
            return False
        if not loop.started:
            self._alarms.clear_alarm(LEASE_ALARM, self._line)
            self._memory.load()
            self._limits.load()
        fault = self._limits.fault(loop.output)
        if fault:
            loop.stand_down(fault)
            self._alarms.raise_alarm(LIMITS_ALARM, loop.output, Priority.HIGH, fault)
            return False
        if not loop.started:
            self._alarms.clear_alarm(LIMITS_ALARM, loop.output)
            loop.start()
        return loop.mode is not Mode.OUT_OF_SERVICE


def _recorded(flight: Flight, build_solver: SolverFactory) -> SolverFactory:
    """What a solver answers comes in like everything else."""
    return lambda loop, setup, model_hash: flight.solver(build_solver(loop, setup, model_hash))

"""The modes of one loop, target and actual, and why it yielded."""

from __future__ import annotations

from edged.log import get_logger
from edged.types import Priority, Refused
from edged_control.gate import Mode
from edged_control.loop.baseline import Baseline
from edged_control.loop.memory import LoopMemory
from edged_control.surroundings import OVERRIDE_ALARM, SHED_ALARM, Surroundings

STARTING = "starting: waits for good cycles"
PARKED = "taken out of service by a person"

log = get_logger("control")


class Modes:
    """Comes up in MAN and reaches its target only after good cycles; yields to people at the plant and stays away."""

    def __init__(
        self,
        loop: str,
        target: Mode,
        good_cycles: int,
        *,
        around: Surroundings,
        memory: LoopMemory,
        baseline: Baseline,
    ) -> None:
        self._loop = loop
        self._good_cycles = good_cycles
        self._around = around
        self._memory = memory
        self._baseline = baseline
        self._good = 0
        self._configured = target
        self._chosen: Mode | None = None
        self._yielded = ""
        self.started = False
        self.actual = Mode.OUT_OF_SERVICE
        self.target = target
        self.reason = "not started"

    def start(self) -> None:
        """Comes up in MAN, or still in local-override or out of service, with what was remembered."""
        remembered = self._memory.recall()
        if remembered is not None:
            self._chosen, self._yielded = remembered.target, remembered.yielded
            self.target = self._chosen or self._configured
        self.started = True
        self._good = 0
        if self._yielded:
            self._around.alarms.raise_alarm(OVERRIDE_ALARM, self._loop, Priority.HIGH, self._yielded)
        if self.target is Mode.OUT_OF_SERVICE:
            self._enter(Mode.OUT_OF_SERVICE, PARKED)
        elif self._yielded:
            self._enter(Mode.LOCAL_OVERRIDE, self._yielded)
        else:
            self._enter(Mode.MANUAL, STARTING)

    def stand_down(self, reason: str) -> None:
        """Out of service: somebody else writes."""
        self.started = False
        self._enter(Mode.OUT_OF_SERVICE, reason)

    def count(self, fault: str) -> None:
        """Judges one cycle: a fault sheds to MAN at once, enough good cycles lead to the target mode."""
        if fault:
            self.shed(fault)
            return
        if self.actual is not Mode.MANUAL:
            return
        self._good += 1
        if self._good < self._good_cycles:
            self.reason = STARTING
            return
        self._around.alarms.clear_alarm(SHED_ALARM, self._loop)
        self._enter(self.target, "")

    def shed(self, reason: str) -> None:
        """MAN: the output holds."""
        self._good = 0
        if self.actual is Mode.AUTOMATIC:
            self._around.alarms.raise_alarm(SHED_ALARM, self._loop, Priority.MEDIUM, f"output held: {reason}")
            self._enter(Mode.MANUAL, reason)
        elif self.actual is Mode.MANUAL:
            self.reason = reason

    def give_way(self, reason: str) -> None:
        """Somebody at the plant moved the output: the loop never fights. In target MAN that is what MAN is for."""
        if self.target is not Mode.AUTOMATIC:
            self.shed(reason)
            return
        self._yielded = reason
        self._keep()
        self._enter(Mode.LOCAL_OVERRIDE, reason)
        self._around.alarms.raise_alarm(OVERRIDE_ALARM, self._loop, Priority.HIGH, reason)

    def establish(self, present: float) -> None:
        """The first baseline of a new loop is where the plant stands."""
        if self._baseline.value is None and not self._yielded:
            self._baseline.enter(present)

    def request(self, target: Mode, present: float | None, *, entered: bool, identity: str) -> Refused | None:
        """A person chooses the mode. Where a person had `entered` the present value, it becomes the baseline."""
        if not self.started:
            return Refused(f"mode: the loop is out of service: {self.reason}")
        is_handed_back = (self._yielded or entered) and Mode.OUT_OF_SERVICE not in (target, self.target)
        if is_handed_back:
            if present is None:
                return Refused("freshness: the present value of the output is not known")
            if not self._baseline.enter(present):
                return Refused("approval: the new baseline can't be kept")
            self._yielded = ""
            self._around.alarms.clear_alarm(OVERRIDE_ALARM, self._loop)
        self.target = self._chosen = target
        self._keep()
        self._good = 0
        log.info("mode_requested", loop=self._loop, target=target.value, identity=identity)
        self._enter(*self._first(target))
        return None

    def _first(self, target: Mode) -> tuple[Mode, str]:
        """Where a request leads at once."""
        if target is Mode.OUT_OF_SERVICE:
            return Mode.OUT_OF_SERVICE, PARKED
        return (Mode.LOCAL_OVERRIDE, self._yielded) if self._yielded else (Mode.MANUAL, STARTING)

    def _keep(self) -> bool:
        changes = {"target": self._chosen, "yielded": self._yielded}
        return self._memory.keep(self._memory.state().model_copy(update=changes))

    def _enter(self, mode: Mode, reason: str) -> None:
        if mode is not self.actual:
            log.info("loop_mode", loop=self._loop, mode=mode.value, before=self.actual.value, reason=reason)
        self.actual, self.reason = mode, reason

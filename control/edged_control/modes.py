"""The modes of one loop, target and actual, and the approved baseline that belongs to them."""

from __future__ import annotations

from edged.log import get_logger
from edged.types import Priority, Refused
from edged_control.gate import Mode
from edged_control.memory import Remembered
from edged_control.surroundings import MEMORY_ALARM, OVERRIDE_ALARM, SHED_ALARM, Surroundings

STARTING = "starting: waits for good cycles"
DAMAGED = "the remembered state of control is damaged: a person must take the output over and hand it back"

log = get_logger("control")


class Modes:
    """Comes up in MAN and reaches its target only after good cycles; yields to people at the plant and stays away."""

    def __init__(self, loop: str, target: Mode, good_cycles: int, around: Surroundings) -> None:
        self._loop = loop
        self._good_cycles = good_cycles
        self._around = around
        self._good = 0
        self._yielded = ""
        self.actual = Mode.OUT_OF_SERVICE
        self.target = target
        self.reason = "not started"
        self.baseline: float | None = None

    def start(self) -> None:
        """Comes up in MAN, or still in local-override, with what was remembered."""
        if not self._around.advisory:
            self._recall()
        self._good = 0
        if self._yielded:
            self._enter(Mode.LOCAL_OVERRIDE, self._yielded)
            self._around.alarms.raise_alarm(OVERRIDE_ALARM, self._loop, Priority.HIGH, self._yielded)
        else:
            self._enter(Mode.MANUAL, STARTING)

    def stand_down(self, reason: str) -> None:
        """Out of service: somebody else writes."""
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
        if self.baseline is None and not self._yielded:
            self._keep_baseline(present)

    def accept_entry(self, present: float) -> None:
        """A value that was entered at the plant while it had not given us the output: an operator's own entry."""
        self._keep_baseline(present)

    def request(self, target: Mode, present: float | None, *, entered: bool, identity: str) -> Refused | None:
        """A person chooses the mode. Where a person had `entered` the present value, it becomes the baseline."""
        if self.actual is Mode.OUT_OF_SERVICE:
            return Refused(f"mode: the loop is out of service: {self.reason}")
        if self._yielded or entered:
            if present is None:
                return Refused("freshness: the present value of the output is not known")
            if not self._keep_baseline(present):
                return Refused("approval: the new baseline can't be kept")
        self.target, self._yielded = target, ""
        self._keep()
        self._good = 0
        self._around.alarms.clear_alarm(OVERRIDE_ALARM, self._loop)
        log.info("mode_requested", loop=self._loop, target=target.value, identity=identity)
        self._enter(Mode.MANUAL, STARTING)
        return None

    def follow(self, present: float) -> None:
        """Advisory: nothing is ours to yield, the baseline follows the plant."""
        self.baseline = present

    def _recall(self) -> None:
        remembered = self._around.memory.recall(self._loop)
        if remembered is not None:
            self.target, self.baseline, self._yielded = remembered.target, remembered.baseline, remembered.yielded
        elif self._around.memory.damaged:
            self._yielded = DAMAGED

    def _keep_baseline(self, present: float) -> bool:
        before, self.baseline = self.baseline, present
        if self._keep():
            return True
        self.baseline = before
        return False

    def _keep(self) -> bool:
        around = self._around
        if around.advisory:
            return True
        state = Remembered(baseline=self.baseline, target=self.target, yielded=self._yielded)
        try:
            around.memory.keep(self._loop, state)
        except OSError as fault:
            around.alarms.raise_alarm(MEMORY_ALARM, self._loop, Priority.HIGH, f"state can't be kept: {fault}")
            return False
        around.alarms.clear_alarm(MEMORY_ALARM, self._loop)
        return True

    def _enter(self, mode: Mode, reason: str) -> None:
        if mode is not self.actual:
            log.info("loop_mode", loop=self._loop, mode=mode.value, before=self.actual.value, reason=reason)
        self.actual, self.reason = mode, reason

"""From where the output of a loop may move how far: the approved baseline, and what an engineer granted beyond it."""

from __future__ import annotations

from edged.clock import Clock
from edged.log import get_logger
from edged.types import NANOSECONDS_PER_SECOND
from edged_control.gate import Grant
from edged_control.loop.memory import LoopMemory
from edged_control.memory import Granted, Remembered

log = get_logger("control")


class Baseline:
    """Survives restarts. It moves with a grant that is used up, with a person's own entry, and never otherwise."""

    def __init__(self, loop: str, step: float, threshold: float, memory: LoopMemory, clock: Clock) -> None:
        self._loop = loop
        self.adopt(step, threshold)
        self._memory = memory
        self._clock = clock
        self._granted: Granted | None = None
        self._until = 0.0
        self.value: float | None = None

    @property
    def grant(self) -> Grant | None:
        """What is approved beyond the threshold, for the gate."""
        granted = self._granted
        return None if granted is None else Grant(granted.value, granted.span, self._until)

    def adopt(self, step: float, threshold: float) -> None:
        """The largest step of the output and the approval threshold, from now on."""
        self._threshold = threshold
        self._arrival = min(step, threshold)

    def start(self) -> None:
        """Takes up what was remembered; in advisory there is nothing until the plant was read."""
        remembered = self._memory.recall() or Remembered(baseline=self.value)
        self.value = remembered.baseline
        self._take(remembered.grant)

    def enter(self, present: float) -> bool:
        """Where the plant stands is approved from now on; what was granted before is over. False: it can't be kept."""
        return self._keep(present, None)

    def follow(self, present: float) -> None:
        """Advisory: nothing is ours, the baseline follows the plant."""
        self.value = present

    def is_spent(self, approval: str, issued: int) -> bool:
        """Whether an approval was used, or may have been."""
        return self._memory.is_spent(approval, issued)

    def approve(self, granted: Granted, issued: int) -> bool:
        """Takes a grant, which uses its approval up. False: it can't be kept, and nothing has changed."""
        state = self._memory.state().model_copy(update={"grant": granted})
        if not self._memory.keep(state, (granted.identity, issued)):
            return False
        self._take(granted)
        log.info("approved", loop=self._loop, value=granted.value, span=granted.span, signer=granted.signer)
        return True

    def settle(self, present: float) -> None:
        """Ends a grant that is fulfilled, and one that has expired: the moves made under it were approved ones.

        Fulfilled is within one step: a controller that wants further stops there.
        """
        granted, baseline = self._granted, self.value
        if granted is None or baseline is None:
            return
        if abs(present - granted.value) <= self._arrival:
            self._keep(granted.value, None)
        elif not self._clock.monotonic() < self._until:
            low = min(baseline, granted.value - granted.span)
            high = max(baseline, granted.value + granted.span)
            reached = min(max(present, low), high)
            self._keep(baseline if abs(present - baseline) <= self._threshold else reached, None)

    def _take(self, granted: Granted | None) -> None:
        """From now on intervals count; a clock that was set back since the grant was accepted ends it."""
        self._granted = granted
        if granted is not None:
            now = self._clock.now()
            left = (granted.expires - now) / NANOSECONDS_PER_SECOND if now >= granted.accepted else 0.0
            self._until = self._clock.monotonic() + left

    def _keep(self, value: float, granted: Granted | None) -> bool:
        state = self._memory.state().model_copy(update={"baseline": value, "grant": granted})
        if not self._memory.keep(state):
            return False
        if value != self.value:
            log.info("baseline", loop=self._loop, value=value, before=self.value)
        self.value = value
        self._take(granted)
        return True

"""The set-point of one loop: the configured one until a person enters another."""

from __future__ import annotations

import math

from edged.log import get_logger
from edged.settings import LoopSettings
from edged.types import Quality, Refused, Signal
from edged_control.gate import Observed, number
from edged_control.loop.memory import LoopMemory
from edged_control.memory import Remembered

log = get_logger("control")


class SetPoint:
    """What a person entered outlives restarts, until the grade changes or the configuration says something else.

    Where a loop has a set-point for each grade, it has none for others, and holds.
    """

    def __init__(self, settings: LoopSettings, process_value: Signal, memory: LoopMemory) -> None:
        self._loop = settings.name
        self._usual = settings.set_point
        self._grades = settings.grades
        self._configured = settings.set_point
        self._signal = process_value
        self._memory = memory
        self.grade = ""
        self.fault = ""
        """Why there is no set-point now."""
        self.value = settings.set_point

    def start(self) -> None:
        """Takes up what was remembered."""
        remembered = self._memory.recall()
        entered = remembered.set_point if remembered is not None and self._is_current(remembered) else None
        self.value = self._configured if entered is None else entered

    def follow(self, observed: Observed | None) -> None:
        """What the line tells of the grade that it makes; None where it tells none."""
        if observed is None:
            return
        if observed.quality != Quality.GOOD or observed.value is None:
            self.fault = "line: the grade could not be read"
            return
        grade = str(observed.value)
        if grade == self.grade and not self.fault:
            return
        known = self._grades.get(grade) if self._grades else self._usual
        self.fault = "" if known is not None else f"line: there is no set-point for grade {grade}"
        if known is not None and grade != self.grade:
            self._change_grade(grade, known)

    def request(self, wish: object, identity: str) -> Refused | None:
        """A person enters a set-point; None when it holds from now on."""
        value, signal = number(wish), self._signal
        if value is None:
            return Refused("finite: the set-point is not a finite number")
        low = -math.inf if signal.low is None else signal.low
        high = math.inf if signal.high is None else signal.high
        if not low <= value <= high:
            return Refused(f"limits: {value:g} is outside {low:g}..{high:g} {signal.unit}, the range of {signal.path}")
        changes = {"set_point": value, "configured": self._configured, "grade": self.grade or None}
        if not self._memory.keep(self._memory.state().model_copy(update=changes)):
            return Refused("memory: the set-point can't be kept")
        log.info("set_point", loop=self._loop, value=value, before=self.value, identity=identity)
        self.value = value
        return None

    def _change_grade(self, grade: str, configured: float) -> None:
        """What a person entered for one grade is over with it, also when it changed while edged was away."""
        before, self.grade, self._configured = self.grade, grade, configured
        remembered = self._memory.recall()
        if remembered is not None and remembered.set_point is not None and (before or not self._is_current(remembered)):
            self._memory.keep(remembered.model_copy(update={"set_point": None}))
        self.start()
        log.info("grade", loop=self._loop, grade=grade, before=before, set_point=self.value)

    def _is_current(self, remembered: Remembered) -> bool:
        """Whether it was entered for what the line makes, and the configuration still says the same."""
        return remembered.configured == self._configured and remembered.grade in (None, self.grade)

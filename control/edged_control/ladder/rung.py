"""One rung of the ladder: who can say where the output should go, and what each must do in every cycle."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from edged_control.gate import credit_cap
from edged_control.ladder.pid import Pid, PidTuning
from edged_control.limits.envelope import EffectiveLimits

PID = "pid"


class Moment(NamedTuple):
    """What a rung is told in one cycle: `applied` is the readback, `now` monotonic, `seconds` passed since the last.

    `automatic` tells that the ladder, and no person, moves the output.
    """

    set_point: float
    process_value: float
    applied: float
    now: float
    seconds: float
    automatic: bool


class Wish(NamedTuple):
    """Where the output should go, or None and the fault for which nobody can tell."""

    value: float | None
    fault: str = ""


class Rung(Protocol):
    """`look` comes first in every cycle; then the rung that leads is asked to `propose`, all others `track`.

    `assumed` tells how the model that it plans with differs from the one of `model_hash`; empty where it does not.
    """

    name: str
    model_hash: str
    assumed: str

    async def look(self, moment: Moment) -> str:
        """Why it can't lead in this cycle, empty when it can. The only place where it may wait, for a set time."""
        ...

    def miss(self, present: float | None, now: float) -> None:
        """There is no look in this cycle, nothing can be controlled. `present` is the readback, None if unknown."""
        ...

    def propose(self, moment: Moment) -> Wish:
        """Where the output should go, from where it is."""
        ...

    def track(self, moment: Moment) -> None:
        """Follows the plant while somebody else moves the output, so that it takes over without a bump."""
        ...

    def trust(self) -> None:
        """An engineer says that whatever it held against itself is mended."""
        ...

    def adopt(self, limits: EffectiveLimits) -> None:
        """Other limits of the output from now on."""
        ...


class PidRung:
    """The rung that is always there."""

    name = PID
    model_hash = ""
    assumed = ""

    def __init__(self, tuning: PidTuning, period_seconds: float) -> None:
        self._pid = Pid(tuning)
        self._credit_seconds = credit_cap(period_seconds)

    async def look(self, moment: Moment) -> str:
        del moment
        return ""

    def miss(self, present: float | None, now: float) -> None:
        del present, now

    def propose(self, moment: Moment) -> Wish:
        output = self._pid.update(moment.set_point, moment.process_value, moment.applied, moment.seconds)
        return Wish(output.value, output.fault)

    def track(self, moment: Moment) -> None:
        self._pid.track(moment.process_value, moment.seconds)

    def trust(self) -> None:
        return

    def adopt(self, limits: EffectiveLimits) -> None:
        self._pid.limit(limits.low, limits.high, limits.rate_per_second * self._credit_seconds)

"""A loop's part in an MPC as a rung: at the table in every cycle, and in doubt of what the model says of its output."""

from __future__ import annotations

import math

from edged.log import get_logger
from edged_control.ladder.round_table import Arrival, RoundTable
from edged_control.ladder.rung import Moment, Wish
from edged_control.limits.envelope import EffectiveLimits
from edged_control.process_model.watch import ModelWatch
from edged_control.solver.messages import Answer

log = get_logger("control")


class MpcRung:
    """It has the solver solve also while somebody else moves the output: that it can is known before it leads."""

    def __init__(
        self, name: str, loop: str, table: RoundTable, watch: ModelWatch, *, tolerance: float, model_hash: str
    ) -> None:
        self.name = name
        self.model_hash = model_hash
        self.assumed = ""
        self._loop = loop
        self._table = table
        self._place = table.places[loop]
        self._watch = watch
        self._tolerance = tolerance
        self._asked = -math.inf
        self._knew = False
        self._wish: float | None = None
        self._proposed: float | None = None

    async def look(self, moment: Moment) -> str:
        """Asks the solver with all loops of the MPC. A start from the last solution needs that it was applied."""
        seconds = moment.now - self._asked if math.isfinite(self._asked) else 0.0
        arrival = Arrival(
            time=moment.now,
            set_point=moment.set_point,
            process_value=moment.process_value,
            applied=moment.applied,
            controls=moment.automatic and not self._watch.fault,
            fresh=self._proposed is None or abs(self._proposed - moment.applied) > self._tolerance,
        )
        self._asked, self._wish, self._proposed = moment.now, None, None
        answer = await self._table.ask(self._loop, arrival)
        fault = answer.fault or self._forgetful(answer)
        if fault:
            return fault
        self._note(answer.assumed)
        if moment.automatic:
            self._watch.note(answer.errors[self._place.output], seconds)
        self._wish = answer.inputs[self._place.input]
        return self._watch.fault

    def miss(self, present: float | None, now: float) -> None:
        """Nobody waits for it at the table."""
        self._wish = self._proposed = None
        self._table.miss(self._loop, present, now)

    def propose(self, moment: Moment) -> Wish:
        """What the solver answered in this cycle."""
        del moment
        self._proposed = self._wish
        return Wish(self._wish) if self._wish is not None else Wish(None, "the solver was not asked")

    def track(self, moment: Moment) -> None:
        """Nothing is left to do: the question has told where the output is."""
        del moment

    def trust(self) -> None:
        """An engineer says that the model fits."""
        self._watch.trust()

    def adopt(self, limits: EffectiveLimits) -> None:
        """The solver is set up anew and follows the plant before it leads."""
        self._table.adopt(self._loop, limits)

    def _note(self, assumed: str) -> None:
        """The plant differs from its model in another way than it did."""
        if assumed != self.assumed:
            log.info("model_assumed", loop=self._loop, assumed=assumed or "as identified", before=self.assumed)
        self.assumed = assumed

    def _forgetful(self, answer: Answer) -> str:
        """A solver that knew the plant and now begins anew has to follow it for a while before it leads."""
        knew, self._knew = self._knew, True
        return "the solver begins anew, it has to follow the plant first" if knew and answer.began else ""

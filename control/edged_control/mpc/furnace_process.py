"""A furnace as an estimator runs it: the states of the physics, then the throat as far back as the dead time goes."""

from __future__ import annotations

import numpy as np

from edged_control.process_model.state_space import Array
from edged_physics.crown_control import CrownControl, CrownState, advance, steady

LUMPED = len(CrownState._fields)
THROAT = CrownState._fields.index("throat")


class FurnaceProcess:
    """Implements `estimator.Process`; the one input is the set-point of the crown, the one output the glass, degC."""

    def __init__(self, plant: CrownControl, period_seconds: float, dead_periods: int) -> None:
        self._plant = plant
        self._period = period_seconds
        self._dead_periods = dead_periods

    def steady(self, inputs: Array) -> Array:
        """The state in which the inputs have stood for ever."""
        state = steady(self._plant, float(inputs[0]))
        return np.array([*state, *[state.throat] * self._dead_periods])

    def advance(self, state: Array, inputs: Array) -> Array:
        """The state one sample later."""
        before = CrownState(*map(float, state[:LUMPED]))
        after = advance(self._plant, float(inputs[0]), before, self._period)
        line = [before.throat, *state[LUMPED:]][: self._dead_periods]
        return np.array([*after, *line])

    def outputs(self, state: Array) -> Array:
        """The glass that the gauge sees: it left the throat one dead time ago."""
        return state[-1:] if self._dead_periods else state[THROAT : THROAT + 1]

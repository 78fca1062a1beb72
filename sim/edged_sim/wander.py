"""Hidden disturbances: slow random wander that no controller and no model knows."""

from __future__ import annotations

import math
import random


class Wander:
    """Ornstein-Uhlenbeck noise around zero: standard deviation `spread`, correlation time `seconds`."""

    def __init__(self, rng: random.Random, spread: float, seconds: float, step_seconds: float) -> None:
        self._rng = rng
        self._kept = math.exp(-step_seconds / seconds)
        self._kick = spread * math.sqrt(1.0 - self._kept**2)
        self.value = rng.gauss(0.0, spread)

    def step(self) -> float:
        """Advances one step and returns the new value."""
        self.value = self.value * self._kept + self._kick * self._rng.gauss(0.0, 1.0)
        return self.value

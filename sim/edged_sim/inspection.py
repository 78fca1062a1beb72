"""The inspection machine MIK-1: one result per unit, drawn from what the unit went through (GLS4, GLS5)."""

from __future__ import annotations

import random
from collections import deque
from typing import NamedTuple

from edged.types import Value
from edged_physics.defects import BACKGROUND, Conditions, risks

UNIT_LENGTH_M = 10.0
"""A unit every 4 s at 150 m/min."""
TRANSPORT_SECONDS = 20
"""From forming to the machine."""
RATE_WINDOW_UNITS = 100
BACKGROUND_DEFECT = "chip"
NO_DEFECT = "none"
TRANSMITTANCE_PERCENT = 90.5
HAZE_PERCENT = 6.0
SECONDS_PER_MINUTE = 60.0
SAMPLE_SECONDS = 1.0


class Unit(NamedTuple):
    """The verdict on one unit; `defect_type` is empty when it passed."""

    unit_id: str
    passed: bool
    defect_type: str


class Inspection:
    """Counts the ribbon into units and judges each."""

    def __init__(self, rng: random.Random, step_seconds: float, start: Conditions, prefix: str) -> None:
        self.units_total = 0
        self.defects_total = 0
        self.risk = BACKGROUND
        """Probability of a defect for the unit under inspection."""
        self._rng = rng
        self._step_seconds = step_seconds
        self._prefix = prefix
        self._travelled = 0.0
        self._since_sample = 0.0
        self._waiting = deque([(start, 4.0)] * TRANSPORT_SECONDS)
        self._arrived = self._waiting[0]
        self._window: deque[bool] = deque(maxlen=RATE_WINDOW_UNITS)
        self._last_defect = NO_DEFECT
        self._haze = 0.0

    def step(self, conditions: Conditions, thickness: float) -> Unit | None:
        """Advances one plant step; the unit that was judged in it, if any."""
        self._since_sample += self._step_seconds
        if self._since_sample >= SAMPLE_SECONDS - self._step_seconds / 2:
            self._since_sample = 0.0
            self._waiting.append((conditions, thickness))
            self._arrived = self._waiting.popleft()
        self._travelled += conditions.belt_speed / SECONDS_PER_MINUTE * self._step_seconds
        if self._travelled < UNIT_LENGTH_M:
            return None
        self._travelled -= UNIT_LENGTH_M
        return self._judge()

    def readings(self) -> dict[str, Value]:
        """True values by path below the line."""
        share = 100.0 * sum(self._window) / len(self._window) if self._window else 0.0
        return {
            "inspection/units_total": self.units_total,
            "inspection/defects_total": self.defects_total,
            "inspection/defect_rate": share,
            "inspection/thickness": self._arrived[1],
            "inspection/transmittance": TRANSMITTANCE_PERCENT - self._haze,
            "inspection/last_defect": self._last_defect,
        }

    def _judge(self) -> Unit:
        self.units_total += 1
        found = self._draw()
        self._window.append(bool(found))
        if found:
            self.defects_total += 1
            self._last_defect = found
        return Unit(f"{self._prefix}{self.units_total:07d}", not found, found)

    def _draw(self) -> str:
        """The defect with the largest margin below its probability, each tried with its own number."""
        chances: dict[str, float] = {str(defect): risk for defect, risk in risks(self._arrived[0]).items()}
        chances[BACKGROUND_DEFECT] = BACKGROUND
        spared = 1.0
        found = {}
        for defect, chance in chances.items():
            spared *= 1.0 - chance
            draw = self._rng.random()
            if draw < chance:
                found[defect] = chance - draw
        self.risk = 1.0 - spared
        self._haze = HAZE_PERCENT * chances["cloudiness"]
        return max(found, key=found.__getitem__) if found else ""

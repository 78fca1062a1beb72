"""A first-order process with dead time under PI control, through a valve that may stick, with noise and disturbance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edged_control.kpi.window import Cycle, LoopWindow

LOW, HIGH = 0.0, 100.0
START = 50.0


@dataclass(frozen=True, slots=True)
class SimulatedLoop:
    """Gain 1, lag 20 s, dead time in s; the set-point steps at half time. `stick` is what the valve needs to move."""

    gain: float = 0.8
    integral_seconds: float = 20.0
    dead_time: int = 4
    noise: float = 0.05
    stick: float = 0.0
    swing: float = 0.0
    load: float = 0.0
    step: float = 0.0
    cycles: int = 1800
    seed: int = 1

    def run(self) -> LoopWindow:
        """One cycle a second."""
        random = np.random.default_rng(self.seed)
        lag = np.exp(-1.0 / 20.0)
        level, valve, integral = START, START, START
        sent = [START] * (self.dead_time + 1)
        cycles = []
        for k in range(self.cycles):
            set_point = START + (self.step if k >= self.cycles // 2 else 0.0)
            disturbance = self.swing * np.sin(2.0 * np.pi * k / 60.0)
            level = lag * level + (1.0 - lag) * (sent[0] + self.load + disturbance)
            measured = level + self.noise * random.standard_normal()
            error = set_point - measured
            integral += self.gain / self.integral_seconds * error
            wish = self.gain * error + integral
            output = float(np.clip(wish, LOW, HIGH))
            integral += output - wish
            valve = output if abs(output - valve) > self.stick else valve
            sent = [*sent[1:], valve]
            seen = (float(k), set_point, measured, output, LOW, HIGH)
            cycles.append(Cycle(*seen, automatic=True, clipped=False, fell_back=False))
        return LoopWindow.of(cycles, 1.0)

"""Random trouble for training files: episodes of every cause, most of them mild, some of them bad (GLS5, GLS34)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from edged_sim.forces import Target
from edged_sim.scenario import Disturbance

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of episode: how often, how long, how strong; everything uniform between its ends."""

    target: Target
    per_hour: float
    seconds: tuple[float, float]
    amount: tuple[float, float]
    ramp_share: float
    """Share of the episode in which it grows."""


DEMO: tuple[Trouble, ...] = (
    Trouble(Target.PRESSURE_OSCILLATION, 5.0, (60.0, 200.0), (2.0, 5.0), 0.2),
    Trouble(Target.PRESSURE_OSCILLATION, 2.4, (60.0, 180.0), (6.2, 8.2), 0.3),
    Trouble(Target.BELT_SPEED, 1.2, (60.0, 180.0), (12.0, 26.0), 0.4),
    Trouble(Target.BELT_SPEED, 0.6, (60.0, 150.0), (29.0, 36.0), 0.6),
    Trouble(Target.COOLING_FANS, 0.5, (240.0, 600.0), (12.0, 24.0), 0.2),
    Trouble(Target.COOLING_FANS, 0.35, (240.0, 480.0), (28.0, 36.0), 0.2),
    Trouble(Target.MOULD_TEMPERATURE, 0.05, (900.0, 1500.0), (-220.0, -170.0), 0.1),
    Trouble(Target.FURNACE_SETPOINT, 0.05, (900.0, 1500.0), (70.0, 95.0), 0.3),
    Trouble(Target.FURNACE_SETPOINT, 0.05, (900.0, 1500.0), (-115.0, -85.0), 0.3),
    Trouble(Target.PULL_RATE, 2.0, (120.0, 900.0), (-0.6, 0.6), 0.3),
)
"""Causes of GLS25 and harmless changes of load, for a horizon of a minute."""


def draw_episodes(troubles: Sequence[Trouble], seed: int, seconds: float) -> tuple[Disturbance, ...]:
    """Episodes over a run, by Poisson arrivals; same seed, same episodes."""
    rng = random.Random(seed)  # noqa: S311 - repeatable trouble, not a secret
    episodes = []
    for trouble in troubles:
        at = rng.expovariate(trouble.per_hour / SECONDS_PER_HOUR)
        while at < seconds:
            lasting = rng.uniform(*trouble.seconds)
            episodes.append(
                Disturbance(
                    kind="disturbance",
                    target=trouble.target,
                    amount=rng.uniform(*trouble.amount),
                    at_seconds=at,
                    seconds=lasting,
                    ramp_seconds=lasting * trouble.ramp_share,
                )
            )
            at += lasting + rng.expovariate(trouble.per_hour / SECONDS_PER_HOUR)
    return tuple(sorted(episodes, key=lambda episode: episode.at_seconds))

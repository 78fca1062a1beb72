"""A plant that may differ from its model: several MPCs follow it, and the one that foresaw it best makes the plan.

Their models differ by factors of gain and dead time of each input. What each foresaw is weighed by the evidence of its
estimate, the newer the more; another one takes over only when it is clearly better, so that a plant that tells nothing
changes nothing (adaptive control using multiple models: Narendra and Balakrishnan, IEEE Trans. AC 42, 1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from edged_control.mpc.horizon import OutputLimits
from edged_control.mpc.linear import EVERYTHING, Fault, InputLimits, Mpc, MpcTuning, Part, Plan
from edged_control.mpc.loads import Load
from edged_control.process_model.linear import Channel, ProcessModel
from edged_control.process_model.state_space import Array

MEMORY_PERIODS = 200.0
"""After so many periods evidence counts for a third (1/e)."""
CLEARLY_BETTER = 4.0
"""So much more evidence, as the logarithm of a likelihood ratio: 55 times as probable."""
MOST_AT_ONCE = 2.0
"""No measurement counts for more against a model: one that is wild decides nothing."""
SAME = 1.0


@dataclass(frozen=True, slots=True)
class Deviations:
    """By which factors gain and dead time of one input's paths may differ from the model."""

    gain: tuple[float, ...] = ()
    dead_time: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """A model that the plant may be; `name` tells how it differs, empty for the model itself.

    `gain_factors` are those of each input.
    """

    name: str
    model: ProcessModel
    gain_factors: tuple[float, ...]

    def loads(self, loads: Sequence[Load]) -> tuple[Load, ...]:
        """Loads that show in the outputs as they do by the model itself: only what inputs do tells variants apart."""
        return tuple(
            Load(load.per_hour / factor, load.jump / factor)
            for load, factor in zip(loads, self.gain_factors, strict=False)
        )


def variants_of(model: ProcessModel, deviations: Sequence[Deviations]) -> tuple[Variant, ...]:
    """The model itself and then all combinations; `deviations` for each input."""
    choices = [list(product((SAME, *own.gain), (SAME, *own.dead_time))) for own in deviations]
    return tuple(_variant(model, chosen) for chosen in product(*choices))


class MultipleModelMpc:
    """To whoever calls it an `Mpc`. `assumed` names the variant that plans."""

    def __init__(
        self,
        variants: Sequence[Variant],
        tuning: MpcTuning,
        limits: Sequence[InputLimits],
        output_limits: Sequence[OutputLimits] = (),
    ) -> None:
        self._members = [
            Mpc(variant.model, replace(tuning, loads=variant.loads(tuning.loads)), limits, output_limits)
            for variant in variants
        ]
        self._names = [variant.name for variant in variants]
        self._scores = np.zeros(len(variants))
        self._at = 0

    @property
    def assumed(self) -> str:
        """How the model that plans differs from the one that was identified; empty when it does not."""
        return self._names[self._at]

    @property
    def innovation(self) -> Array:
        """Of the model that plans."""
        return self._members[self._at].innovation

    @property
    def began(self) -> bool:
        """Whether the estimates began anew in the last call."""
        return self._members[self._at].began

    def reset(self) -> None:
        """Forgets the plant and how it differed, as after a restart."""
        self._scores[:] = 0.0
        self._at = 0
        for member in self._members:
            member.reset()

    def drop_warm_start(self) -> None:
        """The next solve starts from nothing."""
        for member in self._members:
            member.drop_warm_start()

    def try_out(self) -> None:
        """The first solve is slower than all others: it happens before anybody waits for one."""
        for member in self._members:
            member.try_out()

    def update(
        self,
        set_points: Sequence[float],
        outputs: Sequence[float],
        applied: Sequence[float],
        seconds: float,
        part: Part = EVERYTHING,
    ) -> Plan | Fault:
        """The plan of the variant that is assumed once all have seen the outputs."""
        for member in self._members:
            member.track(outputs, applied, seconds)
        self._judge()
        return self._members[self._at].plan(set_points, outputs, applied, seconds, part)

    def _judge(self) -> None:
        self._scores *= np.exp(-1.0 / MEMORY_PERIODS)
        evidence = np.array([member.evidence for member in self._members])
        self._scores += np.maximum(evidence - evidence.max(), -MOST_AT_ONCE)
        best = int(self._scores.argmax())
        if self._scores[best] > self._scores[self._at] + CLEARLY_BETTER:
            self._at = best
            self._members[best].drop_warm_start()


def _variant(model: ProcessModel, factors: Sequence[tuple[float, float]]) -> Variant:
    channels = tuple(tuple(map(_changed, row, factors)) for row in model.channels)
    names = [
        f"{what} of {port.signal} x{factor:g}"
        for port, both in zip(model.inputs, factors, strict=True)
        for what, factor in zip(("gain", "dead time"), both, strict=True)
        if factor != SAME
    ]
    return Variant(", ".join(names), replace(model, channels=channels), tuple(gain for gain, _ in factors))


def _changed(channel: Channel, factors: tuple[float, float]) -> Channel:
    gain, dead_time = factors
    return replace(channel, gain=channel.gain * gain, dead_time_seconds=channel.dead_time_seconds * dead_time)

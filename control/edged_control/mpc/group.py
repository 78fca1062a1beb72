"""Which loops share an MPC, and whether its model is for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from edged.config import LineConfig
from edged.controller_settings import (
    MpcInputSettings,
    MpcOutputSettings,
    MpcSettings,
    NonlinearMpcSettings,
    SharedMpcSettings,
)
from edged.settings import LoopSettings
from edged_control.process_model.linear import Artefact, ProcessModel

LONGEST_PERIOD_SHARE = 0.5
"""A loop's period may be this share of the dead time and lags of its model together: with less it sees too little."""

Field: TypeAlias = tuple[str | int, ...]
Misfit: TypeAlias = tuple[Field, str]
"""The field of the owner's loop, and what is wrong with it."""
CONTROLLER: Field = ("controller",)
FALLBACK: Field = ("controller", "fallback")


class Group(NamedTuple):
    """The loops of one MPC: `owner` describes it in `field`, `loops` are all of them, the owner first."""

    owner: LoopSettings
    settings: MpcSettings | NonlinearMpcSettings
    loops: tuple[LoopSettings, ...]
    field: Field = CONTROLLER


def groups_of(loops: Sequence[LoopSettings]) -> list[Group]:
    """One group for each MPC, also where it moves one output alone, as a nonlinear one and the one below it do."""
    groups: list[Group] = []
    for owner in loops:
        settings = owner.controller
        if isinstance(settings, MpcSettings):
            groups.append(Group(owner, settings, (owner, *(loop for loop in loops if owner_of(loop) == owner.name))))
        elif isinstance(settings, NonlinearMpcSettings):
            groups.append(Group(owner, settings, (owner,)))
            if isinstance(settings.fallback, MpcSettings):
                groups.append(Group(owner, settings.fallback, (owner,), FALLBACK))
    return groups


def owner_of(loop: LoopSettings) -> str | None:
    """The loop in whose MPC this one has a part, if it has one in another's."""
    return loop.controller.loop if isinstance(loop.controller, SharedMpcSettings) else None


def misfits(group: Group, settings: MpcSettings, artefact: Artefact, config: LineConfig) -> list[Misfit]:
    """Where and why a model is not for these loops: other signals, other units, another period."""
    model = artefact.model
    faults: list[Misfit] = []
    for side, ports, entries, signals in (
        ("inputs", model.inputs, settings.inputs, [loop.output for loop in group.loops]),
        ("outputs", model.outputs, settings.outputs, [loop.process_value for loop in group.loops]),
    ):
        where = (*group.field, side)
        named, known = [entry.signal for entry in entries], [port.signal for port in ports]
        if sorted(named) != sorted(signals):
            faults.append((where, f"must be {_wanted(signals)}, got {_named(entries)}"))
        elif known not in (named, [config.full(signal) for signal in named]):
            text = f"must be those of the model, in its order, got {_named(entries)}, the model has {', '.join(known)}"
            faults.append((where, text))
        else:
            units = [config.signals[config.full(signal)].unit for signal in named]
            faults += [
                (where, f"{signal} is in {unit!r}, the model speaks of it in {port.unit!r}")
                for signal, unit, port in zip(named, units, ports, strict=True)
                if unit != port.unit
            ]
    return faults or [*_period_faults(group, artefact), *_path_faults(group, settings, model)]


def place_of(loop: LoopSettings, settings: MpcSettings | NonlinearMpcSettings) -> tuple[int, int]:
    """The loop's own input and output among those of the MPC; a nonlinear one has one of each."""
    if isinstance(settings, NonlinearMpcSettings):
        return 0, 0
    inputs, outputs = ([entry.signal for entry in side] for side in (settings.inputs, settings.outputs))
    return inputs.index(loop.output), outputs.index(loop.process_value)


def fastest_seconds(model: ProcessModel) -> float:
    """Dead time and lags of the path that answers first."""
    channels = [channel for row in model.channels for channel in row if channel.gain]
    return min(channel.dead_time_seconds + channel.lag_seconds + channel.second_lag_seconds for channel in channels)


def _period_faults(group: Group, artefact: Artefact) -> list[Misfit]:
    shortest, period = artefact.period_seconds, group.owner.period_seconds
    longest = max(LONGEST_PERIOD_SHARE * fastest_seconds(artefact.model), shortest)
    where, dynamics = ("period_seconds",), artefact.model.dynamics
    if not shortest <= period <= longest:
        return [(where, f"must be within {shortest:.3g}..{longest:.3g} s for this model, got {period:g}")]
    if dynamics is not None and not dynamics.fits(period):
        return [(where, f"must be a multiple of the model's {dynamics.period_seconds:g} s, got {period:g}")]
    return []


def _path_faults(group: Group, settings: MpcSettings, model: ProcessModel) -> list[Misfit]:
    """A loop that is left alone with the MPC must be able to do something about its process value."""
    faults: list[Misfit] = []
    for loop in group.loops:
        j, i = place_of(loop, settings)
        if not model.channels[i][j].gain:
            text = f"in this model {loop.output} does not move {loop.process_value}, as the loop {loop.name} wants it"
            faults.append(((*group.field, "model"), text))
    for j, entry in enumerate(settings.inputs):
        if entry.dead_time_factors and not any(row[j].gain and row[j].dead_time_seconds for row in model.channels):
            text = f"in this model {entry.signal} has no dead time that could be another: leave dead_time_factors out"
            faults.append(((*group.field, "inputs", j, "dead_time_factors"), text))
    return faults


def _wanted(signals: Sequence[str]) -> str:
    if len(signals) == 1:
        return f"{signals[0]} alone, which the loop names"
    return f"{', '.join(signals)}, which its loops name"


def _named(entries: Sequence[MpcInputSettings] | Sequence[MpcOutputSettings]) -> str:
    return ", ".join(entry.signal for entry in entries)

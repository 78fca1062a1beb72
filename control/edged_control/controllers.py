"""From the settings of a loop to the rungs of its ladder, and to the models that they need, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from edged.config import LineConfig
from edged.controller_settings import PidSettings
from edged.faults import Faults
from edged.settings import LoopSettings
from edged_control.gate import credit_cap
from edged_control.limits import EffectiveLimits
from edged_control.model import Artefact, UnusableModel, decoded, encoded
from edged_control.model_watch import model_watch
from edged_control.mpc_group import Group, groups_of, misfits, owner_of, place_of
from edged_control.mpc_rung import MpcRung
from edged_control.pid import PidTuning
from edged_control.round_table import Place, RoundTable, input_ranges
from edged_control.rung import PidRung, Rung
from edged_control.solver import Solver
from edged_control.solver_messages import Setup
from edged_control.status import ControlMeters

SolverFactory: TypeAlias = Callable[[str, Setup, str], Solver]
"""Builds the solver of an MPC, by the name of the loop that describes it, for a setup and the hash of its model."""


class Models(NamedTuple):
    """The model of each loop that describes an MPC, and what was not there where that was tolerated."""

    by_loop: Mapping[str, Artefact]
    missing: tuple[str, ...] = ()


class Party(NamedTuple):
    """What the loops of one MPC have in common: the table where they meet, their solver and their model."""

    table: RoundTable
    solver: Solver
    artefact: Artefact


def load_models(config: LineConfig, *, tolerate_missing: bool = False) -> Models:
    """Reads the artefact of every loop under MPC, once. Raises ConfigError with each fault, its file and field."""
    faults, found, missing = Faults(), {}, []
    control = config.settings.control
    loops = control.loops if control else ()
    _check_parts(loops, config, faults)
    for group in groups_of(loops):
        path, where = group.settings.model, ("control", "loops", loops.index(group.owner))
        try:
            content = path.read_bytes()
        except OSError as fault:
            text = f"no process model at {path}: {fault.strerror}"
            if tolerate_missing:
                missing.append(f"{config.control.file}: {'.'.join(map(str, where))}.controller.model: {text}")
            else:
                faults.add(config.control, (*where, "controller", "model"), text)
            continue
        try:
            artefact = decoded(content, str(path))
        except UnusableModel as fault:
            faults.add(config.control, (*where, "controller", "model"), str(fault))
            continue
        for field, text in misfits(group, artefact, config):
            faults.add(config.control, (*where, *field), text)
        found[group.owner.name] = artefact
    faults.raise_any()
    return Models(found, tuple(missing))


def _check_parts(loops: Sequence[LoopSettings], config: LineConfig, faults: Faults) -> None:
    """A loop that has its part in another's MPC must find it there, and keep its time."""
    owners = {group.owner.name: group.owner for group in groups_of(loops)}
    for position, loop in enumerate(loops):
        name, where = owner_of(loop), ("control", "loops", position)
        if name is None:
            continue
        if name not in owners:
            text = f"there is no loop {name} with an MPC, there are {', '.join(owners) or 'none'}"
            faults.add(config.control, (*where, "controller", "loop"), text)
        elif loop.period_seconds != owners[name].period_seconds:
            text = f"must be that of {name}, {owners[name].period_seconds:g} s, got {loop.period_seconds:g}"
            faults.add(config.control, (*where, "period_seconds"), text)


def party_of(
    group: Group,
    limits: Mapping[str, EffectiveLimits],
    models: Mapping[str, Artefact],
    build_solver: SolverFactory | None,
    meters: ControlMeters,
) -> Party:
    """Solver and table of one MPC; `limits` by loop. It needs its model and somebody who builds its solver."""
    owner, settings, artefact = group.owner, group.settings, models.get(group.owner.name)
    if artefact is None or build_solver is None:
        raise UnusableModel(f"{settings.model}: it was not loaded for the loop {owner.name}")
    places = {loop.name: Place(*place_of(loop, settings), limits[loop.name]) for loop in group.loops}
    setup = Setup(
        artefact=encoded(artefact),
        settings=settings,
        limits=input_ranges(places),
        period_seconds=owner.period_seconds,
    )
    solver = build_solver(owner.name, setup, artefact.hash)
    return Party(RoundTable(solver, places, owner.period_seconds, meters), solver, artefact)


def ladder_of(loop: LoopSettings, limits: EffectiveLimits, party: Party | None) -> tuple[Rung, ...]:
    """The rungs of a loop, the configured one first. `party` is that of its MPC, where it has a part in one."""
    settings = loop.controller
    if isinstance(settings, PidSettings):
        return (PidRung(_tuning(settings, loop, limits), loop.period_seconds),)
    if party is None:
        raise UnusableModel(f"there is no MPC for the loop {loop.name}")
    artefact, place = party.artefact, party.table.places[loop.name]
    rung = MpcRung(
        loop.name,
        party.table,
        model_watch(artefact, loop.period_seconds, place.input, place.output),
        tolerance=loop.readback_tolerance,
        model_hash=artefact.hash,
    )
    return (rung, PidRung(_tuning(settings.fallback, loop, limits), loop.period_seconds))


def _tuning(settings: PidSettings, loop: LoopSettings, limits: EffectiveLimits) -> PidTuning:
    rate = settings.set_point_rate_per_second
    tuning = PidTuning(
        gain=settings.gain,
        integral_seconds=settings.integral_seconds,
        derivative_seconds=settings.derivative_seconds,
        filter_seconds=settings.filter_seconds,
        low=limits.low,
        high=limits.high,
        step=limits.rate_per_second * credit_cap(loop.period_seconds),
        slack=max(loop.output_deadband, loop.readback_tolerance),
    )
    return tuning if rate is None else replace(tuning, set_point_rate_per_second=rate)

"""From the settings of a loop to the rungs of its ladder, and to the models that they need, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from edged.config import LineConfig
from edged.controller_settings import ControllerSettings, MpcSettings, NonlinearMpcSettings, PidSettings
from edged.faults import Faults
from edged.settings import LoopSettings
from edged_control.gate import credit_cap
from edged_control.ladder.mpc_rung import MpcRung
from edged_control.ladder.pid import PidTuning
from edged_control.ladder.round_table import Place, RoundTable, input_ranges
from edged_control.ladder.rung import PidRung, Rung
from edged_control.limits.envelope import EffectiveLimits
from edged_control.mpc.furnace_loop import furnace_misfits
from edged_control.mpc.furnace_model import furnace_hash
from edged_control.mpc.group import Group, groups_of, misfits, owner_of, place_of
from edged_control.process_model.linear import Artefact, UnusableModel, decoded, encoded
from edged_control.process_model.watch import ModelWatch, furnace_watch, model_watch
from edged_control.solver.messages import Setup
from edged_control.solver.process import Solver
from edged_control.status import ControlMeters

SolverFactory: TypeAlias = Callable[[str, Setup, str], Solver]
"""Builds the solver of an MPC, by the name of the loop that describes it, for a setup and the hash of its model."""


class Models(NamedTuple):
    """The model of each loop that describes an MPC, and what was not there where that was tolerated."""

    by_loop: Mapping[str, Artefact]
    missing: tuple[str, ...] = ()


class Party(NamedTuple):
    """What the loops of one MPC have in common: the table where they meet, their solver and their model.

    The model of a nonlinear MPC is in its settings.
    """

    table: RoundTable
    solver: Solver
    model: Artefact | NonlinearMpcSettings
    model_hash: str

    @property
    def kind(self) -> str:
        """The rung's name."""
        return self.model.kind if isinstance(self.model, NonlinearMpcSettings) else "mpc"

    def watch(self, loop: LoopSettings) -> ModelWatch:
        """Who doubts what the model says of this loop's output."""
        model, period = self.model, loop.period_seconds
        if isinstance(model, NonlinearMpcSettings):
            return furnace_watch(model.residual_kelvin, model.horizon_seconds, period)
        place = self.table.places[loop.name]
        return model_watch(model, period, place.input, place.output)


def load_models(config: LineConfig, *, tolerate_missing: bool = False) -> Models:
    """Reads the artefact of every loop under MPC, once. Raises ConfigError with each fault, its file and field."""
    faults, found, missing = Faults(), {}, []
    control = config.settings.control
    loops = control.loops if control else ()
    _check_parts(loops, config, faults)
    for group in groups_of(loops):
        settings, where = group.settings, ("control", "loops", loops.index(group.owner))
        if isinstance(settings, NonlinearMpcSettings):
            for field, text in furnace_misfits(group.owner, settings, config):
                faults.add(config.control, (*where, *field), text)
            continue
        path, place = settings.model, (*where, *group.field, "model")
        try:
            content = path.read_bytes()
        except OSError as fault:
            text = f"no process model at {path}: {fault.strerror}"
            if tolerate_missing:
                missing.append(f"{config.control.file}: {'.'.join(map(str, place))}: {text}")
            else:
                faults.add(config.control, place, text)
            continue
        try:
            artefact = decoded(content, str(path))
        except UnusableModel as fault:
            faults.add(config.control, place, str(fault))
            continue
        for field, text in misfits(group, settings, artefact, config):
            faults.add(config.control, (*where, *field), text)
        found[group.owner.name] = artefact
    faults.raise_any()
    return Models(found, tuple(missing))


def _check_parts(loops: Sequence[LoopSettings], config: LineConfig, faults: Faults) -> None:
    """A loop that has its part in another's MPC must find it there, and keep its time."""
    owners = {loop.name: loop for loop in loops if isinstance(loop.controller, MpcSettings)}
    alone = {loop.name for loop in loops if isinstance(loop.controller, NonlinearMpcSettings)}
    for position, loop in enumerate(loops):
        name, where = owner_of(loop), ("control", "loops", position)
        if name is None:
            continue
        if name in alone:
            text = f"a nonlinear MPC moves one output alone, and so does the one below it, got {name}"
            faults.add(config.control, (*where, "controller", "loop"), text)
        elif name not in owners:
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
    owner, settings = group.owner, group.settings
    model = settings if isinstance(settings, NonlinearMpcSettings) else models.get(owner.name)
    if model is None or build_solver is None:
        raise UnusableModel(f"the model of the loop {owner.name} was not loaded")
    places = {loop.name: Place(*place_of(loop, settings), limits[loop.name]) for loop in group.loops}
    setup = Setup(
        artefact=encoded(model) if isinstance(model, Artefact) else "",
        settings=settings,
        limits=input_ranges(places),
        period_seconds=owner.period_seconds,
    )
    model_hash = model.hash if isinstance(model, Artefact) else furnace_hash(model.furnace)
    solver = build_solver(owner.name, setup, model_hash)
    return Party(RoundTable(solver, places, owner.period_seconds, meters), solver, model, model_hash)


def ladder_of(loop: LoopSettings, limits: EffectiveLimits, parties: Sequence[Party]) -> tuple[Rung, ...]:
    """The rungs of a loop, the configured one first. `parties` are those of its MPCs, in the same order."""
    settings: ControllerSettings = loop.controller
    if not isinstance(settings, PidSettings) and not parties:
        raise UnusableModel(f"there is no MPC for the loop {loop.name}")
    while not isinstance(settings, PidSettings):
        settings = settings.fallback
    rungs = (
        MpcRung(
            party.kind,
            loop.name,
            party.table,
            party.watch(loop),
            tolerance=loop.readback_tolerance,
            model_hash=party.model_hash,
        )
        for party in parties
    )
    return (*rungs, PidRung(_tuning(settings, loop, limits), loop.period_seconds))


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

"""From the settings of a loop to the rungs of its ladder, and to the models that they need, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from edged.config import LineConfig
from edged.controller_settings import MpcInputSettings, MpcOutputSettings, MpcSettings, PidSettings
from edged.faults import Faults
from edged.settings import LoopSettings
from edged_control.gate import credit_cap
from edged_control.limits import EffectiveLimits
from edged_control.model import Artefact, ProcessModel, UnusableModel, decoded, encoded
from edged_control.model_watch import model_watch
from edged_control.mpc_rung import MpcRung, input_range
from edged_control.pid import PidTuning
from edged_control.rung import PidRung, Rung
from edged_control.solver import Solver
from edged_control.solver_messages import Setup
from edged_control.status import ControlMeters

LONGEST_PERIOD_SHARE = 0.5
"""A loop's period may be this share of the dead time and lags of its model together: with less it sees too little."""

SolverFactory: TypeAlias = Callable[[str, Setup, str], Solver]
"""Builds the solver of a loop, by its name, for a setup and the hash of its model."""


class Models(NamedTuple):
    """The model of each loop under MPC, and what was not there where that was tolerated."""

    by_loop: Mapping[str, Artefact]
    missing: tuple[str, ...] = ()


class Ladders(NamedTuple):
    """The rungs of one loop, and the solver that must run beside it."""

    rungs: tuple[Rung, ...]
    solver: Solver | None


def load_models(config: LineConfig, *, tolerate_missing: bool = False) -> Models:
    """Reads the artefact of every loop under MPC, once. Raises ConfigError with each fault, its file and field."""
    faults, found, missing = Faults(), {}, []
    control = config.settings.control
    for position, loop in enumerate(control.loops if control else ()):
        if not isinstance(loop.controller, MpcSettings):
            continue
        path, where = loop.controller.model, ("control", "loops", position)
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
        for field, text in misfits(loop, loop.controller, artefact, config):
            faults.add(config.control, (*where, *field), text)
        found[loop.name] = artefact
    faults.raise_any()
    return Models(found, tuple(missing))


def misfits(
    loop: LoopSettings, settings: MpcSettings, artefact: Artefact, config: LineConfig
) -> list[tuple[tuple[str | int, ...], str]]:
    """Where and why a model is not for this loop: other signals, other units, another period."""
    model = artefact.model
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for side, ports, entries, signal in (
        ("inputs", model.inputs, settings.inputs, loop.output),
        ("outputs", model.outputs, settings.outputs, loop.process_value),
    ):
        where: tuple[str | int, ...] = ("controller", side)
        names, units = [port.signal for port in ports], [port.unit for port in ports]
        wanted, unit = f"{config.settings.line}/{signal}", config.signals[config.full(signal)].unit
        if [entry.signal for entry in entries] != [signal]:
            faults.append((where, f"must be {signal} alone, which the loop names, got {_named(entries)}"))
        if names not in ([signal], [wanted]):
            faults.append((where, f"must be those of the model, got {signal}, the model has {', '.join(names)}"))
        elif units != [unit]:
            faults.append((where, f"{signal} is in {unit!r}, the model speaks of it in {units[0]!r}"))
    longest = LONGEST_PERIOD_SHARE * fastest_seconds(model)
    if not artefact.period_seconds <= loop.period_seconds <= max(longest, artefact.period_seconds):
        span = f"{artefact.period_seconds:.3g}..{max(longest, artefact.period_seconds):.3g} s"
        faults.append((("period_seconds",), f"must be within {span} for this model, got {loop.period_seconds:g}"))
    elif model.dynamics is not None and not model.dynamics.fits(loop.period_seconds):
        own = f"{model.dynamics.period_seconds:g} s"
        faults.append((("period_seconds",), f"must be a multiple of the model's {own}, got {loop.period_seconds:g}"))
    return faults


def fastest_seconds(model: ProcessModel) -> float:
    """Dead time and lags of the path that answers first."""
    channels = [channel for row in model.channels for channel in row if channel.gain]
    return min(channel.dead_time_seconds + channel.lag_seconds + channel.second_lag_seconds for channel in channels)


def ladder_of(
    loop: LoopSettings,
    limits: EffectiveLimits,
    artefact: Artefact | None,
    build_solver: SolverFactory | None,
    meters: ControlMeters,
) -> Ladders:
    """The rungs of a loop, the configured one first. An MPC needs its model and somebody who builds its solver."""
    settings = loop.controller
    if isinstance(settings, PidSettings):
        return Ladders((PidRung(_tuning(settings, loop, limits), loop.period_seconds),), None)
    if artefact is None or build_solver is None:
        raise UnusableModel(f"{settings.model}: it was not loaded for the loop {loop.name}")
    setup = Setup(
        artefact=encoded(artefact),
        settings=settings,
        limits=(input_range(limits),),
        period_seconds=loop.period_seconds,
    )
    solver = build_solver(loop.name, setup, artefact.hash)
    rung = MpcRung(
        solver,
        model_watch(artefact, loop.period_seconds),
        limits,
        loop.period_seconds,
        tolerance=loop.readback_tolerance,
        model_hash=artefact.hash,
        meters=meters,
    )
    fallback = PidRung(_tuning(settings.fallback, loop, limits), loop.period_seconds)
    return Ladders((rung, fallback), solver)


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


def _named(entries: Sequence[MpcInputSettings] | Sequence[MpcOutputSettings]) -> str:
    return ", ".join(entry.signal for entry in entries)

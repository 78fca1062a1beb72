"""Whether the loops of a line can work with their signals and limits: said before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from edged.errors import ConfigError
from edged.settings import ControlSettings, LoopSettings
from edged_control.blueprint import Blueprint
from edged_control.gate import credit_cap
from edged_control.limits.envelope import EffectiveLimits


def check_loops(plan: Blueprint, effective: Mapping[str, EffectiveLimits]) -> None:
    """Raises ConfigError with every fault of every loop."""
    settings = plan.settings
    faults = [fault for loop in settings.loops for fault in _loop_faults(loop, plan, effective)]
    faults += [
        f"control.line_state: there is no signal {name}"
        for name in _line_signals(settings)
        if f"{plan.line}/{name}" not in plan.signals
    ]
    for field in ("name", "output", "heartbeat"):
        values = [value for loop in settings.loops if (value := getattr(loop, field)) is not None]
        faults += [
            f"control.loops: {field} {value} serves two loops" for value in set(values) if values.count(value) > 1
        ]
    if not settings.advisory:
        faults += [
            f"control.loops: {loop.name}: names no permissive, not even that the PLC is in remote mode"
            for loop in settings.loops
            if not loop.permissives
        ]
    if faults:
        raise ConfigError(faults)


def unfit_outputs(plan: Blueprint, effective: Mapping[str, EffectiveLimits]) -> dict[str, str]:
    """By output, why its loop could not work with these limits."""
    found = {f"{plan.line}/{loop.output}": _loop_faults(loop, plan, effective) for loop in plan.settings.loops}
    return {output: "\n".join(faults) for output, faults in found.items() if faults}


def _line_signals(settings: ControlSettings) -> list[str]:
    state = settings.line_state
    conditions = [condition.signal for condition in (state.running, state.changeover) if condition is not None]
    return [*conditions, *([state.grade] if state.grade is not None else [])]


def _loop_faults(loop: LoopSettings, plan: Blueprint, effective: Mapping[str, EffectiveLimits]) -> list[str]:
    """What the gate could not work with; names and types are checked when the file is read."""
    prefix, line, signals = f"control.loops: {loop.name}", plan.line, plan.signals
    limits = effective.get(f"{line}/{loop.output}")
    if limits is None:
        return [f"{prefix}: the output {loop.output} has no limits, so it can't be written"]
    conditions = [*loop.permissives, *([loop.running] if loop.running else [])]
    heartbeat = [loop.heartbeat] if loop.heartbeat else []
    names = (loop.process_value, loop.readback, *(condition.signal for condition in conditions), *heartbeat)
    faults = [f"{prefix}: there is no signal {name}" for name in names if f"{line}/{name}" not in signals]
    if f"{line}/{loop.heartbeat}" in effective:
        faults.append(f"{prefix}: the heartbeat {loop.heartbeat} has limits, so it is no heartbeat")
    move = limits.rate_per_second * credit_cap(loop.period_seconds)
    for field, value in (("output_deadband", loop.output_deadband), ("readback_tolerance", loop.readback_tolerance)):
        if not value < move:
            faults.append(f"{prefix}: {field} must be below {move:g}, the move that the rate allows, got {value:g}")
    return faults

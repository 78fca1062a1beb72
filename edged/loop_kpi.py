"""The signals that carry loop KPIs: their names, units and ranges, as they are declared with the line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edged.settings import ControlSettings, SignalSettings
from edged.types import ValueType


class LoopKpi(NamedTuple):
    """One figure of a loop. Units made of those of process value and output are told in the description."""

    name: str
    unit: str
    high: float | None
    description: str
    type: ValueType = ValueType.FLOAT


LOOP_KPIS = (
    LoopKpi("score", "%", 100.0, "0 to 100, with the reasons for what is missing"),
    LoopKpi("service_factor", "1", 1.0, "share of the time in automatic control"),
    LoopKpi("saturated_share", "1", 1.0, "share of the time with the output at a limit"),
    LoopKpi("clipped_share", "1", 1.0, "share of the wishes that the gate clipped"),
    LoopKpi("fallback_share", "1", 1.0, "share of the time on another controller than the configured one"),
    LoopKpi("integral_absolute_error", "1", None, "in units of the process value, times seconds"),
    LoopKpi("error_variance", "1", None, "in squared units of the process value"),
    LoopKpi("travel_per_hour", "1", None, "way of the output, in its units"),
    LoopKpi("reversals_per_hour", "1/h", None, "changes of direction of the output"),
    LoopKpi("harris_index", "1", 1.0, "share of minimum variance at the longest dead time that is looked at"),
    LoopKpi("oscillation_period", "s", None, "of a regular swing; none while there is no such swing"),
    LoopKpi("stiction", "1", None, "whether valve or drive seems to stick", ValueType.BOOL),
)


def loop_kpi_signal(equipment: str, loop: str, kpi: str) -> str:
    """The name of a signal, below the line."""
    return f"{equipment}/{loop}_{kpi}"


def loop_kpi_signals(control: ControlSettings) -> Iterator[SignalSettings]:
    """Every signal that the loops of a line are judged by; none where KPIs are not asked for."""
    if control.kpis is None:
        return
    for loop in control.loops:
        for kpi in LOOP_KPIS:
            yield SignalSettings(
                name=loop_kpi_signal(control.kpis.equipment, loop.name, kpi.name),
                unit=kpi.unit,
                type=kpi.type,
                low=None if kpi.high is None else 0.0,
                high=kpi.high,
                description=f"loop {loop.name}: {kpi.description}",
            )

"""Watches every loop once per period, judges it now and then, and publishes what it finds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from edged.clock import Clock
from edged.loop_kpi import LOOP_KPIS, loop_kpi_signal
from edged.ports import Road
from edged.settings import LoopKpiSettings, LoopSettings
from edged.types import Quality, Sample, Value
from edged_control.gate import Mode
from edged_control.kpi.assessment import LoopAssessment, assess
from edged_control.kpi.window import Cycle, LoopWindow, WindowRecorder
from edged_control.limits.live import LimitsStatus
from edged_control.status import LoopStatus

CLIPPED = "clamped"

FIGURES: Mapping[str, Callable[[LoopAssessment], Value | None]] = {
    "score": lambda judged: judged.score,
    "service_factor": lambda judged: judged.service_factor,
    "saturated_share": lambda judged: judged.saturated_share,
    "clipped_share": lambda judged: judged.clipped_share,
    "fallback_share": lambda judged: judged.fallback_share,
    "integral_absolute_error": lambda judged: judged.movement and judged.movement.integral_absolute_error,
    "error_variance": lambda judged: judged.movement and judged.movement.error_variance,
    "travel_per_hour": lambda judged: judged.movement and judged.movement.travel_per_hour,
    "reversals_per_hour": lambda judged: judged.movement and judged.movement.reversals_per_hour,
    "harris_index": lambda judged: judged.harris[-1] if judged.harris else None,
    "oscillation_period": lambda judged: judged.oscillation and judged.oscillation.period_seconds,
    "stiction": lambda judged: None if judged.score is None else judged.stiction is not None and judged.stiction.found,
}


@dataclass(frozen=True, slots=True)
class LoopKpiStatus:
    """How one loop was judged last; `score` is None with `faults` while it can't be."""

    loop: str
    score: float | None
    reasons: tuple[str, ...]
    faults: tuple[str, ...]


class LoopKpis:
    """Judges all loops of a line by the limits in force; the figures of a window leave as one batch per loop."""

    def __init__(
        self,
        settings: LoopKpiSettings,
        loops: Sequence[LoopSettings],
        *,
        line: str,
        limits: Callable[[], Sequence[LimitsStatus]],
        status: Callable[[], Sequence[LoopStatus]],
        road: Road,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._line = line
        self._loops = {loop.name: loop for loop in loops}
        self._recorders = {loop.name: WindowRecorder(settings.window_seconds, loop.period_seconds) for loop in loops}
        self._read_limits = limits
        self._read_status = status
        self._road = road
        self._clock = clock
        self._last: dict[str, LoopKpiStatus] = {}

    async def run(self) -> None:
        """Watches and judges until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._recorders:
                group.create_task(self._watch(name), name=f"loop_kpi:{name}")
            group.create_task(self._judge_all(), name="loop_kpi:judge")

    def status(self) -> tuple[LoopKpiStatus, ...]:
        """One line per loop that was judged."""
        return tuple(self._last.values())

    async def _watch(self, name: str) -> None:
        period = self._loops[name].period_seconds
        due = self._clock.monotonic()
        while True:
            self._note(name)
            due = max(due + period, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())

    def _note(self, name: str) -> None:
        found = next((status for status in self._read_status() if status.name == name), None)
        if found is None or found.process_value is None or found.readback is None:
            return
        limits = next(one for one in self._read_limits() if one.signal == found.signal)
        automatic = found.actual_mode is Mode.AUTOMATIC
        self._recorders[name].note(
            Cycle(
                time=self._clock.monotonic(),
                set_point=found.set_point,
                process_value=found.process_value,
                output=found.readback,
                low=limits.low,
                high=limits.high,
                automatic=automatic,
                clipped=found.last_verdict == CLIPPED,
                fell_back=automatic and bool(found.rung_reason),
            )
        )

    async def _judge_all(self) -> None:
        while True:
            await self._clock.sleep(self._settings.every_seconds)
            for name, recorder in self._recorders.items():
                await self._publish(name, await _assess(recorder.window()))

    async def _publish(self, name: str, judged: LoopAssessment) -> None:
        reasons = tuple(f"-{reason.points:.0f}: {reason.text}" for reason in judged.reasons)
        self._last[name] = LoopKpiStatus(name, judged.score, reasons, judged.faults)
        now = self._clock.now()
        samples = [self._sample(name, kpi.name, judged, reasons, now) for kpi in LOOP_KPIS]
        await self._road.publish(f"loop_kpi:{name}", samples)

    def _sample(self, loop: str, kpi: str, judged: LoopAssessment, reasons: Sequence[str], now: int) -> Sample:
        path = f"{self._line}/{loop_kpi_signal(self._settings.equipment, loop, kpi)}"
        value = FIGURES[kpi](judged)
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return Sample(path, None, now, now, Quality.BAD, "; ".join(judged.faults) or "nothing of the kind")
        return Sample(path, value, now, now, Quality.GOOD, "; ".join(reasons) if kpi == "score" else "")


async def _assess(window: LoopWindow) -> LoopAssessment:
    """In a thread: a window of an hour takes some ten milliseconds."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(assess, window))

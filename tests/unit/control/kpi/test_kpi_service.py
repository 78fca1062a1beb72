"""Loops are watched once per period, judged now and then, and what is found leaves as signals (IGN6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edged.clock import VirtualClock
from edged.loop_kpi import LOOP_KPIS, loop_kpi_signals
from edged.ports import Outcome
from edged.settings import ControlSettings, LoopKpiSettings
from edged.supervise import start_task
from edged.types import Event, Quality, Sample
from edged_control.gate import Mode
from edged_control.kpi.service import FIGURES, LoopKpis
from edged_control.status import LoopStatus
from tests.unit.control.kpi.simulated_loop import HIGH, LOW, START, SimulatedLoop
from tests.unit.control.rig import LOOP, MakeRig, narrower
from tests.unit.control.simulated_plc import LINE

SETTINGS = LoopKpiSettings(window_seconds=600.0, every_seconds=60.0)


def test_every_declared_signal_has_its_figure() -> None:
    assert set(FIGURES) == {kpi.name for kpi in LOOP_KPIS}
    control = ControlSettings(ceiling=Path("c.yaml"), loops=(LOOP,), kpis=SETTINGS)
    names = [signal.name for signal in loop_kpi_signals(control)]
    assert names[0] == "loops/thickness_score"
    assert len(set(names)) == len(LOOP_KPIS)
    assert list(loop_kpi_signals(control.model_copy(update={"kpis": None}))) == []


class Road:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[Sample]]] = []

    def publish(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        self.batches.append((source, list(samples)))
        return asyncio.sleep(0)

    def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> Awaitable[None]:
        raise AssertionError("KPIs are no events")

    def last_seen(self, source: str) -> int | None:
        return None

    def marks(self, source: str) -> Sequence[bytes]:
        return ()


class Watched:
    """A loop whose status is that of a simulated one, cycle by cycle."""

    def __init__(self, make_rig: MakeRig, loop: SimulatedLoop, **changes: Any) -> None:
        self.rig = make_rig(limits=(narrower(low=LOW, high=HIGH),))
        self._template = replace(self.rig.status, **{"actual_mode": Mode.AUTOMATIC, "controller": "pid", **changes})
        self._window = loop.run()
        self.clock = VirtualClock()
        self.road = Road()
        self.kpis = LoopKpis(
            SETTINGS,
            (LOOP,),
            line=LINE,
            limits=self.rig.control.limits,
            status=self.status,
            road=self.road,
            clock=self.clock,
        )

    def status(self) -> tuple[LoopStatus]:
        window, k = self._window, int(self.clock.monotonic())
        values = (float(window.set_point[k]), float(window.process_value[k]), float(window.output[k]))
        set_point, process_value, readback = values
        return (replace(self._template, set_point=set_point, process_value=process_value, readback=readback),)

    async def judged(self, times: int) -> dict[str, Sample]:
        """The figures of the loop, by the end of their names, after so many judgements."""
        task = start_task("loop_kpis", self.kpis.run())
        try:
            async with asyncio.timeout(20.0):
                for count in range(len(self.road.batches) + 1, len(self.road.batches) + times + 1):
                    await self.clock.advance(SETTINGS.every_seconds)
                    while len(self.road.batches) < count:
                        await asyncio.sleep(0.001)
        finally:
            task.cancel()
            await asyncio.wait({task})
        source, samples = self.road.batches[-1]
        assert source == "loop_kpi:thickness"
        return {sample.signal.removeprefix(f"{LINE}/loops/thickness_"): sample for sample in samples}


async def test_a_healthy_loop_scores_high_with_all_its_figures(make_rig: MakeRig) -> None:
    watched = Watched(make_rig, SimulatedLoop())
    found = await watched.judged(3)
    assert set(found) == {kpi.name for kpi in LOOP_KPIS}
    score = found["score"]
    assert isinstance(score.value, float)
    assert score.value > 95.0
    assert found["service_factor"].value == 1.0
    assert (found["oscillation_period"].value, found["oscillation_period"].quality) == (None, Quality.BAD)
    assert found["stiction"].value is False
    (status,) = watched.kpis.status()
    assert (status.loop, status.score, status.faults) == ("thickness", score.value, ())


async def test_too_short_a_window_has_no_score_but_says_why(make_rig: MakeRig) -> None:
    found = await Watched(make_rig, SimulatedLoop()).judged(1)
    assert (found["score"].value, found["score"].quality) == (None, Quality.BAD)
    assert "cycles in AUTO, at least 100 are needed" in found["score"].reason


async def test_clips_are_counted(make_rig: MakeRig) -> None:
    watched = Watched(make_rig, SimulatedLoop(noise=0.3), last_verdict="clamped")
    found = await watched.judged(3)
    assert found["clipped_share"].value == 1.0
    assert "the gate clipped 100% of the wishes" in found["score"].reason


async def test_another_controller_than_the_configured_one_is_a_fallback(make_rig: MakeRig) -> None:
    found = await Watched(make_rig, SimulatedLoop(noise=0.3), controller="hold", rung_reason="no answer").judged(3)
    assert found["fallback_share"].value == 1.0


async def test_an_output_is_at_a_limit_when_it_is_at_the_one_in_force(make_rig: MakeRig) -> None:
    """Half of its outputs lie beyond a limit that is pushed after two of four minutes."""
    watched = Watched(make_rig, SimulatedLoop(noise=0.3))
    watched.rig.step()
    assert (await watched.judged(2))["saturated_share"].value == 0.0
    assert watched.rig.push(narrower(low=START, high=HIGH)).outcome is Outcome.ACCEPTED
    found = await watched.judged(2)
    assert found["saturated_share"].value == pytest.approx(0.25, abs=0.1)
    assert "the output is at a limit for" in found["score"].reason

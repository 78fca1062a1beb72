"""What loops share: their faults, their period, the lease of the line and what outlives a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edged.clock import VirtualClock
from edged.errors import ConfigError
from edged.metrics import Metrics
from edged.settings import ControlSettings, LoopSettings
from edged.supervise import start_task
from edged.types import Limits, Refused, Sample, Seal, Signal
from edged_control.blueprint import Blueprint
from edged_control.executor import ControlExecutor
from edged_control.gate import Mode
from edged_control.lease import Lease
from edged_control.memory import DAMAGED, Memory, Remembered
from tests.unit.control.rig import BELT_LIMITS, LOOP, SIGNALS, FakeAlarms, FakeRoad, Rig, finish, narrower, with_loop
from tests.unit.control.simulated_plc import BELT, HEARTBEAT, LINE, THICKNESS, Interruption, Override, PlcClient


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.control.close()


def build(
    folder: Path,
    loops: Sequence[LoopSettings] = (LOOP,),
    signals: dict[str, Signal] | None = None,
    limits: Sequence[Limits] = (BELT_LIMITS,),
    ceiling: Sequence[Limits] = (BELT_LIMITS,),
    *,
    advisory: bool = False,
) -> ControlExecutor:
    clock, interruption = VirtualClock(), Interruption()
    settings = ControlSettings(advisory=advisory, ceiling=Path("ceiling.yaml"), loops=tuple(loops))
    return ControlExecutor(
        Blueprint(LINE, "", settings, SIGNALS if signals is None else signals, ceiling, limits, {}),
        plant=PlcClient(Rig(folder).plc, "daemon", interruption),
        road=FakeRoad(clock, interruption),
        recorder_writable=lambda: True,
        clock=clock,
        metrics=Metrics(),
        seal=Seal(),
        state_directory=folder,
        runtime_directory=folder / "runtime",
        alarms=FakeAlarms(),
    )


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"ceiling": []}, "the ceiling does not name it"),
        (
            {"ceiling": [narrower(low=200.0, high=50.0)]},
            "belt_speed_setpoint: low must be below",
        ),
        ({"ceiling": [narrower(high=float("nan"))]}, "must be finite"),
        ({"limits": []}, "thickness: the output forming/belt_speed_setpoint has no limits"),
        ({"loops": [with_loop(output_deadband=0.67)]}, "output_deadband must be below 0.666667"),
        ({"loops": [with_loop(readback_tolerance=1.0)]}, "readback_tolerance must be below 0.666667"),
        ({"loops": [with_loop(permissives=())]}, "thickness: names no permissive"),
        ({"loops": [with_loop(process_value="forming/width")]}, "thickness: there is no signal forming/width"),
        ({"loops": [with_loop(heartbeat="forming/beat")]}, "thickness: there is no signal forming/beat"),
        ({"loops": [with_loop(running={"signal": "forming/runs"})]}, "thickness: there is no signal forming/runs"),
        ({"loops": [with_loop(heartbeat="forming/belt_speed_setpoint")]}, "has limits, so it is no heartbeat"),
        ({"loops": [LOOP, with_loop(name="width")]}, "output forming/belt_speed_setpoint serves two loops"),
        ({"loops": [LOOP, with_loop(name="width")]}, "heartbeat forming/heartbeat serves two loops"),
    ],
)
def test_what_the_gate_could_not_work_with_is_a_config_fault(
    tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(tmp_path, **changes)
    assert any(fault in found for found in caught.value.faults), caught.value.faults


def test_advisory_needs_no_permissive_and_running_may_be_unknown(tmp_path: Path) -> None:
    loop = with_loop(permissives=(), running=None, heartbeat=None)
    build(tmp_path, loops=[loop], advisory=True)
    rig = Rig(tmp_path, loop=loop, advisory=True)
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC
    rig.control.close()


def test_two_loops_with_outputs_of_their_own(tmp_path: Path) -> None:
    other = "line_a/forming/other_setpoint"
    signals = {**SIGNALS, other: replace(SIGNALS[BELT], path=other)}
    limits = [BELT_LIMITS, narrower(signal=other)]
    loops = [LOOP, with_loop(name="width", output="forming/other_setpoint", heartbeat=None)]
    executor = build(tmp_path, loops=loops, signals=signals, limits=limits, ceiling=limits)
    assert [status.name for status in executor.status()] == ["thickness", "width"]
    assert {status.actual_mode for status in executor.status()} == {Mode.OUT_OF_SERVICE}


def test_a_second_daemon_stays_out_of_service_until_the_first_is_gone(rig: Rig) -> None:
    rig.step(5)
    second = rig.build()
    finish(second.step("thickness"))
    status = second.status()[0]
    assert status.actual_mode is Mode.OUT_OF_SERVICE
    assert status.reason == "another process controls line_a, or its lease can't be locked"
    assert ("control_lease", LINE) in rig.alarms.standing
    assert second.request_mode("thickness", Mode.AUTOMATIC, "anna") == Refused(
        "mode: the loop is out of service: another process controls line_a, or its lease can't be locked"
    )
    assert rig.mode() is Mode.AUTOMATIC
    rig.control.close()
    finish(second.step("thickness"))
    assert second.status()[0].actual_mode is Mode.MANUAL
    assert ("control_lease", LINE) not in rig.alarms.standing
    second.close()


def test_a_daemon_that_takes_over_knows_what_people_chose_meanwhile(rig: Rig) -> None:
    second = rig.build()
    rig.step(5)
    assert rig.hand_over(Mode.MANUAL) is None
    rig.control.close()
    for _ in range(10):
        finish(second.step("thickness"))
    assert second.status()[0].actual_mode is Mode.MANUAL
    assert second.status()[0].target_mode is Mode.MANUAL
    second.close()


def test_a_lease_that_is_lost_puts_the_loop_out_of_service(rig: Rig, tmp_path: Path) -> None:
    rig.step(5)
    rig.plc.overrides[THICKNESS] = Override(4.4)
    path = tmp_path / f"control-{LINE}.lock"
    path.unlink()
    thief = Lease([path])
    assert thief.take()
    sent = len(rig.own_writes())
    rig.step(3)
    assert rig.mode() is Mode.OUT_OF_SERVICE
    assert len(rig.own_writes()) == sent
    thief.release()
    rig.step(1)
    assert rig.mode() is Mode.MANUAL


def test_a_lease_lost_between_decision_and_write_stops_the_write(rig: Rig, tmp_path: Path) -> None:
    rig.step(5)
    rig.plc.overrides[THICKNESS] = Override(4.4)
    rig.road.on_record = lambda: (tmp_path / f"control-{LINE}.lock").unlink(missing_ok=True)
    rig.step(3)
    assert rig.own_writes() == []


def test_leases(tmp_path: Path) -> None:
    one, other = Lease([tmp_path / "lock"]), Lease([tmp_path / "lock"])
    assert not one.held
    assert one.take()
    assert one.held
    assert one.take()
    assert not other.take()
    assert not other.held
    one.release()
    one.release()
    assert other.take()
    other.release()
    assert not Lease([tmp_path / "lock" / "lock"]).take()
    half = Lease([tmp_path / "other", tmp_path / "lock" / "lock"])
    assert not half.take()
    whole = Lease([tmp_path / "other"])
    assert whole.take(), "half of a lease is none"
    whole.release()


def test_two_daemons_of_one_line_on_one_box_find_each_other(tmp_path: Path) -> None:
    rigs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rigs.append(Rig(tmp_path / name, runtime_directory=tmp_path / "runtime"))
    one, two = rigs
    one.step(5)
    two.step(5)
    assert (one.mode(), two.mode()) == (Mode.AUTOMATIC, Mode.OUT_OF_SERVICE)
    one.control.close()
    two.step(5)
    assert two.mode() is Mode.AUTOMATIC
    two.control.close()


def test_memory_keeps_what_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    memory = Memory(path, VirtualClock())
    assert memory.recall("thickness") is None
    state = Remembered(baseline=150.0, target=Mode.MANUAL, yielded="somebody")
    memory.keep("thickness", state)
    memory.keep("width", Remembered())
    again = Memory(path, VirtualClock())
    assert again.recall("thickness") == state
    assert again.recall("width") == Remembered()
    assert again.recall("furnace") is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["memory.json"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b'{"loops": {"a": {"baseline": NaN}}}', b'{"a": 1}']
)
def test_what_a_damaged_memory_lost_a_person_must_hand_back_loop_by_loop(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "memory.json"
    path.write_bytes(content)
    memory = Memory(path, VirtualClock())
    assert memory.recall("a") == memory.recall("b") == Remembered(yielded=DAMAGED)
    memory.keep("a", Remembered(baseline=150.0))
    for known in (memory, Memory(path, VirtualClock())):
        assert known.recall("a") == Remembered(baseline=150.0)
        assert known.recall("b") == Remembered(yielded=DAMAGED), "another loop's state is no substitute"


def test_a_memory_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    path.mkdir()
    memory = Memory(path, VirtualClock())
    with pytest.raises(OSError, match="directory"):
        memory.keep("a", Remembered())
    assert memory.recall("a") == Remembered(yielded=DAMAGED)
    assert [entry.name for entry in tmp_path.iterdir()] == ["memory.json"]


def test_after_damage_only_a_person_hands_the_output_back(rig: Rig, tmp_path: Path) -> None:
    rig.step(5)
    rig.control.close()
    (tmp_path / f"control-{LINE}.json").write_text("damaged", encoding="utf-8")
    rig.restart()
    rig.step(10)
    assert rig.mode() is Mode.LOCAL_OVERRIDE
    assert "damaged" in rig.status.reason
    assert rig.hand_over(Mode.AUTOMATIC) is None
    rig.step(3)
    assert rig.mode() is Mode.AUTOMATIC


def test_without_a_kept_baseline_nothing_is_written(rig: Rig, tmp_path: Path) -> None:
    blocked = tmp_path / f"control-{LINE}.new"
    blocked.mkdir()
    rig.plc.overrides[THICKNESS] = Override(4.4)
    rig.step(10)
    assert rig.mode() is Mode.MANUAL
    assert rig.status.reason == "approval: there is no approved baseline"
    assert rig.own_writes() == []
    assert ("control_memory", "thickness") in rig.alarms.standing
    blocked.rmdir()
    rig.step(10)
    assert rig.mode() is Mode.AUTOMATIC
    assert rig.alarms.standing == {}


def test_an_override_is_not_handed_back_while_its_baseline_cannot_be_kept(rig: Rig, tmp_path: Path) -> None:
    rig.step(5)
    rig.plc.operate(160.0)
    rig.step(1)
    blocked = tmp_path / f"control-{LINE}.new"
    blocked.mkdir()
    assert rig.hand_over(Mode.AUTOMATIC) == Refused("approval: the new baseline can't be kept")
    assert rig.mode() is Mode.LOCAL_OVERRIDE
    blocked.rmdir()
    assert rig.hand_over(Mode.AUTOMATIC) is None


def test_a_hand_over_before_the_present_value_is_known_is_refused(rig: Rig) -> None:
    rig.plc.offline = True
    rig.step(1)
    rig.control.close()
    Memory(rig.state_directory / f"control-{LINE}.json", rig.clock).keep("thickness", Remembered(yielded="somebody"))
    rig.restart()
    rig.step(1)
    assert rig.hand_over(Mode.AUTOMATIC) == Refused("freshness: the present value of the output is not known")


def test_a_stray_output_at_start_becomes_the_baseline_when_a_person_asks(rig: Rig) -> None:
    rig.step(5)
    rig.control.close()
    rig.plc.operate(90.0)
    rig.plc.overrides[THICKNESS] = Override(4.0)
    for path in rig.state_directory.glob("*.applied"):
        path.unlink()
    rig.restart()
    rig.step(5)
    assert rig.mode() is Mode.MANUAL
    assert rig.status.reason == "approval: 90 is more than 50 m/min from the approved 150"
    assert rig.hand_over(Mode.AUTOMATIC) is None
    rig.step(3)
    assert rig.mode() is Mode.AUTOMATIC


@asynccontextmanager
async def driven(folder: Path) -> AsyncIterator[Rig]:
    """A rig whose control runs as a task on virtual time."""
    rig = Rig(folder, clock=VirtualClock())
    rig.plc.request_seconds = rig.road.commit_seconds = 0.0
    task = start_task("control", rig.control.run())
    try:
        yield rig
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_it_runs_each_loop_at_its_period_without_drift(tmp_path: Path) -> None:
    async with driven(tmp_path) as rig:
        await rig.clock.advance(100.5)
        assert len(rig.plc.beats) == 101
        assert [round(beat.time, 6) for beat in rig.plc.beats] == [float(second) for second in range(101)]
        assert rig.mode() is Mode.AUTOMATIC
        assert rig.metrics.counter("edged_control_overruns_total", "")._value.get() == 0
    assert rig.mode() is Mode.OUT_OF_SERVICE
    lease = Lease([tmp_path / f"control-{LINE}.lock"])
    assert lease.take(), "the lease is free"
    lease.release()


async def test_outputs_hold_when_it_stops_and_it_comes_up_in_man_again(tmp_path: Path) -> None:
    async with driven(tmp_path) as rig:
        rig.plc.overrides[THICKNESS] = Override(4.4)
        await rig.clock.advance(10.5)
        assert rig.own_writes()
    belt, writes = rig.plc.belt, len(rig.plc.writes)
    await rig.clock.advance(10.0)
    assert (rig.plc.belt, len(rig.plc.writes)) == (belt, writes)
    task = start_task("control", rig.control.run())
    await rig.clock.advance(0.5)
    assert rig.mode() is Mode.MANUAL
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_without_loops_it_waits_until_it_is_stopped(tmp_path: Path) -> None:
    executor = build(tmp_path, loops=[])
    task = start_task("control", executor.run())
    await asyncio.sleep(0)
    assert not task.done()
    assert executor.status() == ()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class SlowPlant(PlcClient):
    """Every read takes its time."""

    clock: VirtualClock
    seconds = 0.0

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        await self.clock.sleep(self.seconds)
        return await super().poll(signals)


async def test_missed_periods_are_counted_and_not_caught_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, clock=VirtualClock())
    rig.plc.request_seconds = 0.0
    plant = SlowPlant(rig.plc, "daemon", rig.interruption)
    plant.clock, plant.seconds = rig.clock, 2.5
    rig.plant = plant
    rig.control = rig.build()
    task = start_task("control", rig.control.run())
    await rig.clock.advance(9.2)
    assert rig.metrics.counter("edged_control_overruns_total", "")._value.get() == 6
    assert rig.mode() is Mode.MANUAL, "what was asked for 2.5 periods ago is not fresh"
    assert HEARTBEAT not in [write.by for write in rig.plc.writes]
    assert rig.plc.beats == []
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

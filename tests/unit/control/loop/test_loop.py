"""The loop on a simulated PLC: it controls, and with bad input it holds, says so and recovers by the rules."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from edged.types import DecisionPhase, Quality, Value, WriteOutcome
from edged_control.gate import HEARTBEAT_MODULUS, Mode
from tests.unit.control.rig import PERIOD_SECONDS, RATE_PER_SECOND, MakeRig, Rig, with_loop
from tests.unit.control.simulated_plc import (
    HEARTBEAT,
    PERMISSIVE,
    REMOTE,
    RUNNING,
    THICKNESS,
    Override,
)

STEP_UP = 1.1
DAY_SECONDS = 86_400.0


def test_a_thicker_ribbon_is_brought_back_within_the_rate(rig: Rig) -> None:
    rng = random.Random(7)
    rig.plc.noise = [rng.gauss(0.0, 0.01) for _ in range(997)]
    rig.step(30)
    rig.plc.product *= STEP_UP
    before = len(rig.own_writes())
    rig.step(60)
    assert rig.plc.belt == pytest.approx(165.0, abs=1.0)
    assert rig.plc.thickness == pytest.approx(4.0, abs=0.05)
    rig.step(60)
    assert max(rig.own_writes()) <= 165.5, "it does not overshoot by more than a quantum"
    assert 40 <= len(rig.own_writes()) - before <= 70
    assert rig.status.verified_writes == len(rig.own_writes())
    sent = [write for write in rig.plc.writes if write.by.startswith("daemon")]
    for earlier, later in itertools.pairwise(sent):
        assert abs(later.value - earlier.value) <= RATE_PER_SECOND * (later.time - earlier.time) + 1e-4


def test_a_thinner_ribbon_is_brought_back_too(rig: Rig) -> None:
    rig.step(10)
    rig.plc.product /= STEP_UP
    rig.step(120)
    assert rig.plc.thickness == pytest.approx(4.0, abs=0.02)


def test_noise_alone_writes_almost_nothing(rig: Rig) -> None:
    rng = random.Random(11)
    rig.plc.noise = [rng.gauss(0.0, 0.01) for _ in range(997)]
    rig.step(300)
    assert len(rig.own_writes()) <= 15


def test_it_comes_up_in_man_and_needs_good_cycles(rig: Rig) -> None:
    assert rig.mode() is Mode.OUT_OF_SERVICE
    modes = []
    for _ in range(4):
        rig.step()
        modes.append(rig.mode())
    assert modes == [Mode.MANUAL, Mode.MANUAL, Mode.AUTOMATIC, Mode.AUTOMATIC]


def test_a_configured_target_of_man_stays_man(make_rig: MakeRig) -> None:
    rig = make_rig(loop=with_loop(target_mode="manual"))
    rig.plc.product *= STEP_UP
    rig.step(40)
    assert rig.mode() is Mode.MANUAL
    assert rig.own_writes() == []


def test_advisory_records_what_it_would_write_and_writes_nothing(make_rig: MakeRig) -> None:
    rig = make_rig(advisory=True)
    rig.plc.product *= STEP_UP
    rig.step(30)
    assert rig.plc.writes == []
    assert rig.plc.beats == []
    decided = rig.road.decisions(DecisionPhase.DECIDED)
    assert decided
    assert all(decision.written is not None and decision.written > 150.0 for decision in decided)
    assert all(decision.mode == "AUTO advisory" for decision in decided)
    completed = rig.road.decisions(DecisionPhase.COMPLETED)
    assert len(completed) == len(decided)
    assert {(decision.outcome, decision.written) for decision in completed} == {(WriteOutcome.NONE, None)}
    assert {decision.verdict for decision in completed} <= {"allowed", "clamped"}
    assert rig.mode() is Mode.AUTOMATIC
    rig.plc.operate(140.0)
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC, "there is nothing to yield"


@pytest.mark.parametrize(
    ("value", "quality"),
    [
        (math.nan, Quality.GOOD),
        (math.inf, Quality.GOOD),
        (-math.inf, Quality.GOOD),
        (None, Quality.BAD),
        (None, Quality.GOOD),
        (1e30, Quality.GOOD),
        (-5.0, Quality.GOOD),
        (20.5, Quality.GOOD),
        (4.4, Quality.UNCERTAIN),
        (4.4, Quality.BAD),
        ("thick", Quality.GOOD),
        (True, Quality.GOOD),
    ],
)
def test_a_bad_process_value_holds_the_output_and_control_comes_back(
    running: Rig, value: Value | None, quality: Quality
) -> None:
    running.plc.overrides[THICKNESS] = Override(value, quality)
    before = (len(running.plc.writes), len(running.plc.beats))
    running.step(20)
    assert running.mode() is Mode.MANUAL
    assert (len(running.plc.writes), len(running.plc.beats)) == before, "neither set-point nor heartbeat moves"
    assert "control_shed" in running.alarms.names()
    running.plc.overrides.clear()
    running.step(2)
    assert running.mode() is Mode.MANUAL
    running.step(1)
    assert running.mode() is Mode.AUTOMATIC
    assert running.alarms.standing == {}
    running.step(120)
    assert running.plc.thickness == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize("signal", [REMOTE, PERMISSIVE, RUNNING])
@pytest.mark.parametrize(
    "override", [Override(value=False), Override(None, Quality.BAD), Override(True, Quality.UNCERTAIN)]
)
def test_a_withdrawn_permissive_holds_the_output(running: Rig, signal: str, override: Override) -> None:
    running.plc.overrides[signal] = override
    before = len(running.plc.writes)
    running.step(5)
    assert len(running.plc.writes) == before
    assert running.mode() is Mode.MANUAL
    assert running.status.reason.startswith("permissive: ")
    running.plc.overrides.clear()
    running.step(6)
    assert running.mode() is Mode.AUTOMATIC
    assert len(running.plc.writes) > before


def test_the_heartbeat_goes_on_where_the_plant_says_no_and_stops_where_it_says_nothing(running: Rig) -> None:
    beats = len(running.plc.beats)
    running.plc.overrides[REMOTE] = Override(value=False)
    running.step(5)
    assert len(running.plc.beats) == beats + 5
    running.plc.overrides[REMOTE] = Override(None, Quality.BAD)
    running.step(5)
    assert len(running.plc.beats) == beats + 5


def test_the_heartbeat_counts_one_up_each_verified_cycle_and_wraps(rig: Rig) -> None:
    rig.plc.heartbeat = HEARTBEAT_MODULUS - 3
    rig.step(5)
    assert [beat.count for beat in rig.plc.beats] == [HEARTBEAT_MODULUS - 2, HEARTBEAT_MODULUS - 1, 0, 1, 2]


def test_a_heartbeat_that_cannot_be_written_or_read_disturbs_nothing(running: Rig) -> None:
    running.plc.overrides[HEARTBEAT] = Override(None, Quality.BAD)
    beats, writes = len(running.plc.beats), len(running.own_writes())
    running.step(3)
    assert len(running.plc.beats) == beats
    assert len(running.own_writes()) == writes + 3


@pytest.mark.parametrize("seconds", [DAY_SECONDS, -DAY_SECONDS])
def test_a_jump_of_the_wall_clock_changes_nothing(running: Rig, seconds: float) -> None:
    before = len(running.own_writes())
    running.clock.jump(seconds)
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC
    assert len(running.own_writes()) == before + 5


def test_a_stop_of_thirty_seconds_spends_no_saved_credit(running: Rig) -> None:
    last = running.own_writes()[-1]
    running.clock.tick(30.0)
    running.step(1)
    assert abs(running.own_writes()[-1] - last) <= RATE_PER_SECOND * 2.0 + 1e-4


def test_a_disk_slower_than_the_period_delays_writes_and_forbids_none(running: Rig) -> None:
    before = running.status.verified_writes
    running.road.commit_seconds = 1.2 * PERIOD_SECONDS
    running.step(4)
    assert running.status.verified_writes == before + 4
    assert running.status.refusals == 0


def test_a_stop_between_decision_and_write_lets_nothing_through(running: Rig) -> None:
    before = len(running.own_writes())
    running.road.commit_seconds = 30.0
    running.step(1)
    running.road.commit_seconds = 0.005
    assert len(running.own_writes()) == before
    assert running.road.decisions()[-1].outcome is WriteOutcome.NONE
    assert running.road.decisions()[-1].verdict == "refused"
    assert "control_refused" in running.alarms.names()
    running.step(6)
    assert len(running.own_writes()) > before


@pytest.mark.parametrize("shift", [-3600, 3600])
def test_source_clocks_that_are_off_but_steady_are_no_fault(running: Rig, shift: int) -> None:
    running.plc.overrides[THICKNESS] = Override(4.4, source_time_shift=shift * 1_000_000_000)
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC or shift < 0
    running.step(3)
    assert running.mode() is Mode.AUTOMATIC


def test_a_value_out_of_order_is_not_used(running: Rig) -> None:
    running.plc.overrides[THICKNESS] = Override(4.4, source_time_shift=-10_000_000_000)
    before = len(running.own_writes())
    running.step(1)
    assert running.mode() is Mode.MANUAL
    assert len(running.own_writes()) == before


def test_the_same_value_and_time_again_is_no_fault(running: Rig) -> None:
    now = running.clock.now()

    class Frozen(Override):
        @property
        def source_time_shift(self) -> int:
            return now - running.clock.now()

        @source_time_shift.setter
        def source_time_shift(self, value: int) -> None: ...

    running.plc.overrides[THICKNESS] = Frozen(4.4)
    running.step(5)
    assert running.mode() is Mode.AUTOMATIC


def test_a_controller_that_cannot_compute_sheds_to_man(make_rig: MakeRig) -> None:
    controller = {"gain": -1e308, "integral_seconds": 1e-3, "filter_seconds": 0.0}
    rig = make_rig(loop=with_loop(controller=controller))
    rig.plc.overrides[THICKNESS] = Override(19.0)
    modes = []
    for _ in range(8):
        rig.step()
        modes.append(rig.mode())
    assert Mode.AUTOMATIC not in modes
    assert rig.own_writes() == []
    assert "control_shed" in rig.alarms.names()

"""The plant: deterministic, balanced, and as slow, delayed and unruly as GLS25 and GLS26 say."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged_control.ladder.pid import Pid, PidTuning
from edged_sim.forces import Force, Target
from edged_sim.plant import Plant
from edged_sim.scenario import load_scenario
from edged_sim.schedule import Sensors, forces_at

BELT = "forming/belt_speed_setpoint"


def number(plant: Plant, path: str) -> float:
    value = plant.readings()[path]
    assert isinstance(value, float)
    return value


def mean_thickness(plant: Plant, seconds: int) -> float:
    total = 0.0
    for _ in range(seconds * 10):
        plant.advance(0.1)
        total += plant.shaping.thickness
    return total / (seconds * 10)


def test_same_seed_same_values_and_another_seed_others() -> None:
    first, second, other = Plant(3), Plant(3), Plant(4)
    units = [plant.advance(120.0) for plant in (first, second, other)]
    assert first.readings() == second.readings() != other.readings()
    assert units[0] == units[1]


def test_the_pace_of_the_calls_does_not_matter() -> None:
    whole, pieces = Plant(5), Plant(5)
    whole.advance(30.0)
    for _ in range(600):
        pieces.advance(0.05)
    assert whole.readings() == pieces.readings()


def test_left_alone_it_stays_near_its_set_points_and_makes_good_glass() -> None:
    plant = Plant(1)
    units = plant.advance(1800.0)
    assert number(plant, "furnace/temperature") == pytest.approx(1530.0, abs=4.0)
    assert number(plant, "forming/thickness") == pytest.approx(4.0, abs=0.08)
    assert number(plant, "annealing/cooling_rate") == pytest.approx(5.0, abs=0.5)
    assert number(plant, "furnace/melt_level") == pytest.approx(1200.0, abs=1.0)
    assert len(units) == pytest.approx(450, abs=3)
    assert sum(not unit.passed for unit in units) <= 4


def test_every_reading_stays_within_its_range() -> None:
    plant, sensors = Plant(2), Sensors(2, ())
    plant.forces.active = {Target.PULL_RATE: Force(1.3), Target.COOLING_FANS: Force(1.0, 40.0)}
    for _ in range(60):
        plant.advance(30.0)
        readings = sensors.read(plant.readings(), plant.seconds)
        assert all(value is not None for value in readings.values())
        assert len(readings) == 64


def test_belt_speed_reaches_the_thickness_gauge_after_seven_seconds_with_the_expected_gain() -> None:
    plant = Plant(7)
    before = mean_thickness(plant, 60)
    plant.write(BELT, 165.0)
    plant.advance(6.5)
    assert plant.shaping.thickness == pytest.approx(before, abs=0.05)
    plant.advance(8.0)
    after = mean_thickness(plant, 60)
    assert (after - before) / 15.0 == pytest.approx(-4.0 / 157.5, rel=0.1)


def test_the_drive_follows_its_set_point_within_its_limits() -> None:
    plant = Plant(7)
    plant.write(BELT, 500.0)
    plant.advance(10.0)
    assert plant.shaping.belt_speed == pytest.approx(200.0, abs=0.5)
    plant.write("forming/running", False)
    plant.advance(20.0)
    assert plant.shaping.belt_speed == pytest.approx(0.0, abs=0.3)
    assert plant.shaping.thickness > 0


@pytest.mark.parametrize(
    ("target", "amount", "reading", "quiet_seconds", "later_seconds", "change"),
    [
        (Target.COOLING_FANS, 30.0, "annealing/cooling_rate", 100.0, 400.0, 1.2),
        (Target.MOULD_TEMPERATURE, -150.0, "forming/mould_temperature", 100.0, 1800.0, -100.0),
        (Target.FURNACE_SETPOINT, 60.0, "furnace/temperature", 5.0, 1800.0, 40.0),
    ],
    ids=["fan", "mould heater", "burner"],
)
def test_equipment_delays(
    target: Target, amount: float, reading: str, quiet_seconds: float, later_seconds: float, change: float
) -> None:
    plant = Plant(9)
    before = number(plant, reading)
    plant.forces.active = {target: Force(1.0, amount)}
    plant.advance(quiet_seconds)
    assert abs(number(plant, reading) - before) < abs(change) / 3
    plant.advance(later_seconds - quiet_seconds)
    assert (number(plant, reading) - before) / change > 1.0


@pytest.mark.parametrize(
    ("target", "amount", "seconds", "defect"),
    [
        (Target.PRESSURE_OSCILLATION, 10.0, 300.0, "bubble"),
        (Target.BELT_SPEED, 40.0, 300.0, "deformation"),
        (Target.COOLING_FANS, 45.0, 900.0, "crack"),
        (Target.MOULD_TEMPERATURE, -230.0, 2400.0, "stress_fracture"),
        (Target.FURNACE_SETPOINT, -130.0, 2400.0, "cloudiness"),
    ],
)
def test_deviations_cause_their_defects(target: Target, amount: float, seconds: float, defect: str) -> None:
    plant = Plant(11)
    plant.forces.active = {target: Force(1.0, amount)}
    units = plant.advance(seconds)
    types = [unit.defect_type for unit in units[-30:] if not unit.passed]
    assert len(types) >= 15
    assert types.count(defect) == pytest.approx(len(types), abs=2)


def test_nobody_writes_a_measurement() -> None:
    with pytest.raises(KeyError):
        Plant(1).write("forming/thickness", 3.0)


def test_the_demo_step_is_worth_15_metres_per_minute_and_the_configured_pid_removes_it(project: Path) -> None:
    scenario = load_scenario(project / "configs" / "scenarios" / "demo.yaml")
    plant, sensors = Plant(scenario.seed), Sensors(scenario.seed, scenario.faults)
    pid = Pid(PidTuning(-10.0, 8.0, 0.0, 2.0, 50.0, 200.0, step=20.0 / 60.0))
    writes, highest = 0, 0.0
    for second in range(180):
        for tenth in range(10):
            plant.forces.active = forces_at(scenario.faults, second + tenth / 10)
            plant.advance(0.1)
        highest = max(highest, plant.shaping.thickness)
        seen = sensors.read(plant.readings(), second)["forming/thickness"]
        assert isinstance(seen, float)
        output = pid.update(4.0, seen, plant.shaping.belt_setpoint, 1.0).value
        assert output is not None
        writes += second < 75 and abs(output - plant.shaping.belt_setpoint) > 0.01
        plant.write(BELT, output)
    assert 4.3 < highest < 4.5
    assert writes >= 45
    assert plant.shaping.belt_setpoint == pytest.approx(165.0, abs=1.5)
    assert plant.shaping.thickness == pytest.approx(4.0, abs=0.03)

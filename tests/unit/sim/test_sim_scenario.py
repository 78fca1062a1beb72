"""Scenario files: the shipped ones load, and wrong ones name line and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.errors import ConfigError
from edged_sim.forces import Target
from edged_sim.scenario import Disturbance, Scenario, load_scenario
from edged_sim.schedule import Due, Sensors, forces_at


def faults_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    return [fault.removeprefix(f"{path}:") for fault in caught.value.faults]


@pytest.mark.parametrize("name", ["demo", "steady", "drill"])
def test_shipped_scenarios_sample_at_ten_hertz(name: str, project: Path) -> None:
    scenario = load_scenario(project / "configs" / "scenarios" / f"{name}.yaml")
    assert scenario.sample_milliseconds == 100
    assert bool(scenario.faults) == (name == "demo")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("{ kind: drift, signal: furnace/temprature, per_minute: 1, at_seconds: 1 }", "did you mean 'furnace/temperat"),
        ("{ kind: drift, signal: forming/heartbeat, per_minute: 1, at_seconds: 1 }", "is not a measurement"),
        ("{ kind: bad_quality, signal: forming/mould_1_temperature, at_seconds: 1 }", "int16 on the wire"),
        ("{ kind: bad_quality, signal: forming/belt_speed_setpoint, at_seconds: 1 }", "is a set-point"),
        ("{ kind: disturbance, target: pull_rate, at_seconds: 1 }", "exactly one of percent, amount"),
        ("{ kind: disturbance, target: pressure_oscillation, percent: 5, at_seconds: 1 }", "no base value"),
        ("{ kind: disturbance, target: pull_rat, percent: 5, at_seconds: 1 }", "did you mean 'pull_rate'"),
        ("{ kind: server_death, face: opcu, at_seconds: 1, seconds: 2 }", "did you mean 'opcua'"),
        ("{ kind: server_death, face: opcua, at_seconds: -1, seconds: 2 }", "greater than or equal to 0"),
        ("{ kind: server_death, face: opcua, at_seconds: 1 }", "seconds: is missing"),
        ("{ kind: modbus_exception, table: input, first: 5, last: 2, at_seconds: 1 }", "must not be above last"),
        ("{ kind: local_change, signal: forming/thickness, value: 1, at_seconds: 1 }", "neither a set-point"),
        ("{ kind: local_change, signal: forming/running, value: 1, at_seconds: 1 }", "takes bool values"),
        ("{ kind: spik, signal: furnace/pressure, at_seconds: 1 }", "did you mean 'spike'"),
        ("{ kind: spike, signal: furnace/pressure, change: .nan, at_seconds: 1 }", "finite number"),
    ],
)
def test_a_wrong_fault_is_named_by_line_and_reason(tmp_path: Path, fault: str, expected: str) -> None:
    found = faults_of(tmp_path, f"seed: 1\nfaults:\n  - {fault}\n")
    assert len(found) == 1
    assert found[0].startswith("3: faults.0")
    assert expected in found[0]


def test_all_faults_are_listed_at_once(tmp_path: Path) -> None:
    found = faults_of(tmp_path, "sample_millisecond: 5\nspeed: 0\nseed: x\n")
    assert [line.split(":")[0] for line in found] == ["1", "2", "3"]
    assert "did you mean 'sample_milliseconds'" in found[0]


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_scenario(tmp_path / "nothing.yaml")


def scenario(*faults: dict[str, object]) -> Scenario:
    return Scenario.model_validate({"faults": faults})


def test_forces_ramp_up_add_up_and_end() -> None:
    faults = scenario(
        {"kind": "disturbance", "target": "pull_rate", "percent": 10, "at_seconds": 8, "ramp_seconds": 2},
        {"kind": "disturbance", "target": "pull_rate", "amount": 0.5, "at_seconds": 20, "seconds": 5},
    ).faults
    assert forces_at(faults, 7.9) == {}
    assert forces_at(faults, 9.0)[Target.PULL_RATE].factor == pytest.approx(1.05)
    both = forces_at(faults, 21.0)[Target.PULL_RATE]
    assert both.factor == pytest.approx(1.1)
    assert both.amount == 0.5
    assert forces_at(faults, 25.0)[Target.PULL_RATE].amount == 0.0


def test_sensor_faults_bend_one_reading_and_leave_the_others_alone() -> None:
    true = {"furnace/pressure": 15.0, "furnace/oxygen": 2.0, "furnace/power": 36000.0, "furnace/fuel_flow": 3600.0}
    bent = Sensors(
        1,
        scenario(
            {"kind": "drift", "signal": "furnace/pressure", "per_minute": 6, "at_seconds": 10},
            {"kind": "spike", "signal": "furnace/oxygen", "change": 5, "at_seconds": 10},
            {"kind": "stuck", "signal": "furnace/power", "at_seconds": 10, "seconds": 10},
            {"kind": "bad_quality", "signal": "furnace/fuel_flow", "at_seconds": 10, "seconds": 10},
        ).faults,
    )
    plain = Sensors(1, ())
    pairs = [(bent.read(true, float(now)), plain.read(true, float(now))) for now in (9, 10, 19, 20)]
    assert pairs[0][0] == pairs[0][1]
    shifts = [_number(b["furnace/pressure"]) - _number(p["furnace/pressure"]) for b, p in pairs]
    assert shifts == pytest.approx([0.0, 0.0, 0.9, 1.0], abs=1e-9)
    oxygen = [_number(b["furnace/oxygen"]) - _number(p["furnace/oxygen"]) for b, p in pairs]
    assert oxygen == pytest.approx([0.0, 5.0, 0.0, 0.0])
    assert pairs[1][0]["furnace/power"] == pairs[2][0]["furnace/power"] != pairs[3][0]["furnace/power"]
    assert [b["furnace/fuel_flow"] is None for b, _ in pairs] == [False, True, True, False]


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


def test_due_hands_out_each_fault_once_in_order() -> None:
    due = Due(
        scenario(
            {"kind": "server_death", "face": "mqtt", "at_seconds": 5, "seconds": 1},
            {"kind": "server_stall", "face": "opcua", "at_seconds": 3, "seconds": 1},
            {"kind": "local_change", "signal": "forming/remote_mode", "value": False, "at_seconds": 9},
        ).faults
    )
    assert due.take(2.0) == []
    assert [fault.kind for fault in due.take(6.0)] == ["server_stall", "server_death"]
    assert [fault.kind for fault in due.take(100.0)] == ["local_change"]
    assert due.take(1000.0) == []


def test_a_disturbance_without_end_acts_until_the_end() -> None:
    lasting = Disturbance(kind="disturbance", target=Target.PULL_RATE, percent=1.0, at_seconds=1.0)
    assert lasting.active(1e9)

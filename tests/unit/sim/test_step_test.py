"""Step tests of several set-points, and the plant on which furnace and belt move each other's outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged_sim.cli import CONFIG_FAULT, main
from edged_sim.melting import GlassFlow
from edged_sim.plant import Plant
from edged_sim.step_test import Move, StepTest, StepTestRefused, record

FURNACE, BELT = "furnace/temperature_setpoint", "forming/belt_speed_setpoint"
GLASS, THICKNESS = "forming/glass_temperature", "forming/thickness"
FURNACE_SECONDS, BELT_SECONDS = 7200.0, 600.0
"""Until the glass has largely followed."""


def moved(flow: GlassFlow, signal: str, by: float, seconds: float) -> tuple[float, float]:
    """By how much glass temperature and thickness differ so long after a set-point was moved."""
    found = []
    for change in (0.0, by):
        plant = Plant(3, flow=flow)
        usual = plant.readings()[signal]
        assert isinstance(usual, float)
        plant.write(signal, usual + change)
        plant.advance(seconds)
        readings = plant.readings()
        glass, thickness = readings[GLASS], readings[THICKNESS]
        assert isinstance(glass, float)
        assert isinstance(thickness, float)
        found.append((glass, thickness))
    return found[1][0] - found[0][0], found[1][1] - found[0][1]


def test_hotter_glass_flows_faster_where_it_flows_by_its_viscosity() -> None:
    glass, thickness = moved(GlassFlow.BY_VISCOSITY, FURNACE, 10.0, FURNACE_SECONDS)
    assert 3.0 < glass < 8.0
    assert thickness / 4.0 / glass == pytest.approx(0.012, rel=0.15), "1.2 % per kelvin near 1165 degC"


def test_metered_glass_leaves_the_thickness_alone() -> None:
    glass, thickness = moved(GlassFlow.METERED, FURNACE, 10.0, FURNACE_SECONDS / 2)
    assert glass > 1.0
    assert thickness == pytest.approx(0.0, abs=1e-6)


def test_glass_before_a_faster_belt_cools_less() -> None:
    glass, thickness = moved(GlassFlow.BY_VISCOSITY, BELT, 10.0, BELT_SECONDS)
    assert glass == pytest.approx(90.0 * 10.0 / 160.0, rel=0.15)
    assert thickness < -0.2
    assert moved(GlassFlow.METERED, BELT, 10.0, BELT_SECONDS)[0] == pytest.approx(0.0, abs=0.5)


def test_several_set_points_move_each_at_its_own_pace(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    test = StepTest(
        [Move(FURNACE, 8.0, 600), Move(BELT, 5.0, 60)], [GLASS, THICKNESS], 120, 1, 5, GlassFlow.BY_VISCOSITY
    )
    assert record(test, path) == 120 * 60 / 5
    head, *rows = path.read_text().splitlines()
    assert head == (
        "time,line_a/furnace/temperature_setpoint [degC],line_a/forming/belt_speed_setpoint [m/min],"
        "line_a/forming/glass_temperature [degC],line_a/forming/thickness [mm]"
    )
    cells = [row.split(",") for row in rows]
    assert [cell[0] for cell in cells[:3]] == ["0", "5", "10"]
    assert {cell[1] for cell in cells} <= {"1522", "1530", "1538"}
    changes = [[at for at in range(1, len(cells)) if cells[at][column] != cells[at - 1][column]] for column in (1, 2)]
    assert all(later - earlier >= 600 / 5 for earlier, later in zip(changes[0], changes[0][1:], strict=False))
    assert len(changes[1]) > 2 * len(changes[0]) > 0


def test_what_cannot_be_moved_or_is_asked_for_by_halves_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StepTestRefused, match="is no set-point"):
        record(StepTest([Move(THICKNESS, 1.0, 20)], [GLASS], 1, 1), tmp_path / "steps.csv")
    with pytest.raises(SystemExit) as ended:
        main(["steps", "--out", str(tmp_path / "x.csv"), "--move", BELT, "--move", FURNACE, "--by", "5"])
    assert ended.value.code == CONFIG_FAULT
    assert "must be given for each --move, got 1 and 1" in capsys.readouterr().err

"""The model of a loop under MPC: believed only when it is whole and for this loop; faults name file and field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from edged.cli import main
from edged.config import load
from edged.controller_settings import PidSettings
from edged.errors import ConfigError
from edged.subcommand import WRONG_INPUT
from edged_control.ladder.controllers import ladder_of, load_models
from edged_control.ladder.rung import Moment
from edged_control.limits.envelope import EffectiveLimits
from edged_control.process_model.linear import Artefact, Channel, Port, ProcessModel, save
from edged_control.process_model.linear import load as load_artefact
from edged_sim.step_test import Move, StepTest, record
from tests.unit.control.known_processes import in_state_space
from tests.unit.control.rig import with_loop

MODEL = "models/thickness.json"


@pytest.fixture
def line(project: Path, tmp_path: Path) -> Path:
    """A copy of the example line that may be changed."""
    (tmp_path / "models").mkdir()
    for name in ("line-a.yaml", "ceiling-line-a.yaml", MODEL):
        (tmp_path / name).write_bytes((project / "configs" / name).read_bytes())
    return tmp_path / "line-a.yaml"


@pytest.fixture
def artefact(project: Path) -> Artefact:
    return load_artefact(project / "configs" / MODEL)


def changed(artefact: Artefact, **changes: Any) -> Artefact:
    """The artefact with its model changed; its hash fits."""
    return replace(artefact, model=replace(artefact.model, **changes))


def faults(line: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_models(load(line, {}, tolerate_missing=True))
    return [fault.removeprefix(f"{line}:") for fault in caught.value.faults]


def test_the_example_has_a_model(line: Path, artefact: Artefact) -> None:
    found = load_models(load(line, {}, tolerate_missing=True))
    assert found.by_loop == {"thickness": artefact}


def test_a_model_that_is_not_there_is_a_fault_or_a_warning(line: Path) -> None:
    (line.parent / MODEL).unlink()
    (fault,) = faults(line)
    assert "control.loops.0.controller.model: no process model at" in fault
    assert fault.partition(":")[0].isdigit()
    missing = load_models(load(line, {}, tolerate_missing=True), tolerate_missing=True).missing
    assert len(missing) == 1
    assert "no process model at" in missing[0]


def test_a_model_that_was_changed_by_hand_is_refused(line: Path) -> None:
    path = line.parent / MODEL
    path.write_text(path.read_text().replace('"gain": -0.0', '"gain": -0.1'))
    (fault,) = faults(line)
    assert "control.loops.0.controller.model: " in fault
    assert "does not have the hash that it states" in fault


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        (
            lambda model: {"inputs": (Port("line_a/furnace/temperature_setpoint", "degC"),)},
            "controller.inputs",
            "the model has line_a/furnace/temperature_setpoint",
        ),
        (
            lambda model: {"outputs": (Port("line_b/forming/thickness", "mm"),)},
            "controller.outputs",
            "the model has line_b/forming/thickness",
        ),
        (
            lambda model: {"inputs": (Port("line_a/forming/belt_speed_setpoint", "m/s"),)},
            "controller.inputs",
            "is in 'm/min', the model speaks of it in 'm/s'",
        ),
        (
            lambda model: {"outputs": (Port("forming/thickness", "um"),)},
            "controller.outputs",
            "is in 'mm', the model speaks of it in 'um'",
        ),
        (
            lambda model: {
                "outputs": (*model.outputs, Port("line_a/forming/glass_temperature", "degC")),
                "channels": (*model.channels, (Channel(1.0),)),
            },
            "controller.outputs",
            "the model has line_a/forming/thickness, line_a/forming/glass_temperature",
        ),
    ],
)
def test_a_model_of_other_signals_or_units_is_refused(
    line: Path, artefact: Artefact, change: Callable[[ProcessModel], dict[str, Any]], place: str, words: str
) -> None:
    other = changed(artefact, **change(artefact.model))
    residuals = (0.01,) * len(other.model.outputs)
    save(replace(other, residuals=residuals), line.parent / MODEL)
    (fault,) = faults(line)
    assert f"control.loops.0.{place}: " in fault
    assert words in fault


@pytest.mark.parametrize("period", [0.4, 5.0])
def test_a_loop_of_another_period_is_refused(line: Path, artefact: Artefact, period: float) -> None:
    line.write_text(
        line.read_text().replace("period_seconds: 1\n      readback", f"period_seconds: {period}\n      readback")
    )
    line.write_text(line.read_text().replace("output_deadband: 0.15", "output_deadband: 0.05"))
    (fault,) = faults(line)
    assert f"control.loops.0.period_seconds: must be within 1..4.38 s for this model, got {period:g}" in fault


@pytest.mark.parametrize(("period", "fits"), [(1.0, True), (2.0, True), (1.5, False)])
def test_a_state_space_serves_whole_multiples_of_its_period(
    line: Path, artefact: Artefact, period: float, fits: bool
) -> None:
    save(replace(artefact, model=in_state_space(artefact.model)), line.parent / MODEL)
    text = line.read_text().replace("output_deadband: 0.15", "output_deadband: 0.05")
    line.write_text(text.replace("period_seconds: 1\n      readback", f"period_seconds: {period}\n      readback"))
    if fits:
        assert load_models(load(line, {}, tolerate_missing=True)).by_loop["thickness"].model.dynamics is not None
    else:
        (fault,) = faults(line)
        assert "control.loops.0.period_seconds: must be a multiple of the model's 1 s, got 1.5" in fault


def test_settings_for_other_signals_than_the_loops_are_refused(line: Path) -> None:
    text = line.read_text()
    line.write_text(
        text.replace("          - signal: forming/thickness", "          - signal: forming/glass_temperature")
    )
    (fault,) = faults(line)
    assert "control.loops.0.controller.outputs: must be forming/thickness alone" in fault


def test_what_init_prints_is_accepted(line: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mpc", "init", str(line.parent / MODEL), "--loop", "thickness"]) == 0
    printed = capsys.readouterr().out
    text = line.read_text()
    line.write_text(text[: text.index("      controller:")] + indent(printed, " " * 6))
    assert main(["check", "--tolerate-missing", str(line)]) == 0
    assert ": ok: " in capsys.readouterr().out
    line.write_text(line.read_text().replace("period_seconds: 1\n      readback", "period_seconds: 9\n      readback"))
    assert main(["check", "--tolerate-missing", str(line)]) == WRONG_INPUT
    assert "control.loops.0.period_seconds: must be within" in capsys.readouterr().err


def test_the_examples_model_comes_of_the_documented_commands(tmp_path: Path, artefact: Artefact) -> None:
    steps, found = tmp_path / "steps.csv", tmp_path / "thickness.json"
    record(StepTest([Move("forming/belt_speed_setpoint", 8.0, 20)], ["forming/thickness"], 30, 1), steps)
    asked = ["--input", "line_a/forming/belt_speed_setpoint", "--output", "line_a/forming/thickness"]
    assert main(["mpc", "identify", str(steps), *asked, "--artefact", str(found)]) == 0
    again = load_artefact(found)
    assert again.data_hash == artefact.data_hash, "the same recording, byte for byte"
    ((channel,),), ((expected,),) = again.model.channels, artefact.model.channels
    assert channel.gain == pytest.approx(expected.gain, rel=1e-3)
    assert channel.dead_time_seconds == pytest.approx(expected.dead_time_seconds, rel=1e-3)


@pytest.mark.parametrize(("rate", "error"), [(None, 0.4), (0.05, 0.05)])
def test_a_pid_approaches_a_new_set_point_as_fast_as_it_is_told(rate: float | None, error: float) -> None:
    controller = PidSettings(gain=-6.0, integral_seconds=1e9, filter_seconds=0.0, set_point_rate_per_second=rate)
    limits = EffectiveLimits("line_a/forming/belt_speed_setpoint", "m/min", 0.0, 1000.0, 1000.0, 1000.0)
    (rung,) = ladder_of(with_loop(controller=controller), limits, ())
    rest = Moment(4.0, 4.0, 150.0, 0.0, 1.0, automatic=True)
    rung.track(rest)
    assert rung.propose(rest).value == pytest.approx(150.0)
    moved = rung.propose(rest._replace(set_point=4.4)).value
    assert moved == pytest.approx(150.0 - 6.0 * error)

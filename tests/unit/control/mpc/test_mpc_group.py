"""Loops that share one MPC: the example, and every way in which they do not fit together, named by file and field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from edged.cli import main
from edged.config import load
from edged_control.ladder.controllers import load_models
from edged_control.process_model.linear import Channel, Port, ProcessModel, save
from edged_control.process_model.linear import load as load_artefact
from tests.unit.control.ladder.test_controllers import changed, faults

FURNACE = "          - signal: furnace/temperature_setpoint\n            move_seconds: 170\n"
BELT = "          - signal: forming/belt_speed_setpoint\n            move_seconds: 4\n"


@pytest.fixture
def pair(project: Path, tmp_path: Path) -> Path:
    """A copy of the coupled example that may be changed."""
    (tmp_path / "models").mkdir()
    for name in ("line-a-coupled.yaml", "ceiling-line-a.yaml", "models/glass.json"):
        (tmp_path / name).write_bytes((project / "configs" / name).read_bytes())
    return tmp_path / "line-a-coupled.yaml"


def test_the_example_is_sound_and_its_model_is_for_both_loops(pair: Path) -> None:
    found = load_models(load(pair, {}, tolerate_missing=True))
    assert list(found.by_loop) == ["glass_temperature"]
    assert found.missing == ()
    assert len(found.by_loop["glass_temperature"].residuals) == 2


@pytest.mark.parametrize(
    ("before", "after", "place", "words"),
    [
        ("loop: glass_temperature", "loop: glass", "1.controller.loop", "there is no loop glass with an MPC"),
        ("loop: glass_temperature", "loop: thickness", "1.controller.loop", "there are glass_temperature"),
        (
            "move_seconds: 170",
            "move_seconds: 170\n            load_per_hour: 2",
            "0.controller",
            "load_per_hour must be given for all inputs or for none",
        ),
        (
            "period_seconds: 5\n      readback_tolerance: 0.01\n      output_deadband: 0.15",
            "period_seconds: 4\n      readback_tolerance: 0.01\n      output_deadband: 0.15",
            "1.period_seconds",
            "must be that of glass_temperature, 5 s, got 4",
        ),
        (
            BELT,
            "",
            "0.controller.inputs",
            "must be furnace/temperature_setpoint, forming/belt_speed_setpoint, which its loops name",
        ),
        (
            FURNACE + BELT,
            BELT + FURNACE,
            "0.controller.inputs",
            "must be those of the model, in its order",
        ),
    ],
)
def test_loops_that_do_not_fit_together_are_refused(
    pair: Path, before: str, after: str, place: str, words: str
) -> None:
    text = pair.read_text()
    assert before in text
    pair.write_text(text.replace(before, after))
    assert any(f"control.loops.{place}: " in fault and words in fault for fault in faults(pair)), faults(pair)


def test_a_loop_that_leaves_makes_the_model_one_for_other_signals(pair: Path) -> None:
    text = pair.read_text()
    part = "        kind: shared_mpc      # its part in the MPC of the loop above\n        loop: glass_temperature\n"
    own = "        kind: pid\n        gain: -6.63\n        integral_seconds: 2.65\n"
    assert part in text
    pair.write_text(text[: text.index(part)] + own)
    found = faults(pair)
    assert len(found) == 2
    assert "control.loops.0.controller.inputs: must be furnace/temperature_setpoint alone" in found[0]
    assert "control.loops.0.controller.outputs: must be forming/glass_temperature alone" in found[1]


LOADED = {"furnace": "            load_per_hour: 2\n", "belt": "            load_per_hour: 0.5\n"}


@pytest.mark.parametrize(
    ("furnace", "belt", "place", "words"),
    [
        ("load_jump: 5", "", "0.controller", "need load_per_hour, which furnace/temperature_setpoint does not have"),
        ("", "dead_time_factors: [1.4]", "0.controller", "which forming/belt_speed_setpoint does not have"),
        ("load_jump: -5", "loaded", "0.controller.inputs.0.load_jump", "greater than or equal to 0, got -5"),
        ("gain_factors: [0.8]", "loaded", "0.controller.inputs.0.gain_factors.0", "greater than 1, got 0.8"),
        ("gain_factors: [.nan]", "loaded", "0.controller.inputs.0.gain_factors.0", "got nan"),
        ("dead_time_factors: [0.1]", "loaded", "0.controller.inputs.0.dead_time_factors.0", "0.2, got 0.1"),
        (
            "dead_time_factors: [1.0, 1.4]",
            "loaded",
            "0.controller",
            "must differ from 1 and from each other, got 1, 1.4",
        ),
        ("gain_factors: [1.3, 1.3]", "loaded", "0.controller", "from each other, got 1.3, 1.3"),
        (
            "gain_factors: [1.3, 1.6]; dead_time_factors: [0.8, 1.2, 1.4]",
            "dead_time_factors: [0.8, 1.2, 1.4]",
            "0.controller",
            "may make 36 models, got 48",
        ),
    ],
)
def test_what_a_plant_may_be_has_to_make_sense(pair: Path, furnace: str, belt: str, place: str, words: str) -> None:
    text = pair.read_text()
    has_loads = belt == "loaded" or "; " in furnace
    for lines, added, loaded in ((FURNACE, furnace, LOADED["furnace"]), (BELT, belt, LOADED["belt"])):
        parts = added.split("; ") if added not in {"", "loaded"} else []
        fields = "".join(f"            {part}\n" for part in parts)
        text = text.replace(lines, lines + fields + (loaded if has_loads else ""))
    pair.write_text(text)
    found = faults(pair)
    assert any(f"control.loops.{place}: " in fault and words in fault for fault in found), found


def test_a_dead_time_that_is_none_cannot_be_another(pair: Path) -> None:
    path = pair.parent / "models" / "glass.json"
    found = load_artefact(path)
    without = tuple((first, replace(second, dead_time_seconds=0.0)) for first, second in found.model.channels)
    save(changed(found, channels=without), path)
    text = pair.read_text().replace(FURNACE, FURNACE + LOADED["furnace"])
    pair.write_text(text.replace(BELT, BELT + LOADED["belt"] + "            dead_time_factors: [1.4]\n"))
    (fault,) = faults(pair)
    assert "control.loops.0.controller.inputs.1.dead_time_factors: " in fault
    assert "forming/belt_speed_setpoint has no dead time" in fault


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        (
            lambda model: {"outputs": (model.outputs[0], Port(model.outputs[1].signal, "um"))},
            "outputs",
            "forming/thickness is in 'mm', the model speaks of it in 'um'",
        ),
        (
            lambda model: {"channels": (model.channels[0], (model.channels[1][0], Channel(0.0)))},
            "model",
            "forming/belt_speed_setpoint does not move forming/thickness, as the loop thickness wants it",
        ),
    ],
)
def test_a_model_for_other_units_or_without_the_path_of_a_loop_is_refused(
    pair: Path, change: Callable[[ProcessModel], dict[str, Any]], place: str, words: str
) -> None:
    path = pair.parent / "models" / "glass.json"
    found = load_artefact(path)
    save(changed(found, **change(found.model)), path)
    (fault,) = faults(pair)
    assert f"control.loops.0.controller.{place}: " in fault
    assert words in fault


def test_what_init_prints_for_both_loops_is_accepted(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(pair.parent / "models" / "glass.json")
    assert main(["mpc", "init", model, "--loop", "glass_temperature", "--loop", "thickness"]) == 0
    first, second = capsys.readouterr().out.split("---\n")
    text = pair.read_text()
    places = [(text.rindex("      controller:"), len(text), second)]
    places.append((text.index("      controller:"), text.index("    - name: thickness"), first))
    for start, end, printed in places:
        text = text[:start] + indent(printed, " " * 6) + text[end:]
    pair.write_text(text)
    assert main(["check", "--tolerate-missing", str(pair)]) == 0
    assert main(["mpc", "init", model, "--loop", "thickness"]) == 1
    assert "the model has 2 inputs and 2 outputs, got --loop thickness" in capsys.readouterr().err

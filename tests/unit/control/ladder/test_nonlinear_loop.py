"""A nonlinear MPC in the ladder: the linear one follows, then the PID; what a configuration may not say of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml

from edged.cli import main
from edged.config import load
from edged.controller_settings import MpcSettings, NonlinearMpcSettings
from edged.errors import ConfigError
from edged.types import DecisionPhase
from edged_control.flight.recorder import KEY_FRAME_SECONDS
from edged_control.flight.records import Record
from edged_control.flight.state import KeyFrame
from edged_control.ladder.controllers import load_models
from edged_control.mpc.furnace_loop import library_faults
from edged_control.mpc.furnace_model import furnace_hash
from edged_control.process_model.linear import encoded
from edged_control.process_model.watch import furnace_watch
from edged_control.solver.messages import Answer, Question, Setup
from tests.unit.control.furnace import SETTINGS
from tests.unit.control.inline_solver import InlineSolver, answered, artefact, mpc_loop, mpc_rig
from tests.unit.control.recorded_rig import blueprint, recorded_rig, replay, replay_all
from tests.unit.control.rig import LOOP, MakeRig, Rig, narrower

STEP_UP = 1.1
ABSENT: Callable[[Answer], Answer] = answered(fault="gone")


class Stand(InlineSolver):
    """Answers as a nonlinear solver would, by a linear model of the simulated ribbon: no furnace is in this rig."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup if isinstance(setup.settings, MpcSettings) else _linear(setup))


def _linear(setup: Setup) -> Setup:
    """Tuned otherwise than the linear one below, so that the two are told apart."""
    assert isinstance(setup.settings, NonlinearMpcSettings)
    assert isinstance(setup.settings.fallback, MpcSettings)
    assert setup.artefact == ""
    settings = setup.settings.fallback
    slower = settings.model_copy(update={"horizon_seconds": 1.5 * settings.horizon_seconds})
    return setup.model_copy(update={"artefact": encoded(artefact()), "settings": slower})


def two_rungs() -> dict[str, Any]:
    """A loop under a nonlinear MPC with a linear one below it, and where its solvers will be found."""
    linear = mpc_loop(LOOP, artefact()).controller
    loop = LOOP.model_copy(update={"controller": SETTINGS.model_copy(update={"fallback": linear})})
    solvers: list[InlineSolver] = []

    def build(_: str, setup: Setup, __: str) -> InlineSolver:
        solvers.append(Stand(setup))
        return solvers[-1]

    return {"loop": loop, "artefact": artefact(), "build_solver": build, "solvers": solvers}


def put_to_work(rig: Rig) -> None:
    rig.step(5)
    rig.plc.product *= STEP_UP
    rig.step(15)


@pytest.fixture
def led(make_rig: MakeRig) -> tuple[Rig, list[InlineSolver]]:
    """Both of its MPCs have work to do."""
    parts = two_rungs()
    rig = make_rig(**parts)
    put_to_work(rig)
    return rig, parts["solvers"]


def test_each_rung_takes_over_from_the_one_above_in_the_same_cycle(led: tuple[Rig, list[InlineSolver]]) -> None:
    rig, (nonlinear, linear) = led
    assert rig.status.rung == "nonlinear_mpc"
    decision = rig.road.decisions(DecisionPhase.DECIDED)[-1]
    assert (decision.controller, decision.model_hash) == ("nonlinear_mpc", furnace_hash(SETTINGS.furnace))
    nonlinear.spoil = ABSENT
    rig.step()
    assert (rig.status.rung, rig.status.rung_reason) == ("mpc", "gone")
    assert rig.road.decisions()[-1].model_hash == artefact().hash
    linear.spoil = ABSENT
    rig.step()
    assert rig.status.rung == "pid"
    nonlinear.spoil = None
    rig.step(3)
    assert rig.status.rung == "nonlinear_mpc"
    assert ("control_fallback", "thickness") not in rig.alarms.standing
    rig.step(60)
    assert rig.plc.thickness == pytest.approx(4.0, abs=0.02)


def test_the_solvers_of_both_are_asked_in_every_cycle(led: tuple[Rig, list[InlineSolver]]) -> None:
    _, solvers = led
    assert [len(solver.questions) for solver in solvers] == [20, 20]
    assert [type(solver.questions[0]) for solver in solvers] == [Question, Question]


def test_a_linear_mpc_alone_has_one_solver(make_rig: MakeRig) -> None:
    rig, _ = mpc_rig(make_rig)
    assert len(rig.solvers) == 1


def test_pushed_limits_reach_both_solvers_and_lower_rungs_move_meanwhile(led: tuple[Rig, list[InlineSolver]]) -> None:
    rig, solvers = led
    rig.push(narrower(high=160.0, rate_per_second=0.2))
    assert [(limits.high, limits.rate_per_second) for solver in solvers for limits in solver.setup.limits] == [
        (160.0, 0.2),
        (160.0, 0.2),
    ]
    rig.step()
    assert rig.status.rung == "pid"
    assert "the solver begins anew" in rig.status.rung_reason
    rig.step(5)
    assert rig.status.rung == "nonlinear_mpc"
    rig.step(60)
    assert max(write.value for write in rig.plc.writes) <= 160.0


def test_what_both_solvers_said_replays(make_rig: MakeRig) -> None:
    parts = two_rungs()
    rig, sessions = recorded_rig(make_rig, **parts)
    put_to_work(rig)
    nonlinear, linear = parts["solvers"]
    nonlinear.spoil = ABSENT
    rig.step(3)
    linear.spoil = ABSENT
    rig.step(3)
    nonlinear.spoil = linear.spoil = None
    rig.push(narrower(high=160.0))
    rig.step(10)
    assert {decision.controller for decision in rig.road.decisions()} == {"nonlinear_mpc", "mpc", "pid"}
    report = replay_all(rig, sessions)
    assert report.differences == []
    assert report.cycles == 36


def test_behind_a_key_frame_each_solver_that_is_asked_again_knows_what_it_was_asked(make_rig: MakeRig) -> None:
    parts = two_rungs()
    rig, sessions = recorded_rig(make_rig, **parts)
    rig.step(round(KEY_FRAME_SECONDS) - 8)
    rig.plc.product *= STEP_UP
    rig.step(20)
    parts["solvers"][0].spoil = answered(fault="the solver ended", solve_seconds=0.0)
    rig.step(10)
    items = list(sessions.shelves[0].items())
    (start,) = (at for at, item in enumerate(items) if isinstance(item, KeyFrame))
    before = [item for item in items[:start] if isinstance(item, Record)]
    assert {decision.controller for decision in rig.road.decisions()} == {"nonlinear_mpc", "mpc"}
    report = replay(iter(items[start:]), blueprint(rig), rig.build_solver, solve=True, lead_in=before)
    assert report.differences == []
    assert replay(iter(items[start:]), blueprint(rig), rig.build_solver, solve=True).differences


def test_the_watch_waits_for_two_horizons() -> None:
    watch = furnace_watch(0.3, 10_800.0, 60.0)
    for _ in range(360):
        watch.note(2.0, 60.0)
    assert watch.fault == ""
    for _ in range(5):
        watch.note(2.0, 60.0)
    assert watch.fault.startswith("the model has been wrong by 2")


def furnace_loop(**changes: Any) -> str:
    """A second loop for the example line."""
    controller = yaml.safe_dump({"controller": SETTINGS.model_dump(mode="json") | changes.pop("controller", {})})
    fields = {
        "name": "glass",
        "process_value": "furnace/throat_temperature",
        "output": "furnace/temperature_setpoint",
        "readback": "furnace/temperature_setpoint",
        "set_point": 1169.0,
        "period_seconds": 60,
        "permissives": [{"signal": "forming/remote_mode"}],
    }
    loop = indent(yaml.safe_dump(fields | changes) + controller, " " * 6)
    return f"    - {loop[6:]}"


@pytest.fixture
def line(project: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a copy of the example line with a furnace loop."""
    (tmp_path / "models").mkdir()
    for name in ("line-a.yaml", "ceiling-line-a.yaml", "models/thickness.json"):
        (tmp_path / name).write_bytes((project / "configs" / name).read_bytes())
    file = tmp_path / "line-a.yaml"
    text = file.read_text()

    def write(**changes: Any) -> Path:
        file.write_text(text.replace("  loops:\n", f"  loops:\n{furnace_loop(**changes)}"))
        return file

    return write


def fault(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_models(load(file, {}, tolerate_missing=True))
    (found,) = caught.value.faults
    return found


def test_a_furnace_loop_is_accepted(line: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    file = line()
    assert set(load_models(load(file, {}, tolerate_missing=True)).by_loop) == {"thickness"}
    assert main(["check", "--tolerate-missing", str(file)]) == 0
    assert "do_mpc" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"process_value": "furnace/viscosity"},
            "process_value: must be in degC for a nonlinear MPC, got a signal in 'Pa.s'",
        ),
        ({"period_seconds": 2}, "period_seconds: must be at least 5 s for a nonlinear MPC, got 2"),
        (
            {"controller": {"horizon_seconds": 1000.0}},
            "controller.horizon_seconds: must be at least 24 periods, 1440 s, got 1000",
        ),
        (
            {"controller": {"furnace": SETTINGS.furnace.model_dump() | {"throat_dead_time_seconds": 10_801}}},
            "controller.furnace.throat_dead_time_seconds: must be at most the horizon, 10800 s, got 10801",
        ),
        ({"controller": {"fallback": {"kind": "nonlinear_mpc"}}}, "controller.fallback.kind: must be 'pid', 'mpc'"),
        (
            {"controller": {"fallback": {"kind": "pid", "gain": 1.0}}},
            "controller.fallback.integral_seconds: is missing",
        ),
        (
            {"controller": {"furnace": SETTINGS.furnace.model_dump() | {"emissivity": 1.2}}},
            "controller.furnace.emissivity: must be less than or equal to 1, got 1.2",
        ),
        (
            {"controller": {"furnace": SETTINGS.furnace.model_dump() | {"burner_lag_seconds": 0.1}}},
            "controller.furnace.burner_lag_seconds: must be greater than or equal to 1, got 0.1",
        ),
    ],
)
def test_what_no_furnace_can_use_is_told_with_file_and_field(
    line: Callable[..., Path], changes: dict[str, Any], words: str
) -> None:
    file = line(**changes)
    found = fault(file)
    assert found.startswith(f"{file}:")
    assert f"control.loops.0.{words}" in found


def test_the_model_of_its_linear_fallback_is_read_like_any_other(line: Callable[..., Path]) -> None:
    linear = yaml.safe_load(line().read_text())["control"]["loops"][1]["controller"]
    found = fault(line(controller={"fallback": linear | {"model": "models/gone.json"}}))
    assert "control.loops.0.controller.fallback.model: no process model at" in found
    with pytest.raises(ConfigError, match=r"control\.loops\.0\.controller\.fallback\.inputs: must be furnace/temp"):
        load_models(load(line(controller={"fallback": linear}), {}, tolerate_missing=True))


@pytest.mark.parametrize("kind", ["pid", "mpc"])
def test_no_other_loop_has_a_part_in_it_or_in_the_linear_one_below_it(line: Callable[..., Path], kind: str) -> None:
    linear = mpc_loop(LOOP, artefact()).controller.model_dump(mode="json")
    file = line(controller={"fallback": linear} if kind == "mpc" else {})
    shared = "kind: shared_mpc, loop: glass, fallback: { gain: 1.0, integral_seconds: 10.0 }"
    others, controller, _ = file.read_text().rpartition("      controller:")
    file.write_text(f"{others}{controller} {{ {shared} }}\n")
    with pytest.raises(ConfigError) as caught:
        load_models(load(file, {}, tolerate_missing=True))
    words = "control.loops.1.controller.loop: a nonlinear MPC moves one output alone, and so does the one below it"
    (told,) = [found for found in caught.value.faults if words in found]
    assert told.startswith(f"{file}:")


def test_check_names_a_missing_library_with_its_place(
    line: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = line()
    monkeypatch.setitem(sys.modules, "do_mpc", None)
    words = "control.loops.0.controller.kind: do_mpc is not installed: pip install 'edged[control-nonlinear]'"
    assert main(["check", "--tolerate-missing", str(file)]) == 0
    assert f"warning: {file}:" in (warned := capsys.readouterr().err)
    assert words in warned
    with pytest.raises(ConfigError, match="do_mpc is not installed"):
        library_faults(load(file, {}, tolerate_missing=True)).raise_any()

"""A furnace under nonlinear MPC on a real line: its solver is killed, the linear MPC goes on, it returns (CARD4)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml

from bench.line import LineStack
from bench.processes import descendants
from edged_control.mpc.settings import proposed
from edged_control.process_model.linear import Artefact, Channel, Port, ProcessModel, encoded
from tests.acceptance.bad_input_rig import STEADY, derived, finish, reproduced, standing, until
from tests.unit.control.furnace import RATE_PER_SECOND, SETTINGS

LOOP, PROCESS_VALUE, OUTPUT = "glass", "furnace/throat_temperature", "furnace/temperature_setpoint"
PERIOD_SECONDS = 5.0
"""The shortest that a nonlinear MPC may have."""
SET_POINT = 1190.0
"""Far above where the simulated furnace begins: the crown's set-point goes up in every cycle."""
QUANTUM = RATE_PER_SECOND * PERIOD_SECONDS
"""K: what the rate allows in one cycle."""
ROUNDING = 1e-3
"""A cycle may be a little longer than its period."""
LONGEST_CYCLE_NANOSECONDS = round(1.5 * PERIOD_SECONDS * 1e9)
WRITES = 2
NONLINEAR_LIBRARY = b"casadi"
MODEL = ProcessModel(
    (Port(f"line_a/{OUTPUT}", "degC"),),
    (Port(f"line_a/{PROCESS_VALUE}", "degC"),),
    ((Channel(1.1, 750.0, 1700.0, 900.0),),),
)

pytestmark = pytest.mark.timeout(240)


def furnace_loop(model: Path) -> str:
    """A loop for the example line: physics, below it a linear MPC of such a model as a step test finds, then a PID."""
    model.write_text(encoded(Artefact(MODEL, PERIOD_SECONDS, (95.0,), (93.0,), (0.3,), "step test", "0" * 64)))
    linear = proposed(MODEL, model, [5.0], PERIOD_SECONDS).model_copy(update={"fallback": SETTINGS.fallback})
    fields = {
        "name": LOOP,
        "process_value": PROCESS_VALUE,
        "output": OUTPUT,
        "readback": OUTPUT,
        "set_point": SET_POINT,
        "period_seconds": PERIOD_SECONDS,
        "good_cycles": 1,
        "permissives": [{"signal": "forming/remote_mode"}],
        "controller": SETTINGS.model_copy(update={"fallback": linear}).model_dump(mode="json"),
    }
    return indent(yaml.safe_dump([fields]), "    ")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return derived(tmp_path, ("  loops:\n", f"  loops:\n{furnace_loop(tmp_path / 'furnace.json')}"))


@pytest.fixture
def line(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[LineStack]:
    with LineStack(tmp_path_factory.mktemp("furnace") / "line") as stack:
        stack.start_broker()
        stack.start_hub()
        stack.start_plant(STEADY)
        stack.start_edge(config)
        yield stack
        stack.stop()


def loop(status: Any, name: str = LOOP) -> Any:
    """One loop of /status."""
    return next(one for one in status["loops"] if one["name"] == name)


def nonlinear_solver(line: LineStack) -> int:
    """The process that has the nonlinear libraries loaded; there is one."""
    (pid,) = (
        pid
        for pid in descendants(line.processes["edged"].pid)
        if NONLINEAR_LIBRARY in Path(f"/proc/{pid}/maps").read_bytes()
    )
    return pid


def decisions_about(line: LineStack, signal_path: str) -> list[Any]:
    """The decisions about one signal at the hub, oldest first."""
    page = line.hub_page("/api/v1/events?kind=Decision&limit=1000")
    assert page is not None
    found = [event["body"] for event in page["events"] if event["body"]["signal"] == signal_path]
    return sorted(found, key=lambda decision: int(decision["time"]))


def test_the_nonlinear_solver_is_killed_and_the_furnace_goes_on(line: LineStack, config: Path) -> None:
    until(
        line,
        "writes of the nonlinear MPC",
        lambda status: loop(status)["controller"] == SETTINGS.kind and loop(status)["verified_writes"] >= WRITES,
        seconds=60.0,
    )
    assert loop(line.status())["actual_mode"] == "AUTO"
    os.kill(nonlinear_solver(line), signal.SIGKILL)
    status = until(line, "the linear MPC", lambda status: loop(status)["controller"] == "mpc")
    assert ("control_fallback", LOOP) in standing(status)
    assert "the solver" in loop(status)["rung_reason"]
    assert loop(status, "thickness")["rung"] == "mpc"
    until(line, "the nonlinear MPC again", lambda status: loop(status)["controller"] == SETTINGS.kind)
    writes = loop(line.status())["verified_writes"]
    status = until(line, "its writes", lambda status: loop(status)["verified_writes"] >= writes + WRITES)
    assert ("control_fallback", LOOP) not in standing(status)
    assert loop(status, "thickness")["rung"] == "mpc"
    line.wait_until_drained()
    decisions = decisions_about(line, f"line_a/{OUTPUT}")
    written = [one for one in decisions if one["phase"] == "completed" and one["written"] is not None]
    by_mpc = [name for name, _ in groupby(one["controller"] for one in written) if name != "pid"]
    assert by_mpc == [SETTINGS.kind, "mpc", SETTINGS.kind]
    assert {one["outcome"] for one in written} == {"verified"}
    assert len({one["model_hash"] for one in written if one["controller"] != "pid"}) == len({SETTINGS.kind, "mpc"})
    for one in written:
        assert 0.0 < one["written"] - one["readback_before"] <= QUANTUM * (1.0 + ROUNDING) + ROUNDING, one
    for before, after in pairwise(written):
        assert int(after["time"]) - int(before["time"]) < LONGEST_CYCLE_NANOSECONDS, "a cycle without a write"
    finish(line)
    found = reproduced(line, config, "--last", 300)
    assert found["decisions"] >= len(decisions)
    assert reproduced(line, config, "--last", 300, "--solve")["cycles"] == found["cycles"]

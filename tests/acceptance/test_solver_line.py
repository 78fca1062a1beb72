"""The whole line under MPC: its solver's process is killed, the PID goes on without a bump, the MPC returns (CARD4)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

from bench.line import LineStack
from tests.acceptance.bad_input_rig import EXAMPLE, finish, reproduced, standing, until

MORE_GLASS = """\
seed: 7
sample_milliseconds: 100
faults:
  - { kind: disturbance, target: pull_rate, percent: 10, at_seconds: 2, ramp_seconds: 1 }
"""
QUANTUM = 20.0 / 60.0
"""m/min: what the rate allows in one cycle of a second."""
ROUNDING = 1e-3
"""A cycle may be a little longer than its period."""
WRITES_BEFORE = 3

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStack]:
    """Ten percent more glass keeps the belt busy for most of a minute."""
    folder = tmp_path_factory.mktemp("solver")
    (folder / "scenario.yaml").write_text(MORE_GLASS, encoding="utf-8")
    with LineStack(folder / "line") as stack:
        stack.start_broker()
        stack.start_hub()
        stack.start_plant(folder / "scenario.yaml")
        stack.start_edge()
        yield stack
        stack.stop()


def loop(status: Any) -> Any:
    """The one loop of /status."""
    return status["loops"][0]


def test_the_solver_is_killed_and_the_belt_goes_on(line: LineStack) -> None:
    until(line, "the MPC to write", lambda status: loop(status)["verified_writes"] >= WRITES_BEFORE, seconds=60.0)
    assert loop(line.status())["controller"] == "mpc"
    os.kill(line.solver_pid(), signal.SIGKILL)
    status = until(line, "the PID", lambda status: loop(status)["controller"] == "pid")
    assert ("control_fallback", "thickness") in standing(status)
    assert "solver" in loop(status)["rung_reason"] or "good cycles" in loop(status)["rung_reason"]
    until(line, "the MPC again", lambda status: loop(status)["controller"] == "mpc")
    writes = loop(line.status())["verified_writes"]
    status = until(line, "its writes", lambda status: loop(status)["verified_writes"] >= writes + WRITES_BEFORE)
    assert ("control_fallback", "thickness") not in standing(status)
    line.wait_until_drained()
    page = line.hub_page("/api/v1/events?kind=Decision&limit=1000")
    assert page is not None
    decisions = sorted((event["body"] for event in page["events"]), key=lambda decision: int(decision["time"]))
    written = [one for one in decisions if one["phase"] == "completed" and one["written"] is not None]
    assert [name for name, _ in groupby(one["controller"] for one in written)] == ["mpc", "pid", "mpc"]
    assert {one["outcome"] for one in written} == {"verified"}
    assert {bool(one["model_hash"]) for one in written if one["controller"] == "mpc"} == {True}
    for one in written:
        assert abs(one["written"] - one["readback_before"]) <= QUANTUM * (1.0 + ROUNDING) + ROUNDING, one
    finish(line)
    found = reproduced(line, EXAMPLE, "--last", 300)
    assert found["decisions"] >= len(decisions)
    assert reproduced(line, EXAMPLE, "--last", 300, "--solve")["cycles"] == found["cycles"]

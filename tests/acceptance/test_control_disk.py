"""Control beside disks that are full: nothing gets wider, nothing crashes, and it goes on where it may (CARD4)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.line import LineStack
from tests.acceptance.bad_input_rig import EXAMPLE, edged, finish, held_alarms, log_lines, standing, until
from tests.acceptance.small_disk import fill, fill_with_files, small_disk

MORE_GLASS = """\
seed: 7
sample_milliseconds: 100
faults:
  - { kind: disturbance, target: pull_rate, percent: 10, at_seconds: 2, ramp_seconds: 1 }
"""
BELT = "line_a/forming/belt_speed_setpoint"
WRITES = 3
FLIGHT_ALARM = ("flight_not_kept", "line_a")
CONFIGURED_HIGH, PUSHED_HIGH, TIGHTER_HIGH = 200.0, 190.0, 180.0
LIMITS = "limits:\n  - {{ signal: forming/belt_speed_setpoint, unit: m/min, low: 50, high: {high:g},\n"
LIMITS += "      rate_per_minute: 20, approval_threshold: 50 }}\n"
NO_ROOM = "the limits can't be kept: No space left on device"

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: small tmpfs are mounted"),
]


@pytest.fixture
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStack]:
    """The whole line with a busy belt; its data, and within them its flight, lie on small disks of their own."""
    folder = tmp_path_factory.mktemp("control-disk")
    (folder / "scenario.yaml").write_text(MORE_GLASS, encoding="utf-8")
    flight = folder / "flight"
    with (
        LineStack(folder / "line") as stack,
        small_disk(stack.edge_data, "size=48m,nr_inodes=100"),
        small_disk(flight, "size=2m"),
    ):
        (stack.edge_data / "flight-line_a.db").symlink_to(flight / "flight.db")
        stack.start_broker()
        stack.start_hub()
        stack.start_plant(folder / "scenario.yaml")
        stack.start_edge()
        more_writes(stack)
        yield stack
        stack.stop()


def belt(status: Any) -> Any:
    """The one loop of /status."""
    return status["loops"][0]


def belt_limits(line: LineStack) -> Any:
    """The limits of the belt in /status."""
    return next(limits for limits in (line.status() or {})["limits"] if limits["signal"] == BELT)


def more_writes(line: LineStack) -> None:
    """Returns when the loop has written some more."""
    before = belt(line.status())["verified_writes"] if line.status() else 0
    until(line, "writes", lambda status: belt(status)["verified_writes"] >= before + WRITES, seconds=60.0)


def test_a_full_disk_costs_the_flight_and_no_cycle(line: LineStack) -> None:
    filler = fill(line.folder.parent / "flight")
    until(line, "the alarm", lambda status: FLIGHT_ALARM in standing(status))
    more_writes(line)
    status = until(line, "the alarm still", lambda status: FLIGHT_ALARM in standing(status))
    assert belt(status)["actual_mode"] == "AUTO"
    assert not status["outbox"]["degraded"]
    (told,) = log_lines(line.processes["edged"], "flight_not_kept")
    assert "full" in told["reason"]
    filler.unlink()
    until(line, "the flight to be kept again", lambda status: FLIGHT_ALARM not in standing(status))
    more_writes(line)
    line.wait_until_drained()
    states = [alarm["state"] for alarm in held_alarms(line, FLIGHT_ALARM[0])]
    assert states == ["unacknowledged", "returned_unacknowledged"]
    finish(line)
    replayed = edged("replay", EXAMPLE, "--last", 300, "--json", environment=line.environment())
    found = json.loads(replayed.stdout)
    assert (replayed.returncode, found["differences"], len(found["missing"])) == (0, [], 1)
    assert found["cycles"] > 2 * WRITES


class Desk:
    """An operator and an engineer at the box."""

    def __init__(self, line: LineStack, folder: Path) -> None:
        self._line, self._folder = line, folder
        self._url = ["--url", f"http://127.0.0.1:{line.http_port}", "--token-file", folder / "anna.token"]
        self._must("add-operator", "anna", "--file", line.operators, "--out", folder / "anna.token")
        self._must("keygen", "chris", "--out", folder)
        line.engineers.write_bytes((folder / "chris.pub").read_bytes())

    def listed(self, high: float) -> Path:
        """A file of limits."""
        file = self._folder / f"high-{high:g}.yaml"
        file.write_text(LIMITS.format(high=high), encoding="utf-8")
        return file

    def signed(self, high: float) -> Path:
        """The same, signed by the engineer."""
        words = ("sign-limits", self.listed(high), "--key", self._folder / "chris.key", "--line", "line_a")
        file = self._folder / "wide.signed"
        file.write_text(self._must(*words), encoding="utf-8")
        return file

    def push(self, *words: object) -> str:
        """Why a push was refused; empty when it was not."""
        answer = edged("control", "limits", *words, "--reason", "new rollers", *self._url)
        assert (answer.returncode == 0) == (answer.stderr == "")
        return answer.stderr

    def mode(self, mode: str) -> None:
        """Asks for a mode of the belt."""
        self._must("mode", "thickness", mode, *self._url)
        until(self._line, mode, lambda status: belt(status)["actual_mode"] == mode, seconds=60.0)

    def _must(self, *words: object) -> str:
        answer = edged("control", *words)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout


def test_a_full_disk_refuses_limits_and_those_in_force_stay(line: LineStack, tmp_path: Path) -> None:
    desk = Desk(line, tmp_path)
    tight, tighter = desk.listed(PUSHED_HIGH), desk.listed(TIGHTER_HIGH)

    fillers = fill_with_files(line.edge_data)
    assert NO_ROOM in desk.push(tight)
    assert (belt_limits(line)["high"], belt_limits(line)["origin"]) == (CONFIGURED_HIGH, "configuration")
    more_writes(line)
    for filler in fillers:
        filler.unlink()
    assert desk.push(tight) == ""
    assert (belt_limits(line)["high"], belt_limits(line)["origin"]) == (PUSHED_HIGH, "pushed by anna")

    filler = fill(line.edge_data)
    until(line, "the full disk to be noticed", lambda status: bool(status["outbox"]["degraded"]))
    assert "what can't be recorded is not done" in desk.push(tighter)
    assert belt_limits(line)["high"] == PUSHED_HIGH
    line.processes["edged"].kill()
    filler.unlink()
    line.start_edge()
    until(line, "AUTO again", lambda status: belt(status)["actual_mode"] == "AUTO", seconds=60.0)
    assert (belt_limits(line)["high"], belt_limits(line)["origin"]) == (PUSHED_HIGH, "pushed by anna")

    desk.mode("MAN")
    wide = desk.signed(CONFIGURED_HIGH)
    fillers = fill_with_files(line.edge_data)
    assert NO_ROOM in desk.push("--signed", wide)
    assert belt_limits(line)["high"] == PUSHED_HIGH
    for filler in fillers:
        filler.unlink()
    assert desk.push("--signed", wide) == "", "the signature was not used up"
    assert belt_limits(line)["high"] == CONFIGURED_HIGH
    line.processes["edged"].kill()
    line.start_edge()
    until(line, "the daemon again", lambda status: bool(status["loops"]))
    assert belt_limits(line)["high"] == CONFIGURED_HIGH
    assert line.stop_edge() == 0
    assert "Traceback" not in (line.folder / "edged.log").read_text(encoding="utf-8")

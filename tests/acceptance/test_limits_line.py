"""The whole line while its limits change and while the daemon is stopped, judged by the plant's own journal (CARD4)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.checker import read_journal
from bench.line import LineStack
from bench.processes import descendants
from tests.acceptance.bad_input_rig import HEARTBEAT, edged, until

MORE_GLASS = """\
seed: 7
sample_milliseconds: 100
faults:
  - { kind: disturbance, target: pull_rate, percent: 10, at_seconds: 2, ramp_seconds: 1 }
"""
BELT = "line_a/forming/belt_speed_setpoint"
RATE_PER_SECOND = 20.0 / 60.0
CREDIT_SECONDS = 2.0
"""Two periods: what may be saved up."""
JITTER_SECONDS = 0.2
"""Between a judgement and the plant's note of the write."""
ROUNDING = 1e-3
STOPPED_SECONDS = 8.0
WRITES = 3
LIMITS = "limits:\n  - {{ signal: forming/belt_speed_setpoint, unit: m/min, low: 50, high: {high:.3f},\n"
LIMITS += "      rate_per_minute: 20, approval_threshold: 50 }}\n"

pytestmark = pytest.mark.timeout(250)


class Written(NamedTuple):
    """One write of the daemon that the plant accepted."""

    at: int
    value: float


@pytest.fixture
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStack]:
    """Ten percent more glass keeps the belt busy for most of a minute."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "scenario.yaml").write_text(MORE_GLASS, encoding="utf-8")
    with LineStack(folder / "line") as stack:
        stack.start_broker()
        stack.start_hub()
        stack.start_plant(folder / "scenario.yaml")
        stack.start_edge()
        until(stack, "writes", lambda status: loop(status)["verified_writes"] >= WRITES, seconds=60.0)
        yield stack
        stack.stop()


def loop(status: Any) -> Any:
    """The one loop of /status."""
    return status["loops"][0]


def belt_limits(status: Any) -> Any:
    """The limits of the belt in /status."""
    return next(limits for limits in status["limits"] if limits["signal"] == BELT)


def belt_writes(line: LineStack) -> list[Written]:
    """What was written to the belt, by the plant's journals, oldest first."""
    entries = [entry for path in line.journal.glob("*.jsonl") for entry in read_journal(path)]
    found = [entry for entry in entries if entry.get("write", HEARTBEAT) == BELT]
    return sorted(Written(int(entry["at"]), float(entry["value"])) for entry in found)


def within_the_rate(writes: list[Written]) -> None:
    """No step from one write to the next is longer than the time between, and the credit, allow."""
    assert len(writes) > WRITES
    for before, after in pairwise(writes):
        seconds = min((after.at - before.at) / 1e9 + JITTER_SECONDS, CREDIT_SECONDS)
        assert abs(after.value - before.value) <= RATE_PER_SECOND * seconds + ROUNDING, (before, after)


def test_a_daemon_that_was_stopped_goes_on_within_the_rate(line: LineStack) -> None:
    daemon = line.processes["edged"].pid
    pids = [daemon, *descendants(daemon)]
    before = loop(line.status())["verified_writes"]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    stopped = time.time_ns()
    time.sleep(STOPPED_SECONDS)
    went_on = time.time_ns()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    until(line, "more writes", lambda status: loop(status)["verified_writes"] >= before + 2 * WRITES)
    writes = belt_writes(line)
    assert not [write for write in writes if stopped + 10**8 < write.at < went_on], "it was really stopped"
    assert [write for write in writes if write.at > went_on]
    within_the_rate(writes)
    assert line.stop_edge() == 0
    assert "Traceback" not in (line.folder / "edged.log").read_text(encoding="utf-8")


def test_limits_are_pushed_by_command_and_outlive_the_daemon(line: LineStack, tmp_path: Path) -> None:
    url = ["--url", f"http://127.0.0.1:{line.http_port}", "--token-file", tmp_path / "anna.token"]

    def control(*words: object) -> tuple[int, str]:
        answer = edged("control", *words)
        return answer.returncode, answer.stdout + answer.stderr

    assert control("add-operator", "anna", "--file", line.operators, "--out", tmp_path / "anna.token")[0] == 0
    assert control("keygen", "chris", "--out", tmp_path)[0] == 0
    line.engineers.write_bytes((tmp_path / "chris.pub").read_bytes())
    tight, wide = tmp_path / "tight.yaml", tmp_path / "wide.yaml"
    high = loop(line.status())["readback"] + 2.0
    tight.write_text(LIMITS.format(high=high), encoding="utf-8")
    wide.write_text(LIMITS.format(high=high + 1.0), encoding="utf-8")

    assert control("limits", tight, "--reason", "new rollers", *url)[0] == 0
    pushed = time.time_ns()
    limits = belt_limits(line.status())
    assert (limits["high"], limits["origin"]) == (pytest.approx(high, abs=1e-3), "pushed by anna")
    status, told = control("limits", wide, "--reason", "run in", *url)
    assert status == 1
    assert f"{wide}:2: limits: {BELT}: high " in told
    assert "key: wider limits must be signed with an engineering key" in told
    until(line, "the belt at its limit", lambda status: loop(status)["readback"] > high - 0.2)

    line.processes["edged"].kill()
    line.start_edge()
    until(line, "AUTO again", lambda status: loop(status)["actual_mode"] == "AUTO", seconds=60.0)
    assert belt_limits(line.status())["high"] == pytest.approx(high, abs=1e-3)

    sign = ["--reason", "run in", "--key", tmp_path / "chris.key"]
    status, told = control("limits", wide, *sign, *url)
    assert (status, "mode: thickness is in AUTO" in told) == (1, True)
    assert control("mode", "thickness", "MAN", *url)[0] == 0
    until(line, "MAN", lambda status: loop(status)["actual_mode"] == "MAN")
    widened = time.time_ns()
    assert control("limits", wide, *sign, *url)[0] == 0
    assert control("mode", "thickness", "AUTO", *url)[0] == 0
    until(line, "the belt beyond", lambda status: loop(status)["readback"] > high + 0.3)
    writes = belt_writes(line)
    assert [write for write in writes if pushed < write.at < widened]
    assert max(write.value for write in writes if pushed < write.at < widened) <= high + ROUNDING
    assert max(write.value for write in writes) <= high + 1.0 + ROUNDING
    assert line.stop_edge() == 0
    assert "Traceback" not in (line.folder / "edged.log").read_text(encoding="utf-8")

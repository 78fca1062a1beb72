"""The hub refuses the identity: edged says what to do, keeps collecting, and everything arrives once (CARD5)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.line import LineStack
from bench.processes import mosquitto, program
from tests.acceptance.bad_input_rig import STEADY, Json, finish, held_alarms, log_lines, standing, until

ALARM = ("hub_refuses_identity", "line_a")
WAITING_BATCHES = 15

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.mosquitto,
    pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed"),
]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStack]:
    """The whole line; the daemon has the secret of another line."""
    with LineStack(tmp_path_factory.mktemp("identity") / "line") as stack:
        stack.start_broker()
        stack.start_hub()
        stack.start_plant(STEADY)
        enroll(stack, "line_b", stack.secret)
        stack.start_edge()
        stack.wait_for_data()
        yield stack


def enroll(line: LineStack, node: str, place: Path) -> None:
    """A new secret for a node; the one before is worth nothing any more."""
    words = [program("edged-hub"), "enroll", node, "--data", str(line.hub_data), "--out", str(place)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def refused(status: Json) -> bool:
    """The daemon says that the hub refuses it, and it holds what it goes on reading."""
    waiting = status["outbox"]["sinks"][0]["process_batches"] >= WAITING_BATCHES
    return bool(status["hub"]["refused_identity"] and ALARM in standing(status) and waiting)


def accepted(status: Json) -> bool:
    """The hub has everything again."""
    return status["hub"]["connected"] and not status["hub"]["backlog"] and ALARM not in standing(status)


def test_the_secret_of_another_line(line: LineStack) -> None:
    status = until(line, "the refusal", refused)
    assert not status["hub"]["connected"]
    assert "the hub refused the identity 'line_a'" in status["hub"]["last_error"]
    assert "run `edged-hub enroll line_a` on the hub" in status["hub"]["last_error"]
    assert str(line.secret) in status["hub"]["last_error"]
    told = [one for one in log_lines(line.processes["edged"], "service_restarts") if one["service"] == "hub"]
    assert [one["fault"].partition(":")[0] for one in told] == ["AccessRefused"]
    assert all(one["state"] == "online" for one in status["sources"])
    assert (line.hub_page("/api/v1/status") or {})["samples"] == 0

    enroll(line, "line_a", line.secret)
    until(line, "the hub to be content", accepted)


def test_a_secret_that_is_replaced_at_the_hub_alone(line: LineStack) -> None:
    fresh = line.folder / "fresh"
    enroll(line, "line_a", fresh)
    until(line, "the refusal", refused, seconds=60.0)
    fresh.rename(line.secret)
    until(line, "the hub to be content", accepted, seconds=60.0)


def test_everything_arrived_once(line: LineStack) -> None:
    """The last one: it stops the daemon, and the checker judges every value of the plant."""
    line.wait_until_drained()
    states = [alarm["state"] for alarm in held_alarms(line, ALARM[0])]
    assert states == ["unacknowledged", "returned_unacknowledged"] * 2
    found = finish(line)
    assert found.gaps == []

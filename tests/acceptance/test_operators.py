"""People at the plant and at the box, on the whole line: a loop that yielded comes back by `edged control` (CARD4)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from bench.demo_people import turn_the_belt
from bench.line import LineStack
from tests.acceptance.bad_input_rig import derived, edged, reproduced, standing, start_line, until

LOOP = "thickness"

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStack]:
    """The whole line; the belt may move by 5 m/min until an engineer says more."""
    folder = tmp_path_factory.mktemp("operators")
    config = derived(folder / "config", ("approval_threshold: 50 }", "approval_threshold: 5 }"))
    with LineStack(folder / "line") as stack:
        start_line(stack, config)
        yield stack
        stack.stop()


def loop(status: Any) -> Any:
    """The one loop of /status."""
    return status["loops"][0]


def control(line: LineStack, *words: str) -> subprocess.CompletedProcess[str]:
    """`edged control` as anna."""
    url = f"http://127.0.0.1:{line.http_port}"
    token = {"EDGED_OPERATOR_TOKEN": str(line.folder / "anna.token")}
    return edged("control", *words, "--url", url, environment=token)


def approve_a_move(line: LineStack) -> None:
    """A move beyond the threshold waits, and goes on with an engineer's consent, which serves once."""
    assert control(line, "mode", LOOP, "MAN").returncode == 0
    until(line, "MAN", lambda status: loop(status)["actual_mode"] == "MAN" and not loop(status)["reason"])
    wanted = loop(line.status())["baseline"] + 8.0
    waits = control(line, "output", LOOP, str(wanted))
    assert waits.returncode == 0
    assert waits.stdout.startswith(f"output {LOOP}: waits: approval: ")
    status = until(line, "the alarm", lambda status: ("control_approval", LOOP) in standing(status))
    assert loop(status)["waiting"]["who"] == "operator anna"

    assert edged("control", "keygen", "chris", "--out", line.folder).returncode == 0
    line.engineers.write_bytes((line.folder / "chris.pub").read_bytes())
    key = str(line.folder / "chris.key")
    words = ["--line", "line_a", "--signal", "forming/belt_speed_setpoint", "--unit", "m/min", "--value", str(wanted)]
    (line.folder / "ok").write_text(edged("control", "sign", "--key", key, *words).stdout)
    handed = control(line, "approve", LOOP, "--file", str(line.folder / "ok"))
    assert handed.returncode == 0, handed.stderr
    until(
        line, "the belt to arrive", lambda status: abs((loop(status)["readback"] or 0.0) - wanted) < 0.02, seconds=60.0
    )
    assert loop(line.status())["baseline"] == wanted
    again = control(line, "approve", LOOP, "--file", str(line.folder / "ok"))
    assert again.returncode == 1
    assert "it was used before" in again.stderr


def replay(line: LineStack, orders: int) -> None:
    """What people did comes out the same again, at the box and elsewhere from a file of its own."""
    config, incident = line.folder.parent / "config" / "line.yaml", line.folder / "incident.db"
    found = reproduced(line, config, "--last", 300, "--export", incident)
    assert found["orders"] == orders
    told = edged("replay", "--incident", incident)
    assert told.returncode == 0, told
    assert told.stdout.endswith("every decision reproduced\n")


def test_a_loop_that_yielded_is_given_back_by_a_known_person(line: LineStack) -> None:
    until(line, "AUTO", lambda status: loop(status)["actual_mode"] == "AUTO")
    refused = control(line, "mode", LOOP, "MAN", "--token-file", str(line.secret))
    assert refused.returncode == 1
    assert "no operator is named" in refused.stderr

    added = edged("control", "add-operator", "anna", "--file", line.operators, "--out", line.folder / "anna.token")
    assert added.returncode == 0, added.stderr
    present = loop(line.status())["readback"]
    turn_the_belt(line.modbus_port, present + 3.0)
    until(line, "the loop to yield", lambda status: loop(status)["actual_mode"] == "local-override")
    writes = loop(line.status())["verified_writes"]
    assert "local-override" in control(line, "status").stdout

    given = control(line, "override", LOOP, "--reason", "belt is clean again")
    assert (given.returncode, given.stdout) == (0, f"override {LOOP}: accepted\n"), given.stderr
    until(line, "AUTO again", lambda status: loop(status)["actual_mode"] == "AUTO")
    until(line, "writes again", lambda status: loop(status)["verified_writes"] > writes)

    assert control(line, "setpoint", LOOP, "4.05").returncode == 0
    assert loop(line.status())["set_point"] == 4.05
    assert control(line, "mode", LOOP, "OOS").returncode == 1, "that is for engineers"
    approve_a_move(line)
    line.wait_until_drained()
    page = line.hub_page("/api/v1/events?kind=OperatorAction&limit=100")
    assert page is not None
    told = [(e["source"], e["body"]["identity"], e["body"]["action"], e["body"]["outcome"]) for e in page["events"]]
    assert sorted(told) == [
        (LOOP, "anna", "approve", "accepted"),
        (LOOP, "anna", "approve", "refused"),
        (LOOP, "anna", "mode", "accepted"),
        (LOOP, "anna", "mode", "denied"),
        (LOOP, "anna", "output", "waits"),
        (LOOP, "anna", "override", "accepted"),
        (LOOP, "anna", "setpoint", "accepted"),
    ]
    assert line.stop_edge() == 0
    replay(line, len(told))

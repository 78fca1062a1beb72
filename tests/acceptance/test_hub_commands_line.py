"""Commands of the hub on the whole line, judged by the plant's own journal: only what the gate let through (CARD4)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.checker import read_journal
from bench.line import LineStack
from bench.processes import descendants, program, wait_until
from tests.acceptance.bad_input_rig import (
    HEARTBEAT,
    derived,
    edged,
    finish,
    held_alarms,
    metric,
    plant_writes,
    reproduced,
    start_line,
    until,
)

BELT = "line_a/forming/belt_speed_setpoint"
LOOP = "thickness"
MANUAL = (
    "      period_seconds: 1\n      readback",
    "      period_seconds: 1\n      target_mode: manual\n      readback",
)
TAKEN = ("hub:\n  url:", "hub:\n  commands: true\n  url:")
NARROW = ("approval_threshold: 50 }", "approval_threshold: 5 }")
RATE_PER_SECOND = 20.0 / 60.0
CREDIT_SECONDS = 2.0
JITTER_SECONDS = 0.2
"""Between a judgement and the plant's note of the write."""
ROUNDING = 1e-3
SHORT_LIFE_SECONDS = 2.0

Json = dict[str, Any]

pytestmark = pytest.mark.timeout(240)


class Site:
    """A line in MAN and two people at its hub: emma, an engineer, and vera, who may only look."""

    def __init__(self, folder: Path, *changes: tuple[str, str]) -> None:
        self.line = LineStack(folder / "line")
        self.config = derived(folder / "config", *changes)

    def start(self) -> None:
        start_line(self.line, self.config)
        self.tokens = {name: self._hire(name, role) for name, role in (("emma", "engineer"), ("vera", "viewer"))}
        until(self.line, "a baseline", lambda status: loop(status)["baseline"] is not None)

    def _hire(self, name: str, role: str) -> str:
        words = ["user", "add", name, "--role", role, "--data", str(self.line.hub_data)]
        return subprocess.run([program("edged-hub"), *words], check=True, capture_output=True, text=True).stdout.strip()

    def post(self, value: object, *, who: str = "emma", target: str = BELT, lives_seconds: float = 30.0) -> Json:
        """The hub's answer to a command, with its status."""
        document = {"node": "line_a", "signal": target, "value": value, "lives_seconds": lives_seconds}
        request = urllib.request.Request(
            f"{self.line.hub_url}/api/v1/commands",
            data=json.dumps(document).encode(),
            headers={"Authorization": f"Bearer {self.tokens[who]}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return {"status": answer.status, **json.loads(answer.read())}
        except urllib.error.HTTPError as fault:
            return {"status": fault.code, **json.loads(fault.read())}

    def told(self) -> list[Json]:
        """What the hub says of all commands, newest first."""
        page = self.line.hub_page("/api/v1/commands") or {"commands": []}
        found: list[Json] = page["commands"]
        return found

    def verdict(self, value: float, *, target: str = BELT, lives_seconds: float = 30.0) -> Json:
        """Posts a command and waits for what becomes of it."""
        taken = self.post(value, target=target, lives_seconds=lives_seconds)
        assert taken["status"] == 202, taken

        def judged() -> bool:
            return self._state(taken["id"]) not in ("waiting", "handed_over")

        wait_until("a verdict", judged, self.line.processes["edged"], 20.0)
        return next(one for one in self.told() if one["id"] == taken["id"])

    def _state(self, identity: str) -> str:
        return next((str(one["state"]) for one in self.told() if one["id"] == identity), "waiting")

    def readback(self) -> float:
        """Where the belt's set-point is."""
        return float(until(self.line, "a readback", lambda s: loop(s)["readback"] is not None)["loops"][0]["readback"])

    def arrive(self, value: float) -> None:
        """Waits until the belt's set-point is there."""
        until(self.line, "the belt", lambda s: loop(s)["readback"] == pytest.approx(value, abs=0.02), seconds=60.0)

    def belt_writes(self) -> list[tuple[int, float]]:
        """(time, value) of what was written to the belt, by the plant's journals, oldest first."""
        entries = [entry for path in self.line.journal.glob("*.jsonl") for entry in read_journal(path)]
        return sorted((int(e["at"]), float(e["value"])) for e in entries if e.get("write", HEARTBEAT) == BELT)

    def send_to_edge(self, number: signal.Signals) -> None:
        daemon = self.line.processes["edged"].pid
        for pid in (daemon, *descendants(daemon)):
            os.kill(pid, number)


def loop(status: Any) -> Any:
    """The one loop of /status."""
    return status["loops"][0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("hub_commands"), TAKEN, MANUAL, NARROW)
    try:
        made.start()
        yield made
    finally:
        made.line.stop()


def test_a_viewer_moves_nothing(site: Site) -> None:
    answer = site.post(150.0, who="vera")
    assert (answer["status"], answer["error"]) == (
        403,
        "POST /api/v1/commands is for an admin or engineer, vera is a viewer",
    )
    assert site.told() == []
    assert plant_writes(site.line) == []


def test_what_the_gate_refuses_says_why_and_writes_nothing(site: Site) -> None:
    for value, target, reason in (
        (500.0, BELT, "limits: "),
        (-1e300, BELT, "limits: "),
        (150.0, "line_b/forming/belt_speed_setpoint", "signal: this is line_a, got line_b/"),
        (150.0, "line_a/forming/no_such_signal", "signal: line_a has no line_a/forming/no_such_signal"),
        (4.0, "line_a/forming/thickness", "signal: line_a/forming/thickness is not writable"),
        (1500.0, "line_a/furnace/temperature_setpoint", "mode: no loop of this line writes line_a/furnace/"),
    ):
        told = site.verdict(value, target=target)
        assert (told["state"], told["user"]) == ("refused", "emma")
        assert told["reason"].startswith(reason), told
    assert site.post("fast")["status"] == 400
    assert plant_writes(site.line) == []
    status = until(site.line, "the count", lambda s: s["hub"]["refused_commands"] == 6)
    assert status["hub"]["accepted_commands"] == 0
    site.line.wait_until_drained()
    alarms = " | ".join(alarm["message"] for alarm in held_alarms(site.line, "control_wish_refused"))
    assert "hub emma: 500.0 refused: limits: " in alarms
    page = site.line.hub_page("/api/v1/events?kind=Decision&limit=1000") or {"events": []}
    refused = [event["body"] for event in page["events"] if event["body"]["proposed"] == 500.0]
    assert [(one["verdict"], one["controller"], one["written"]) for one in refused] == [("refused", "hub emma", None)]


def test_an_allowed_command_walks_to_its_value_within_the_rate(site: Site) -> None:
    """The counter-proof: the way from the hub to the plant's journal is open."""
    before = site.readback()
    wanted = round(before + 2.0, 3)
    assert site.verdict(wanted)["state"] == "allowed"
    site.arrive(wanted)
    writes = site.belt_writes()
    assert len(writes) > 3
    assert all(before < value <= wanted + ROUNDING for _, value in writes)
    for (earlier, lower), (later, higher) in pairwise(writes):
        seconds = min((later - earlier) / 1e9 + JITTER_SECONDS, CREDIT_SECONDS)
        assert abs(higher - lower) <= RATE_PER_SECOND * seconds + ROUNDING
    assert {path for path, _ in plant_writes(site.line)} == {BELT}
    site.line.wait_until_drained()
    page = site.line.hub_page("/api/v1/events?kind=Decision&limit=1000") or {"events": []}
    written = [event["body"] for event in page["events"] if event["body"]["written"] is not None]
    assert {decision["controller"] for decision in written} == {"walk hub emma"}
    assert metric(site.line, 'edged_uplink_commands_total{outcome="allowed"}') == 1.0


def test_beyond_the_threshold_it_waits_for_an_approval_and_dies_without_one(site: Site) -> None:
    wanted, writes = round(site.readback() + 8.0, 3), len(site.belt_writes())
    told = site.verdict(wanted, lives_seconds=SHORT_LIFE_SECONDS + 2.0)
    assert told["state"] == "needs_approval"
    assert told["reason"].startswith("approval: ")
    waiting = until(site.line, "the wish to wait", lambda status: loop(status)["waiting"] is not None)
    assert loop(waiting)["waiting"]["who"] == "hub emma"
    until(site.line, "the end of its life", lambda status: loop(status)["waiting"] is None)
    assert len(site.belt_writes()) == writes


def test_beyond_the_threshold_it_goes_on_once_it_is_approved(site: Site) -> None:
    wanted = round(site.readback() + 8.0, 3)
    assert site.verdict(wanted, lives_seconds=60.0)["state"] == "needs_approval"
    line, folder = site.line, site.line.folder
    assert edged("control", "keygen", "chris", "--out", folder).returncode == 0
    line.engineers.write_bytes((folder / "chris.pub").read_bytes())
    added = edged("control", "add-operator", "anna", "--file", line.operators, "--out", folder / "anna.token")
    assert added.returncode == 0, added.stderr
    reach = ["--url", f"http://127.0.0.1:{line.http_port}", "--token-file", folder / "anna.token"]
    given = edged("control", "approve", LOOP, "--key", folder / "chris.key", "--value", wanted, *reach)
    assert given.returncode == 0, given.stderr
    site.arrive(wanted)
    assert max(value for _, value in site.belt_writes()) <= wanted + ROUNDING


def test_a_command_that_the_line_does_not_fetch_in_time_is_never_written(site: Site) -> None:
    writes = len(site.belt_writes())
    site.send_to_edge(signal.SIGSTOP)
    try:
        time.sleep(0.5)
        late = site.post(round(loop_target(site) - 1.0, 3), lives_seconds=SHORT_LIFE_SECONDS)
        wait_until("the end of its life", lambda: site._state(late["id"]) == "expired", seconds=20.0)
    finally:
        site.send_to_edge(signal.SIGCONT)
    next_one = site.verdict(500.0)
    assert next_one["state"] == "refused", "the line fetches again"
    assert site._state(late["id"]) == "expired"
    assert len(site.belt_writes()) == writes


def loop_target(site: Site) -> float:
    """The last value written: the daemon stands still and can't be asked."""
    return site.belt_writes()[-1][1]


def test_a_hub_that_dies_repeats_nothing_and_forgets_what_waited(site: Site) -> None:
    """One command was carried out before, one waits while the hub is killed: neither comes to the line again."""
    wanted = round(site.readback() - 1.0, 3)
    assert site.verdict(wanted)["state"] == "allowed"
    site.arrive(wanted)
    writes = len(site.belt_writes())
    site.send_to_edge(signal.SIGSTOP)
    try:
        time.sleep(0.5)
        assert site.post(round(wanted - 1.0, 3), lives_seconds=60.0)["state"] == "waiting"
        site.line.processes["hub"].kill()
        site.line.start_hub()
    finally:
        site.send_to_edge(signal.SIGCONT)
    assert site.told() == []
    assert site.verdict(500.0)["state"] == "refused", "the line fetches again"
    until(site.line, "cycles", lambda status: loop(status)["actual_mode"] == "MAN")
    assert len(site.belt_writes()) == writes
    assert site.readback() == pytest.approx(wanted, abs=0.02)


def test_everything_replays_and_nothing_was_lost(site: Site) -> None:
    """The last one: it stops the daemon."""
    finish(site.line)
    reproduced(site.line, site.config, "--last", 600)


def test_an_advisory_line_writes_nothing_for_the_hub(tmp_path: Path) -> None:
    site = Site(tmp_path, TAKEN, MANUAL, ("advisory: false ", "advisory: true "))
    try:
        start_line(site.line, site.config)
        site.tokens = {"emma": site._hire("emma", "engineer")}
        told = site.verdict(150.0)
        assert (told["state"], told["reason"]) == ("refused", "mode: advisory, nothing is written")
        site.line.wait_until_drained()
        assert plant_writes(site.line) == []
        assert site.line.stop_edge() == 0
    finally:
        site.line.stop()


def test_a_line_that_was_not_told_to_takes_no_commands(tmp_path: Path) -> None:
    site = Site(tmp_path, MANUAL)
    try:
        start_line(site.line, site.config)
        site.tokens = {"emma": site._hire("emma", "engineer")}
        told = site.verdict(150.0)
        assert (told["state"], told["reason"]) == (
            "refused",
            "commands: hub.commands is false in the configuration of line_a",
        )
        assert plant_writes(site.line) == []
    finally:
        site.line.stop()

"""Nothing there at start, somebody else there at start: the daemon runs, says so, and goes on when it can (CARD1)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bench.line import LineStack
from bench.processes import mosquitto, wait_until
from tests.acceptance.bad_input_rig import (
    STEADY,
    Json,
    edged,
    finish,
    held_alarms,
    log_lines,
    source,
    standing,
    until,
    written,
)

FAILED = 1
SOURCES = ("cold_end", "forming", "furnace")

pytestmark = pytest.mark.timeout(120)


def lonely(folder: Path, line: LineStack) -> Path:
    """A line with one source that needs no device."""
    return written(
        folder / "config",
        {
            "site": "glassworks",
            "line": "line_a",
            "data_directory": str(line.edge_data),
            "http": {"port": line.http_port},
            "sources": {
                "clock": {
                    "kind": "fake",
                    "options": {"period_milliseconds": 50},
                    "signals": [{"name": "clock/counter", "type": "int"}],
                }
            },
        },
    )


@pytest.mark.mosquitto
@pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed")
def test_servers_unreachable_at_start(tmp_path: Path) -> None:
    with LineStack(tmp_path / "line") as line:
        line.enroll()
        edge = line.start_edge()
        away = {("source_offline", name) for name in SOURCES}
        until(line, "an alarm per source", lambda s: standing(s) == away)
        away |= {("hub_offline", "line_a"), ("sparkplug_offline", "line_a")}
        status = until(line, "alarms of the hub and of Sparkplug", lambda s: standing(s) == away)
        assert_all_is_away(status, line)
        told = {entry["source"]: entry["fault"] for entry in log_lines(edge, "source_offline")}
        assert told == {name: source(status, name)["last_fault"] for name in SOURCES}
        line.start_broker()
        line.start_hub()
        line.start_plant(STEADY)
        until(line, "everything to be there", everything_is_there)
        line.wait_until_drained()
        turns = [(alarm["source"], alarm["state"]) for alarm in held_alarms(line, "source_offline")]
        for name in SOURCES:
            states = [state for whose, state in turns if whose == name]
            assert (states[0], states[-1]) == ("unacknowledged", "returned_unacknowledged")
        finish(line)


def assert_all_is_away(status: Json, line: LineStack) -> None:
    ports = {"furnace": line.opcua_port, "forming": line.modbus_port, "cold_end": line.mqtt_port}
    for name, port in ports.items():
        assert source(status, name)["state"] in {"waiting", "connecting"}
        assert source(status, name)["last_fault"].startswith("SourceUnreachable: ")
        assert f"127.0.0.1:{port}" in source(status, name)["last_fault"]
    assert not status["hub"]["connected"]
    assert "Cannot connect" in status["hub"]["last_error"]
    assert not status["sparkplug"]["online"]
    assert any(s["name"] == "sparkplug" and "refused" in s["last_fault"] for s in status["services"])
    assert [loop["verified_writes"] for loop in status["loops"]] == [0]


def everything_is_there(status: Json) -> bool:
    sources = all(one["state"] == "online" and one["samples"] > 100 for one in status["sources"])
    return bool(sources and status["hub"]["connected"] and status["sparkplug"]["online"] and not status["alarms"])


def test_a_taken_status_port_stops_nothing(tmp_path: Path) -> None:
    with LineStack(tmp_path / "line") as line:
        config = lonely(tmp_path, line)
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", line.http_port))
            stranger.listen()
            edge = line.start_edge(config)
            wait_until("the alarm", lambda: bool(log_lines(edge, "alarm_raised")), edge)
        status = until(line, "the status pages", lambda s: s["samples"] > 0 and not s["alarms"])
        (told,) = log_lines(edge, "alarm_raised")
        assert told["alarm"] == "status_pages_closed"
        assert f"http.port {line.http_port} on 127.0.0.1: Address already in use" in told["message"]
        assert source(status, "clock")["samples"] >= 20, "values were collected while nobody could look"
        assert line.stop_edge() == 0


def test_two_daemons_on_one_data_directory(tmp_path: Path) -> None:
    with LineStack(tmp_path / "line") as line:
        config = lonely(tmp_path, line)
        first = line.start_edge(config)
        before = until(line, "the first daemon", lambda s: s["samples"] > 0)
        second = edged("run", config)
        assert second.returncode == FAILED
        assert f"data_directory {line.edge_data} is in use by process {first.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        after = until(line, "more values", lambda s: s["samples"] > before["samples"])
        assert after["outbox"]["stream"] == before["outbox"]["stream"]
        assert line.stop_edge() == 0
        third = line.start_edge(config)
        until(line, "the same directory to be free again", lambda s: s["samples"] > 0)
        assert third.stop() == 0


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    with LineStack(tmp_path / "line") as line:
        line.edge_data.write_text("not a folder", encoding="utf-8")
        answer = edged("run", lonely(tmp_path, line))
        assert answer.returncode == FAILED
        assert answer.stderr.splitlines()[-1] == f"edged: data_directory {line.edge_data}: is not a directory"
        assert "Traceback" not in answer.stderr

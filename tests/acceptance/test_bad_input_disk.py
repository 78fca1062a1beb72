"""A full disk: degraded, not dead; it heals by itself and tells a counted Gap (CARD5)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.checker import check
from bench.line import LineStack
from bench.processes import listens, mosquitto, wait_until, write_mosquitto_config
from tests.acceptance.bad_input_rig import (
    Json,
    derived,
    finish,
    held_alarms,
    held_gaps,
    metric,
    plant_writes,
    source,
    standing,
    start_line,
    until,
)
from tests.acceptance.small_disk import fill, small_disk

DISK = "6m"
RING_SAMPLES = 2000
"""Three seconds of the line."""
SETTLED_SECONDS = 1.0
"""What was under way when the disk became full is done."""
PUBACK = b"Received PUBACK from edged-line-a-ingest"
ALARM = ("outbox_degraded", "line_a")

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.root,
    pytest.mark.mosquitto,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a small tmpfs is mounted"),
    pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed"),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example line with a small ring."""
    change = ("  commit_seconds: 0.2", f"  commit_seconds: 0.2\n  ring_samples: {RING_SAMPLES}")
    return derived(tmp_path_factory.mktemp("config"), change)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[LineStack]:
    """The whole line; the data directory is a disk of its own, the broker tells every acknowledgement."""
    with LineStack(tmp_path_factory.mktemp("disk") / "line") as stack, small_disk(stack.edge_data, f"size={DISK}"):
        start_talking_broker(stack)
        start_line(stack, config, parts=("hub",))
        yield stack
        stack.stop()


def start_talking_broker(line: LineStack) -> None:
    """mosquitto with every packet in its log."""
    path = write_mosquitto_config(line.folder, line.mqtt_port)
    with path.open("a", encoding="utf-8") as file:
        file.write("log_type all\n")
    broker = line.start("broker", [str(mosquitto()), "-c", str(path)])
    wait_until("the MQTT broker", lambda: listens(line.mqtt_port), broker)


def acknowledged(line: LineStack) -> int:
    """Messages that the daemon has acknowledged to the broker."""
    return line.processes["broker"].log.read_bytes().count(PUBACK)


def degraded(status: Json) -> bool:
    """The daemon says so, in its status and by an alarm."""
    return bool(status["outbox"]["degraded"]) and ALARM in standing(status)


def healed(status: Json) -> bool:
    """The outbox is written again."""
    return not status["outbox"]["degraded"] and ALARM not in standing(status)


def test_a_full_disk_heals_and_tells_a_counted_gap(line: LineStack) -> None:
    filler = fill(line.edge_data)
    status = until(line, "the full disk to be noticed", degraded)
    assert "disk" in status["outbox"]["degraded"]
    assert metric(line, "edged_outbox_degraded") == 1.0
    time.sleep(SETTLED_SECONDS)
    acknowledgements, writes = acknowledged(line), len(plant_writes(line))
    status = until(line, "the ring to run over", lambda s: s["outbox"]["dropped_samples"] > RING_SAMPLES)
    assert acknowledged(line) == acknowledgements
    assert len(plant_writes(line)) == writes
    assert all(one["state"] == "online" for one in status["sources"])
    assert source(status, "cold_end")["outstanding"] > 0
    assert status["loops"][0]["reason"] == "mode: decisions can't be recorded"
    dropped_before = status["outbox"]["dropped_samples"]

    filler.unlink()
    until(line, "the disk to be used again", healed)
    line.wait_until_drained()
    assert metric(line, "edged_outbox_degraded") == 0.0
    wait_until("the acknowledgements", lambda: acknowledged(line) > acknowledgements)
    gaps = [gap for gap in held_gaps(line) if gap["samples"]]
    assert {gap["source"] for gap in gaps} >= {"furnace", "forming", "cold_end"}
    assert {gap["reason"] for gap in gaps} == {"outbox_unavailable"}
    counted = sum(gap["samples"] for gap in gaps)
    assert counted >= dropped_before
    assert counted == metric(line, "edged_outbox_dropped_samples_total")
    assert [alarm["state"] for alarm in held_alarms(line, ALARM[0])] == ["unacknowledged", "returned_unacknowledged"]


def test_nothing_else_was_lost(line: LineStack) -> None:
    """It stops the daemon, and the checker judges every value of the plant."""
    finish(line)


def test_a_start_on_a_full_disk(line: LineStack, config: Path) -> None:
    """There is no room to open the outbox: the daemon reads all the same, and opens it later."""
    filler = fill(line.edge_data)
    line.start_edge(config)
    status = until(line, "a daemon that says so", degraded)
    assert status["outbox"]["commits"] == 0
    line.wait_for_data()
    filler.unlink()
    until(line, "the disk to be used", healed)
    line.wait_until_drained()
    assert line.stop_edge() == 0
    assert "Traceback" not in line.processes["edged"].log.read_text(encoding="utf-8")


def test_the_time_before_a_start_on_a_full_disk_is_told(line: LineStack) -> None:
    found = check(line.journal, line.hub_data / "hub.db", line.node)
    assert (found.lost, found.duplicated, found.invented) == (0, 0, 0), found.examples[:5]

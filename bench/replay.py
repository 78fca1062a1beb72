"""Somebody's recording instead of the simulated line: played, read, synced and judged to its last value."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.checker import Findings, check, read_journal, read_rows
from bench.demo_table import places
from bench.line import LineStack
from bench.processes import StackFailed, on_stop, program, wait_until
from bench.report import Bar, Report
from bench.sparkplug_host import SparkplugHost

REFRESH_SECONDS = 1.0
SHOW_SECONDS = 5.0
ARRIVAL_SECONDS = 60.0
ROWS_PER_SECOND = 20.0
TIME_SIGNAL = "recording/time"
"""Changes with every row, so the last row has arrived when its value of this has."""


class Pace(NamedTuple):
    """How fast: recorded seconds per second, or rows per second."""

    speed: float | None = None
    rows_per_second: float | None = None

    def arguments(self) -> list[str]:
        """The options of edged-sim."""
        if self.speed is not None:
            return ["--speed", str(self.speed)]
        return ["--rows-per-second", str(self.rows_per_second or ROWS_PER_SECOND)]


class Replay:
    """Plays somebody's recording through a real OPC UA server, the daemon and the hub."""

    def __init__(self, stack: LineStack, recording: str, pace: Pace, seconds: float | None) -> None:
        self._stack = stack
        self._recording = recording
        self._pace = pace
        self._seconds = seconds
        self._stopping = False

    def run(self) -> int:
        """The exit status: 0 only if every value that was played is in the hub once, and a host saw them."""
        stack = self._stack
        stack.start_broker()
        stack.start_hub()
        host = SparkplugHost(stack.mqtt_port)
        config = self._start_player()
        stack.start_edge(config)
        stack.wait_for_data()
        on_stop(self._stop)
        self._watch()
        ended = self._played_all()
        if ended:
            say("the recording has ended; waiting for its last row in the hub")
            wait_until("the last row in the hub", self._last_row_held, stack.processes["edged"], ARRIVAL_SECONDS)
            wait_until("the last row on Sparkplug", self._sent, stack.processes["edged"], ARRIVAL_SECONDS)
        code = stack.stop_edge()
        host.close()
        return self._judge(code, host, ended=ended)

    def _start_player(self) -> Path:
        stack, config = self._stack, self._stack.folder / "replay.yaml"
        arguments: list[object] = [program("edged-sim"), "replay", self._recording, *self._pace.arguments()]
        arguments += ["--opcua-port", stack.opcua_port, "--journal", stack.journal]
        arguments += ["--config-out", config, "--ready-file", stack.ready]
        player = stack.start("plant", [str(word) for word in arguments])
        wait_until("the recording", stack.ready.exists, player)
        say(f"playing {self._recording}; Ctrl-C stops everything")
        for place in places(stack, f"opc.tcp://127.0.0.1:{stack.opcua_port}/"):
            say(place)
        return config

    def _watch(self) -> None:
        began = time.monotonic()
        shown = 0.0
        while not self._stopping and not self._played_all():
            time.sleep(REFRESH_SECONDS)
            edged, age = self._stack.processes["edged"], time.monotonic() - began
            if not edged.alive():
                raise StackFailed(f"edged ended:\n{edged.tail()}")
            if self._seconds is not None and age >= self._seconds:
                return
            status = self._stack.status()
            if status and age - shown >= SHOW_SECONDS:
                say(f"{age:4.0f} s: {status['samples']:,} values in")
                shown = age

    def _played_all(self) -> bool:
        return bool(json.loads(self._stack.ready.read_text(encoding="utf-8"))["done"])

    def _last_row_held(self) -> bool:
        page = self._stack.hub_page(f"/api/v1/latest?signal={self._stack.node}/{TIME_SIGNAL}")
        recorded = last_row(self._stack.journal)[f"{self._stack.node}/{TIME_SIGNAL}"]
        return page is not None and any(record["value"] == recorded for record in page["records"])

    def _sent(self) -> bool:
        status = self._stack.status()
        sinks = {sink["name"]: sink["process_batches"] for sink in status["outbox"]["sinks"]} if status else {}
        return bool(sinks) and not any(sinks.values())

    def _judge(self, code: int, host: SparkplugHost, *, ended: bool) -> int:
        stack = self._stack
        database = stack.hub_data / "hub.db"
        return judge(check(stack.journal, database, stack.node), code, host, missing(stack) if ended else None)

    def _stop(self) -> None:
        self._stopping = True


def judge(found: Findings, code: int, host: SparkplugHost, unheld: int | None) -> int:
    """Prints the summary; `unheld` counts values of a recording that was played to its end, None where it was not."""
    columns = ("offered", "held by the hub", "lost", "duplicated", "out of order", "in gaps")
    names = ("offered", "held", "lost", "duplicated", "out_of_order", "covered_by_gaps")
    report = Report("replay", columns)
    report.rows.append([found.total(name) for name in names])
    held = found.total("held")
    report.bars = [
        Bar(name.replace("_", " "), found.total(name), 0) for name in ("lost", "duplicated", "out_of_order", "invented")
    ]
    report.bars += [
        Bar("values held", held, 1, "at_least"),
        Bar("Sparkplug births seen by a host", host.births, 1, "at_least"),
        Bar("Sparkplug values seen by a host", host.values, 1, "at_least"),
        Bar("Sparkplug messages a host could not read", host.unreadable, 0),
        Bar("exit status of edged", code, 0),
    ]
    if unheld is not None:
        report.bars.append(Bar("values from the first row held to the last row that are not held", unheld, 0))
    report.figures = {"sparkplug_values": host.values}
    return report.show()


def last_row(journal: Path) -> dict[str, Any]:
    """The signals of the newest line that offered the recorded time."""
    newest: dict[str, Any] = {}
    for line in read_journal(journal / "opcua.jsonl"):
        if any(signal.endswith(TIME_SIGNAL) for signal in line.get("signals", ())):
            newest = line["signals"]
    return newest


def missing(stack: LineStack) -> int:
    """How many values the player offered since the first one held, to the very last, that the hub does not hold."""
    held = {
        signal: {row.time for row in rows} for signal, rows in read_rows(stack.hub_data / "hub.db", stack.node).items()
    }
    first = min(min(times) for times in held.values())
    return sum(
        line["t"] not in held.get(signal, ())
        for line in read_journal(stack.journal / "opcua.jsonl")
        if line.get("t", 0) >= first
        for signal in line["signals"]
    )


def say(sentence: str) -> None:
    """Progress."""
    print(f"replay: {sentence}", flush=True)

"""The main job in one command: a simulated glass line is read, judged, controlled and synced, and checked."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.checker import Findings, check
from bench.demo_broker import BROKERS, line_with
from bench.demo_evidence import bars, gather
from bench.demo_flight import replay_bars
from bench.demo_plot import draw
from bench.demo_scenes import SHORTEST_SECONDS, Scenes
from bench.demo_table import Tally, places, summary_line, table_lines
from bench.line import FACES, NODE, LineStack
from bench.live_check import LiveCheck
from bench.processes import PROJECT, StackFailed, on_stop
from bench.replay import ROWS_PER_SECOND, Pace, Replay
from bench.report import Bar, Report
from bench.sparkplug_host import SparkplugHost

SCENARIO = PROJECT / "configs" / "scenarios" / "demo.yaml"
FOLDER = PROJECT / "run" / "demo"
REFRESH_SECONDS = 1.0
MINIMUM_VALUES_PER_PROTOCOL = 5000
MINIMUM_VERIFIED_WRITES = 20
CLEAR_SCREEN = "\x1b[H\x1b[2J"


class Demo:
    """Starts everything, shows the table, stops everything, judges."""

    def __init__(self, stack: LineStack, seconds: float | None) -> None:
        self._stack = stack
        self._seconds = seconds
        self._tally = Tally()
        self._stopping = False
        self._host: SparkplugHost | None = None
        self._scenes = Scenes(stack) if seconds is None or seconds >= SHORTEST_SECONDS else None
        self._places: list[str] = []
        self.table: list[str] = []
        """What was shown last."""
        self.control_picture: Path | None = None
        """Where the control scenes are drawn, once they are."""

    def run(self) -> int:
        """The exit status: 0 only if nothing was lost or duplicated and every part did its work."""
        self._start()
        on_stop(self._stop)
        try:
            self._watch()
        finally:
            if self._scenes:
                self._scenes.close()
        return self._finish()

    def _start(self) -> None:
        stack = self._stack
        say("starting the broker" + ("" if stack.real_broker else " (embedded)"))
        stack.start_broker()
        say("starting the hub")
        stack.start_hub()
        self._host = SparkplugHost(stack.mqtt_port)
        say("starting the simulated line: OPC UA furnace, Modbus forming, MQTT annealing and inspection")
        stack.start_plant(SCENARIO)
        if self._scenes:
            say("making an operator, an engineer and a signing key")
            self._scenes.prepare()
        else:
            say(f"without the control scenes: they need {SHORTEST_SECONDS:g} s")
        say("starting edged")
        stack.start_edge()
        stack.wait_for_data()
        plant = f"opc.tcp://127.0.0.1:{stack.opcua_port}/   modbus 127.0.0.1:{stack.modbus_port}"
        self._places = places(stack, plant)
        for place in self._places:
            say(place)

    def _watch(self) -> None:
        began = time.monotonic()
        checker = LiveCheck(self._stack)
        if self._scenes:
            self._scenes.start()
            self._tally.scenes = self._scenes.lines
        while not self._stopping and not self._is_over():
            time.sleep(REFRESH_SECONDS)
            self._tally.seconds = time.monotonic() - began
            self._refresh()
            checker.poll()
            self._tally.checked = checker.last
            self._show()
        checker.close()

    def _is_over(self) -> bool:
        """After its time, and after the scenes, which a slow machine plays more slowly."""
        late = self._seconds is not None and self._tally.seconds >= self._seconds
        return late and not (self._scenes and self._scenes.playing)

    def _refresh(self) -> None:
        edged = self._stack.processes["edged"]
        if not edged.alive():
            raise StackFailed(f"edged ended:\n{edged.tail()}")
        assert self._host is not None
        self._tally.sparkplug_values = self._host.values
        self._tally.status = self._stack.status() or self._tally.status
        page = self._stack.hub_page("/api/v1/status")
        if page:
            self._tally.hub_rows = int(page["samples"])

    def _show(self) -> None:
        status = self._tally.status
        if status is None:
            return
        self.table = table_lines(self._tally, status)
        if sys.stdout.isatty():
            print(CLEAR_SCREEN + "\n".join([*self.table, "", *(f"  {place}" for place in self._places)]), flush=True)
        elif int(self._tally.seconds) % 10 == 0:
            print(summary_line(self._tally, status), flush=True)

    def _finish(self) -> int:
        say("stopping edged: it flushes what it holds")
        status = self._stack.status() or self._tally.status or {}
        code = self._stack.stop_edge()
        assert self._host is not None
        self._host.close()
        say("checking every value")
        findings = check(self._stack.journal, self._stack.hub_data / "hub.db", self._stack.node)
        promises = self._judge_scenes()
        say("replaying every decision of control from its flight recorder")
        promises += replay_bars(self._stack, self._tally.seconds)
        self._stack.stop()
        return judge(status, findings, self._host, code, self._tally.seconds, promises)

    def _judge_scenes(self) -> list[Bar]:
        """What is promised of control's scenes, and their picture; nothing where they were not played to the end."""
        if self._scenes is None:
            return []
        if self._scenes.stopped:
            say("the control scenes were broken off: nothing is judged of them")
            return []
        stack = self._stack
        found = gather(stack.journal, stack.hub_data / "hub.db", stack.node, self._scenes.story)
        self.control_picture = stack.folder / "control.svg"
        draw(found, self.control_picture)
        say(f"the control scenes are drawn in {self.control_picture}")
        return bars(found)

    def _stop(self) -> None:
        self._stopping = True


def judge(
    status: dict[str, Any],
    found: Findings,
    host: SparkplugHost,
    code: int,
    seconds: float,
    promises: Sequence[Bar],
) -> int:
    """Prints the summary and holds every part to its word."""
    report = Report("demo", ("protocol", "offered", "held by the hub", "lost", "duplicated", "out of order", "in gaps"))
    for face, part in found.faces.items():
        report.rows.append(
            (face, part.offered, part.held, part.lost, part.duplicated, part.out_of_order, part.covered_by_gaps)
        )
        report.bars.append(Bar(f"{face} values held", part.held, MINIMUM_VALUES_PER_PROTOCOL, "at_least"))
    writes = sum(loop["verified_writes"] for loop in status.get("loops", ()))
    predictions = sum(model["predictions"] for model in status.get("models", ()))
    report.bars += [
        Bar("lost", found.lost, 0),
        Bar("duplicated", found.duplicated, 0),
        Bar("out of order", found.total("out_of_order"), 0),
        Bar("invented", found.invented, 0),
        Bar("protocols checked", len(found.faces), len(FACES), "at_least"),
        Bar("verified writes", writes, MINIMUM_VERIFIED_WRITES, "at_least"),
        Bar("writes in the plant's own journal", found.plant_writes, MINIMUM_VERIFIED_WRITES, "at_least"),
        Bar("predictions", predictions, 1, "at_least"),
        Bar("Sparkplug births seen by a host", host.births, 1, "at_least"),
        Bar("Sparkplug values seen by a host", host.values, MINIMUM_VALUES_PER_PROTOCOL, "at_least"),
        Bar("Sparkplug messages a host could not read", host.unreadable, 0),
        Bar("exit status of edged", code, 0),
        *promises,
    ]
    report.figures = {
        "seconds": round(seconds, 1),
        "verified_writes": writes,
        "predictions": predictions,
        "p50_milliseconds": found.p50_milliseconds,
        "p99_milliseconds": found.p99_milliseconds,
    }
    print()
    return report.show()


def say(sentence: str) -> None:
    """Progress before the table comes."""
    print(f"demo: {sentence}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Parses and runs; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench demo", description=__doc__)
    parser.add_argument("--seconds", type=float, help="stop after this time from the first data, and judge")
    parser.add_argument(
        "--broker", choices=BROKERS, default="auto", help="auto is mosquitto where it is installed, else embedded"
    )
    parser.add_argument("--data", help="tep, or a CSV file with a time column: play it instead of the simulated line")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=float, help="pace of --data: recorded seconds per second")
    pace.add_argument(
        "--rows-per-second", type=float, help=f"steady pace of --data (default: {ROWS_PER_SECOND:g} without --speed)"
    )
    options = parser.parse_args(arguments)
    if not options.data and (options.speed or options.rows_per_second):
        parser.error("--speed and --rows-per-second are for --data")
    try:
        if options.data:
            with line_with(options.broker, FOLDER.with_name("replay"), "replay") as stack:
                return Replay(stack, options.data, Pace(options.speed, options.rows_per_second), options.seconds).run()
        with line_with(options.broker, FOLDER, NODE) as stack:
            return Demo(stack, options.seconds).run()
    except StackFailed as fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 1

"""The main job in one command: a simulated glass line is read, judged, controlled and synced, and checked."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.checker import Findings, check
from bench.line import FACES, NODE, LineStack
from bench.processes import PROJECT, StackFailed, program, wait_until
from bench.report import Bar, Report
from bench.sparkplug_host import SparkplugHost

SCENARIO = PROJECT / "configs" / "scenarios" / "demo.yaml"
FOLDER = PROJECT / "run" / "demo"
REFRESH_SECONDS = 1.0
CHECK_EVERY_SECONDS = 5.0
MINIMUM_VALUES_PER_PROTOCOL = 5000
MINIMUM_VERIFIED_WRITES = 20
CLEAR_SCREEN = "\x1b[H\x1b[2J"


@dataclass
class Tally:
    """What the table shows and the summary judges, as of the last refresh."""

    seconds: float = 0.0
    status: dict[str, Any] | None = None
    hub_rows: int = 0
    findings: Findings | None = None
    sparkplug_values: int = 0


class Demo:
    """Starts everything, shows the table, stops everything, judges."""

    def __init__(self, stack: LineStack, seconds: float | None) -> None:
        self._stack = stack
        self._seconds = seconds
        self._tally = Tally()
        self._stopping = False
        self._host: SparkplugHost | None = None
        self.table: list[str] = []
        """What was shown last."""

    def run(self) -> int:
        """The exit status: 0 only if nothing was lost or duplicated and every part did its work."""
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGTERM, self._stop)
        self._start()
        self._watch()
        return self._finish()

    def _start(self) -> None:
        stack = self._stack
        say("starting the broker" + ("" if stack.real_broker else " (embedded: mosquitto is not installed)"))
        stack.start_broker()
        say("starting the hub")
        stack.start_hub()
        self._host = SparkplugHost(stack.mqtt_port)
        say("starting the simulated line: OPC UA furnace, Modbus forming, MQTT annealing and inspection")
        stack.start_plant(SCENARIO)
        say("starting edged")
        stack.start_edge()
        stack.wait_for_data()
        say(f"edged   {stack.status_url}   metrics http://127.0.0.1:{stack.http_port}/metrics")
        say(f"hub     {stack.hub_url}/api/v1/status   token in {stack.hub_data / 'admin.token'}")
        say(f"plant   opc.tcp://127.0.0.1:{stack.opcua_port}/   modbus 127.0.0.1:{stack.modbus_port}")
        say(f"broker  mqtt://127.0.0.1:{stack.mqtt_port}   topics spBv1.0/#   logs in {stack.folder}")

    def _watch(self) -> None:
        began = time.monotonic()
        next_check = began + CHECK_EVERY_SECONDS
        while not self._stopping and (self._seconds is None or self._tally.seconds < self._seconds):
            time.sleep(REFRESH_SECONDS)
            self._tally.seconds = time.monotonic() - began
            self._refresh()
            if time.monotonic() >= next_check:
                self._tally.findings = self._check()
                next_check = time.monotonic() + CHECK_EVERY_SECONDS
            self._show()

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

    def _check(self) -> Findings:
        return check(self._stack.journal, self._stack.hub_data / "hub.db", self._stack.node)

    def _show(self) -> None:
        status = self._tally.status
        if status is None:
            return
        self.table = table_lines(self._tally, status)
        if sys.stdout.isatty():
            print(CLEAR_SCREEN + "\n".join(self.table), flush=True)
        elif int(self._tally.seconds) % 10 == 0:
            print(summary_line(self._tally, status), flush=True)

    def _finish(self) -> int:
        say("stopping edged: it flushes what it holds")
        status = self._stack.status() or self._tally.status or {}
        code = self._stack.stop_edge()
        assert self._host is not None
        self._host.close()
        findings = self._check()
        self._stack.stop()
        return judge(status, findings, self._host, code, self._tally.seconds)

    def _stop(self, *_: object) -> None:
        self._stopping = True


def table_lines(tally: Tally, status: dict[str, Any]) -> list[str]:
    """The live table."""
    lines = [f"edged {status['line']}   {tally.seconds:5.0f} s   Ctrl-C stops everything", ""]
    lines += [f"  {s['name']:<12} {s['state']:<10} {s['samples']:>9,} values in" for s in status["sources"]]
    outbox, hub, sparkplug = status["outbox"], status["hub"], status["sparkplug"]
    depth = next(sink["process_batches"] for sink in outbox["sinks"] if sink["name"] == "hub")
    lines.append(
        f"  outbox       {'writable' if outbox['degraded'] == '' else 'DEGRADED':<10} {depth:>9,} batches deep"
    )
    lines.append(
        f"  hub          {'connected' if hub['connected'] else 'offline':<10} {tally.hub_rows:>9,} values held"
    )
    online = "online" if sparkplug["online"] else "offline"
    lines.append(f"  sparkplug    {online:<10} {tally.sparkplug_values:>9,} values seen by a host")
    for model in status["models"]:
        said = f"{model['probability']:.3f}" if model["probability"] is not None else model["reason"]
        lines.append(f"  model        {model['name']:<10} {said:>9} ({model['predictions']} predictions)")
    for loop in status["loops"]:
        values = f"pv {shown(loop['process_value'])}  out {shown(loop['output'])}  set-point {shown(loop['set_point'])}"
        lines.append(
            f"  loop         {loop['actual_mode']:<10} {loop['verified_writes']:>9,} verified writes   {values}"
        )
    found = tally.findings
    if found:
        lines.append("")
        lines.append(f"  checked {found.offered:,} offered: {found.lost} lost, {found.duplicated} duplicated")
        lines.append(f"  source to hub: p50 {found.p50_milliseconds:.0f} ms, p99 {found.p99_milliseconds:.0f} ms")
    lines += ["", *(f"  ALARM {alarm['priority']} {alarm['name']}: {alarm['message']}" for alarm in status["alarms"])]
    return lines


def summary_line(tally: Tally, status: dict[str, Any]) -> str:
    """One line for logs, where no table can be redrawn."""
    writes = sum(loop["verified_writes"] for loop in status["loops"])
    checked = f"{tally.findings.lost} lost, {tally.findings.duplicated} duplicated" if tally.findings else "not checked"
    return (
        f"{tally.seconds:4.0f} s: {status['samples']:,} values in, {tally.hub_rows:,} in the hub, "
        f"{tally.sparkplug_values:,} on Sparkplug, {writes} verified writes, {checked}"
    )


def judge(status: dict[str, Any], found: Findings, host: SparkplugHost, code: int, seconds: float) -> int:
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
        Bar("invented", found.invented, 0),
        Bar("protocols checked", len(found.faces), len(FACES), "at_least"),
        Bar("verified writes", writes, MINIMUM_VERIFIED_WRITES, "at_least"),
        Bar("writes in the plant's own journal", found.plant_writes, MINIMUM_VERIFIED_WRITES, "at_least"),
        Bar("predictions", predictions, 1, "at_least"),
        Bar("Sparkplug births seen by a host", host.births, 1, "at_least"),
        Bar("Sparkplug values seen by a host", host.values, MINIMUM_VALUES_PER_PROTOCOL, "at_least"),
        Bar("Sparkplug messages a host could not read", host.unreadable, 0),
        Bar("exit status of edged", code, 0),
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


def shown(value: float | None) -> str:
    """A number, or a dash while there is none."""
    return f"{value:.2f}" if value is not None else "-"


def say(sentence: str) -> None:
    """Progress before the table comes."""
    print(f"demo: {sentence}", flush=True)


class Replay:
    """Plays somebody's recording through a real OPC UA server, the daemon and the hub."""

    def __init__(self, stack: LineStack, recording: str, rows_per_second: float, seconds: float | None) -> None:
        self._stack = stack
        self._recording = recording
        self._pace = rows_per_second
        self._seconds = seconds
        self._stopping = False

    def run(self) -> int:
        """The exit status: 0 only if every value that was played is in the hub once."""
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGTERM, self._stop)
        self._stack.start_broker()
        self._stack.start_hub()
        self._stack.start_edge(self._start_player())
        self._stack.wait_for_data()
        began = time.monotonic()
        while not self._ended(time.monotonic() - began):
            time.sleep(REFRESH_SECONDS)
            status = self._stack.status()
            if status:
                say(f"{time.monotonic() - began:4.0f} s: {status['samples']:,} values in")
        code = self._stack.stop_edge()
        return self._judge(code)

    def _start_player(self) -> Path:
        stack, config = self._stack, self._stack.folder / "replay.yaml"
        arguments: list[object] = [program("edged-sim"), "replay", self._recording, "--rows-per-second", self._pace]
        arguments += ["--opcua-port", stack.opcua_port, "--journal", stack.journal]
        arguments += ["--config-out", config, "--ready-file", stack.ready]
        player = stack.start("plant", [str(word) for word in arguments])
        wait_until("the recording", stack.ready.exists, player)
        say(f"playing {self._recording} at opc.tcp://127.0.0.1:{stack.opcua_port}/; Ctrl-C stops everything")
        return config

    def _ended(self, seconds: float) -> bool:
        if self._stopping or (self._seconds is not None and seconds >= self._seconds):
            return True
        return bool(json.loads(self._stack.ready.read_text(encoding="utf-8"))["done"])

    def _judge(self, code: int) -> int:
        found = check(self._stack.journal, self._stack.hub_data / "hub.db", self._stack.node)
        report = Report("replay", ("offered", "held by the hub", "lost", "duplicated"))
        held = found.total("held")
        report.rows.append((found.offered, held, found.lost, found.duplicated))
        report.bars = [Bar(name, found.total(name), 0) for name in ("lost", "duplicated", "invented")]
        report.bars += [Bar("values held", held, 1, "at_least"), Bar("exit status of edged", code, 0)]
        return report.show()

    def _stop(self, *_: object) -> None:
        self._stopping = True


def main(arguments: Sequence[str]) -> int:
    """Parses and runs; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench demo", description=__doc__)
    parser.add_argument("--seconds", type=float, help="stop after this time from the first data, and judge")
    parser.add_argument("--data", help="tep, or a CSV file with a time column: play it instead of the simulated line")
    parser.add_argument("--rows-per-second", type=float, default=20.0, help="pace of --data (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        if options.data:
            with LineStack(FOLDER.with_name("replay"), node="replay") as stack:
                return Replay(stack, options.data, options.rows_per_second, options.seconds).run()
        with LineStack(FOLDER, node=NODE) as stack:
            return Demo(stack, options.seconds).run()
    except StackFailed as fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 1

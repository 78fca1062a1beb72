"""Runs every benchmark and writes docs/benchmarks.md: tables, commands and the machine, from the runs' JSON lines.

The lines are kept in run/benchmarks.jsonl as they come. Runs named on the command line are done again, the others taken
from there; with --from-lines nothing is run at all.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.every import PROOF, RUNS, Run
from bench.processes import PROJECT
from bench.report import markdown

PAGE = PROJECT / "docs" / "benchmarks.md"
LINES = PROJECT / "run" / "benchmarks.jsonl"
RUN_SECONDS = 2400.0
ON_PAGE = (*RUNS, PROOF)
HEAD = """# Benchmarks

Written by `python -m bench document`; do not edit. Each section is one command and what it printed. A ratio to the
floor is taken in the same run, in turns, so that it carries over to other machines; the absolute figures do not. The
floor (`bench/floor.py`) is the shortest script that does the daemon's main job with asyncua, SQLite and MQTT, without
recovery, types or a hub. On the daemon everything but the MPC is on: OPC UA, alarms, a model, a PID loop that writes,
the hub and Sparkplug.
"""

Line = Mapping[str, Any]
"""What one run told, with its command and the machine's load before and after."""


def perform(run: Run) -> Line:
    """One benchmark in a process of its own. Raises SystemExit when it tells nothing."""
    before = os.getloadavg()[0]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "bench", run.name, *run.arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )
    last = done.stdout.rstrip().rpartition("\n")[2]
    if not last.startswith("{"):
        raise SystemExit(f"{run.command} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(last)
    loads = [round(before, 1), round(os.getloadavg()[0], 1)]
    return {**told, "command": run.command, "loads": loads, "seconds": round(time.monotonic() - began)}


def page(lines: Mapping[str, Line], machine: Sequence[tuple[str, str]]) -> str:
    """The whole document; runs that are not there yet are left out."""
    sections = [section(run, lines[run.command]) for run in ON_PAGE if run.command in lines]
    facts = "\n".join(f"| {name} | {value} |" for name, value in machine)
    return "\n".join((HEAD, "## Machine\n", "| | |\n|---|---|", facts, "", *sections))


def section(run: Run, line: Line) -> str:
    """One run: what it measures, the command, the table, the promises."""
    about = (importlib.import_module(run.module).__doc__ or "").strip()
    parts = [f"## {line['name']}\n", about, f"\n```\n{line['command']}\n```\n", markdown(line["columns"], line["rows"])]
    if line["bars"]:
        parts += ["", markdown(("promise", "measured", "limit", ""), [_promise(bar) for bar in line["bars"]])]
    before, after = line["loads"]
    parts.append(f"\nTook {line['seconds']} s; load of the machine {before} before, {after} after.\n")
    return "\n".join(parts)


def read_machine() -> list[tuple[str, str]]:
    """What the figures were taken on."""
    model = next((line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")), ":unknown")
    memory = next((line for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0 0 kB")
    return [
        ("processor", f"{model.partition(':')[2].strip()}, {os.cpu_count()} cores"),
        ("memory", f"{int(memory.split()[1]) / 1e6:.0f} GB"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
    ]


def read_lines(path: Path = LINES) -> dict[str, Line]:
    """The last line of every command."""
    if not path.exists():
        return {}
    told = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    return {line["command"]: line for line in told}


def _promise(bar: Mapping[str, Any]) -> tuple[object, ...]:
    return (bar["name"], bar["value"], bar["limit"], "kept" if bar["ok"] else "**missed**")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a promise is missed; the page says which."""
    parser = argparse.ArgumentParser(prog="python -m bench document", description=__doc__)
    parser.add_argument("names", nargs="*", help="benchmarks to run (default: all)")
    parser.add_argument("--from-lines", action="store_true", help="write the page again from the lines alone")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {run.name for run in ON_PAGE}
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    for run in () if options.from_lines else ON_PAGE:
        if not options.names or run.name in options.names:
            print(f"document: {run.command}", flush=True)
            line = perform(run)
            LINES.parent.mkdir(exist_ok=True)
            with LINES.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    lines = read_lines()
    PAGE.write_text(page(lines, read_machine()), encoding="utf-8")
    return 0 if all(bar["ok"] for run in ON_PAGE for bar in lines.get(run.command, {}).get("bars", ())) else 1

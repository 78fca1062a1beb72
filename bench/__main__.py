"""python -m bench NAME [options]: one benchmark, drill, check or the demo."""

from __future__ import annotations

import importlib
import sys

from bench.processes import leave, on_stop

COMMANDS = {
    "demo": ("bench.demo", "the simulated line, read, judged, controlled and synced, with a live table"),
    "check": ("bench.checker", "compares the plant's journals with the hub's rows"),
    "drill": ("bench.drill", "breaks one thing (or all, one after the other) and counts what was lost"),
    "peers": ("bench.peers", "edged beside ThingsBoard IoT Gateway, Node-RED and a script, while things break"),
    "throughput": ("bench.throughput", "CPU per value against the floor script, three sizes, everything on"),
    "parts": ("bench.parts", "what each part of the daemon costs at few values"),
    "latency": ("bench.latency", "source to hub, and a value's time within the daemon"),
    "startup": ("bench.startup", "from the start of the daemon to its first value"),
    "memory": ("bench.memory", "size and slope of the daemon's memory"),
    "hub-ingest": ("bench.ingest", "rows/s and CPU per row of the hub's ingest against plain SQLite or COPY"),
    "query": ("bench.query", "p50 and p95 of the hub's read API over both stores"),
    "soak": ("bench.soak", "a million values while everything is broken at random"),
    "document": ("bench.document", "runs every benchmark and writes docs/benchmarks.md"),
    "picture": ("bench.picture", "runs the demo and draws its table and control's scenes below docs/pictures"),
    "control": ("bench.control", "MPC against PID behind the gate, on plants that neither was tuned on"),
    "control-latency": (
        "bench.control_latency",
        "from sample to command with the solver in its process, and the loop's lag",
    ),
    "pcgym-cstr": ("bench.pcgym_cstr", "our MPC against the oracle of pc-gym's CSTR, in an environment of its own"),
    "control-furnace": (
        "bench.control_furnace",
        "nonlinear MPC, linear MPC and PID on the simulated furnace, and the loop's lag while it solves",
    ),
    "environment": ("bench.environment", "says which real servers are here; fails in CI when one is missing"),
    "gate": ("bench.gate", "CPU per value and p95 pipeline time, as ratios, against the stored baseline"),
    "all": ("bench.every", "every benchmark, one after the other"),
}


def main() -> int:
    """Runs the named command with the rest of the arguments; the exit status."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(f"{__doc__}\n")
        for name, (_, what) in COMMANDS.items():
            print(f"  {name:12} {what}")
        print("\nEach takes --help, prints a table, and as its last line one JSON object.")
        return 0 if len(sys.argv) == 2 and sys.argv[1] in ("-h", "--help") else 2
    module = importlib.import_module(COMMANDS[sys.argv[1]][0])
    on_stop(leave)
    status: int = module.main(sys.argv[2:])
    return status


if __name__ == "__main__":
    sys.exit(main())

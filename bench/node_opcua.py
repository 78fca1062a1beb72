"""A line with one source: node-opcua, an OPC UA server of another hand, with counters and a journal of its own."""

from __future__ import annotations

import json
from pathlib import Path

from bench import nodejs
from bench.line import LineStack
from bench.processes import Process, listens, wait_until

SERVER = "node-opcua"
SOURCE = "counters"
COUNTERS = 100
PERIOD_SECONDS = 0.1
SAMPLING_MILLISECONDS = 50
PUBLISHING_MILLISECONDS = 200


def missing() -> str | None:
    """What this machine lacks for it, or None."""
    return nodejs.missing("node-opcua")


def start_server(
    line: LineStack, counters: int = COUNTERS, period_seconds: float = PERIOD_SECONDS, *options: str
) -> Process:
    """The server; its journal is read by the checker like that of any face. Its options stand in its script."""
    line.journal.mkdir(parents=True, exist_ok=True)
    path = nodejs.program()
    assert path is not None, "missing() says what to install"
    arguments = [path, str(nodejs.PEERS / "node_opcua_server.js"), str(line.opcua_port)]
    arguments += ["--counters", str(counters), "--period-seconds", str(period_seconds), *options]
    arguments += ["--journal", str(line.journal / f"{SERVER}.jsonl"), "--path", f"{line.node}/{SOURCE}"]
    server = line.start(SERVER, arguments)
    wait_until("node-opcua", lambda: listens(line.opcua_port), server)
    return server


def write_config(line: LineStack, counters: int = COUNTERS, primary_host: str | None = None) -> Path:
    """The line's configuration: the counters, the hub and Sparkplug."""
    names = [f"c{i}" for i in range(counters)]
    signals = [{"name": f"{SOURCE}/{name}", "address": {"node": f"nsu=urn:edged:test;s={name}"}} for name in names]
    options = {
        "endpoint": f"opc.tcp://127.0.0.1:{line.opcua_port}/",
        "publishing_milliseconds": PUBLISHING_MILLISECONDS,
        "sampling_milliseconds": SAMPLING_MILLISECONDS,
    }
    config = {
        "site": "bench",
        "line": line.node,
        "data_directory": str(line.edge_data),
        "http": {"port": line.http_port},
        "hub": {"url": line.hub_url, "secret": {"file": str(line.secret)}},
        "sparkplug": {"brokers": [{"port": line.mqtt_port}], "primary_host": primary_host},
        "sources": {SOURCE: {"kind": "opcua", "options": options, "signals": signals}},
    }
    path = line.folder / f"{SERVER}.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path

"""A line with one source: node-opcua, an OPC UA server of another hand, with counters and a journal of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from bench.line import LineStack
from bench.processes import PROJECT, Process, listens, wait_until

PEERS = PROJECT / "tests" / "peers"
SERVER = "node-opcua"
SOURCE = "counters"
COUNTERS = 100
PERIOD_SECONDS = 0.1
SAMPLING_MILLISECONDS = 50
PUBLISHING_MILLISECONDS = 200
NODE_VERSION = (20, 19)
"""The first Node.js that loads node-opcua; Debian 12 brings 18."""


def node() -> str | None:
    """Node.js where it is new enough, or None."""
    path = shutil.which("node")
    if path is None:
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = tuple(int(part) for part in answer.strip().lstrip("v").split(".")[:2] if part.isdigit())
    return path if found >= NODE_VERSION else None


def missing() -> str | None:
    """What this machine lacks for it, or None."""
    if node() is None:
        return "Node.js {}.{} or newer".format(*NODE_VERSION)
    return None if (PEERS / "node_modules" / "node-opcua").is_dir() else "the npm packages of tests/peers"


def start_server(line: LineStack) -> Process:
    """The server; its journal is read by the checker like that of any face."""
    line.journal.mkdir(parents=True, exist_ok=True)
    path = node()
    assert path is not None, "missing() says what to install"
    arguments = [path, str(PEERS / "node_opcua_server.js"), str(line.opcua_port)]
    arguments += ["--counters", str(COUNTERS), "--period-seconds", str(PERIOD_SECONDS)]
    arguments += ["--journal", str(line.journal / f"{SERVER}.jsonl"), "--path", f"{line.node}/{SOURCE}"]
    server = line.start(SERVER, arguments)
    wait_until("node-opcua", lambda: listens(line.opcua_port), server)
    return server


def write_config(line: LineStack) -> Path:
    """The line's configuration: the counters, the hub and Sparkplug."""
    names = [f"c{i}" for i in range(COUNTERS)]
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
        "sparkplug": {"brokers": [{"port": line.mqtt_port}]},
        "sources": {SOURCE: {"kind": "opcua", "options": options, "signals": signals}},
    }
    path = line.folder / f"{SERVER}.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path

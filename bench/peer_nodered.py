"""Node-RED with node-red-contrib-opcua as a contestant: one flow from a subscription to MQTT with QoS 1."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import nodejs
from bench.contestant import (
    COUNTERS,
    GATEWAY,
    INSTALLED,
    MANIFESTS,
    PUBLISHING_MILLISECONDS,
    PeerMissing,
    Value,
    install,
)
from bench.line import LineStack
from bench.processes import Process, free_port

FOLDER = INSTALLED / "node-red"
MANIFEST = MANIFESTS / "node-red"
LOCK = "package-lock.json"
TOPIC = "node-red/"


class NodeRed:
    """Version 4.1.15 with the OPC UA nodes 0.2.354."""

    name = "node-red"
    access_list = ""

    def prepare(self) -> None:
        """Packages in a folder of their own, by the lock file."""
        done = FOLDER / "installed"
        if done.exists() and done.read_bytes() == (MANIFEST / LOCK).read_bytes():
            return
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", LOCK):
            shutil.copy(MANIFEST / name, FOLDER)
        install(self.name, [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], FOLDER)
        done.write_bytes((MANIFEST / LOCK).read_bytes())

    def start(self, line: LineStack, endpoint: str, core: int) -> Process:
        """The runtime without its editor; the flow takes addresses from the environment."""
        folder = line.folder / "node-red"
        folder.mkdir(exist_ok=True)
        for name in ("flows.json", "settings.js"):
            shutil.copy(MANIFEST / name, folder)
        link = folder / "node_modules"
        if not link.exists():
            link.symlink_to(FOLDER / "node_modules")
        environment = {
            "BENCH_ENDPOINT": endpoint,
            "BENCH_MQTT_PORT": str(line.mqtt_port),
            "BENCH_COUNTERS": str(COUNTERS),
            "BENCH_PUBLISHING_MILLISECONDS": str(PUBLISHING_MILLISECONDS),
            "PORT": str(free_port()),
            "HOME": str(folder),
        }
        program = FOLDER / "node_modules" / "node-red" / "red.js"
        arguments = [node(), str(program), "--userDir", str(folder), "flows.json"]
        return line.start(GATEWAY, arguments, environment=environment, core=core)

    def decode(self, topic: str, payload: bytes) -> Sequence[tuple[int, int]]:
        """A message is one value under the counter's topic."""
        if not topic.startswith(TOPIC):
            return ()
        return [(int(topic.removeprefix(TOPIC)[1:]), int(json.loads(payload)["value"]))]

    def held_elsewhere(self, line: LineStack) -> Mapping[str, Sequence[Value]]:
        """Nobody but the broker gets anything."""
        return {}

    def close(self) -> None:
        """Nothing helped it."""


def node() -> str:
    """Node.js. Raises PeerMissing."""
    path = nodejs.program()
    if path is None:
        needed = ".".join(map(str, nodejs.VERSION))
        raise PeerMissing(f"node-red: Node.js {needed} or newer is not installed")
    return path


def npm() -> list[str]:
    """The npm that came with Node.js, or the system's. Raises PeerMissing."""
    path = Path(node())
    beside = path.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if beside.exists():
        return [str(path), str(beside)]
    found = shutil.which("npm")
    if found is None:
        raise PeerMissing("node-red: npm is not installed")
    return [found]

"""What a gateway must offer to be compared: be installed, started, and read at the broker."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from bench.line import LineStack
from bench.processes import PROJECT, Process

COUNTERS = 300
PERIOD_SECONDS = 0.1
PUBLISHING_MILLISECONDS = 200
GATEWAY = "gateway"
"""Under this name each contestant runs in the line."""
MANIFESTS = PROJECT / "bench" / "peers"
INSTALLED = PROJECT / "run" / "peers" / "installed"
INSTALL_SECONDS = 600.0


class Value(NamedTuple):
    """The number that one counter had, and when (ms UTC) it was received."""

    counter: int
    number: int
    at: float


class Contestant(Protocol):
    """One gateway in one drill. It is started again after a kill and must find what it had kept."""

    name: str
    access_list: str
    """Who may read and write what at the broker, in mosquitto's words; empty for everybody everything."""

    def prepare(self) -> None:
        """Installs what is not there yet, with progress. Raises PeerMissing."""

    def start(self, line: LineStack, endpoint: str, core: int) -> Process:
        """Starts it as GATEWAY, before an OPC UA server and the line's broker."""

    def decode(self, topic: str, payload: bytes) -> Sequence[tuple[int, int]]:
        """Counters and their numbers of one message; messages come in the order in which the broker sent them."""

    def held_elsewhere(self, line: LineStack) -> Mapping[str, Sequence[Value]]:
        """What other receivers than the broker's hold, by their name."""

    def close(self) -> None:
        """Stops what helped it."""


class PeerMissing(Exception):
    """A gateway to compare with cannot be installed here: PyPI or npm is not reached, or a program is missing."""


def install(name: str, arguments: Sequence[str], folder: Path) -> None:
    """Runs one step of an installation in its folder. Raises PeerMissing with the end of what it printed."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"peers: {name}: installing (once): {' '.join(Path(word).name for word in arguments[:3])}", flush=True)
    try:
        done = subprocess.run(
            arguments, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise PeerMissing(f"{name}: {fault}") from fault
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise PeerMissing(f"{name} could not be installed:\n{end}")


def counter_number(name: str) -> int | None:
    """The number of the counter c12; None for another name."""
    return int(name[1:]) if name[:1] == "c" and name[1:].isdigit() else None

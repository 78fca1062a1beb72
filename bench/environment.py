"""Which real servers and peers the tests find on this machine."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench import nodejs
from bench.postgres_server import programs
from bench.processes import mosquitto
from bench.report import table


def main(arguments: Sequence[str] = ()) -> int:
    """Prints the table; in CI a missing one is a failure, elsewhere its tests are skipped by name."""
    argparse.ArgumentParser(prog="python -m bench environment", description=__doc__).parse_args(arguments)
    found = {
        "mosquitto": mosquitto(),
        "PostgreSQL": _shown(programs()),
        "promtool": shutil.which("promtool"),
        "systemd-analyze": shutil.which("systemd-analyze"),
        "bubblewrap": shutil.which("bwrap"),
        "libmodbus": _existing(Path("/usr/include/modbus")) if shutil.which("gcc") else None,
        "Node.js {}.{}".format(*nodejs.VERSION): nodejs.program(),
        "npm peers": _existing(nodejs.PEERS / "node_modules"),
        "root (for small file systems)": shutil.which("mount") if os.geteuid() == 0 else None,
        "EDGED_DATA": _existing(Path(os.environ["EDGED_DATA"])) if os.environ.get("EDGED_DATA") else None,
    }
    print(table(("needed by the tests", "found"), [(name, where or "missing") for name, where in found.items()]))
    missing = [name for name, where in found.items() if where is None]
    if missing:
        print(f"tests that need {', '.join(missing)} are skipped")
    return 1 if missing and os.environ.get("CI") else 0


def _shown(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _existing(path: Path) -> str | None:
    return str(path) if path.is_dir() else None

"""A network namespace of our own with nothing but a loopback interface, which may lose packets. Needs root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
HERE = Path("/proc/self/ns/net")
TABLE = "edged_drill"


def namespace_missing() -> str | None:
    """What this machine lacks, or None."""
    if os.geteuid() != 0:
        return "root"
    return next((name for name in ("nft", "ip") if shutil.which(name) is None), None)


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts, is in a new namespace. Raises OSError where that is not allowed."""
    with HERE.open("rb") as old:
        _call("unshare", CLONE_NEWNET)
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            _call("setns", old.fileno(), CLONE_NEWNET)


@contextmanager
def packet_loss(percent: int) -> Iterator[None]:
    """So many of the packets in the current namespace are dropped."""
    rules = (
        f"add table inet {TABLE}",
        f"add chain inet {TABLE} input {{ type filter hook input priority 0; }}",
        f"add rule inet {TABLE} input iifname lo numgen random mod 100 < {percent} drop",
    )
    for rule in rules:
        subprocess.run(["nft", rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", f"delete table inet {TABLE}"], check=True)


def _call(name: str, *arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")

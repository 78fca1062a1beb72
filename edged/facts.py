"""What can be said of the machine and the installation without looking at anybody's data."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import ssl
import stat
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import TypeAlias

from edged import __version__

Facts: TypeAlias = dict[str, object]

MEMORY_LINES = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
SHOWN_FILES = 200
SHOWN_VARIABLES = ("EDGED", "CREDENTIALS_DIRECTORY", "LANG", "LC_", "TZ", "PYTHON", "SSL_CERT", "NOTIFY_SOCKET")
CONTROL_GROUP = Path("/sys/fs/cgroup")


def versions() -> Facts:
    """Of edged, Python and everything that is installed beside it."""
    installed = {found.metadata["Name"]: found.version for found in distributions() if found.metadata["Name"]}
    return {
        "edged": __version__,
        "python": sys.version,
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        "libraries": dict(sorted(installed.items())),
    }


def system() -> Facts:
    """Kernel, processor, memory, limits and load; of the environment only the names."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "host": platform.node(),
        "release": _first_lines(Path("/etc/os-release"), 4),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "up_seconds": _first_lines(Path("/proc/uptime"), 1),
        "memory": [line for line in _lines(Path("/proc/meminfo")) if line.startswith(MEMORY_LINES)],
        "memory_limit": _first_lines(CONTROL_GROUP / "memory.max", 1),
        "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "user": os.getuid(),
        "clock_synchronized": Path("/run/systemd/timesync/synchronized").exists(),
        "variables": sorted(name for name in os.environ if name.startswith(SHOWN_VARIABLES)),
    }


def folder(path: Path) -> Facts:
    """The disk of a folder, and the names, sizes and modes of its files; nothing of what they hold."""
    disk = os.statvfs(path)
    files = sorted(path.iterdir())
    return {
        "path": str(path),
        "disk_bytes": disk.f_blocks * disk.f_frsize,
        "free_bytes": disk.f_bavail * disk.f_frsize,
        "free_files": disk.f_favail,
        "files": [file_facts(file) for file in files[:SHOWN_FILES]],
        "files_left_out": max(0, len(files) - SHOWN_FILES),
    }


def file_facts(path: Path) -> Facts:
    """Size, mode and age of a file, or that it is not there."""
    try:
        found = path.lstat()
    except OSError as fault:
        return {"path": str(path), "missing": fault.strerror}
    return {"path": str(path), "mode": stat.filemode(found.st_mode), "owner": found.st_uid, "bytes": found.st_size}


def _first_lines(path: Path, count: int) -> list[str]:
    return [line for line, _ in zip(_lines(path), range(count), strict=False)]


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return

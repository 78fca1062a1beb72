"""The daemon with every feature under the restrictions of its unit: values arrive, little can be reached (CARD1)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.checker import read_rows
from bench.line import LineStack
from bench.processes import PROJECT, Process, StackFailed, descendants, mosquitto, program, wait_until
from tests.acceptance import sandbox

SCENARIO = PROJECT / "configs" / "scenarios" / "demo.yaml"
LEAST_VALUES = 500
FEATURES: Mapping[str, Callable[[Any], bool]] = {
    "OPC UA, Modbus, MQTT": lambda status: all(source["samples"] > 0 for source in status["sources"]),
    "hub": lambda status: status["hub"]["connected"] and status["hub"]["batches"] > 0,
    "Sparkplug": lambda status: status["sparkplug"]["online"] and status["sparkplug"]["confirmed"] > LEAST_VALUES,
    "model": lambda status: status["models"][0]["predictions"] > 0 and status["models"][0]["probability"] is not None,
    "loop": lambda status: status["loops"][0]["verified_writes"] > 0,
    "solver": lambda status: status["loops"][0]["rung"] == "mpc",
}
SYSTEMD = {"Type", "NotifyAccess", "ExecStart", "Restart", "RestartSec", "WatchdogSec", "TimeoutStopSec"}
"""Directives that restrict nothing."""
MOST_TASKS = 128
MOST_BYTES = 1 << 30
PROBE = r"""
import ctypes, json, mmap, os, socket, sys, time

def outcome(attempt):
    try:
        attempt()
    except OSError as fault:
        return fault.errno and os.strerror(fault.errno) or type(fault).__name__
    return "done"

libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def write(path):
    return lambda: open(path, "w").write("x")

print(json.dumps({
    "state": outcome(write(sys.argv[1] + "/probe")),
    "tmp": outcome(write("/tmp/probe")),
    "root": outcome(write("/probe")),
    "etc": outcome(write("/etc/probe")),
    "lib": outcome(write("/var/lib/probe")),
    "run": outcome(write("/run/probe")),
    "project": outcome(write(sys.argv[2] + "/probe")),
    "credential": outcome(write(sys.argv[3] + "/hub-secret")),
    "kernel": outcome(write("/proc/sys/kernel/hostname")),
    "packet": outcome(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "netlink": outcome(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "raw": outcome(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)),
    "writable code": outcome(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)),
    "namespace": outcome(lambda: call("unshare", 0x10000000)),
    "mount": outcome(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
    "priority": outcome(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)),
    "realtime": outcome(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    "personality": outcome(lambda: call("personality", 8)),
    "trace": outcome(lambda: call("ptrace", 16, 1, 0, 0)),
    "set-uid": outcome(lambda: os.chmod(sys.argv[1] + "/probe", 0o4755)),
    "clock": outcome(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
    "others": [int(name) for name in os.listdir("/proc") if name.isdigit()] == [1, 2],
    "status": [line for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd", "NoNew", "Secc"))],
    "mode": oct(os.stat(sys.argv[1] + "/probe").st_mode & 0o777),
}))
"""

pytestmark = [pytest.mark.timeout(180), pytest.mark.systemd]


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    """Skips, by name, where no sandbox can be built."""
    lacks = sandbox.missing() or ("" if mosquitto() else "mosquitto")
    if lacks and not os.environ.get("CI"):
        pytest.skip(f"{lacks} is not installed")
    assert not lacks
    if refusal := sandbox.refusal():
        pytest.skip(f"no sandbox can be built here: {refusal}")


@pytest.fixture
def line(tmp_path: Path) -> Iterator[LineStack]:
    """The simulated plant, a broker and a hub, outside the sandbox."""
    with LineStack(tmp_path / "line") as stack:
        stack.start_broker()
        stack.start_hub()
        stack.start_plant(SCENARIO)
        yield stack


def test_every_restriction_of_the_unit_is_known_here() -> None:
    known = sandbox.BY_BUBBLEWRAP | sandbox.BY_SECCOMP | sandbox.BY_MEASURING | sandbox.NOT_HERE | SYSTEMD
    assert set(sandbox.directives()) == known
    assert sandbox.directives()["MemoryMax"] == ["1G"]
    assert sandbox.directives()["TasksMax"] == [str(MOST_TASKS)]


def test_little_can_be_reached(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("5ecret", encoding="utf-8")
    command = [sys.executable, "-c", PROBE, sandbox.STATE, str(PROJECT), sandbox.CREDENTIALS]
    answer = subprocess.run(
        sandbox.sandboxed(command, tmp_path, tmp_path / "state", secret), capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    read_only, refused = "Read-only file system", "Operation not permitted"
    assert found == {
        "state": "done",
        "tmp": "done",
        "root": read_only,
        "etc": read_only,
        "lib": read_only,
        "run": read_only,
        "project": read_only,
        "credential": read_only,
        "kernel": read_only,
        "packet": refused,
        "netlink": refused,
        "raw": refused,
        "writable code": refused,
        "namespace": refused,
        "mount": refused,
        "priority": refused,
        "realtime": refused,
        "personality": refused,
        "trace": refused,
        "set-uid": refused,
        "clock": refused,
        "others": True,
        "status": [
            "CapEff:\t0000000000000000\n",
            "CapBnd:\t0000000000000000\n",
            "NoNewPrivs:\t1\n",
            "Seccomp:\t2\n",
            "Seccomp_filters:\t1\n",
        ],
        "mode": "0o600",
    }


def test_all_features_work_inside(line: LineStack) -> None:
    notify = line.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(notify))
        manager.settimeout(30.0)
        edge = start_restricted(line, notify)
        assert manager.recv(4096).startswith(b"READY=1\n")
        for feature, works in FEATURES.items():
            wait_until(feature, partial(works_now, line, works), edge)
        line.wait_until_drained()
        daemon = daemon_inside(edge)
        check_size(daemon, edge)
        assert stopped(daemon, edge) == 0, edge.tail()
    rows = read_rows(line.hub_data / "hub.db", line.node)
    equipment = {path.split("/")[1] for path in rows} - {"loops"}  # those are judged after a minute
    assert equipment == {"furnace", "forming", "annealing", "inspection", "quality"}
    assert sum(map(len, rows.values())) > LEAST_VALUES


def works_now(line: LineStack, works: Callable[[Any], bool]) -> bool:
    status = line.status()
    return status is not None and works(status)


def start_restricted(line: LineStack, notify: Path) -> Process:
    """The daemon in the sandbox, with the example's configuration."""
    command = [program("edged"), "run", str(PROJECT / "configs" / "line-a.yaml")]
    environment = line.environment() | {
        "EDGED_HUB_SECRET": f"{sandbox.CREDENTIALS}/hub-secret",
        "RUNTIME_DIRECTORY": f"{sandbox.STATE}/runtime",
        "EDGED_CEILING": str(PROJECT / "configs" / "ceiling-line-a.yaml"),
        "EDGED_OPERATORS": f"{sandbox.STATE}/operators.json",
        "EDGED_ENGINEERING_KEYS": f"{sandbox.STATE}/engineers.pub",
    }
    restricted = sandbox.sandboxed(command, line.folder, line.edge_data, line.secret, notify)
    return line.start("edged", restricted, environment=environment)


def daemon_inside(edge: Process) -> int:
    """The daemon among the processes of the sandbox, whose command lines all name it."""
    daemons = [pid for pid in descendants(edge.pid) if is_daemon(Path("/proc") / str(pid))]
    assert len(daemons) == 1, daemons
    return daemons[0]


def is_daemon(process: Path) -> bool:
    arguments = (process / "cmdline").read_bytes().split(b"\0")
    return os.readlink(process / "exe").rpartition("/")[2].startswith("python") and b"run" in arguments


def stopped(daemon: int, edge: Process) -> int:
    """The exit status after SIGTERM, within the time that the unit gives. Raises StackFailed."""
    (seconds,) = sandbox.directives()["TimeoutStopSec"]
    os.kill(daemon, signal.SIGTERM)
    try:
        return edge.wait(float(seconds))
    except subprocess.TimeoutExpired as fault:
        raise StackFailed(f"edged did not stop within {seconds} s:\n{edge.tail()}") from fault


def check_size(daemon: int, edge: Process) -> None:
    """It stays within what the unit grants, and its restrictions are those of the probe."""
    tasks = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in (daemon, *descendants(daemon)))
    assert tasks < MOST_TASKS
    assert edge.unshared_bytes() < MOST_BYTES
    status = Path(f"/proc/{daemon}/status").read_text(encoding="utf-8")
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "CapBnd:\t0000000000000000" in status

"""Real processes for the demo, drills and benchmarks: started, awaited by readiness, measured, stopped by pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

STOP_SECONDS = 15.0
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
INTERRUPTED = 130
"""Exit status of a program that was told to stop."""
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROJECT = Path(__file__).resolve().parent.parent


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StackFailed(Exception):
    """A process of the stack did not start or died: its log says why."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """The path of one of our commands, beside the running Python."""
    return str(Path(sys.executable).parent / name)


def mosquitto() -> str | None:
    """The broker's path, or None where it is not installed."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Process:
    """One child with its log file; it and its children are stopped together."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        core: int | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        prefix = ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*prefix, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self.pid = self._child.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None

    def returncode(self) -> int | None:
        """Its exit status once it ended."""
        return self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to this process alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._child.kill()
        self._child.wait()

    def stop(self) -> int:
        """SIGTERM, then SIGKILL to what is left of its session; returns the exit status."""
        if self.alive():
            self._child.terminate()
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._child.wait()

    def wait(self, seconds: float) -> int:
        """Waits for it to end by itself. Raises subprocess.TimeoutExpired."""
        return self._child.wait(seconds)

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def cpu_seconds(self) -> float:
        """User + system seconds of it and its living descendants, from /proc."""
        return sum(_cpu_seconds(pid) for pid in _tree(self.pid))

    def unshared_bytes(self) -> int:
        """USS of it and its descendants: private pages, from /proc/PID/smaps_rollup."""
        return sum(_unshared_bytes(pid) for pid in _tree(self.pid))


class Stack:
    """Processes that stop together, last started first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        core: int | None = None,
    ) -> Process:
        """Starts a process under a name; a name is used again after its process ended."""
        with held_signals():
            process = self.processes[name] = Process(name, arguments, self.folder, environment=environment, core=core)
        return process

    def stop(self) -> None:
        """Stops everything that is left."""
        for process in reversed(list(self.processes.values())):
            process.stop()
        self.processes.clear()


def on_stop(act: Callable[[], None]) -> None:
    """Ctrl-C, SIGTERM and a closed terminal all lead to `act`; what was started to be ignored (nohup) stays ignored."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _forget_the_terminal()
        act()

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """Whoever stops waits until what is started here is known to its stack: nobody would stop it otherwise."""
    caught: list[int] = []
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda struck, _: caught.append(struck))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for struck in caught:
            signal.raise_signal(struck)


def leave() -> None:
    """Ends this program by way of every `with` and `finally`: stacks stop their processes. A second signal waits."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(INTERRUPTED)


def _forget_the_terminal() -> None:
    """Nothing can be printed on a closed terminal, and trying must not stop the clean-up."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if os.isatty(stream):
            os.dup2(nowhere, stream)
    os.close(nowhere)


def wait_until(
    what: str, ready: Callable[[], bool], process: Process | None = None, seconds: float = READY_SECONDS
) -> None:
    """Waits for a condition, not for a time. Raises StackFailed with the end of the process's log."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process is not None and not process.alive():
            raise StackFailed(f"{process.name} ended while waiting for {what}:\n{process.tail()}")
        if time.monotonic() > deadline:
            tail = f":\n{process.tail()}" if process else ""
            raise StackFailed(f"{what} did not come within {seconds:.0f} s{tail}")
        time.sleep(POLL_SECONDS)


def listens(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def fetch(url: str, token: str = "") -> bytes | None:
    """The body of a page, or None while it cannot be had."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            body: bytes = answer.read()
            return body
    except (OSError, urllib.error.URLError):
        return None


def write_mosquitto_config(folder: Path, port: int) -> Path:
    """A broker on loopback that keeps everything for absent subscribers across restarts."""
    store = folder / "mosquitto"
    store.mkdir(exist_ok=True)
    config = folder / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {store}/\n"
        f"max_queued_messages 0\nmax_inflight_messages 1000\nautosave_interval 5\n{user}",
        encoding="utf-8",
    )
    return config


def cpu_seconds(pid: int) -> float:
    """User + system seconds of a process, its living descendants and its ended children."""
    return sum(_cpu_seconds(one) for one in _tree(pid))


def descendants(pid: int) -> list[int]:
    """The living children of a process and theirs."""
    return _tree(pid)[1:]


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, frontier = [root], [root]
    while frontier:
        frontier = [child for parent in frontier for child in children.get(parent, [])]
        found += frontier
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command name; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICKS_PER_SECOND if fields else 0.0


def _unshared_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))

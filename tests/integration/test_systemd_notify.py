"""What the daemon tells systemd, read from the datagram socket that systemd would listen on (CARD1)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import free_port, program
from edged.clock import VirtualClock
from edged.supervise import start_task
from edged.systemd import feed_watchdog, notify, watchdog_period_seconds

WATCHDOG_SECONDS = 20
PERIOD_SECONDS = WATCHDOG_SECONDS / 2
START_SECONDS = 30.0


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)

    def told(self) -> list[str]:
        """The messages that have come since the last call."""
        self._socket.setblocking(False)
        found = []
        try:
            while True:
                found.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return found

    def next(self) -> str:
        """The next message. Raises TimeoutError."""
        self._socket.settimeout(START_SECONDS)
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A manager in the abstract namespace, as systemd's may be."""
    name = f"edged-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    monkeypatch.setenv("WATCHDOG_USEC", str(WATCHDOG_SECONDS * 1_000_000))
    made = Manager(f"\0{name}")
    yield made
    made.close()


async def test_the_watchdog_is_fed_only_while_all_is_well(manager: Manager) -> None:
    clock, well = VirtualClock(), [True]
    feeding = start_task("watchdog", feed_watchdog(clock, lambda: well[0], lambda: "3 sources"))
    await clock.advance(2 * PERIOD_SECONDS)
    assert manager.told() == ["WATCHDOG=1\nSTATUS=3 sources"] * 3
    well[0] = False
    await clock.advance(5 * PERIOD_SECONDS)
    assert manager.told() == []
    well[0] = True
    await clock.advance(PERIOD_SECONDS)
    assert manager.told() == ["WATCHDOG=1\nSTATUS=3 sources"]
    feeding.cancel()


async def test_without_a_watchdog_nothing_is_fed(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC")
    assert watchdog_period_seconds() is None
    await feed_watchdog(VirtualClock(), lambda: True, lambda: "")
    assert manager.told() == []


def test_no_manager_and_one_that_is_gone_stop_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    for address in (str(tmp_path / "nowhere"), "@edged-nowhere", "x" * 300):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        assert not notify("READY=1")


def test_the_process_says_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    config = tmp_path / "line.yaml"
    source = {"kind": "fake", "signals": [{"name": "clock/counter"}]}
    document = {"site": "s", "line": "l", "data_directory": str(tmp_path / "data"), "http": {"port": free_port()}}
    config.write_text(json.dumps({**document, "sources": {"clock": source}}), encoding="utf-8")
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    with subprocess.Popen([program("edged"), "run", str(config)], env=environment, stderr=subprocess.DEVNULL) as daemon:
        assert manager.next().startswith("READY=1\nSTATUS=")
        daemon.send_signal(signal.SIGTERM)
        assert manager.next() == "STOPPING=1"
        assert daemon.wait(START_SECONDS) == 0
    manager.close()

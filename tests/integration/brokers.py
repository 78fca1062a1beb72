"""A real mosquitto for the tests: persistent, unlimited queue, stopped, killed, frozen and started again at will."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

READY_SECONDS = 10.0
STOP_SECONDS = 10.0
PROBE_SECONDS = 0.02
MOSQUITTO_PLACES = ("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def wait_until_listening(port: int, seconds: float = READY_SECONDS) -> None:
    """Returns when the port accepts a connection. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(PROBE_SECONDS)


def mosquitto_program() -> str:
    """Where mosquitto is installed; skips the test, by name, where it is not."""
    for place in MOSQUITTO_PLACES:
        found = shutil.which(place)
        if found:
            return found
    pytest.skip("mosquitto is not installed (Debian package mosquitto)")


class MosquittoBroker:
    """One broker with its own folder and port; it keeps both, and its sessions, when it is started again."""

    def __init__(self, folder: Path, extra: Sequence[str] = (), listener: Sequence[str] = ()) -> None:
        self.port = free_port()
        self._folder = folder
        self._program = mosquitto_program()
        self._process: asyncio.subprocess.Process | None = None
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"listener {self.port} 127.0.0.1",
            *listener,
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
            f"user {getpass.getuser()}",
            f"log_dest file {folder}/mosquitto.log",
            *([] if any(line.startswith("allow_anonymous") for line in extra) else ["allow_anonymous true"]),
            *extra,
        ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    async def start(self) -> None:
        """Starts the broker and waits until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            self._program,
            "-c",
            str(self._folder / "mosquitto.conf"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await wait_until_listening(self.port)

    async def stop(self) -> None:
        """A clean stop: sessions and queued messages are saved."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """As if the process had been shot: nothing is saved."""
        await self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """The broker keeps its connections and says nothing more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Goes on after `freeze`."""
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        """What the broker wrote so far."""
        return (self._folder / "mosquitto.log").read_text()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            await self._process.wait()


@contextlib.asynccontextmanager
async def mosquitto_broker(
    folder: Path, extra: Sequence[str] = (), listener: Sequence[str] = ()
) -> AsyncIterator[MosquittoBroker]:
    """A running broker; `listener` lines belong to its listener (TLS), `extra` lines to the whole broker."""
    broker = MosquittoBroker(folder, extra, listener)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.kill()

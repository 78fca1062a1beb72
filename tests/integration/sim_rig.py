"""The simulated line for tests: its processes, its ready file, its journals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

READY_SECONDS = 40.0
PROBE_SECONDS = 0.02


async def eventually(condition: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
    """Returns when the condition holds. Fails the test with `what` after the time."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(PROBE_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{what} did not come within {seconds} s") from None


def journal_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal so far."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class SimProcess:
    """`python -m edged_sim ...`, with its output in a file."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.ready_file = folder / "ready.json"
        self.log = folder / "sim.log"
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it; `ready` comes later."""
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "edged_sim", *self._arguments, stdout=log, stderr=log
            )

    async def wait_ready(self) -> dict[str, Any]:
        """What the ready file says once it is there."""
        assert self._process is not None
        process = self._process
        await eventually(lambda: self.ready_file.exists() or process.returncode is not None, "the ready file")
        assert self.ready_file.exists(), self.log.read_text()
        return self.ready()

    def ready(self) -> dict[str, Any]:
        """What the ready file says now."""
        found: dict[str, Any] = json.loads(self.ready_file.read_text(encoding="utf-8"))
        return found

    def journal(self, face: str) -> list[dict[str, Any]]:
        """The face's journal so far."""
        return journal_lines(self.folder / "journal" / f"{face}.jsonl")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signals it and waits for its end; the exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self.wait()

    async def wait(self) -> int:
        """Waits for its end; the exit status."""
        assert self._process is not None
        async with asyncio.timeout(READY_SECONDS):
            return await self._process.wait()


@contextlib.asynccontextmanager
async def running_line(folder: Path, scenario: str, mqtt_port: int, *options: str) -> AsyncIterator[SimProcess]:
    """`edged-sim run` on free ports, ready."""
    path = folder / "scenario.yaml"
    path.write_text(scenario, encoding="utf-8")
    places = ("--journal", str(folder / "journal"), "--ready-file", str(folder / "ready.json"))
    ports = ("--opcua-port", "0", "--modbus-port", "0", "--mqtt-port", str(mqtt_port))
    process = SimProcess(folder, "run", "--scenario", str(path), *ports, *places, *options)
    await process.start()
    try:
        await process.wait_ready()
        yield process
    finally:
        await process.stop()


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

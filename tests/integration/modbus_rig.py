"""The Modbus test device as tests use it: started as a process, stalled, killed, started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.brokers import free_port, wait_until_listening

SCRIPT = Path(__file__).with_name("modbus_device.py")


@dataclass
class DeviceProcess:
    """The device's process, its ports and its journal."""

    port: int
    journal_file: Path
    serial: str = ""
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), str(self.port), str(self.journal_file), *filter(None, [self.serial])
        )
        await wait_until_listening(self.port)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal_file.read_text().splitlines()]


@contextlib.asynccontextmanager
async def running_device(folder: Path, serial: str = "") -> AsyncIterator[DeviceProcess]:
    """A device that listens, also at a serial port if one is given; it is gone afterwards."""
    device = DeviceProcess(free_port(), folder / "journal.jsonl", serial)
    await device.start()
    try:
        yield device
    finally:
        await device.kill()

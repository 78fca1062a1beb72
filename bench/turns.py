"""What the counting sources share: turns at an even pace, each in a journal before it is offered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO


class Journal:
    """Lines that a killed process leaves behind complete, but for the last."""

    def __init__(self, path: Path | None) -> None:
        self._file: IO[str] | None = path.open("a", encoding="utf-8") if path is not None else None

    def write(self, line: str) -> None:
        """Before what it tells of is offered."""
        if self._file is not None:
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        """Nothing more will be offered."""
        if self._file is not None:
            self._file.close()


async def turns(period_seconds: float, stop: asyncio.Event) -> AsyncIterator[int]:
    """The time of each turn (ms UTC, no two the same), one per period; those that a stall ate are not made up for."""
    due, last = time.monotonic(), 0
    while not stop.is_set():
        last = max(last + 1, time.time_ns() // 1_000_000)
        yield last
        due = max(due + period_seconds, time.monotonic())
        await asyncio.sleep(due - time.monotonic())

"""What a server taught us of its limits, in a small file that outlives the process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from edged.durable import replace_file
from edged.log import get_logger
from edged_connectors.south.opcua_limits import OperationLimits, Service

log = get_logger("opcua")


class LimitsFile:
    """One source's file. It counts only for the server that it was written for; without it edged learns again."""

    def __init__(self, directory: Path, source: str, endpoint: str) -> None:
        self._path = directory / f"opcua-limits-{source}.json"
        self._endpoint = endpoint
        self._kept: dict[Service, int] = {}

    async def load(self, limits: OperationLimits) -> None:
        """Lets the limits know what was learned before; a file that cannot be read is passed over."""
        try:
            self._kept = self._parse(await asyncio.to_thread(self._path.read_text, encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            log.warning("limits_file_unreadable", file=str(self._path), fault=str(fault))
            return
        limits.remember(self._kept)

    async def keep(self, limits: OperationLimits) -> None:
        """Writes what is new."""
        learned = limits.learned
        if learned == self._kept:
            return
        text = json.dumps({"endpoint": self._endpoint, "learned": learned})
        try:
            await asyncio.to_thread(replace_file, self._path, text)
        except OSError as fault:
            log.warning("limits_file_not_written", file=str(self._path), fault=str(fault))
        else:
            self._kept = learned

    def _parse(self, text: str) -> dict[Service, int]:
        found = json.loads(text)
        if found["endpoint"] != self._endpoint:
            return {}
        learned = {Service(name): int(number) for name, number in found["learned"].items()}
        if any(number < 1 for number in learned.values()):
            raise ValueError("a limit below 1")
        return learned

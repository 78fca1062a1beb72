"""What must outlive the daemon and the outbox: the last bdSeq, and when the primary host was last seen."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from edged.log import get_logger
from edged_connectors.north.births import BDSEQ_COUNT

STATE_FILE = "sparkplug.json"

log = get_logger("sparkplug")


@dataclass(frozen=True, slots=True)
class Remembered:
    """`bdseq` of the last session, None before the first; the host's STATE timestamp (ms) and last sight (ns UTC)."""

    bdseq: int | None = None
    host_timestamp: int | None = None
    host_seen: int | None = None


class StateFile:
    """A small JSON file, replaced as a whole. Unreadable it counts as absent; unwritable the node goes on in memory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / STATE_FILE
        self._writable = True
        self.held = self._load()

    def next_bdseq(self) -> int:
        """0 for the first session ever, then one more per connection, round after 255; on disk before it is used."""
        last = self.held.bdseq
        bdseq = 0 if last is None else (last + 1) % BDSEQ_COUNT
        self._keep(replace(self.held, bdseq=bdseq))
        return bdseq

    def note_host(self, timestamp: int | None, seen: int) -> None:
        """Keeps when the primary host was last known to be there."""
        self._keep(replace(self.held, host_timestamp=timestamp, host_seen=seen))

    def _load(self) -> Remembered:
        try:
            document = orjson.loads(self._path.read_bytes())
            numbers = [document.get(name) for name in ("bdseq", "host_timestamp", "host_seen")]
        except FileNotFoundError:
            return Remembered()
        except (OSError, orjson.JSONDecodeError, AttributeError) as fault:
            log.warning("state_unreadable", file=str(self._path), fault=str(fault))
            return Remembered()
        whole = [number if isinstance(number, int) else None for number in numbers]
        return Remembered(*whole)

    def _keep(self, remembered: Remembered) -> None:
        self.held = remembered
        try:
            self._replace(orjson.dumps(asdict(remembered)))
        except OSError as fault:
            if self._writable:
                log.warning("state_unwritable", file=str(self._path), fault=str(fault))
            self._writable = False
        else:
            self._writable = True

    def _replace(self, content: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

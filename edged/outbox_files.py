"""The life of the files behind a shelf: opened, set aside when damaged, closed when drained or at the end."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from edged.clock import Clock
from edged.intervals import IntervalSet
from edged.log import get_logger
from edged.outbox_open import Request, open_outbox, put_aside, remembered
from edged.outbox_retention import Retention
from edged.outbox_schema import new_stream
from edged.outbox_shelf import Shelf, Volume
from edged.outbox_sink import OutboxSink
from edged.outbox_sources import Sources
from edged.outbox_types import Committed, SinkRow
from edged.settings import OutboxSettings
from edged.types import Lane

log = get_logger("outbox")


class Files:
    """Keeps shelf, sinks and sources in step with what the files hold."""

    def __init__(
        self,
        path: Path,
        settings: OutboxSettings,
        clock: Clock,
        shelf: Shelf,
        sinks: Mapping[str, OutboxSink],
        retention: Retention,
    ) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self._shelf = shelf
        self._sinks = sinks
        self._retention = retention
        self.sources = Sources()
        self.stream = new_stream()
        """The stream that new batches belong to; until a file could be opened, the one that a new file would get."""
        self.sink_rows: Sequence[SinkRow] = ()
        """What was known of every sink when the file was opened, for those that register later."""

    async def open(self) -> Committed:
        """Opens or makes the current file. Raises OutboxTooNew, sqlite3.Error or OSError."""
        opened = await self._shelf.run(open_outbox, self._request())
        state = opened.state
        olds = [
            Volume(known.stream, known.candidates, _heads(known.candidates), aside) for known, aside in opened.asides
        ]
        current = Volume(state.stream, state.stored, state.heads)
        self.stream = state.stream
        self.sink_rows = [*self.sink_rows, *state.sinks, *(row for known, _ in opened.asides for row in known.sinks)]
        self._shelf.store = opened.store
        self._shelf.volumes[:] = [*olds, current]
        for sink in self._sinks.values():
            sink.set_volumes(self._shelf.volumes, self.sink_rows)
        self.sources.load(state.sources, state.marks)
        self._retention.begin(current, state.ages)
        log.info("outbox_open", stream=state.stream, old_streams=len(olds), file=self._path.name)
        return Committed((), state.rows, {}, state.used_bytes, state.free_pages, 0.0)

    async def remember(self) -> None:
        """What can be known of the sources while the file cannot be opened for writing."""
        self.sources.load(*await self._shelf.run(remembered, self._path))

    async def put_aside(self, fault: sqlite3.Error) -> None:
        """Sets the current file aside; what the sinks know is kept for the next one. Raises OSError."""
        if self._shelf.store is not None:
            self.sink_rows = [row for sink in self._sinks.values() for row in sink.every_row()]
            await self.close(clean=False)
            self._shelf.volumes.clear()
        await self._shelf.run(put_aside, self._request(), fault)

    async def forget(self, old: Volume) -> None:
        """An old file has drained."""
        self._shelf.volumes.remove(old)
        for sink in self._sinks.values():
            sink.drop_volume(old)
        if old.aside is not None:
            await self._shelf.run(old.aside.close)
            log.info("old_stream_drained", stream=old.stream, file=old.file)

    async def close(self, *, clean: bool) -> None:
        """Closes all files; `clean` marks the current one so."""
        store, self._shelf.store = self._shelf.store, None
        for volume in self._shelf.volumes:
            if volume.aside is not None:
                await self._shelf.run(volume.aside.close)
        if store is not None:
            try:
                await self._shelf.run(store.close, clean, self._retention.ages())
            except sqlite3.Error as fault:
                log.warning("outbox_close_failed", fault=str(fault))

    def _request(self) -> Request:
        now = self._clock.now()
        return Request(self._path, self._settings.synchronous, new_stream(), now, self._retention.oldest(now))


def _heads(candidates: Mapping[Lane, IntervalSet]) -> dict[Lane, int]:
    return {lane: numbers.last or 0 for lane, numbers in candidates.items()}

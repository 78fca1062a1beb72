"""Numbers for lanes and signals: looked up once, made when new, remembered from then on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from edged.types import Lane
from edged_hub.ledger import LaneKey
from edged_hub.postgres_rows import shown
from edged_hub.postgres_schema import statement


class Numbers(NamedTuple):
    """The numbers as they were when something was prepared."""

    lanes: Mapping[LaneKey, int]
    signals: Mapping[str, int]
    newest_from: Mapping[int, int]
    generation: int


class Names:
    """What this hub has learned of the tables `streams` and `signals`.

    A number never changes, but another database may answer after a connection was lost (a restored one, a standby):
    then everything is forgotten, and `generation` tells what was prepared with the old numbers.
    """

    def __init__(self) -> None:
        self.lanes: dict[LaneKey, int] = {}
        self.newest_from: dict[int, int] = {}
        self.generation = 0
        self._signals: dict[str, dict[str, int]] = {}

    def of(self, node: str) -> Numbers:
        """The lanes of all nodes and the signals of this one; they stay as they are when all is forgotten."""
        return Numbers(self.lanes, self._signals.setdefault(node, {}), self.newest_from, self.generation)

    def forget(self) -> None:
        """Learns everything anew."""
        self.lanes, self.newest_from, self._signals = {}, {}, {}
        self.generation += 1

    async def learn_lanes(self, connection: Any, node: str, keys: Iterable[LaneKey], *, register: bool) -> None:
        """Looks up what is not known, and makes it first where `register` says so."""
        known = self.lanes
        new = sorted({(key.stream, key.lane.value) for key in keys if key not in known})
        if not new:
            return
        columns = [stream for stream, _ in new], [lane for _, lane in new]
        if register:
            await connection.execute(statement("streams_register"), node, *columns)
        for stream_id, stream, lane in await connection.fetch(statement("streams_known"), node, *columns):
            known[LaneKey(node, stream, Lane(lane))] = stream_id

    async def learn_signals(self, connection: Any, node: str, paths: Iterable[str]) -> None:
        """Looks up or makes the signals that are not known."""
        known, newest_from = self._signals.setdefault(node, {}), self.newest_from
        stored = {path: shown(path) for path in paths if path not in known}
        if not stored:
            return
        new = sorted(set(stored.values()))
        await connection.execute(statement("signals_register"), node, new)
        found = {}
        for signal, signal_id, newest in await connection.fetch(statement("signals_known"), node, new):
            found[signal] = signal_id
            newest_from.setdefault(signal_id, newest)
        known.update((path, found[name]) for path, name in stored.items())

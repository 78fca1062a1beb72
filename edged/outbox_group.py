"""What waits to be committed: groups of pieces, their promise, and the account of what had to be dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from edged.errors import OutboxUnavailable
from edged.outbox_types import EventPiece, Piece
from edged.types import Gap, Sample

UNAVAILABLE = "outbox_unavailable"


class Durable(asyncio.Future[None]):
    """The promise of a whole group. Many wait for it: a waiter that is cancelled does not cancel it for the others."""

    def __await__(self) -> Generator[Any, None, None]:
        if self.done():
            return super().__await__()
        return asyncio.shield(self).__await__()

    def keep(self) -> None:
        """What was promised is so."""
        if not self.done():
            self.set_result(None)

    def break_off(self, reason: str) -> None:
        """It will not be; nobody has to ask."""
        if not self.done():
            self.set_exception(OutboxUnavailable(reason))
            self.exception()


class Group:
    """Pieces that are committed together."""

    def __init__(self) -> None:
        self.pieces: deque[Piece] = deque()
        self.events: list[EventPiece] = []
        self.rows = 0
        self.opened: float | None = None
        self.durable = Durable()
        self.recorded = Durable()
        self._older: list[Durable] = []

    @property
    def empty(self) -> bool:
        return not self.pieces and not self.events

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.rows += len(piece.samples)

    def drop_oldest(self) -> Piece | None:
        """Gives up the piece that came first."""
        if not self.pieces:
            return None
        piece = self.pieces.popleft()
        self.rows -= len(piece.samples)
        return piece

    def absorb(self, older: Group) -> None:
        """Takes over the promise of a group of which everything was dropped: the loss is recorded with this one."""
        self._older += [*older._older, older.durable]

    def refuse_events(self, reason: str) -> None:
        """Events are not kept for later: whoever recorded them decides."""
        self.events.clear()
        self.recorded.break_off(reason)
        self.recorded = Durable()

    def keep(self) -> None:
        """Everything is durable."""
        for promise in (*self._older, self.durable, self.recorded):
            promise.keep()

    def break_off(self, reason: str) -> None:
        """Nothing of it will be."""
        for promise in (*self._older, self.durable, self.recorded):
            promise.break_off(reason)


@dataclass(frozen=True, slots=True)
class Loss:
    """Dropped samples of one source, by source time (ns UTC)."""

    start: int
    end: int
    samples: int

    def with_other(self, other: Loss) -> Loss:
        return Loss(min(self.start, other.start), max(self.end, other.end), self.samples + other.samples)


class Losses:
    """One account per source, until it could be recorded."""

    def __init__(self) -> None:
        self._sources: dict[str, Loss] = {}
        self.samples = 0
        """All that was ever dropped."""

    def add(self, source: str, samples: Sequence[Sample]) -> None:
        if samples:
            times = [sample.source_time for sample in samples]
            self._merge(source, Loss(min(times), max(times), len(times)))
            self.samples += len(times)

    def take(self) -> dict[str, Loss]:
        """The open accounts; `restore` brings them back when they could not be recorded."""
        taken, self._sources = self._sources, {}
        return taken

    def restore(self, taken: dict[str, Loss]) -> None:
        for source, loss in taken.items():
            self._merge(source, loss)

    def __bool__(self) -> bool:
        return bool(self._sources)

    def _merge(self, source: str, loss: Loss) -> None:
        held = self._sources.get(source)
        self._sources[source] = loss if held is None else held.with_other(loss)


def gaps_of(losses: dict[str, Loss]) -> list[Gap]:
    """One Gap per source."""
    return [
        Gap(source, loss.start, loss.end, UNAVAILABLE, samples=loss.samples) for source, loss in sorted(losses.items())
    ]

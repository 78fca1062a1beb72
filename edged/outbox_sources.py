"""What the outbox remembers of each source: when it was last heard, and the marks of its last messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from edged.outbox_types import EventPiece, Piece
from edged.ports import MARKS_KEPT


class Sources:
    """Only what is durable is remembered."""

    def __init__(self) -> None:
        self._last_seen: dict[str, int] = {}
        self._marks: dict[str, deque[bytes]] = {}

    def load(self, last_seen: Mapping[str, int], marks: Mapping[str, Iterable[bytes]]) -> None:
        """What a file holds. A new file begins without marks."""
        self._last_seen.update(last_seen)
        self._marks = {source: deque(held, MARKS_KEPT) for source, held in marks.items()}

    def note(self, pieces: Iterable[Piece], events: Iterable[EventPiece]) -> None:
        """These have become durable."""
        for piece in pieces:
            if (heard := piece.last_heard) is not None:
                self._last_seen[piece.source] = heard
            self._note_marks(piece.source, piece.marks)
        for event_piece in events:
            self._note_marks(event_piece.source, event_piece.marks)

    def last_seen(self, source: str) -> int | None:
        """Receive time (ns UTC) of the last sample."""
        return self._last_seen.get(source)

    def marks(self, source: str) -> Sequence[bytes]:
        """At most MARKS_KEPT, oldest first."""
        return tuple(self._marks.get(source, ()))

    def _note_marks(self, source: str, marks: Sequence[bytes]) -> None:
        if marks:
            self._marks.setdefault(source, deque(maxlen=MARKS_KEPT)).extend(marks)

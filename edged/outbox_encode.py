"""From the pieces of a group to the batches that are stored."""

from __future__ import annotations

from collections.abc import Sequence

from edged.outbox_types import BatchTimes, EventPiece, NewBatch, Piece, Transaction
from edged.records import BatchTooLong, NotStorable, encode_samples
from edged.repair import repaired
from edged.types import Lane, Sample

BATCH_ROWS = 4096
"""A group with more samples becomes several batches."""


def new_batches(work: Transaction) -> list[NewBatch]:
    """What a transaction stores, in order."""
    made = [_of_samples(samples, blob, work.now) for samples, blob in encode_pieces(work.pieces)]
    return made + [_of_events(piece, work.now) for piece in work.events if piece.events]


def encode_pieces(pieces: Sequence[Piece]) -> list[tuple[list[Sample], bytes]]:
    """The samples of all pieces in order, as batches of at most BATCH_ROWS: what they hold, and the bytes."""
    samples = [sample for piece in pieces for sample in piece.samples]
    starts = range(0, len(samples), BATCH_ROWS)
    return [batch for start in starts for batch in _encoded(samples[start : start + BATCH_ROWS])]


def _of_samples(samples: list[Sample], blob: bytes, now: int) -> NewBatch:
    times = [sample.source_time for sample in samples]
    return NewBatch(Lane.PROCESS, len(samples), blob, BatchTimes(min(times), max(times), now), samples=samples)


def _of_events(piece: EventPiece, now: int) -> NewBatch:
    return NewBatch(Lane.EVENTS, len(piece.events), piece.blob, BatchTimes(now, now, now), events=piece.events)


def _encoded(samples: list[Sample]) -> list[tuple[list[Sample], bytes]]:
    """The batches that these samples make: one, unless they are very long; repaired where they must be."""
    try:
        return [(samples, encode_samples(samples))]
    except NotStorable:
        return _encoded(repaired(samples))
    except BatchTooLong:
        half = len(samples) // 2
        return _encoded(samples[:half]) + _encoded(samples[half:])

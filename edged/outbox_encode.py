"""From the pieces of a group to the batches that are stored."""

from __future__ import annotations

from collections.abc import Sequence

from edged.outbox_types import Piece
from edged.records import BatchTooLong, NotStorable, encode_samples
from edged.repair import repaired
from edged.types import Sample

BATCH_ROWS = 4096
"""A group with more samples becomes several batches."""


def encode_pieces(pieces: Sequence[Piece]) -> list[tuple[list[Sample], bytes]]:
    """The samples of all pieces in order, as batches of at most BATCH_ROWS: what they hold, and the bytes."""
    samples = [sample for piece in pieces for sample in piece.samples]
    starts = range(0, len(samples), BATCH_ROWS)
    return [batch for start in starts for batch in _encoded(samples[start : start + BATCH_ROWS])]


def _encoded(samples: list[Sample]) -> list[tuple[list[Sample], bytes]]:
    """The batches that these samples make: one, unless they are very long; repaired where they must be."""
    try:
        return [(samples, encode_samples(samples))]
    except NotStorable:
        return _encoded(repaired(samples))
    except BatchTooLong:
        half = len(samples) // 2
        return _encoded(samples[:half]) + _encoded(samples[half:])

"""Which batches a damaged file holds, or should hold: its tables contradict each other, and pages may be anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from edged.intervals import IntervalSet
from edged.outbox_read import ReadableRows, missing_numbers
from edged.outbox_schema import LANE_CODES, batch_id, lane_range, seq_of
from edged.outbox_types import SinkRow
from edged.types import Lane

MOST_NUMBERS = 1 << 40
"""No lane gets so far in a thousand years."""
LOOKED_UP = 10_000
"""Single numbers looked for on either side of those that were found: some 50 ms."""
EMPTY_PAGES = 16
"""A new file has 11; sources, marks and confirmations of sinks take some more."""
MOST_UNREAD = 100_000
"""A head that makes more batches than these unreadable is damaged itself; looking for each would take for ever."""


def numbers_of(
    connection: sqlite3.Connection, stream: str, lane: Lane, sinks: Sequence[SinkRow] | None
) -> tuple[IntervalSet, int | None]:
    """The numbers in the tables of batches and of blobs, and those that should be there and are not.

    The second is the number from which on nobody can tell which should be there, None when it is known of all.
    """
    batches, blobs = (_stored(connection, table, lane) for table in ("batch", "blob"))
    head = _head(connection, lane)
    doubtful = head is not None and (head < (batches.intersection(blobs).last or 0) or _within(blobs, head + 1))
    if doubtful or (head == 0 and lane is Lane.PROCESS and not _looks_empty(connection)):
        head = None
    found = batches.copy()
    found.remove(0, 0)
    if head is not None:
        found.remove(head + 1, MOST_NUMBERS)
    found.update(blobs)
    if head is not None and sinks is not None and head - len(found) <= MOST_UNREAD:
        found.update(missing_numbers(lane, head, found, stream, sinks))
        return found, None
    first, last = blobs.first or 1, max(head or 0, blobs.last or 0)
    if first <= last <= first + MOST_UNREAD:
        found.add(first, last)
    found.update(_looked_up(connection, lane, max(1, first - LOOKED_UP), first - 1))
    found.update(_looked_up(connection, lane, last + 1, last + LOOKED_UP))
    if sinks is None:
        return found, 1
    missing = missing_numbers(lane, found.last or 0, found, stream, sinks)
    if len(missing) > MOST_UNREAD:
        return found, 1
    found.update(missing)
    return found, (found.last or 0) + 1


def _looks_empty(connection: sqlite3.Connection) -> bool:
    """Whether there are no more pages in use than a new file has: a damaged table can read like an empty one."""
    pages = [
        pages for name in ("page_count", "freelist_count") for (pages,) in ReadableRows(connection, f"PRAGMA {name}")
    ]
    return len(pages) == 2 and pages[0] - pages[1] <= EMPTY_PAGES


def _within(numbers: IntervalSet, first: int) -> bool:
    """Whether there are any that follow `first` closely: far away, they are damaged themselves."""
    return bool(numbers.intersection(IntervalSet([(first, first + MOST_UNREAD)])))


def _looked_up(connection: sqlite3.Connection, lane: Lane, first: int, last: int) -> IntervalSet:
    """Blobs that no scan from either end comes to, because they lie between damaged pages: looked up one by one."""
    query, numbers = "SELECT 1 FROM blob WHERE id = ?", range(first, last + 1)
    return IntervalSet.of(seq for seq in numbers for _ in ReadableRows(connection, query, (batch_id(lane, seq),)))


def _stored(connection: sqlite3.Connection, table: str, lane: Lane) -> IntervalSet:
    """What can be read of a table from both of its ends."""
    query = f"SELECT id FROM {table} WHERE id BETWEEN ? AND ? ORDER BY id "  # noqa: S608 - ours
    rows = ReadableRows(connection, query, lane_range(lane))
    found = IntervalSet.of(seq_of(row_id) for (row_id,) in rows)
    if not rows.complete:
        upper = ReadableRows(connection, query + "DESC", lane_range(lane))
        found.update(IntervalSet.of(sorted(seq_of(row_id) for (row_id,) in upper)))
    return found


def _head(connection: sqlite3.Connection, lane: Lane) -> int | None:
    """The last number given out; None when it cannot be read, or is too large to be believed."""
    rows = ReadableRows(connection, "SELECT head FROM lane WHERE code = ?", (LANE_CODES[lane],))
    heads = [head for (head,) in rows]
    if not heads:
        return 0 if rows.complete else None
    return heads[0] if isinstance(heads[0], int) and 0 <= heads[0] < MOST_NUMBERS else None

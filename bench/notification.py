"""The bytes of an OPC UA publish response that carries counters (part 6, 5.2), written from the specification."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FILETIME_PER_MILLISECOND = 10_000
UNIX_EPOCH_MILLISECONDS = 11_644_473_600_000
"""Between 1601 and 1970."""

FOUR_BYTE_NODE_ID = 1
PUBLISH_RESPONSE, DATA_CHANGE = 829, 811
HEADER = struct.Struct("<BBHqIIBiHB")
"""Type id; time, request handle, result, diagnostics, text count, additional header (null node, no body)."""
SUBSCRIPTION = struct.Struct("<Ii?Iqi")
"""Its id, available sequence numbers, more notifications; sequence number, publish time, notifications."""
NOTIFICATION = struct.Struct("<BBHBii")
"""Type id, encoding, length; monitored items."""
END = struct.Struct("<iii")
"""Diagnostics of the notification; results and diagnostics of the response."""
NONE = -1
COUNT_BYTES = 4

VALUE_AND_BOTH_TIMES = 0x0D
DOUBLE = 11
ITEM = np.dtype(
    [
        ("handle", "<u4"),
        ("mask", "u1"),
        ("kind", "u1"),
        ("value", "<f8"),
        ("source_time", "<i8"),
        ("server_time", "<i8"),
    ]
)
"""A monitored item with a Double, its source time and its server time: 30 bytes."""


class Block(NamedTuple):
    """Items by client handle that changed together; each turn is their value and its time."""

    handles: Sequence[int]
    turns: Sequence[tuple[int, int]]


class Notification(NamedTuple):
    """What one response says, in blocks: each item of a block at each turn of it, the turns of an item together."""

    subscription: int
    sequence: int
    request: int
    blocks: Sequence[Block]


def filetime(milliseconds: int) -> int:
    """A time in ms UTC as the wire has it."""
    return (milliseconds + UNIX_EPOCH_MILLISECONDS) * FILETIME_PER_MILLISECOND


def encode_notification(told: Notification) -> bytes:
    """The whole message body."""
    now = filetime(time.time_ns() // 1_000_000)
    items = b"".join(map(_items, told.blocks))
    length = COUNT_BYTES + len(items) + COUNT_BYTES
    return b"".join(
        (
            HEADER.pack(FOUR_BYTE_NODE_ID, 0, PUBLISH_RESPONSE, now, told.request, 0, 0, NONE, 0, 0),
            SUBSCRIPTION.pack(told.subscription, NONE, False, told.sequence, now, 1),
            NOTIFICATION.pack(FOUR_BYTE_NODE_ID, 0, DATA_CHANGE, 1, length, len(items) // ITEM.itemsize),
            items,
            END.pack(NONE, NONE, NONE),
        )
    )


def _items(block: Block) -> bytes:
    rows = np.empty((len(block.handles), len(block.turns)), ITEM)
    rows["mask"], rows["kind"] = VALUE_AND_BOTH_TIMES, DOUBLE
    rows["handle"] = np.asarray(block.handles)[:, None]
    rows["value"] = np.asarray([number for number, _ in block.turns], float)[None, :]
    times = np.asarray([time for _, time in block.turns])[None, :]
    rows["source_time"] = rows["server_time"] = times
    return rows.tobytes()

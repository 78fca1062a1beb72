"""Metrics as the bytes they are within a payload (protobuf encoding): those of plain doubles are written directly.

The library takes most of a second per million of them only to build objects that are serialized at once. Messages that
are put together of such pieces are the same bytes as the library's own.
"""

from __future__ import annotations

import struct

from edged_connectors.north.sparkplug_pb2 import Payload

METRICS, ALIAS, TIMESTAMP, HISTORICAL, DOUBLE = b"\x12", b"\x10", b"\x18", b"\x28\x01", b"\x69"
"""Field number and wire type: 2 length-delimited; within a metric 2, 3 and 5 (true) varint, 13 eight bytes."""
DOUBLE_BYTES = 8
OPENINGS = tuple(METRICS + bytes((length,)) for length in range(128))
"""A metric of a length that takes one byte."""

pack_double = struct.Struct("<d").pack


def varint(number: int) -> bytes:
    """Seven bits per byte, lowest first, for numbers from 0."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def alias_bytes(alias: int) -> bytes:
    """The field that names the metric."""
    return ALIAS + varint(alias)


def stamp_bytes(stamp: int, past: bool) -> bytes:
    """What stands between alias and value: the time in ms UTC, whether it is history, and the value's tag."""
    return TIMESTAMP + varint(stamp) + (HISTORICAL if past else b"") + DOUBLE


def metric_bytes(metric: Payload.Metric) -> bytes:
    """Any metric, by the library."""
    body = metric.SerializeToString()
    return METRICS + varint(len(body)) + body


def payload_bytes(stamp: int, metrics: list[bytes], seq: int) -> bytes:
    """A whole payload."""
    body: bytes = b"".join((Payload(timestamp=stamp).SerializeToString(), *metrics))
    return body + Payload(seq=seq).SerializeToString()

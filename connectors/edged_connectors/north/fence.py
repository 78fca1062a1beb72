"""Confirmation for QoS 0 data: a QoS 1 message on our own topic, behind the data, over the same connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edged.ports import Sink, StoredBatch
from edged.types import BatchKey

FENCE_QOS = 1


class Wire(Protocol):
    """One connection to a broker; both keep the order of calls and raise SourceLost."""

    def send(self, topic: str, payload: bytes) -> None:
        """QoS 0, without waiting."""
        ...

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Returns when it is written (QoS 0) or acknowledged on this connection (QoS 1)."""
        ...


class Fence:
    """Lives as long as one connection. What it covers is confirmed by an acknowledged fence, or released at the end."""

    def __init__(self, sink: Sink, wire: Wire, topic: str) -> None:
        self._sink = sink
        self._wire = wire
        self._topic = topic
        self._covered: list[BatchKey] = []
        self._rows = 0
        self._count = 0

    def cover(self, batches: Sequence[StoredBatch]) -> None:
        """Takes charge of batches; from here they are confirmed or released, whatever happens to the connection."""
        self._covered.extend(batch.key for batch in batches)
        self._rows += sum(batch.rows for batch in batches)

    async def settle(self) -> int:
        """Publishes a fence, waits for its acknowledgement and confirms what went before; returns the values."""
        if not self._covered:
            return 0
        keys, rows = tuple(self._covered), self._rows
        self._count += 1
        await self._wire.publish(self._topic, str(self._count).encode(), FENCE_QOS)
        del self._covered[: len(keys)]
        self._rows -= rows
        await self._sink.confirm(keys)
        return rows

    def abandon(self) -> None:
        """The connection is gone: what was not confirmed will be sent again, as history."""
        if self._covered:
            self._sink.release(tuple(self._covered))
        self._covered.clear()
        self._rows = 0

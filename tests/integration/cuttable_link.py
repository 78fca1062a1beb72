"""A TCP link to a server that can be made to swallow what is sent, and be cut, for a moment or until it is mended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

CHUNK_BYTES = 65_536


class CuttableLink:
    """Forwards both ways; while `swallowing`, what the client sends goes nowhere, though it was taken."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.swallowing = False
        self.broken = False
        self.swallowed = 0

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection; none comes about while the link is broken."""
        if self.broken:
            back.transport.abort()
            return
        try:
            server, forth = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            back.close()
            return
        self._writers |= {back, forth}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(client, forth, up=True))
                group.create_task(self._pump(server, back, up=False))
        finally:
            self._writers -= {back, forth}

    def cut(self) -> None:
        """Breaks every connection at once."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                if up and self.swallowing:
                    self.swallowed += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def cuttable_link(target: int) -> AsyncIterator[CuttableLink]:
    """A link to a port of this machine, listening on a port of its own."""
    link = CuttableLink(target)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        link.cut()
        await asyncio.sleep(0.05)

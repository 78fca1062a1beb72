"""A TCP proxy on the loopback interface that makes a network bad: delay, silence, cuts, stalls, and answers of its own.

It runs in a thread. What is switched on holds from the next piece of data on; connections that a cut killed stay dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from bench.processes import free_port

PIECE_BYTES = 65536
HEAD_END = b"\r\n\r\n"

Rewrite = Callable[[bytes], bytes]
"""What becomes of a piece of data on its way to the client; empty when nothing of it arrives."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is. `stall_share` of the pieces are held up for at most `stall_seconds`, in order."""

    delay_seconds: float = 0.0
    stall_share: float = 0.0
    stall_seconds: float = 0.0
    black_hole: bool = False


FINE = Weather()


class Proxy:
    """Stands before one server. Clients connect to `port`."""

    def __init__(self, target: int, *, seed: int = 1) -> None:
        self.port = free_port()
        self.refused = 0
        self._target = target
        self._random = random.Random(seed)
        self._weather = FINE
        self._answers: tuple[bytes, ...] = ()
        self._to_client: Callable[[], Rewrite] | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, weather: Weather) -> None:
        """From now on."""
        self._weather = weather

    def cut(self) -> None:
        """Nothing passes any more and nobody is told: no FIN, no RST. New connections are silent too."""
        self._weather = Weather(black_hole=True)
        for connection in tuple(self._connections):
            connection.dead = True

    def mend(self) -> None:
        """New connections work again; the old ones stay dead."""
        self._weather = FINE

    def answer_instead(self, *answers: bytes) -> None:
        """HTTP: requests get these answers in turn and never reach the server; none puts it through again."""
        self._answers = answers
        self._call(self._drop_all())

    def rewrite(self, to_client: Callable[[], Rewrite] | None) -> None:
        """What the server says passes through a filter, one per connection; connections are made anew."""
        self._to_client = to_client
        self._call(self._drop_all())

    def _call(self, work: Any) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        await self._drop_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drop_all(self) -> None:
        for connection in tuple(self._connections):
            connection.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Connection(reader, writer)
        self._connections.add(connection)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                if self._answers:
                    await self._answer(connection)
                elif self._weather.black_hole:
                    connection.dead = True
                    await asyncio.Event().wait()
                else:
                    await self._forward(connection)
        finally:
            connection.close()
            self._connections.discard(connection)
            self._tasks.discard(task)

    async def _answer(self, connection: _Connection) -> None:
        while self._answers:
            head = await connection.reader.readuntil(HEAD_END)
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await connection.reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
            self.refused += 1
            connection.writer.write(self._answers[(self.refused - 1) % len(self._answers)])
            await connection.writer.drain()

    async def _forward(self, connection: _Connection) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._target)
        connection.upstream = writer
        change = self._to_client() if self._to_client is not None else None
        both = [
            asyncio.ensure_future(self._pump(connection, connection.reader, writer, None)),
            asyncio.ensure_future(self._pump(connection, reader, connection.writer, change)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if connection.dead:
                await asyncio.Event().wait()
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _pump(
        self, connection: _Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter, change: Rewrite | None
    ) -> None:
        """Reads and writes on their own, so that a delay delays and does not slow down."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        reading = asyncio.ensure_future(self._read(source, pieces))
        try:
            await self._write(connection, pieces, sink, change)
        finally:
            reading.cancel()

    async def _read(self, source: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Each piece with the time when it came; at the end an empty one."""
        with contextlib.suppress(OSError):
            while piece := await source.read(PIECE_BYTES):
                pieces.put_nowait((self._loop.time(), piece))
        pieces.put_nowait((self._loop.time(), b""))

    async def _write(
        self,
        connection: _Connection,
        pieces: asyncio.Queue[tuple[float, bytes]],
        sink: asyncio.StreamWriter,
        change: Rewrite | None,
    ) -> None:
        while True:
            came, piece = await pieces.get()
            weather = self._weather
            due = came + weather.delay_seconds
            if self._random.random() < weather.stall_share:
                due += self._random.uniform(0.0, weather.stall_seconds)
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if connection.dead:
                await asyncio.Event().wait()
            if not piece:
                return
            sink.write(piece if change is None else change(piece))
            await sink.drain()


class _Connection:
    """A client and, once it stands, the connection to the server on its behalf."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.upstream: asyncio.StreamWriter | None = None
        self.dead = False

    def close(self) -> None:
        """Both sides."""
        self.writer.close()
        if self.upstream is not None:
            self.upstream.close()


def http_answer(status: str, *headers: str) -> bytes:
    """A whole answer without a body."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "", ""]).encode()

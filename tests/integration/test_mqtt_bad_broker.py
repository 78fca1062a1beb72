"""Whatever a broker sends: the connection ends with one of our errors, and nothing else is raised or left behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.errors import EdgedError, SourceLost, SourceUnreachable
from tests.integration.test_mqtt_connector import connector, gather

CONNACK = bytes([0x20, 3, 0, 0, 0])
CONNACK_RESUMED = bytes([0x20, 3, 1, 0, 0])
READ_BYTES = 65_536


@contextlib.asynccontextmanager
async def broker(connack: bytes, after_subscribe: bytes) -> AsyncIterator[int]:
    """A server that answers CONNECT and SUBSCRIBE with given bytes, and closes; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError):
            await reader.read(READ_BYTES)
            writer.write(connack)
            if after_subscribe:
                await reader.read(READ_BYTES)
                writer.write(after_subscribe)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        if tasks:
            await asyncio.wait(tasks)
        server.close()
        await server.wait_closed()


def suback(filters: int = 2, mid: int = 1) -> bytes:
    return bytes([0x90, 3 + filters, 0, mid, 0, *([1] * filters)])


async def converse(port: int) -> None:
    built = connector(port, connect_timeout_seconds=1)
    try:
        await built.connect()
        await gather(built, 10_000)
    finally:
        await built.close()


async def test_a_broker_that_hangs_up_is_lost() -> None:
    async with broker(CONNACK_RESUMED, suback()) as port:
        built = connector(port)
        connection = await built.connect()
        assert connection.resumed
        assert all(status.accepted for status in connection.signals)
        with pytest.raises(SourceLost):
            await gather(built, 1)
        await built.close()


async def test_refused_subscriptions_are_refused_signals() -> None:
    refusal = bytes([0x90, 5, 0, 1, 0, 1, 0x87])
    async with broker(CONNACK, refusal) as port:
        built = connector(port)
        statuses = {status.signal: status for status in (await built.connect()).signals}
        await built.close()
    assert statuses["line/number"].accepted
    assert statuses["line/plain"].reason == "subscription refused: Not authorized"


async def test_a_broker_that_is_busy_is_unreachable() -> None:
    async with broker(bytes([0x20, 3, 0, 0x89, 0]), b"") as port:
        with pytest.raises(SourceUnreachable, match="busy"):
            await converse(port)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(min_size=1, max_size=100))
async def test_junk_instead_of_a_welcome(junk: bytes) -> None:
    async with broker(junk, b"") as port:
        with pytest.raises(EdgedError):
            await converse(port)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from([0x30, 0x32, 0x3A, 0x34, 0x40, 0x50, 0xD0, 0xE0, 0x00, 0xF0]), junk=st.binary(max_size=60))
async def test_junk_instead_of_messages(head: int, junk: bytes) -> None:
    async with broker(CONNACK, suback() + bytes([head, len(junk)]) + junk + junk) as port:
        with pytest.raises(EdgedError):
            await converse(port)

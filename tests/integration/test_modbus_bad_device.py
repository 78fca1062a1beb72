"""Devices that answer late, half, double or for somebody else: never a wrong value, always SourceLost."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.errors import SourceLost
from edged_connectors.south.modbus_link import TcpLink
from edged_connectors.south.modbus_requests import ModbusRefusal
from edged_connectors.south.modbus_types import Table

TIMEOUT_SECONDS = 0.2
GOOD = 4711
WRONG = 666

Respond = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def device(respond: Respond) -> AsyncIterator[TcpLink]:
    """A device with one behaviour, and a link to it."""
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections[task] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(6)
                body = await reader.readexactly(int.from_bytes(head[4:6], "big"))
                await respond(head + body, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = TcpLink("127.0.0.1", port, 1, TIMEOUT_SECONDS)
    await link.open()
    try:
        yield link
    finally:
        link.close()
        for writer in connections.values():
            writer.close()
        await asyncio.wait(connections)
        server.close()
        await server.wait_closed()


def answer(
    request: bytes,
    *values: int,
    transaction: int | None = None,
    protocol: int = 0,
    unit: int | None = None,
    function: int | None = None,
    byte_count: int | None = None,
    length: int | None = None,
) -> bytes:
    """A read's answer; right unless told otherwise."""
    asked, _, _, asked_unit, asked_function = struct.unpack(">HHHBB", request[:8])
    payload = struct.pack(f">{len(values)}H", *values)
    body = struct.pack(
        ">BBB",
        asked_unit if unit is None else unit,
        asked_function if function is None else function,
        len(payload) if byte_count is None else byte_count,
    )
    head = struct.pack(
        ">HHH",
        asked if transaction is None else transaction,
        protocol,
        len(body + payload) if length is None else length,
    )
    return head + body + payload


def saying(make: Callable[[bytes], bytes]) -> Respond:
    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(make(request))

    return respond


async def test_the_right_answer_is_believed_also_in_pieces() -> None:
    async def in_pieces(request: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in answer(request, GOOD, 2):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with device(in_pieces) as link:
        for _ in range(3):
            assert await link.read(Table.HOLDING, 0, 2) == struct.pack(">HH", GOOD, 2)


BAD_ANSWERS = {
    "another unit": lambda request: answer(request, WRONG, unit=2),
    "an old transaction": lambda request: answer(request, WRONG, transaction=64_999),
    "transaction zero": lambda request: answer(request, WRONG, transaction=0),
    "another function": lambda request: answer(request, WRONG, function=4),
    "another function's exception": lambda request: answer(request, function=0x84, byte_count=2),
    "an unknown function": lambda request: answer(request, WRONG, function=0x2B),
    "another protocol": lambda request: answer(request, WRONG, protocol=7),
    "too few registers": lambda request: answer(request, byte_count=0),
    "too many registers": lambda request: answer(request, WRONG, WRONG),
    "a byte count that lies": lambda request: answer(request, WRONG, byte_count=4),
    "a length that is too small": lambda request: answer(request, WRONG, length=3),
    "a length that is too great": lambda request: answer(request, WRONG, length=200),
    "half an answer": lambda request: answer(request, WRONG)[:-1],
    "two answers": lambda request: answer(request, WRONG) * 2,
    "noise": lambda _: b"\xde\xad\xbe\xef" * 20,
    "text": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
async def test_a_bad_answer_ends_the_connection(kind: str) -> None:
    async with device(saying(BAD_ANSWERS[kind])) as link:
        with pytest.raises(SourceLost):
            await link.read(Table.HOLDING, 0, 1)
        with pytest.raises(SourceLost):
            link.check()
        with pytest.raises(SourceLost):
            await link.read(Table.HOLDING, 0, 1)


async def test_an_exception_is_a_refusal_and_the_connection_stands() -> None:
    async with device(saying(lambda request: answer(request, function=0x83, byte_count=2))) as link:
        for _ in range(2):
            with pytest.raises(ModbusRefusal) as caught:
                await link.read(Table.HOLDING, 0, 1)
            assert caught.value.code == 2


async def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    async def late(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(TIMEOUT_SECONDS * 1.5)
        writer.write(answer(request, WRONG))

    async with device(late) as link:
        with pytest.raises(SourceLost, match="no answer within"):
            await link.read(Table.HOLDING, 0, 1)
        await asyncio.sleep(TIMEOUT_SECONDS)
        with pytest.raises(SourceLost):
            await link.read(Table.HOLDING, 0, 1)


async def test_an_abandoned_request_ends_the_connection() -> None:
    async def slow(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(TIMEOUT_SECONDS / 2)
        writer.write(answer(request, WRONG))

    async with device(slow) as link:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS / 4):
                await link.read(Table.HOLDING, 0, 1)
        with pytest.raises(SourceLost, match="abandoned"):
            await link.read(Table.HOLDING, 0, 1)


async def test_a_device_that_speaks_unasked_is_not_listened_to() -> None:
    async def twice(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(request, GOOD))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(answer(request, WRONG, transaction=int.from_bytes(request[:2], "big") + 1))

    async with device(twice) as link:
        assert await link.read(Table.HOLDING, 0, 1) == struct.pack(">H", GOOD)
        await asyncio.sleep(0.1)
        with pytest.raises(SourceLost, match="without being asked"):
            await link.read(Table.HOLDING, 0, 1)


async def test_a_closed_connection_is_noticed_at_once() -> None:
    async def hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with device(hang_up) as link:
        async with asyncio.timeout(TIMEOUT_SECONDS / 2):
            with pytest.raises(SourceLost, match="closed the connection"):
                await link.read(Table.HOLDING, 0, 1)


@pytest.mark.parametrize(
    "echo",
    [struct.pack(">HH", 11, 2), struct.pack(">HH", 10, 1), b""],
    ids=["another address", "another count", "nothing"],
)
async def test_a_write_that_is_confirmed_for_something_else(echo: bytes) -> None:
    def confirm(request: bytes) -> bytes:
        return request[:4] + (2 + len(echo)).to_bytes(2, "big") + request[6:8] + echo

    async with device(saying(confirm)) as link:
        with pytest.raises(SourceLost):
            await link.write_registers(10, b"\x00\x01\x00\x02", single=False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=300), mixed=st.booleans())
async def test_whatever_bytes_come_only_the_right_value_or_a_loss_results(junk: bytes, mixed: bool) -> None:
    def respond(request: bytes) -> bytes:
        right = answer(request, GOOD)
        if not mixed:
            return junk
        at = len(junk) % len(right)
        return right[:at] + junk + right[at:]

    async with device(saying(respond)) as link:
        try:
            raw = await link.read(Table.HOLDING, 0, 1)
        except (SourceLost, ModbusRefusal):
            return
        assert raw == struct.pack(">H", GOOD)

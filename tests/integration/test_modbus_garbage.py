"""A whole Modbus connector before a device that answers anything: samples of its own signals, or a loss."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.clock import SystemClock
from edged.errors import SourceLost, SourceUnreachable, WriteFailed, WriteUnknown
from edged.registry import Binding, SourceSetup
from edged.types import Command, Quality, Sample, Seal, Signal, ValueType
from edged_connectors.south.modbus import KIND, ModbusConnector, ModbusOptions
from edged_connectors.south.modbus_types import ModbusAddress

SEAL = Seal()
READS = 3
TIMEOUT_SECONDS = 0.1
SHORT_EXAMPLES, LONG_EXAMPLES, LONG_SECONDS = 60, 5000, 3600
FUNCTIONS = {1: 1, 2: 1, 3: 16, 4: 16}
"""Bits per item of each read function."""


def bind(name: str, kind: ValueType, **address: object) -> Binding:
    writable = address.pop("writable", False) is True
    return Binding(Signal(f"line/{name}", "1", kind, writable=writable), ModbusAddress.model_validate(address))


BINDINGS = (
    bind("float", ValueType.FLOAT, table="input", register=0, type="float32"),
    bind("double", ValueType.FLOAT, table="input", register=2, type="float64", word_order="DCBA"),
    bind("tenths", ValueType.FLOAT, table="input", register=6, type="int16", scale=0.1),
    bind("text", ValueType.STRING, table="input", register=7, type="string", length=6),
    bind("count", ValueType.INT, table="holding", register=100, type="uint32"),
    bind("set_point", ValueType.FLOAT, table="holding", register=102, type="float32", writable=True),
    bind("remote", ValueType.BOOL, table="coil", register=0, type="bool"),
    bind("alarm", ValueType.BOOL, table="discrete", register=1, type="bool"),
)
SIGNALS = {binding.signal.path: binding.signal.type for binding in BINDINGS}
TYPES = {ValueType.FLOAT: float, ValueType.INT: int, ValueType.STRING: str, ValueType.BOOL: bool}


@st.composite
def behaviours(draw: st.DrawFn) -> list[tuple[str, int, bytes]]:
    """What becomes of one answer after the other: kind, place, bytes."""
    kinds = st.sampled_from(
        ("right", "right", "values", "change", "cut", "insert", "junk", "exception", "twice", "close")
    )
    return draw(st.lists(st.tuples(kinds, st.integers(0, 300), st.binary(max_size=40)), min_size=1, max_size=8))


def answered(request: bytes, values: bytes) -> bytes:
    """The right answer to a request, of these values."""
    function = request[7]
    if function in FUNCTIONS:
        count = int.from_bytes(request[10:12], "big")
        size = count * 2 if FUNCTIONS[function] == 16 else (count + 7) // 8
        body = bytes([function, size]) + (values * size + bytes(size))[:size]
    else:
        body = request[7:12]
    return request[:4] + (len(body) + 1).to_bytes(2, "big") + request[6:7] + body


def bent(request: bytes, kind: str, place: int, junk: bytes) -> bytes:
    """The answer after something happened to it."""
    right = answered(request, junk if kind == "values" else b"\x3f\x80")
    at = place % (len(right) + 1)
    match kind:
        case "change":
            return right[:at] + junk + right[at + len(junk) :]
        case "cut":
            return right[:at]
        case "insert":
            return right[:at] + junk + right[at:]
        case "junk":
            return junk
        case "exception":
            return request[:4] + b"\0\3" + request[6:7] + bytes([request[7] | 0x80, place % 256])
        case "twice":
            return right * 2
    return right


@contextlib.asynccontextmanager
async def device(script: Sequence[tuple[str, int, bytes]]) -> AsyncIterator[int]:
    """A device that goes through its script, again and again; its port."""
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
    step = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal step
        task = asyncio.current_task()
        assert task is not None
        connections[task] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(6)
                request = head + await reader.readexactly(int.from_bytes(head[4:6], "big"))
                kind, place, junk = script[step % len(script)]
                step += 1
                if kind == "close":
                    break
                writer.write(bent(request, kind, place, junk))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in connections.values():
            writer.close()
        if connections:
            await asyncio.wait(connections)
        server.close()
        await server.wait_closed()


def connector(port: int) -> ModbusConnector:
    options = ModbusOptions.model_validate(
        {"host": "127.0.0.1", "port": port, "period_milliseconds": 5, "timeout_seconds": TIMEOUT_SECONDS}
    )
    built = KIND.build(SourceSetup("device", options, BINDINGS, SystemClock(), SEAL, Path()))
    assert isinstance(built, ModbusConnector)
    return built


def check(samples: Sequence[Sample]) -> None:
    for sample in samples:
        expected = TYPES[SIGNALS[sample.signal]]
        assert sample.value is None or type(sample.value) is expected
        assert (sample.value is None) == (sample.quality == Quality.BAD)
        assert sample.quality == Quality.GOOD or sample.reason
        assert not isinstance(sample.value, float) or math.isfinite(sample.value)


async def use_before_garbage(script: list[tuple[str, int, bytes]]) -> None:
    async with device(script) as port:
        built = connector(port)
        try:
            await built.connect()
            for _ in range(READS):
                check((await built.read()).samples)
            check((await built.poll(["line/set_point", "line/text"])).samples)
            now = SystemClock().monotonic()
            await built.write(Command("line/set_point", 99.5, "test", now, now + 5, "d1", SEAL))
        except (SourceLost, SourceUnreachable, WriteFailed, WriteUnknown) as loss:
            said = str(loss)
            assert said
        finally:
            await built.close()


def searched(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


test_garbage = searched(SHORT_EXAMPLES)(given(behaviours())(use_before_garbage))
test_garbage_long = pytest.mark.long(
    pytest.mark.timeout(LONG_SECONDS)(searched(LONG_EXAMPLES)(given(behaviours())(use_before_garbage)))
)


async def test_the_rig_answers_right() -> None:
    async with device([("right", 0, b"")]) as port:
        built = connector(port)
        await built.connect()
        samples = (await built.read()).samples
        await built.close()
    check(samples)
    values = {sample.signal: sample.value for sample in samples}
    assert values.keys() == SIGNALS.keys()
    assert values["line/tenths"] == pytest.approx(1625.6)
    assert values["line/remote"] is True

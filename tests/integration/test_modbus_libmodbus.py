"""The Modbus connector against a device made by other hands, with libmodbus: values, writes, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.errors import SourceUnreachable, WriteFailed
from edged.types import ValueType
from edged_connectors.south.modbus import ModbusConnector
from tests.integration.brokers import READY_SECONDS, free_port, wait_until_listening
from tests.integration.serial_cable import serial_cable
from tests.integration.test_modbus_connector import bind, command, connected, connector

SOURCE = Path(__file__).with_name("libmodbus_device.c")
HEADERS = Path("/usr/include/modbus/modbus.h")

FIELDS = (
    bind("abcd", table="input", register=0, type="float32", word_order="ABCD"),
    bind("cdab", table="input", register=2, type="float32", word_order="CDAB"),
    bind("badc", table="input", register=4, type="float32", word_order="BADC"),
    bind("dcba", table="input", register=6, type="float32", word_order="DCBA"),
    bind("whole", ValueType.INT, table="input", register=8, type="int16"),
    bind("double", table="input", register=9, type="float64"),
    bind("text", ValueType.STRING, table="input", register=13, type="string", length=4),
    bind("coil", ValueType.BOOL, table="coil", register=3, type="bool", writable=True),
    bind("discrete", ValueType.BOOL, table="discrete", register=9, type="bool"),
    bind("set_point", table="holding", register=100, type="float32", word_order="DCBA", writable=True),
    bind("beyond", ValueType.INT, table="holding", register=200, type="uint16", writable=True),
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The device, compiled."""
    compiler = shutil.which("gcc")
    if compiler is None or not HEADERS.exists():
        pytest.skip("gcc or libmodbus is not installed (Debian packages gcc, libmodbus-dev)")
    compiled = tmp_path / "device"
    subprocess.run([compiler, str(SOURCE), "-o", str(compiled), "-lmodbus"], check=True)
    return compiled


@pytest.fixture
async def peer(program: Path) -> AsyncIterator[int]:
    """The port of a running device."""
    port = free_port()
    async with running(program, str(port)):
        await wait_until_listening(port)
        yield port


@contextlib.asynccontextmanager
async def running(program: Path, place: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(str(program), place)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_values_writes_and_refusals(peer: int) -> None:
    async with connected(connector(peer, FIELDS)) as built:
        await check(built)


async def test_the_same_over_a_serial_line(program: Path, tmp_path: Path) -> None:
    with serial_cable(tmp_path) as cable:
        async with running(program, cable.device_path), asyncio.timeout(READY_SECONDS):
            while True:
                built = connector(0, FIELDS, serial={"path": str(cable.path), "parity": "none"})
                with contextlib.suppress(SourceUnreachable):
                    async with connected(built):
                        await check(built)
                        return
                await built.close()


async def check(built: ModbusConnector) -> None:
    first = {sample.signal: sample.value for sample in (await built.read()).samples}
    await built.write(command("line/set_point", 123.456))
    await built.write(command("line/coil", 0))
    with pytest.raises(WriteFailed, match="modbus exception 2"):
        await built.write(command("line/beyond", 1))
    after = {s.signal: s.value for s in (await built.poll(["line/set_point", "line/coil"])).samples}
    assert {path: first[f"line/{path}"] for path in ("abcd", "cdab", "badc", "dcba")} == dict.fromkeys(
        ("abcd", "cdab", "badc", "dcba"), 123.45600128173828
    )
    assert (first["line/whole"], first["line/double"], first["line/text"]) == (-1234, 1.0, "GLAS")
    assert (first["line/coil"], first["line/discrete"], first["line/beyond"]) == (True, True, None)
    assert after["line/set_point"] == 123.45600128173828
    assert after["line/coil"] is False

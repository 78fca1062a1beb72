"""The Modbus connector against a real device process: every answered read arrives, writes land, faults stay local."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from edged.clock import SystemClock
from edged.errors import SourceLost, SourceUnreachable, WriteFailed
from edged.registry import Binding, SourceSetup
from edged.types import Command, Quality, Sample, Seal, Signal, ValueType
from edged_connectors.south.modbus import KIND, ModbusConnector, ModbusOptions
from edged_connectors.south.modbus_types import ModbusAddress
from tests.integration.brokers import free_port
from tests.integration.modbus_rig import DeviceProcess, running_device

SEAL = Seal()


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[DeviceProcess]:
    async with running_device(tmp_path) as found:
        yield found


def bind(name: str, kind: ValueType = ValueType.FLOAT, *, writable: bool = False, **address: Any) -> Binding:
    return Binding(Signal(f"line/{name}", "1", kind, writable=writable), ModbusAddress.model_validate(address))


SCAN = bind("scan", ValueType.INT, table="input", register=0, type="uint32")
PLAIN = bind("plain", table="input", register=2, type="float32")
SWAPPED = bind("swapped", table="input", register=4, type="float32", word_order="CDAB")
TENTHS = bind("tenths", table="input", register=6, type="int16", scale=0.1)
NEGATIVE = bind("negative", ValueType.INT, table="input", register=7, type="int16")
SET_SCAN = bind("set_scan", ValueType.INT, table="holding", register=100, type="uint32")
SET_POINT = bind("set_point", table="holding", register=102, type="float32", writable=True)
COUNT = bind("count", ValueType.INT, table="holding", register=104, type="uint16", writable=True)
REMOTE = bind("remote", ValueType.BOOL, table="coil", register=0, type="bool", writable=True)
ALARM = bind("alarm", ValueType.BOOL, table="discrete", register=1, type="bool")
EVERYTHING = (SCAN, PLAIN, SWAPPED, TENTHS, NEGATIVE, SET_SCAN, SET_POINT, COUNT, REMOTE, ALARM)


def connector(port: int, bindings: Iterable[Binding], **options: Any) -> ModbusConnector:
    place = {} if "serial" in options else {"host": "127.0.0.1", "port": port}
    settings = ModbusOptions.model_validate({**place, "period_milliseconds": 20, **options})
    setup = SourceSetup("device", settings, tuple(bindings), SystemClock(), SEAL, Path())
    built = KIND.build(setup)
    assert isinstance(built, ModbusConnector)
    return built


@contextlib.asynccontextmanager
async def connected(built: ModbusConnector) -> AsyncIterator[ModbusConnector]:
    await built.connect()
    try:
        yield built
    finally:
        await built.close()


def command(path: str, value: float, *, seal: Seal = SEAL, seconds: float = 5.0) -> Command:
    now = SystemClock().monotonic()
    return Command(path, value, "test", now, now + seconds, "d1", seal)


async def collect(built: ModbusConnector, seconds: float) -> list[Sample]:
    samples: list[Sample] = []
    end = SystemClock().monotonic() + seconds
    while SystemClock().monotonic() < end:
        samples += (await built.read()).samples
    return samples


async def test_values_of_every_table(device: DeviceProcess) -> None:
    async with connected(connector(device.port, EVERYTHING)) as built:
        first = {sample.signal: sample.value for sample in (await built.read()).samples}
    assert first == {
        "line/scan": 1,
        "line/plain": pytest.approx(123.456, abs=1e-5),
        "line/swapped": pytest.approx(123.456, abs=1e-5),
        "line/tenths": 123.4,
        "line/negative": -1234,
        "line/set_scan": 1,
        "line/set_point": 0.0,
        "line/count": 0,
        "line/remote": True,
        "line/alarm": True,
    }


async def test_every_answered_read_arrives_once_with_one_stamp_of_its_own(device: DeviceProcess) -> None:
    async with connected(connector(device.port, EVERYTHING)) as built:
        samples = await collect(built, 0.5)
        polled = [await built.poll(["line/set_point"]) for _ in range(3)]
        samples += [sample for reading in polled for sample in reading.samples]
        samples += await collect(built, 0.2)
        samples += (await built.read()).samples
    for scan, function in (("line/scan", 4), ("line/set_scan", 3)):
        offered = [entry["scan"] for entry in device.journal() if entry["function"] == function]
        assert [sample.value for sample in samples if sample.signal == scan] == offered
        assert len(offered) > 20
    block = {"line/scan", "line/plain", "line/swapped", "line/tenths", "line/negative"}
    mine = [sample for sample in samples if sample.signal in block]
    stamps = [
        stamp for stamp, group in groupby(mine, key=lambda s: s.source_time) if {s.signal for s in group} == block
    ]
    assert len(stamps) * len(block) == len(mine)
    assert stamps == sorted(set(stamps))
    assert all(stamp % 1_000_000 == 0 for stamp in stamps)


async def test_a_write_lands_and_reads_back(device: DeviceProcess) -> None:
    async with connected(connector(device.port, EVERYTHING)) as built:
        await built.write(command("line/set_point", 99.5))
        await built.write(command("line/count", 7))
        await built.write(command("line/remote", 0))
        reading = await built.poll(["line/set_point", "line/remote"])
    values = {sample.signal: sample.value for sample in reading.samples}
    assert values["line/set_point"] == 99.5
    assert values["line/count"] == 7
    assert values["line/remote"] is False
    written = [
        (entry["function"], entry["address"], entry["written"]) for entry in device.journal() if entry["written"]
    ]
    assert written == [(16, 102, [0x42C7, 0x0000]), (16, 104, [7]), (5, 0, [False])]


async def test_an_address_that_does_not_exist_harms_no_other(device: DeviceProcess) -> None:
    missing = bind("missing", table="input", register=10, type="uint16")
    last = bind("last", table="input", register=9, type="uint16")
    built = connector(device.port, [SCAN, PLAIN, last, missing], max_gap_registers=10)
    connection = await built.connect()
    reading = await built.read()
    samples = list(reading.samples) + await collect(built, 0.1)
    await built.close()
    assert {status.signal for status in connection.signals if not status.accepted} == {"line/missing"}
    bad = [sample for sample in samples if sample.quality == Quality.BAD]
    assert [(sample.signal, sample.value) for sample in bad] == [("line/missing", None)]
    assert "modbus exception 2" in bad[0].reason
    good = [sample.signal for sample in samples if sample.quality == Quality.GOOD]
    assert min(good.count(path) for path in ("line/scan", "line/plain", "line/last")) > 2


async def test_another_exception_spoils_its_block_only(device: DeviceProcess) -> None:
    broken = bind("broken", table="holding", register=119, type="uint16")
    built = connector(device.port, [SCAN, broken])
    await built.connect()
    samples = await collect(built, 0.1)
    await built.close()
    bad = [sample for sample in samples if sample.quality == Quality.BAD]
    assert [(sample.signal, sample.reason) for sample in bad] == [
        ("line/broken", "modbus exception 4 (device failure)")
    ]
    assert sum(sample.signal == "line/scan" for sample in samples) > 2


async def test_a_rejected_write_is_a_failure(device: DeviceProcess) -> None:
    broken = bind("broken", table="holding", register=119, type="uint16", writable=True)
    async with connected(connector(device.port, [SCAN, broken])) as built:
        with pytest.raises(WriteFailed, match="modbus exception 4"):
            await built.write(command("line/broken", 1))


async def test_nobody_listens() -> None:
    with pytest.raises(SourceUnreachable):
        await connector(free_port(), EVERYTHING).connect()


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_device_that_dies_or_stalls_is_lost_within_the_timeout(
    device: DeviceProcess, blow: signal.Signals
) -> None:
    built = connector(device.port, EVERYTHING, timeout_seconds=0.3)
    await built.connect()
    await collect(built, 0.05)
    device.signal(blow)
    with pytest.raises(SourceLost):
        await collect(built, 2)
    with pytest.raises(WriteFailed):
        await built.write(command("line/set_point", 1.0))
    await built.close()

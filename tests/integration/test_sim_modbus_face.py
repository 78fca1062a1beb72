"""The Modbus face behind a real socket: reads, writes, exceptions and late answers as clients see them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from edged.clock import SystemClock
from edged.types import Value
from edged_sim.journal import Journal
from edged_sim.link import LocalSet, Refusal, Tick
from edged_sim.modbus_face import ModbusFace
from edged_sim.plant import Plant
from edged_sim.schedule import Sensors
from edged_sim.tags import Face, tags_of
from tests.integration.brokers import free_port
from tests.integration.sim_rig import journal_lines

TAGS = tags_of(Face.MODBUS)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.path = folder / "modbus.jsonl"
        self.writes: list[tuple[str, Value]] = []
        self.journal = Journal(self.path, "modbus", SystemClock())
        self.face = ModbusFace(TAGS, self.journal, lambda path, value: self.writes.append((path, value)), self.port)
        self._plant, self._sensors = Plant(1), Sensors(1, ())

    async def tick(self, refusals: list[Refusal] | None = None, delay_seconds: float = 0.0) -> None:
        self._plant.advance(0.1)
        readings = self._sensors.read(self._plant.readings(), 0.0)
        values = [readings.get(tag.path, 0) for tag in TAGS]
        await self.face.tick(Tick(1, values, refusals=refusals or [], delay_seconds=delay_seconds))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    await rig.tick()
    await rig.face.listen()
    try:
        yield rig
    finally:
        await rig.face.stop()
        rig.journal.close()


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=rig.port, timeout=0.2, retries=0)
    assert await client.connect()
    yield client
    client.close()


async def test_many_clients_share_one_counter_and_every_answer_is_journalled(
    rig: Rig, client: AsyncModbusTcpClient
) -> None:
    other = AsyncModbusTcpClient("127.0.0.1", port=rig.port)
    await other.connect()
    answers = []
    for number in range(20):
        await rig.tick()
        reader = client if number % 2 else other
        answers.append((await reader.read_input_registers(0, count=27, device_id=1)).registers)
    other.close()
    assert [answer[1] for answer in answers] == list(range(1, 21))
    journalled = [line for line in journal_lines(rig.path) if "block" in line]
    assert [line["counter"] for line in journalled] == list(range(1, 21))
    pressures = [client.convert_from_registers(answer[18:20], client.DATATYPE.FLOAT32) for answer in answers]
    assert pressures == [line["signals"]["line_a/forming/forming_pressure"] for line in journalled]
    assert len(set(pressures)) == 20


async def test_set_points_stay_as_written_while_the_plant_ticks_on(rig: Rig, client: AsyncModbusTcpClient) -> None:
    words = client.convert_to_registers(152.25, client.DATATYPE.FLOAT32)
    assert not (await client.write_registers(102, words, device_id=1)).isError()
    await rig.tick()
    assert (await client.read_holding_registers(102, count=2, device_id=1)).registers == words
    assert rig.writes == [("forming/belt_speed_setpoint", 152.25)]
    await rig.face.local_set(LocalSet("forming/belt_speed_setpoint", 149.0))
    await rig.tick()
    answer = await client.read_holding_registers(102, count=2, device_id=1)
    assert client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32) == 149.0


async def test_switches_are_seen_as_coils(rig: Rig, client: AsyncModbusTcpClient) -> None:
    assert (await client.read_coils(0, count=3, device_id=1)).bits[:3] == [True, True, True]
    assert (await client.write_coil(0, False, device_id=1)).exception_code == 2
    await rig.face.local_set(LocalSet("forming/remote_mode", False))
    assert (await client.read_coils(0, count=3, device_id=1)).bits[:3] == [False, True, True]


async def test_an_exception_on_a_range_leaves_the_rest_alone(rig: Rig, client: AsyncModbusTcpClient) -> None:
    await rig.tick(refusals=[Refusal("input", 4, 11, 4)])
    assert (await client.read_input_registers(0, count=27, device_id=1)).exception_code == 4
    assert not (await client.read_input_registers(12, count=15, device_id=1)).isError()
    await rig.tick()
    assert not (await client.read_input_registers(0, count=27, device_id=1)).isError()


async def test_other_devices_are_not_here(client: AsyncModbusTcpClient) -> None:
    assert (await client.read_input_registers(0, count=1, device_id=9)).exception_code == 11


async def test_a_late_answer_comes_under_its_own_transaction(rig: Rig) -> None:
    await rig.tick(delay_seconds=0.15)
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    began = time.monotonic()
    for transaction, register in ((0x0101, 20), (0x0202, 21)):
        writer.write(bytes.fromhex(f"{transaction:04x}000000060104{register:04x}0001"))
        await writer.drain()
        await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        first, second = await reader.readexactly(11), await reader.readexactly(11)
    assert time.monotonic() - began >= 0.15
    assert (first[:2], second[:2]) == (b"\x01\x01", b"\x02\x02")
    signals = [line["signals"] for line in journal_lines(rig.path) if "block" in line]
    assert [list(each) for each in signals] == [["line_a/forming/glass_temperature"], ["line_a/forming/ribbon_width"]]
    assert int.from_bytes(second[9:11], "big") == signals[1]["line_a/forming/ribbon_width"]
    writer.close()
    await writer.wait_closed()

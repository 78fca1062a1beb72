"""Serial lines with faults: several units, damaged and lost bytes, answers that are late or of somebody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from pymodbus.framer import FramerRTU

from edged.clock import SystemClock
from edged.errors import ConfigError, SourceLost, SourceUnreachable
from edged.metrics import Metrics
from edged.registry import Binding, SourceSetup
from edged.types import Quality, Sample, Seal, Signal, ValueType
from edged_connectors.south.modbus import KIND, ModbusOptions
from edged_connectors.south.modbus_requests import ModbusRefusal
from edged_connectors.south.modbus_rtu import RtuLink
from edged_connectors.south.modbus_serial import SerialPort
from edged_connectors.south.modbus_types import ModbusAddress, Table
from edged_connectors.south.runner import SourceRunner
from tests.integration.modbus_rig import running_device
from tests.integration.recording_road import RecordingRoad
from tests.integration.serial_cable import SerialCable, serial_cable

TIMEOUT_SECONDS = 0.1
GOOD, WRONG = 4711, 666
SCANS = 40
REQUEST_BYTES = 8

Respond = Callable[[bytes], list[tuple[float, bytes]]]
"""From a request to what is said after so many seconds."""


@pytest.fixture
async def cable(tmp_path: Path) -> AsyncIterator[SerialCable]:
    with serial_cable(tmp_path) as found:
        yield found


def port(cable: SerialCable, **settings: object) -> SerialPort:
    return SerialPort.model_validate({"path": str(cable.path), "parity": "none", **settings})


def frame(body: bytes) -> bytes:
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


def answer(request: bytes, value: int, *, unit: int | None = None, function: int | None = None) -> bytes:
    """A read's answer; right unless told otherwise."""
    words = struct.pack(">H", value) * int.from_bytes(request[4:6], "big")
    head = bytes([request[0] if unit is None else unit, request[1] if function is None else function, len(words)])
    return frame(head + words)


@contextlib.contextmanager
def units(cable: SerialCable, respond: Respond) -> Iterator[list[bytes]]:
    """Everything on the line but us; the requests that it saw."""
    loop = asyncio.get_running_loop()
    end = os.open(cable.device_path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    seen: list[bytes] = []
    timers: list[asyncio.TimerHandle] = []

    def take() -> None:
        request = os.read(end, 1000)
        seen.append(request)
        for seconds, data in respond(request):
            timers.append(loop.call_later(seconds, os.write, end, data))

    loop.add_reader(end, take)
    try:
        yield seen
    finally:
        loop.remove_reader(end)
        for timer in timers:
            timer.cancel()
        os.close(end)


@contextlib.asynccontextmanager
async def opened(cable: SerialCable, device_id: int = 1, **settings: object) -> AsyncIterator[RtuLink]:
    link = RtuLink(port(cable, **settings), device_id, TIMEOUT_SECONDS, SystemClock())
    await link.open()
    try:
        yield link
    finally:
        link.close()


def at_once(make: Callable[[bytes], bytes]) -> Respond:
    return lambda request: [(0.0, make(request))]


FIRST_ANSWERS: dict[str, Respond] = {
    "a damaged checksum": at_once(lambda request: answer(request, WRONG)[:-1] + b"\x00"),
    "a damaged value": at_once(lambda request: answer(request, WRONG)[:3] + b"\x12" + answer(request, WRONG)[4:]),
    "half an answer": at_once(lambda request: answer(request, WRONG)[:-2]),
    "a byte too many": at_once(lambda request: answer(request, WRONG) + b"\x55"),
    "noise before the answer": at_once(lambda request: b"\xff" + answer(request, WRONG)),
    "another unit": at_once(lambda request: answer(request, WRONG, unit=2)),
    "another function": at_once(lambda request: answer(request, WRONG, function=4)),
    "noise": at_once(lambda _: b"\xde\xad\xbe\xef" * 90),
    "nothing": lambda _: [],
    "an answer of the right unit after another's": at_once(
        lambda request: answer(request, WRONG, unit=2) + answer(request, WRONG)
    ),
}


@pytest.mark.parametrize("kind", FIRST_ANSWERS)
async def test_a_disturbed_read_is_asked_again(cable: SerialCable, kind: str) -> None:
    asked = 0

    def respond(request: bytes) -> list[tuple[float, bytes]]:
        nonlocal asked
        asked += 1
        return FIRST_ANSWERS[kind](request) if asked == 1 else [(0.0, answer(request, GOOD))]

    with units(cable, respond):
        async with opened(cable) as link:
            assert await link.read(Table.HOLDING, 0, 1) == struct.pack(">H", GOOD)
            assert link.repeats == 1
            assert await link.read(Table.HOLDING, 0, 1) == struct.pack(">H", GOOD)
            link.check()


@pytest.mark.parametrize("kind", FIRST_ANSWERS)
async def test_a_unit_that_never_answers_right_is_lost_and_the_line_stands(cable: SerialCable, kind: str) -> None:
    def respond(request: bytes) -> list[tuple[float, bytes]]:
        return FIRST_ANSWERS[kind](request) if request[0] == 1 else [(0.0, answer(request, GOOD))]

    with units(cable, respond):
        async with opened(cable, 1) as bad, opened(cable, 7) as sound:
            with pytest.raises(SourceLost):
                await bad.read(Table.HOLDING, 0, 1)
            assert await sound.read(Table.HOLDING, 0, 1) == struct.pack(">H", GOOD)


async def test_an_answer_in_pieces_an_exception_and_a_write(cable: SerialCable) -> None:
    def respond(request: bytes) -> list[tuple[float, bytes]]:
        if request[1] == 16:
            return [(0.0, frame(request[:6]))]
        if request[1] == 4:
            return [(0.0, frame(bytes([request[0], 0x84, 2])))]
        return [(at / 1000, bytes([byte])) for at, byte in enumerate(answer(request, GOOD))]

    with units(cable, respond) as seen:
        async with opened(cable) as link:
            assert await link.read(Table.HOLDING, 0, 2) == struct.pack(">HH", GOOD, GOOD)
            with pytest.raises(ModbusRefusal) as caught:
                await link.read(Table.INPUT, 0, 1)
            assert caught.value.code == 2
            await link.write_registers(10, b"\x00\x01\x00\x02", single=False)
    assert [request[1] for request in seen] == [3, 4, 16]


async def test_a_write_is_never_sent_twice(cable: SerialCable) -> None:
    with units(cable, lambda _: []) as seen:
        async with opened(cable) as link:
            with pytest.raises(SourceLost, match="no answer within"):
                await link.write_coil(3, value=True)
    assert len(seen) == 1


async def test_a_late_answer_is_never_taken_for_the_next_one(cable: SerialCable) -> None:
    def respond(request: bytes) -> list[tuple[float, bytes]]:
        if request[1] == 3 and request[3] == 0:
            return [(TIMEOUT_SECONDS * 1.6, answer(request, WRONG))]
        return [(0.0, answer(request, GOOD))]

    with units(cable, respond):
        async with opened(cable) as link:
            task = asyncio.ensure_future(link.read(Table.HOLDING, 0, 1))  # noqa: TID251 - cancelled at once
            await asyncio.sleep(TIMEOUT_SECONDS / 2)
            task.cancel()
            await asyncio.wait({task})
            assert await link.read(Table.HOLDING, 1, 1) == struct.pack(">H", GOOD)
            with pytest.raises(SourceLost, match="no answer within"):
                await link.read(Table.HOLDING, 0, 1)
            assert await link.read(Table.HOLDING, 1, 1) == struct.pack(">H", GOOD)


async def test_units_take_turns_and_a_dead_one_delays_nobody_for_longer_than_its_time(cable: SerialCable) -> None:
    busy: list[bytes] = []

    def respond(request: bytes) -> list[tuple[float, bytes]]:
        assert len(request) == REQUEST_BYTES
        busy.append(request)
        return [] if request[0] == 9 else [(0.002, answer(request, request[0]))]

    with units(cable, respond):
        async with opened(cable, 1) as one, opened(cable, 2) as two, opened(cable, 9) as dead:

            async def read(link: RtuLink, unit: int) -> None:
                for _ in range(10):
                    assert await link.read(Table.HOLDING, 0, 1) == struct.pack(">H", unit)

            async def lose() -> None:
                with pytest.raises(SourceLost):
                    await dead.read(Table.HOLDING, 0, 1)

            async with asyncio.timeout(20 * 0.02 + 3 * TIMEOUT_SECONDS + 2.0), asyncio.TaskGroup() as group:
                group.create_task(read(one, 1))
                group.create_task(read(two, 2))
                group.create_task(lose())
            one.check()
            two.check()


async def test_settings_must_agree_and_the_port_is_free_when_nobody_uses_it(cable: SerialCable) -> None:
    with units(cable, at_once(lambda request: answer(request, GOOD))):
        async with opened(cable, 1):
            with pytest.raises(ConfigError, match="other serial settings"):
                async with opened(cable, 2, baud_rate=9600):
                    pass
        async with opened(cable, 2, baud_rate=9600, stop_bits=2) as link:
            assert await link.read(Table.HOLDING, 0, 1) == struct.pack(">H", GOOD)


@pytest.mark.parametrize("path", ["/dev/no_such_port", "/dev/null"])
async def test_a_path_that_is_no_serial_port(path: str) -> None:
    link = RtuLink(SerialPort(path=path), 1, TIMEOUT_SECONDS, SystemClock())
    with pytest.raises(SourceUnreachable, match=path):
        await link.open()
    link.close()


class Noise:
    """Damages, drops and adds bytes, of one chunk in `rarity`."""

    def __init__(self, seed: int, rarity: int) -> None:
        self._random = random.Random(seed)
        self._rarity = rarity
        self.chunks = 0

    def __call__(self, data: bytes) -> bytes:
        if self._random.randrange(self._rarity):
            return data
        self.chunks += 1
        spoiled = bytearray(data)
        at = self._random.randrange(len(spoiled))
        match self._random.randrange(4):
            case 0:
                spoiled[at] ^= 1 << self._random.randrange(8)
            case 1:
                del spoiled[at]
            case 2:
                spoiled.insert(at, self._random.randrange(256))
            case _:
                del spoiled[at:]
        return bytes(spoiled)


@pytest.mark.timeout(90)
async def test_a_noisy_line_loses_nothing_that_is_not_told(cable: SerialCable, tmp_path: Path) -> None:
    """Two units; every value was the unit's own at that reading, and a pause is told by a Gap or BAD samples."""
    noise = Noise(seed=7, rarity=10)
    async with running_device(tmp_path, cable.device_path) as device:
        roads = {unit: RecordingRoad() for unit in (1, 2)}
        tasks = [asyncio.get_running_loop().create_task(source(cable, unit, roads[unit]).run()) for unit in roads]
        try:
            for unit, road in roads.items():
                await road.until(lambda road=road, unit=unit: good(road.of(f"line/scan_{unit}")) != [], 10.0)  # type: ignore[misc]
            cable.disturb = noise
            for unit, road in roads.items():
                await road.until(lambda road=road, unit=unit: scans(road, unit) > SCANS, 60.0)  # type: ignore[misc]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        journal = [json.loads(line) for line in device.journal_file.read_text().splitlines()]
    assert noise.chunks > 10
    for unit, road in roads.items():
        answered = {entry["scan"] for entry in journal if entry["unit"] == unit and entry["function"] == 4}
        samples = road.of(f"line/scan_{unit}")
        counts = [int(sample.value or 0) for sample in good(samples)]
        assert set(counts) <= answered
        assert counts == sorted(set(counts))
        longest = 6 * TIMEOUT_SECONDS + 0.5
        for before, after in pairwise(good(samples)):
            if after.receive_time - before.receive_time > longest * 1e9:
                told = any(before.receive_time < s.receive_time < after.receive_time for s in samples if s.quality == 0)
                assert told or any(
                    gap.start < after.receive_time and gap.end > before.receive_time for gap in road.gaps
                )


def good(samples: list[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.quality == Quality.GOOD]


def scans(road: RecordingRoad, unit: int) -> int:
    return len(good(road.of(f"line/scan_{unit}")))


def source(cable: SerialCable, unit: int, road: RecordingRoad) -> SourceRunner:
    """The scan counter of a unit, as often as the line allows."""
    signal = Signal(f"line/scan_{unit}", "1", ValueType.INT)
    address = ModbusAddress.model_validate({"table": "input", "register": 0, "type": "uint32"})
    options = ModbusOptions.model_validate(
        {
            "serial": {"path": str(cable.path), "parity": "none"},
            "device_id": unit,
            "period_milliseconds": 20,
            "timeout_seconds": TIMEOUT_SECONDS,
        }
    )
    setup = SourceSetup(f"unit_{unit}", options, (Binding(signal, address),), SystemClock(), Seal(), Path())
    return SourceRunner(
        name=setup.name,
        signals=[signal],
        build=lambda: KIND.build(setup),
        road=road,
        clock=SystemClock(),
        metrics=Metrics(),
        silence_seconds=10.0,
        skew_limit_seconds=3600.0,
    )

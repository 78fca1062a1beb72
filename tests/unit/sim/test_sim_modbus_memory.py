"""The Modbus face's memory: counted and journalled reads, checked writes, injected exceptions."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException

from edged.clock import VirtualClock
from edged.types import Value
from edged_sim.journal import Journal
from edged_sim.link import Refusal
from edged_sim.modbus_face import Memory
from edged_sim.tags import BY_PATH, Face, tags_of

READ_COILS, READ_HOLDING, READ_INPUT, WRITE_ONE, WRITE_MANY = 1, 3, 4, 6, 16
BELT = "line_a/forming/belt_speed_setpoint"


class Rig:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.writes: list[tuple[str, Value]] = []
        self.memory = Memory(tags_of(Face.MODBUS), Journal(path, "modbus", VirtualClock()), self._note)

    def _note(self, path: str, value: Value) -> None:
        self.writes.append((path, value))

    async def read(self, function: int, address: int, count: int) -> Any:
        return await self.memory.async_getValues(1, function, address, count)

    async def write(self, function: int, address: int, words: Sequence[int]) -> Any:
        return await self.memory.async_setValues(1, function, address, words)

    def lines(self, key: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.path.read_text().splitlines()) if key in line]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "modbus.jsonl")


def float_words(number: float) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">f", number)))


async def test_each_read_that_covers_the_counter_is_counted_and_journalled_as_answered(rig: Rig) -> None:
    rig.memory.put(BY_PATH["forming/mould_1_temperature"], 417.04)
    rig.memory.put(BY_PATH["forming/thickness"], 4.1)
    first, second = await rig.read(READ_INPUT, 0, 27), await rig.read(READ_INPUT, 0, 27)
    assert (first[:2], second[:2]) == ([0, 1], [0, 2])
    assert first[14] == 4170
    journalled = rig.lines("block")
    assert [(line["block"], line["start"], line["count"], line["counter"]) for line in journalled] == [
        ("input", 0, 27, 1),
        ("input", 0, 27, 2),
    ]
    signals = journalled[0]["signals"]
    assert len(signals) == 18
    assert signals["line_a/forming/scan_counter"] == 1
    assert signals["line_a/forming/mould_1_temperature"] == 4170 * 0.1
    assert signals["line_a/forming/thickness"] == struct.unpack(">f", struct.pack(">f", 4.1))[0]


async def test_blocks_count_on_their_own_and_partial_reads_do_not_count(rig: Rig) -> None:
    await rig.read(READ_INPUT, 0, 27)
    assert (await rig.read(READ_HOLDING, 100, 9))[:2] == [0, 1]
    await rig.read(READ_INPUT, 1, 4)
    assert rig.lines("block")[-1]["counter"] is None
    assert list(rig.lines("block")[-1]["signals"]) == ["line_a/forming/belt_speed"]
    assert (await rig.read(READ_INPUT, 0, 2)) == [0, 2]


async def test_coils_are_read_one_by_one_and_carry_no_counter(rig: Rig) -> None:
    rig.memory.put(BY_PATH["forming/permissive"], True)
    assert await rig.read(READ_COILS, 1, 2) == [True, False]
    line = rig.lines("block")[-1]
    assert line["signals"] == {"line_a/forming/permissive": True, "line_a/forming/running": False}
    assert line["counter"] is None


async def test_counters_go_on_after_a_restart(tmp_path: Path) -> None:
    await Rig(tmp_path / "j.jsonl").read(READ_INPUT, 0, 27)
    assert (await Rig(tmp_path / "j.jsonl").read(READ_INPUT, 0, 27))[:2] == [0, 2]


async def test_a_set_point_is_journalled_applied_and_told(rig: Rig) -> None:
    assert await rig.write(WRITE_MANY, 102, float_words(151.5)) is None
    assert [(line["write"], line["value"]) for line in rig.lines("write")] == [(BELT, 151.5)]
    assert rig.writes == [("forming/belt_speed_setpoint", 151.5)]
    assert (await rig.read(READ_HOLDING, 102, 2)) == float_words(151.5)
    assert await rig.write(WRITE_ONE, 108, [7]) is None
    assert rig.writes[-1] == ("forming/heartbeat", 7)


async def test_one_request_may_write_several_set_points(rig: Rig) -> None:
    words = [*float_words(151.0), *float_words(430.0), *float_words(41.0), 9]
    assert await rig.write(WRITE_MANY, 102, words) is None
    assert len(rig.lines("write")) == len(rig.writes) == 4


@pytest.mark.parametrize(
    ("function", "address", "words", "code"),
    [
        (WRITE_MANY, 102, lambda: float_words(float("nan")), ExcCodes.ILLEGAL_VALUE),
        (WRITE_MANY, 102, lambda: float_words(float("inf")), ExcCodes.ILLEGAL_VALUE),
        (WRITE_MANY, 102, lambda: float_words(201.0), ExcCodes.ILLEGAL_VALUE),
        (WRITE_MANY, 102, lambda: [*float_words(150.0), *float_words(601.0)], ExcCodes.ILLEGAL_VALUE),
        (WRITE_MANY, 100, lambda: [1, 2], ExcCodes.ILLEGAL_ADDRESS),
        (WRITE_MANY, 108, lambda: [1, 2], ExcCodes.ILLEGAL_ADDRESS),
        (WRITE_ONE, 2, lambda: [1], ExcCodes.ILLEGAL_ADDRESS),
        (5, 0, lambda: [1], ExcCodes.ILLEGAL_ADDRESS),
        (23, 102, lambda: [1], ExcCodes.ILLEGAL_ADDRESS),
    ],
)
async def test_a_wrong_write_changes_nothing(
    rig: Rig, function: int, address: int, words: Callable[[], list[int]], code: ExcCodes
) -> None:
    before = await rig.read(READ_HOLDING, 102, 7)
    assert await rig.write(function, address, words()) == code
    assert await rig.read(READ_HOLDING, 102, 7) == before
    assert not rig.lines("write")
    assert not rig.writes


async def test_unmapped_ranges_and_other_devices_are_refused(rig: Rig) -> None:
    for function, address, count in ((READ_INPUT, 20, 8), (READ_HOLDING, 99, 2), (READ_COILS, 3, 1)):
        assert await rig.read(function, address, count) == ExcCodes.ILLEGAL_ADDRESS
    with pytest.raises(NoSuchIdException):
        await rig.memory.async_getValues(2, READ_INPUT, 0, 1)
    assert rig.lines("block") == []


async def test_injected_exceptions_hit_every_read_that_touches_them_and_are_not_counted(rig: Rig) -> None:
    rig.memory.refusals = [Refusal("input", 10, 11, 4)]
    assert await rig.read(READ_INPUT, 0, 27) == ExcCodes.DEVICE_FAILURE
    assert (await rig.read(READ_INPUT, 0, 10))[:2] == [0, 1]
    assert (await rig.read(READ_HOLDING, 100, 9))[:2] == [0, 1]


async def test_a_missing_value_is_a_nan_and_journalled_as_bad(rig: Rig) -> None:
    rig.memory.put(BY_PATH["forming/thickness"], None)
    await rig.read(READ_INPUT, 4, 2)
    assert rig.lines("block")[-1]["bad"] == ["line_a/forming/thickness"]
    assert rig.lines("block")[-1]["signals"] == {"line_a/forming/thickness": None}

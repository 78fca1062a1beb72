"""The Modbus connector over a link in memory: schedule, stamps, isolation, deadband, turns and seals."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edged.clock import VirtualClock
from edged.errors import ConfigError, SourceLost, SourceUnreachable, WriteFailed, WriteUnknown
from edged.registry import Binding, SourceSetup
from edged.supervise import start_task
from edged.types import Command, Quality, Sample, Seal, Signal, ValueType
from edged_connectors.south.modbus import KIND, RETRY_SECONDS, ModbusConnector, ModbusOptions
from edged_connectors.south.modbus_requests import ModbusRefusal
from edged_connectors.south.modbus_types import ModbusAddress, Table

SEAL = Seal()
PERIOD_SECONDS = 0.1


class MemoryLink:
    """A device in memory. `denied` addresses answer exception 2, `failing` ones exception 4; `seconds` per answer."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.registers = [0] * 1000
        self.denied: set[int] = set()
        self.failing: set[int] = set()
        self.seconds = 0.0
        self.lost = False
        self.refusal: int | None = None
        self.reads: list[tuple[Table, int, int]] = []
        self.writes: list[tuple[int, bytes]] = []
        self.busy = 0

    async def open(self) -> None:
        if self.lost:
            raise SourceUnreachable("no device")

    def check(self) -> None:
        if self.lost:
            raise SourceLost("gone")

    async def read(self, table: Table, start: int, count: int) -> bytes:
        await self._answer()
        self.reads.append((table, start, count))
        wanted = range(start, start + count)
        if not self.failing.isdisjoint(wanted):
            raise ModbusRefusal(4)
        if not self.denied.isdisjoint(wanted):
            raise ModbusRefusal(2)
        return struct.pack(f">{count}H", *self.registers[start : start + count])

    async def write_registers(self, start: int, payload: bytes, *, single: bool) -> None:
        await self._answer()
        if self.refusal is not None:
            raise ModbusRefusal(self.refusal)
        self.writes.append((start, payload))
        self.registers[start : start + len(payload) // 2] = struct.unpack(f">{len(payload) // 2}H", payload)

    async def write_coil(self, start: int, value: bool) -> None:
        await self._answer()
        self.writes.append((start, bytes([value])))

    def close(self) -> None:
        self.lost = True

    async def _answer(self) -> None:
        assert self.busy == 0, "two requests at once on one connection"
        self.busy += 1
        try:
            if self.seconds:
                await self.clock.sleep(self.seconds)
            if self.lost:
                raise SourceLost("gone")
        finally:
            self.busy -= 1


class Rig:
    """A connector, its device and its clock."""

    def __init__(self, bindings: Iterable[Binding], **options: Any) -> None:
        self.clock = VirtualClock()
        self.link = MemoryLink(self.clock)
        settings = ModbusOptions.model_validate(
            {"host": "device", "period_milliseconds": round(PERIOD_SECONDS * 1000), **options}
        )
        self.connector = ModbusConnector(
            SourceSetup("device", settings, tuple(bindings), self.clock, SEAL, Path()), self.link
        )

    async def read_for(self, seconds: float) -> list[Sample]:
        """Everything that is read while the clock goes on for so long."""
        samples: list[Sample] = []

        async def keep_reading() -> None:
            while True:
                samples.extend((await self.connector.read()).samples)

        task = start_task("reader", keep_reading())
        await self.clock.advance(seconds)
        task.cancel()
        await asyncio.wait({task})
        return samples


def bind(number: int, register: int, *, deadband: float = 0.0, writable: bool = False, **address: Any) -> Binding:
    signal = Signal(f"line/unit/s{number}", "1", ValueType.FLOAT, deadband=deadband, writable=writable)
    return Binding(
        signal, ModbusAddress.model_validate({"table": "holding", "register": register, "type": "uint16", **address})
    )


def row(count: int) -> list[Binding]:
    return [bind(at, at) for at in range(count)]


def of(samples: Sequence[Sample], number: int) -> list[Sample]:
    return [sample for sample in samples if sample.signal == f"line/unit/s{number}"]


def command(number: int, value: float, clock: VirtualClock, *, seal: Seal = SEAL, seconds: float = 1.0) -> Command:
    now = clock.monotonic()
    return Command(f"line/unit/s{number}", value, "test", now, now + seconds, "d", seal)


async def test_every_period_brings_every_value() -> None:
    rig = Rig(row(3))
    await rig.connector.connect()
    samples = await rig.read_for(1.05)
    assert [len(of(samples, number)) for number in range(3)] == [11, 11, 11]
    assert len(rig.link.reads) == 11


async def test_poll_groups_keep_their_own_periods() -> None:
    rig = Rig([bind(0, 0), bind(1, 1, period_milliseconds=500)])
    await rig.connector.connect()
    samples = await rig.read_for(2.05)
    assert (len(of(samples, 0)), len(of(samples, 1))) == (21, 5)


async def test_a_slow_device_is_read_as_fast_as_it_answers_and_never_twice_at_once() -> None:
    rig = Rig(row(1))
    await rig.connector.connect()
    rig.link.seconds = 0.25
    samples = await rig.read_for(3.0)
    assert 8 <= len(samples) <= 12
    assert rig.connector.overruns >= 15


async def test_one_answer_one_stamp_and_stamps_only_grow() -> None:
    rig = Rig(row(4))
    await rig.connector.connect()
    readings = [await rig.connector.poll(["line/unit/s0"]) for _ in range(5)]
    samples = [sample for reading in readings for sample in reading.samples]
    stamps = [sample.source_time for sample in of(samples, 0)]
    assert stamps == sorted(set(stamps))
    assert len(stamps) == 6
    assert {sample.source_time for sample in of(samples, 3)} == set(stamps)
    assert all(stamp % 1_000_000 == 0 for stamp in stamps)


async def test_stamps_follow_a_clock_that_was_set_back() -> None:
    rig = Rig(row(1))
    await rig.connector.connect()
    rig.clock.jump(-3600)
    before = await rig.connector.poll(["line/unit/s0"])
    assert before.samples[-1].source_time == rig.clock.now() // 1_000_000 * 1_000_000


@pytest.mark.parametrize("bad", [{0}, {9}, {4}, {0, 5, 9}, set(range(10)), {3, 4}])
async def test_denied_addresses_are_isolated_and_the_rest_goes_on(bad: set[int]) -> None:
    rig = Rig(row(10))
    rig.link.denied = set(bad)
    connection = await rig.connector.connect()
    assert {status.signal for status in connection.signals if not status.accepted} == {f"line/unit/s{n}" for n in bad}
    samples = await rig.read_for(1.05)
    for number in range(10):
        mine = of(samples, number)
        if number in bad:
            assert [(sample.quality, sample.value) for sample in mine] == [(Quality.BAD, None)]
            assert mine[0].reason == "modbus exception 2 (illegal data address)"
        else:
            assert len(mine) == 11
            assert all(sample.quality == Quality.GOOD for sample in mine)


async def test_a_denied_address_is_tried_again_each_minute_and_comes_back() -> None:
    rig = Rig(row(6), period_milliseconds=1000, max_registers_per_request=4)
    rig.link.denied = {1}
    await rig.connector.connect()
    first = await rig.read_for(RETRY_SECONDS + 1.5)
    rig.link.reads.clear()
    assert [sample.quality for sample in of(first, 1)] == [Quality.BAD, Quality.BAD]
    rig.link.denied = set()
    samples = await rig.read_for(RETRY_SECONDS + 10)
    assert of(samples, 1)[0].quality == Quality.GOOD
    assert len(of(samples, 1)) >= 8
    assert rig.link.reads[-2:] == [(Table.HOLDING, 0, 4), (Table.HOLDING, 4, 2)]


async def test_a_failing_block_turns_bad_once_and_good_again() -> None:
    rig = Rig([bind(0, 0), bind(1, 10)])
    await rig.connector.connect()
    rig.link.failing = {10}
    samples = await rig.read_for(1.05)
    rig.link.failing = set()
    samples += await rig.read_for(1.0)
    assert [sample.quality for sample in of(samples, 1)].count(Quality.BAD) == 1
    assert of(samples, 1)[-1].quality == Quality.GOOD
    assert len(of(samples, 0)) == 21


async def test_deadband_and_heartbeat() -> None:
    rig = Rig([bind(0, 0, deadband=2.0, heartbeat_seconds=1.0), bind(1, 1)])
    await rig.connector.connect()
    seen = await rig.read_for(0.55)
    rig.link.registers[0] = 2
    seen += await rig.read_for(0.2)
    rig.link.registers[0] = 3
    seen += await rig.read_for(0.2)
    assert [sample.value for sample in of(seen, 0)] == [0.0, 3.0]
    assert len(of(seen, 1)) == 10
    late = await rig.read_for(1.0)
    assert [sample.value for sample in of(late, 0)] == [3.0]


async def test_a_poll_passes_the_deadband_and_brings_whole_blocks() -> None:
    rig = Rig([bind(0, 0, deadband=5.0), bind(1, 1), bind(2, 50)])
    await rig.connector.connect()
    await rig.connector.read()
    reading = await rig.connector.poll(["line/unit/s0"])
    assert [sample.signal for sample in reading.samples] == ["line/unit/s0", "line/unit/s1"]


async def test_control_waits_for_one_request_at_most() -> None:
    rig = Rig([bind(number, number * 10, writable=True) for number in range(8)])
    await rig.connector.connect()
    await rig.connector.read()
    rig.link.seconds = 0.1
    reader = start_task("reader", rig.connector.read())
    await rig.clock.advance(0.15)
    started = len(rig.link.reads)
    writer = start_task("writer", rig.connector.write(command(3, 7, rig.clock)))
    poller = start_task("poller", rig.connector.poll(["line/unit/s3"]))
    await rig.clock.advance(0.31)
    assert writer.done()
    assert poller.done()
    assert len(rig.link.reads) - started == 2
    assert (await poller).samples[-1].value == 7
    await rig.clock.advance(2.0)
    await reader


async def test_no_answered_read_is_lost_or_out_of_order_when_polls_and_reads_mix() -> None:
    rig = Rig([bind(0, 0), bind(1, 50)])
    await rig.connector.connect()
    rig.link.seconds = 0.03
    got: list[Sample] = []

    async def keep_reading() -> None:
        while True:
            got.extend((await rig.connector.read()).samples)

    async def keep_polling() -> None:
        while True:
            got.extend((await rig.connector.poll(["line/unit/s0"])).samples)
            await rig.clock.sleep(0.05)

    tasks = {start_task("reader", keep_reading()), start_task("poller", keep_polling())}
    await rig.clock.advance(3.0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    got.extend((await rig.connector.poll([])).samples)
    for number, start in ((0, 0), (1, 50)):
        mine = of(got, number)
        assert len(mine) == sum(read[1] == start for read in rig.link.reads)
        assert [s.source_time for s in mine] == sorted(s.source_time for s in mine)


async def test_a_poll_of_several_blocks_brings_them_all_while_reads_go_on() -> None:
    rig = Rig([bind(0, 0), bind(1, 50), bind(2, 100)])
    await rig.connector.connect()
    rig.link.seconds = 0.01
    wanted = {f"line/unit/s{number}" for number in range(3)}
    polled: list[set[str]] = []

    async def keep_reading() -> None:
        while True:
            await rig.connector.read()
            await rig.clock.sleep(0.015)

    async def keep_polling() -> None:
        while True:
            polled.append({sample.signal for sample in (await rig.connector.poll(sorted(wanted))).samples})
            await rig.clock.sleep(0.013)

    tasks = {start_task("reader", keep_reading()), start_task("poller", keep_polling())}
    await rig.clock.advance(3.0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert len(polled) > 30
    assert all(found == wanted for found in polled)


async def test_what_was_answered_before_the_loss_is_returned_first() -> None:
    rig = Rig([bind(0, 0), bind(1, 50)])
    await rig.connector.connect()
    await rig.connector.read()
    rig.link.seconds = 0.05
    reader = start_task("reader", rig.connector.read())
    await rig.clock.advance(0.16)
    rig.link.lost = True
    await rig.clock.advance(0.1)
    assert [sample.signal for sample in (await reader).samples] == ["line/unit/s0"]
    with pytest.raises(SourceLost):
        await rig.connector.read()


async def test_a_device_that_vanishes_during_connect_is_unreachable() -> None:
    rig = Rig(row(2))
    rig.link.seconds = 0.1
    connecting = start_task("connect", rig.connector.connect())
    await rig.clock.advance(0.05)
    rig.link.lost = True
    await rig.clock.advance(0.1)
    with pytest.raises(SourceUnreachable):
        await connecting


async def test_a_quiet_schedule_still_gives_signs_of_life() -> None:
    rig = Rig([bind(0, 0, period_milliseconds=60_000)])
    await rig.connector.connect()
    await rig.connector.read()
    reader = start_task("reader", rig.connector.read())
    await rig.clock.advance(2.1)
    assert (await reader).samples == []


@pytest.mark.parametrize(
    ("number", "value", "seal", "seconds", "said"),
    [
        (0, 1.0, Seal(), 1.0, "seal"),
        (0, 1.0, SEAL, 0.0, "expired"),
        (1, 1.0, SEAL, 1.0, "not writable"),
        (0, 70_000.0, SEAL, 1.0, "does not fit"),
    ],
)
async def test_commands_that_are_not_carried_out(
    number: int, value: float, seal: Seal, seconds: float, said: str
) -> None:
    rig = Rig([bind(0, 0, writable=True), bind(1, 1)])
    await rig.connector.connect()
    with pytest.raises(WriteFailed, match=said):
        await rig.connector.write(command(number, value, rig.clock, seal=seal, seconds=seconds))
    assert rig.link.writes == []


async def test_a_command_that_expires_while_it_waits_is_not_carried_out() -> None:
    rig = Rig([bind(0, 0, writable=True)])
    await rig.connector.connect()
    rig.link.seconds = 0.5
    poller = start_task("poller", rig.connector.poll(["line/unit/s0"]))
    await rig.clock.advance(0.1)
    writer = start_task("writer", rig.connector.write(command(0, 1.0, rig.clock, seconds=0.2)))
    await rig.clock.advance(1.0)
    await poller
    with pytest.raises(WriteFailed, match="expired"):
        await writer
    assert rig.link.writes == []


@pytest.mark.parametrize(("code", "kind"), [(2, WriteFailed), (4, WriteFailed), (5, WriteUnknown), (11, WriteUnknown)])
async def test_a_refused_write(code: int, kind: type[Exception]) -> None:
    rig = Rig([bind(0, 0, writable=True)])
    await rig.connector.connect()
    rig.link.refusal = code
    with pytest.raises(kind, match=f"modbus exception {code}"):
        await rig.connector.write(command(0, 1.0, rig.clock))


async def test_a_write_without_answer_is_unknown_and_before_it_is_sent_a_failure() -> None:
    rig = Rig([bind(0, 0, writable=True)])
    await rig.connector.connect()
    rig.link.seconds = 0.1
    writer = start_task("writer", rig.connector.write(command(0, 1.0, rig.clock)))
    await rig.clock.advance(0.05)
    rig.link.lost = True
    await rig.clock.advance(0.1)
    with pytest.raises(WriteUnknown):
        await writer
    with pytest.raises(WriteFailed):
        await rig.connector.write(command(0, 1.0, rig.clock))


async def test_a_scaled_write_goes_out_in_one_piece() -> None:
    rig = Rig([bind(0, 7, writable=True, type="int32", scale=0.1, word_order="CDAB")])
    await rig.connector.connect()
    await rig.connector.write(command(0, -12.3, rig.clock))
    assert rig.link.writes == [(7, bytes.fromhex("FF85FFFF"))]


def test_what_an_address_cannot_hold_is_a_config_fault() -> None:
    bindings = (
        Binding(
            Signal("line/unit/text", "1", ValueType.STRING),
            ModbusAddress.model_validate({"table": "input", "register": 0, "type": "int16"}),
        ),
        bind(1, 1, writable=True, table="input"),
    )
    settings = ModbusOptions.model_validate({"host": "device"})
    with pytest.raises(ConfigError) as caught:
        KIND.build(SourceSetup("device", settings, bindings, VirtualClock(), SEAL, Path()))
    assert len(caught.value.faults) == 2

"""The contract that every kind of south connector keeps. A kind's test subclasses it and provides a `rig`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import pytest

from edged.clock import SystemClock
from edged.errors import SourceLost, SourceUnreachable, WriteFailed
from edged.ports import Connector, Poller, Writer
from edged.types import Command, Quality, Sample, Seal

RETURN_SECONDS = 5.0
DATA_SECONDS = 10.0
CLOCK_TOLERANCE_NANOSECONDS = 5_000_000_000
COMMAND_SECONDS = 5.0


class Rig(Protocol):
    """A real device (or server) of one kind, and what the contract must know of it."""

    reading: str
    """Path of a signal that `change` moves."""
    absent: str | None
    """Path of a configured signal whose address the device does not have; None if the kind cannot have one."""
    refuses_at_connect: bool
    """Whether `connect` can tell that `absent` is not there."""
    writable: str | None
    """Path of a signal that can be written, None if the kind cannot write."""
    seal: Seal
    """The seal that the source was set up with."""
    loss_seconds: float
    """How soon a broken connection must be noticed."""
    pace_seconds: float
    """Changes further apart than this are all seen."""

    def build(self) -> Connector: ...

    async def change(self, value: float) -> None:
        """The device's value of `reading` becomes this."""
        ...

    async def held(self) -> float:
        """The device's own value of `writable`."""
        ...

    async def break_off(self) -> None:
        """The device goes away without a word."""
        ...

    async def restore(self) -> None:
        """The device is back."""
        ...


async def collect(connector: Connector, enough: Callable[[list[Sample]], bool], seconds: float) -> list[Sample]:
    """Reads until the samples so far are enough; fails after the time with what there is."""
    samples: list[Sample] = []
    try:
        async with asyncio.timeout(seconds):
            while not enough(samples):
                samples.extend((await connector.read()).samples)
    except TimeoutError:
        pytest.fail(f"not enough within {seconds} s: {samples[-10:]}")
    return samples


async def read_on(connector: Connector, seconds: float) -> None:
    """Reads until the connector raises; fails with TimeoutError when it does not."""
    async with asyncio.timeout(seconds):
        while True:
            await connector.read()


async def connected(rig: Rig, seconds: float = RETURN_SECONDS) -> Connector:
    """A new connector that is connected; tries again, with a new one, for as long as the device may take to come."""
    async with asyncio.timeout(seconds):
        while True:
            connector = rig.build()
            try:
                await connector.connect()
            except (SourceUnreachable, SourceLost):
                await connector.close()
                await asyncio.sleep(0.1)
            else:
                return connector


def command(rig: Rig, value: float, *, seal: Seal | None = None, seconds: float = COMMAND_SECONDS) -> Command:
    """A command to the rig's writable signal."""
    assert rig.writable is not None
    now = SystemClock().monotonic()
    return Command(rig.writable, value, "contract", now, now + seconds, "contract-1", seal or rig.seal)


def values(samples: list[Sample], signal: str) -> list[object]:
    """The values of one signal, in the order in which they came."""
    return [sample.value for sample in samples if sample.signal == signal and sample.value is not None]


class ConnectorContract:
    """Subclass it as `class TestContract(ConnectorContract)` and give it an async fixture named `rig`."""

    async def test_connect_gives_one_status_per_signal(self, rig: Rig) -> None:
        connector = rig.build()
        try:
            statuses = {status.signal: status for status in (await connector.connect()).signals}
            assert statuses[rig.reading].accepted
            if rig.absent is not None and rig.refuses_at_connect:
                assert not statuses[rig.absent].accepted
                assert statuses[rig.absent].reason
        finally:
            await connector.close()

    async def test_read_brings_every_change_with_quality_and_time(self, rig: Rig) -> None:
        connector = await connected(rig)
        wanted = [11.0, 12.0, 13.0, 14.0]

        async def move() -> None:
            for value in wanted:
                await rig.change(value)
                await asyncio.sleep(rig.pace_seconds)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(move())
                samples = await collect(connector, lambda s: 14.0 in values(s, rig.reading), DATA_SECONDS)
        finally:
            await connector.close()
        came = [value for value in values(samples, rig.reading) if value in wanted]
        assert list(dict.fromkeys(came)) == wanted
        now = SystemClock().now()
        for sample in samples:
            if sample.signal == rig.reading and sample.value in wanted:
                assert sample.quality == Quality.GOOD
                assert abs(now - sample.receive_time) < CLOCK_TOLERANCE_NANOSECONDS
                assert abs(now - sample.source_time) < CLOCK_TOLERANCE_NANOSECONDS

    async def test_an_absent_address_harms_no_other_signal(self, rig: Rig) -> None:
        if rig.absent is None:
            pytest.skip("this kind has no absent addresses")
        connector = await connected(rig)
        try:
            await rig.change(21.0)
            samples = await collect(connector, lambda s: 21.0 in values(s, rig.reading), DATA_SECONDS)
        finally:
            await connector.close()
        assert not values(samples, rig.absent)

    async def test_a_device_that_is_away_is_unreachable(self, rig: Rig) -> None:
        await rig.break_off()
        connector = rig.build()
        try:
            with pytest.raises(SourceUnreachable):
                await connector.connect()
        finally:
            await connector.close()

    async def test_a_loss_is_told_and_a_new_connector_reads_soon_after_the_return(self, rig: Rig) -> None:
        connector = await connected(rig)
        try:
            await rig.change(31.0)
            await collect(connector, lambda s: 31.0 in values(s, rig.reading), DATA_SECONDS)
            await rig.break_off()
            with pytest.raises(SourceLost):
                await read_on(connector, rig.loss_seconds)
        finally:
            await connector.close()
        await rig.restore()
        await rig.change(32.0)
        async with asyncio.timeout(RETURN_SECONDS):
            connector = await connected(rig)
            try:
                await rig.change(33.0)
                await collect(connector, lambda s: 33.0 in values(s, rig.reading), RETURN_SECONDS)
            finally:
                await connector.close()

    async def test_only_a_sealed_and_unexpired_command_reaches_the_device(self, rig: Rig) -> None:
        if rig.writable is None:
            pytest.skip("this kind cannot write")
        connector = await connected(rig)
        try:
            assert isinstance(connector, Writer)
            await connector.write(command(rig, 41.0))
            assert await rig.held() == 41.0
            for refused in (command(rig, 42.0, seal=Seal()), command(rig, 43.0, seconds=-1.0)):
                with pytest.raises(WriteFailed):
                    await connector.write(refused)
            other = command(rig, 44.0)
            with pytest.raises(WriteFailed):
                await connector.write(
                    Command(rig.reading, 44.0, "contract", 0.0, other.expires, "contract-2", rig.seal)
                )
            assert await rig.held() == 41.0
        finally:
            await connector.close()

    async def test_poll_reads_past_any_report_by_exception(self, rig: Rig) -> None:
        connector = await connected(rig)
        try:
            if not isinstance(connector, Poller):
                pytest.skip("this kind cannot be polled")
            await rig.change(51.0)
            for _ in range(2):
                samples = (await connector.poll([rig.reading])).samples
                assert values(list(samples), rig.reading)[-1] == 51.0
        finally:
            await connector.close()

    async def test_close_is_safe_at_any_time(self, rig: Rig) -> None:
        connector = rig.build()
        await connector.close()
        connector = await connected(rig)
        await connector.close()
        await connector.close()

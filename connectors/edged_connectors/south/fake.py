"""A source without a device: waveforms for a dry run, and a device that tests script. It keeps the same contract."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from edged.clock import Clock
from edged.errors import AccessRefused, EdgedError, SourceLost, SourceUnreachable, WriteFailed
from edged.ports import Connection, Reading, SignalStatus
from edged.registry import ConnectorKind, SourceSetup
from edged.settings import Finite, Seconds, Section
from edged.types import Command, Quality, Sample, Value, ValueType
from edged_connectors.south.deadline import deadline


class Waveform(StrEnum):
    """What a signal does by itself; silent signals change only when a test changes them."""

    SILENT = "silent"
    COUNTER = "counter"
    SINE = "sine"


class FakeOptions(Section):
    """How often every signal with a waveform gets a value."""

    period_milliseconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1000.0


class FakeAddress(Section):
    """The course of one signal: a counter in steps of one, or mean + amplitude * sin(2 pi t / cycle)."""

    waveform: Waveform = Waveform.COUNTER
    mean: Finite = 0.0
    amplitude: Finite = 1.0
    cycle_seconds: Seconds = 60.0


class FakeDevice:
    """A device in memory. It outlives its connections, as a real one does; tests change and break it."""

    def __init__(self, clock: Clock) -> None:
        self.reachable = True
        self.trusts_us = True
        self.resumes = False
        self.refused: dict[str, str] = {}
        self.write_fault: EdgedError | None = None
        self.poll_fault: EdgedError | None = None
        self.written: list[Command] = []
        self.acknowledged: list[object] = []
        self.sessions = 0
        self.closed = 0
        self._clock = clock
        self._values: dict[str, Sample] = {}
        self._line: asyncio.Queue[Reading | EdgedError] | None = None

    def change(self, signal: str, value: Value | None, quality: Quality = Quality.GOOD, reason: str = "") -> None:
        """The signal takes a value now, and whoever is connected hears of it."""
        now = self._clock.now()
        self._values[signal] = Sample(signal, value, now, now, quality, reason)
        self.send(Reading((self._values[signal],)))

    def send(self, reading: Reading) -> None:
        """Whoever is connected reads this next."""
        if self._line is not None:
            self._line.put_nowait(reading)

    def break_off(self, fault: EdgedError | None = None) -> None:
        """The connection ends; `reachable` decides whether the next one comes about."""
        if self._line is not None:
            self._line.put_nowait(fault or SourceLost("the fake device broke off"))

    def open(self, line: asyncio.Queue[Reading | EdgedError]) -> None:
        """A connection begins with what the device holds. Raises SourceUnreachable or AccessRefused."""
        if not self.reachable:
            raise SourceUnreachable("the fake device does not answer")
        if not self.trusts_us:
            raise AccessRefused("the fake device does not know us")
        self.sessions += 1
        self._line = line
        if self._values:
            now = self._clock.now()
            line.put_nowait(Reading([sample._replace(receive_time=now) for sample in self._values.values()]))

    def shut(self, line: asyncio.Queue[Reading | EdgedError]) -> None:
        """A connection is closed in good order."""
        self.closed += 1
        if self._line is line:
            self._line = None

    def look_up(self, signals: Sequence[str]) -> Reading:
        """What the device holds now. Raises the scripted fault."""
        if self.poll_fault is not None:
            raise self.poll_fault
        now = self._clock.now()
        held = [self._values[signal] for signal in signals if signal in self._values]
        return Reading([sample._replace(source_time=now, receive_time=now) for sample in held])

    def write(self, command: Command) -> None:
        """Takes a value. Raises the scripted fault."""
        if self.write_fault is not None:
            raise self.write_fault
        self.written.append(command)
        self.change(command.signal, command.value)


class FakeConnector:
    """One connection to a fake device, plus the waveforms of its signals."""

    def __init__(self, setup: SourceSetup, device: FakeDevice) -> None:
        assert isinstance(setup.options, FakeOptions)
        self._setup = setup
        self._clock = setup.clock
        self._device = device
        self._period = setup.options.period_milliseconds / 1000
        self._line: asyncio.Queue[Reading | EdgedError] = asyncio.Queue()
        self._moving = [b for b in setup.bindings if _address(b.address).waveform is not Waveform.SILENT]
        self._writable = {binding.signal.path for binding in setup.bindings if binding.signal.writable}
        self._count = 0
        self._due = 0.0

    async def connect(self) -> Connection:
        """Raises SourceUnreachable or AccessRefused, as scripted."""
        self._device.open(self._line)
        self._due = self._clock.monotonic() + self._period
        refused = self._device.refused
        paths = [binding.signal.path for binding in self._setup.bindings]
        return Connection([SignalStatus(p, p not in refused, refused.get(p, "")) for p in paths], self._device.resumes)

    async def read(self) -> Reading:
        """The next scripted reading or the next tick of the waveforms. Raises SourceLost, as scripted."""
        if self._moving:
            try:
                async with deadline(self._clock, lambda: self._due):
                    found = await self._line.get()
            except TimeoutError:
                return self._tick()
        else:
            found = await self._line.get()
        if isinstance(found, EdgedError):
            raise found
        return found

    async def poll(self, signals: Sequence[str]) -> Reading:
        """What the device holds now."""
        return self._device.look_up(signals)

    async def write(self, command: Command) -> None:
        """Takes a sealed, unexpired command. Raises WriteFailed, or what is scripted."""
        if command.seal is not self._setup.seal:
            raise WriteFailed(f"{command.signal}: the command does not bear the gate's seal")
        if self._clock.monotonic() >= command.expires:
            raise WriteFailed(f"{command.signal}: the command has expired")
        if command.signal not in self._writable:
            raise WriteFailed(f"{command.signal} is not a writable signal of this source")
        self._device.write(command)

    def acknowledge(self, receipt: object) -> None:
        """Tells the device that a reading is safe."""
        self._device.acknowledged.append(receipt)

    async def close(self) -> None:
        """Leaves the device."""
        self._device.shut(self._line)

    def _tick(self) -> Reading:
        self._count += 1
        self._due += self._period
        now, seconds = self._clock.now(), self._clock.monotonic()
        return Reading(
            [
                Sample(b.signal.path, _value(_address(b.address), b.signal.type, self._count, seconds), now, now)
                for b in self._moving
            ]
        )


def _value(address: FakeAddress, kind: ValueType, count: int, seconds: float) -> Value:
    course = float(count)
    if address.waveform is Waveform.SINE:
        course = address.mean + address.amplitude * math.sin(2 * math.pi * seconds / address.cycle_seconds)
    if kind is ValueType.STRING:
        return f"{course:g}"
    if kind is ValueType.BOOL:
        return course > address.mean if address.waveform is Waveform.SINE else count % 2 == 1
    return round(course) if kind is ValueType.INT else course


def _address(address: object) -> FakeAddress:
    assert isinstance(address, FakeAddress)
    return address


def _build(setup: SourceSetup) -> FakeConnector:
    return FakeConnector(setup, FakeDevice(setup.clock))


KIND = ConnectorKind(name="fake", options=FakeOptions, address=FakeAddress, build=_build)

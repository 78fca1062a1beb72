"""Modbus devices, TCP or RTU: blocks are read on a steady schedule, values written under the gate's seal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, model_validator
from pydantic import Field as Option

from edged.clock import Clock
from edged.errors import ConfigError, SourceLost, SourceUnreachable, WriteFailed, WriteUnknown
from edged.log import get_logger
from edged.ports import Connection, Connector, Reading, SignalStatus
from edged.registry import Binding, ConnectorKind, SourceSetup
from edged.settings import Seconds, Section
from edged.types import Command, Sample, Signal
from edged_connectors.south.modbus_blocks import MAX_REGISTERS, plan, split
from edged_connectors.south.modbus_link import TcpLink
from edged_connectors.south.modbus_parts import Group, Part
from edged_connectors.south.modbus_report import Reports
from edged_connectors.south.modbus_requests import ILLEGAL_DATA_ADDRESS, Link, ModbusRefusal
from edged_connectors.south.modbus_rtu import RtuLink
from edged_connectors.south.modbus_schedule import Due
from edged_connectors.south.modbus_serial import SerialPort
from edged_connectors.south.modbus_types import (
    BIT_TABLES,
    Field,
    ModbusAddress,
    WordOrder,
    encode,
    mismatch,
)

LIFE_SECONDS = 2.0
"""A reading comes at least so often, empty when nothing is due, for as long as the connection stands."""
RETRY_SECONDS = 60.0
"""How often a signal whose address the device denies is tried again, on its own."""
LAST_SERIAL_UNIT = 247
UNDECIDED_EXCEPTIONS = frozenset({5, 11})
"""The device is still working on it, or the gateway heard nothing from it: the write may yet be applied."""

log = get_logger("modbus")


class RegisterWrites(StrEnum):
    """How a single register is written: FC16 as all others, or FC6 for devices that know no better."""

    MULTIPLE = "multiple"
    SINGLE = "single"


class ModbusOptions(Section):
    """One Modbus device, at a TCP `host` or as a unit of a `serial` line (RTU)."""

    host: str | None = None
    port: Annotated[int, Option(gt=0, le=65535)] = 502
    serial: SerialPort | None = None
    device_id: Annotated[int, Option(ge=0, le=255, description="unit identifier")] = 1
    period_milliseconds: Annotated[int, Option(ge=1)] = 1000
    timeout_seconds: Annotated[float, Option(gt=0, le=1.0, description="for one request")] = 1.0
    max_gap_registers: Annotated[int, Option(ge=0, description="unmapped addresses that one request may cross")] = 0
    max_registers_per_request: Annotated[int, Option(ge=4, le=MAX_REGISTERS)] = MAX_REGISTERS
    word_order: WordOrder = Option(default=WordOrder.ABCD, description="where an address names none")
    heartbeat_seconds: Seconds = Option(default=60.0, description="signals with a deadband are reported so often")
    register_writes: RegisterWrites = RegisterWrites.MULTIPLE

    @model_validator(mode="after")
    def _one_transport(self) -> ModbusOptions:
        if (self.host is None) == (self.serial is None):
            raise ValueError("name exactly one of host and serial")
        if self.serial is not None and "port" in self.model_fields_set:
            raise ValueError("port belongs to host; a serial port is named by serial.path")
        if self.serial is not None and not 1 <= self.device_id <= LAST_SERIAL_UNIT:
            raise ValueError(f"device_id on a serial line is 1 to {LAST_SERIAL_UNIT}, got {self.device_id}")
        return self


class ModbusConnector:
    """One device. Requests take turns; whoever asks directly waits for no more than the request in flight."""

    def __init__(self, setup: SourceSetup, link: Link) -> None:
        options = setup.options
        assert isinstance(options, ModbusOptions)
        self._name = setup.name
        self._clock: Clock = setup.clock
        self._seal = setup.seal
        self._options = options
        self._link = link
        self._turn = asyncio.Lock()
        self._fields = [_field(binding, options) for binding in setup.bindings]
        self._writable = {field.signal.path: field for field in self._fields if field.signal.writable}
        self._reports = Reports(self._fields, options.heartbeat_seconds)
        self._groups: list[Group] = []
        self._ready: list[Sample] = []

    @property
    def overruns(self) -> int:
        """Readings that were skipped because the device or this machine was late."""
        return sum(group.due.overruns for group in self._groups)

    async def connect(self) -> Connection:
        """Connects and reads every block once, to learn what the device denies. Raises SourceUnreachable."""
        await self._link.open()
        self._groups = self._arrange()
        try:
            for group in self._groups:
                for part in list(group.parts):
                    await self._read_part(group, part)
        except SourceLost as fault:
            raise SourceUnreachable(str(fault)) from fault
        parts = [part for group in self._groups for part in [*group.parts, *group.denied]]
        return Connection([SignalStatus(path, not part.refused, part.refused) for part in parts for path in part.paths])

    async def read(self) -> Reading:
        """Whatever was answered since the last reading, or the next blocks that are due. Raises SourceLost."""
        if not self._ready:
            self._link.check()
            await self._read_due()
        return self._take()

    async def poll(self, signals: Sequence[str]) -> Reading:
        """Reads the blocks that hold the signals, now, and returns all that was answered. Raises SourceLost.

        Its answers stand apart until all are there: `read` goes on meanwhile and takes only its own.
        """
        wanted = set(signals)
        answers: list[Sample] = []
        async with self._turn:
            try:
                for group in self._groups:
                    for part in [*group.parts, *group.denied]:
                        if group.holds(part) and not wanted.isdisjoint(part.paths):
                            await self._fetch(group, part, answers, everything=True)
            except SourceLost:
                self._ready += answers
                raise
            return Reading([*self._take().samples, *answers])

    async def write(self, command: Command) -> None:
        """Writes one value. Raises WriteFailed when nothing was changed, WriteUnknown when nobody can tell."""
        self._admit(command)
        target = self._writable[command.signal]
        payload = encode(target, command.value)
        async with self._turn:
            self._admit(command)
            try:
                self._link.check()
            except SourceLost as fault:
                raise WriteFailed(f"{command.signal}: {fault}") from fault
            try:
                await self._send(target, payload)
            except ModbusRefusal as refusal:
                kind = WriteUnknown if refusal.code in UNDECIDED_EXCEPTIONS else WriteFailed
                raise kind(f"{command.signal}: {refusal}") from refusal
            except SourceLost as fault:
                raise WriteUnknown(f"{command.signal}: {fault}") from fault

    async def close(self) -> None:
        """Closes the connection."""
        self._link.close()

    def _arrange(self) -> list[Group]:
        options = self._options
        by_period: dict[int, list[Field]] = {}
        for one in self._fields:
            by_period.setdefault(one.address.period_milliseconds or options.period_milliseconds, []).append(one)
        now = self._clock.monotonic()
        groups = []
        for milliseconds, fields in sorted(by_period.items()):
            most = options.max_registers_per_request
            blocks = plan(fields, max_gap=options.max_gap_registers, max_registers=most)
            period = milliseconds / 1000.0
            groups.append(Group(Due(period, now + period), [Part(block) for block in blocks], most))
        return groups

    async def _read_due(self) -> None:
        now = self._clock.monotonic()
        wait = min((group.due.next - now for group in self._groups), default=LIFE_SECONDS)
        if wait > 0:
            await self._clock.sleep(min(wait, LIFE_SECONDS))
            now = self._clock.monotonic()
        for group in self._groups:
            if group.due.next > now:
                continue
            self._advance(group, now)
            retries = [part for part, until in group.denied.items() if until <= now]
            try:
                for part in [*group.parts, *retries]:
                    await self._read_part(group, part)
            except SourceLost:
                if not self._ready:
                    raise
                return

    def _advance(self, group: Group, now: float) -> None:
        first = group.due.overruns == 0
        if group.due.advance(now) and first:
            log.warning("poll_overrun", source=self._name, period_seconds=group.due.period)

    async def _read_part(self, group: Group, part: Part) -> None:
        async with self._turn:
            if group.holds(part):
                await self._fetch(group, part, self._ready, everything=False)

    async def _fetch(self, group: Group, part: Part, into: list[Sample], *, everything: bool) -> None:
        """Reads one block, or its pieces when the device denies some address in it."""
        block = part.block
        try:
            raw = await self._link.read(block.table, block.start, block.count)
        except ModbusRefusal as refusal:
            smaller = split(block) if refusal.code == ILLEGAL_DATA_ADDRESS else []
            if not smaller:
                into += self._refuse(group, part, refusal, everything=everything)
                return
            parts = [Part(piece, part.stamp) for piece in smaller]
            group.replace(part, parts)
            for piece in parts:
                await self._fetch(group, piece, into, everything=everything)
            return
        now = self._clock.monotonic()
        if part.refused:
            log.info("block_accepted", source=self._name, signals=len(part.paths), first=part.paths[0])
            part.refused = ""
        samples = part.samples(raw, self._clock.now())
        if everything:
            self._reports.reported(samples, now)
        else:
            samples = self._reports.worthwhile(samples, now)
        into += samples
        if part in group.denied:
            group.restore(part)

    def _refuse(self, group: Group, part: Part, refusal: ModbusRefusal, *, everything: bool) -> Sequence[Sample]:
        """The block's signals are BAD: said when it begins, when asked for, and once a heartbeat."""
        now = self._clock.monotonic()
        reason = str(refusal)
        if refusal.code == ILLEGAL_DATA_ADDRESS:
            group.deny(part, now + RETRY_SECONDS)
        silent = now - part.told_at < self._options.heartbeat_seconds
        if part.refused == reason and silent and not everything:
            return ()
        if part.refused != reason:
            log.warning("block_refused", source=self._name, signals=len(part.paths), first=part.paths[0], fault=reason)
        part.refused = reason
        part.told_at = now
        return part.refusals(reason, self._clock.now())

    def _take(self) -> Reading:
        samples, self._ready = self._ready, []
        return Reading(samples)

    def _admit(self, command: Command) -> None:
        if command.seal is not self._seal:
            raise WriteFailed(f"{command.signal}: the command does not bear the gate's seal")
        if self._clock.monotonic() >= command.expires:
            raise WriteFailed(f"{command.signal}: the command has expired")
        if command.signal not in self._writable:
            raise WriteFailed(f"{command.signal} is not writable")

    async def _send(self, target: Field, payload: bytes) -> None:
        start = target.address.first
        if target.address.table in BIT_TABLES:
            await self._link.write_coil(start, value=any(payload))
        else:
            single = self._options.register_writes is RegisterWrites.SINGLE
            await self._link.write_registers(start, payload, single=single)


def _field(binding: Binding, options: ModbusOptions) -> Field:
    address = binding.address
    assert isinstance(address, ModbusAddress)
    return Field(binding.signal, address, address.word_order or options.word_order)


def misfit(signal: Signal, address: BaseModel) -> str:
    """Why the signal cannot be kept at this address; empty when it can."""
    return mismatch(signal, address) if isinstance(address, ModbusAddress) else ""


def build(setup: SourceSetup) -> Connector:
    """Raises ConfigError when a signal cannot be kept at its address."""
    options = setup.options
    assert isinstance(options, ModbusOptions)
    faults = [
        f"{setup.name}: {binding.signal.path}: {fault}"
        for binding in setup.bindings
        if isinstance(binding.address, ModbusAddress) and (fault := mismatch(binding.signal, binding.address))
    ]
    if faults:
        raise ConfigError(faults)
    return ModbusConnector(setup, _link(options, setup.clock))


def _link(options: ModbusOptions, clock: Clock) -> Link:
    if options.serial is not None:
        return RtuLink(options.serial, options.device_id, options.timeout_seconds, clock)
    assert options.host is not None
    return TcpLink(options.host, options.port, options.device_id, options.timeout_seconds)


KIND = ConnectorKind("modbus", ModbusOptions, ModbusAddress, build, misfit=misfit)

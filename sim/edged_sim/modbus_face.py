"""The Modbus TCP face: pymodbus serves registers that are computed when they are read."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.datastore import ModbusServerContext
from pymodbus.exceptions import NoSuchIdException
from pymodbus.pdu import ExceptionResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler

from edged.types import Value, ValueType
from edged_sim.journal import Journal
from edged_sim.link import LocalSet, OnWrite, Refusal, Tick
from edged_sim.registers import HIGHEST_UINT32, from_words, to_words
from edged_sim.tags import Encoding, Register, Table, Tag

DEVICE_ID = 1
_TABLE_OF_FUNCTION = {
    1: Table.COIL,
    5: Table.COIL,
    15: Table.COIL,
    4: Table.INPUT,
    3: Table.HOLDING,
    6: Table.HOLDING,
    16: Table.HOLDING,
}


class Memory(ModbusServerContext):
    """The device's memory: what pymodbus asks for each request. Reads are journalled and counted, writes are checked.

    Only the two methods that a server calls are used of the base class, whose own storage stays empty.
    """

    def __init__(self, tags: Sequence[Tag], journal: Journal, on_write: OnWrite) -> None:
        self.old_simulator = True
        self.simdevices = []
        self.delay_seconds = 0.0
        self.refusals: Sequence[Refusal] = ()
        self._journal = journal
        self._on_write = on_write
        self._words: dict[Table, dict[int, int]] = {table: {} for table in Table}
        self._tags: dict[Table, list[tuple[Tag, Register]]] = {table: [] for table in Table}
        for tag in tags:
            assert tag.register is not None
            self._tags[tag.register.table].append((tag, tag.register))
            self._store(tag.register, 0)
        self._counters = {table: _counter_of(rows) for table, rows in self._tags.items()}
        self._counts = {table: journal.last_counter(table) for table, register in self._counters.items() if register}

    def device_ids(self) -> list[int]:
        """The one device."""
        return [DEVICE_ID]

    def put(self, tag: Tag, value: Value | None) -> None:
        """Sets what the next read finds."""
        assert tag.register is not None
        self._store(tag.register, value)

    async def async_getValues(  # noqa: N802 - pymodbus's name
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        """Answers a read: counts it, journals it, returns it. A write is answered through here too, uncounted."""
        _known(device_id)
        table = _TABLE_OF_FUNCTION.get(func_code)
        if table is None:
            return ExcCodes.ILLEGAL_FUNCTION
        await self._wait()
        refused = self._refused(table, address, count)
        if refused is not None:
            return refused
        if func_code in (1, 3, 4):
            self._answer(table, address, count)
        words = [self._words[table][register] for register in range(address, address + count)]
        return [bool(word) for word in words] if table is Table.COIL else words

    async def async_setValues(  # noqa: N802 - pymodbus's name
        self, device_id: int, func_code: int, address: int, values: Sequence[int] | Sequence[bool]
    ) -> ExcCodes | None:
        """Applies a write whole, or refuses it whole."""
        _known(device_id)
        table = _TABLE_OF_FUNCTION.get(func_code)
        if table is not Table.HOLDING:
            return ExcCodes.ILLEGAL_ADDRESS
        await self._wait()
        refused = self._refused(table, address, len(values))
        if refused is not None:
            return refused
        written = dict(enumerate(map(int, values), start=address))
        touched = [pair for pair in self._tags[table] if not written.keys().isdisjoint(_span(pair[1]))]
        if not all(tag.writable for tag, _ in touched):
            return ExcCodes.ILLEGAL_ADDRESS
        after = self._words[table] | written
        changes = [(tag, from_words(register, [after[at] for at in _span(register)])) for tag, register in touched]
        if not all(_acceptable(tag, value) for tag, value in changes):
            return ExcCodes.ILLEGAL_VALUE
        self._apply(table, written, changes)
        return None

    def _apply(self, table: Table, written: dict[int, int], changes: Sequence[tuple[Tag, Value | None]]) -> None:
        for tag, value in changes:
            assert value is not None
            self._journal.written(tag.signal, value)
        self._words[table].update(written)
        for tag, value in changes:
            assert value is not None
            self._on_write(tag.path, value)

    def _answer(self, table: Table, address: int, count: int) -> None:
        covered = range(address, address + count)
        counter = self._counters[table]
        number = None
        if counter is not None and _inside(counter, covered):
            number = self._counts[table] = self._counts[table] % HIGHEST_UINT32 + 1
            self._store(counter, number)
        values = {
            tag.signal: self._value(tag, register) for tag, register in self._tags[table] if _inside(register, covered)
        }
        self._journal.answered(table, address, count, number, values)

    def _value(self, tag: Tag, register: Register) -> Value | None:
        value = from_words(register, [self._words[register.table][at] for at in _span(register)])
        return bool(value) if tag.type is ValueType.BOOL else value

    def _refused(self, table: Table, address: int, count: int) -> ExcCodes | None:
        registers = range(address, address + count)
        if not all(register in self._words[table] for register in registers):
            return ExcCodes.ILLEGAL_ADDRESS
        for refusal in self.refusals:
            if refusal.table == table and refusal.first < registers.stop and refusal.last >= registers.start:
                return ExcCodes(refusal.code)
        return None

    def _store(self, register: Register, value: Value | None) -> None:
        for at, word in zip(_span(register), to_words(register, value), strict=True):
            self._words[register.table][at] = word

    async def _wait(self) -> None:
        if self.delay_seconds > 0:
            await asyncio.sleep(self.delay_seconds)


class _Connection(ServerRequestHandler):
    """Answers each request under its own transaction, however late: pymodbus would take the newest one's."""

    async def handle_request(self) -> None:
        request, address = self.last_pdu, self.last_addr
        if not request:
            return
        try:
            response = await request.datastore_update(self.server.context, request.dev_id)
        except NoSuchIdException:
            response = ExceptionResponse(request.function_code, ExcCodes.GATEWAY_NO_RESPONSE)
        response.transaction_id = request.transaction_id
        response.dev_id = request.dev_id
        self.server_send(response, address)  # type: ignore[no-untyped-call]


class _Server(ModbusTcpServer):
    def callback_new_connection(self) -> Any:
        return _Connection(self, self.trace_packet, self.trace_pdu, self.trace_connect)  # type: ignore[no-untyped-call]


class ModbusFace:
    """Serves the forming section as device 1. Set-points belong to the face while it runs; the plant follows."""

    def __init__(self, tags: Sequence[Tag], journal: Journal, on_write: OnWrite, port: int) -> None:
        self._tags = tags
        self._port = port
        self._memory = Memory(tags, journal, on_write)
        self._fresh = True
        self._server: ModbusTcpServer | None = None

    async def listen(self) -> None:
        """Lets clients in, on the loopback interface. Raises RuntimeError when the port is taken."""
        self._server = _Server(self._memory, address=("127.0.0.1", self._port))
        await self._server.serve_forever(background=True)

    async def tick(self, tick: Tick) -> None:
        """Takes the readings of one moment; they are offered when a client asks."""
        for tag, value in zip(self._tags, tick.values, strict=True):
            if _is_counter(tag) or (tag.writable and not self._fresh):
                continue
            self._memory.put(tag, value)
        self._fresh = False
        self._memory.refusals = tick.refusals
        self._memory.delay_seconds = tick.delay_seconds

    async def local_set(self, message: LocalSet) -> None:
        """A set-point or a switch changed at the panel."""
        for tag in self._tags:
            if tag.path == message.set:
                self._memory.put(tag, message.value)

    async def stop(self) -> None:
        """Closes every connection."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]


def _span(register: Register) -> range:
    return range(register.address, register.address + register.size)


def _inside(register: Register, covered: range) -> bool:
    return register.address >= covered.start and register.address + register.size <= covered.stop


def _is_counter(tag: Tag) -> bool:
    return tag.register is not None and tag.register.encoding is Encoding.UINT32


def _counter_of(rows: Sequence[tuple[Tag, Register]]) -> Register | None:
    return next((register for tag, register in rows if _is_counter(tag)), None)


def _known(device_id: int) -> None:
    if device_id != DEVICE_ID:
        raise NoSuchIdException(f"device {device_id} is not here, only {DEVICE_ID}")


def _acceptable(tag: Tag, value: Value | None) -> bool:
    """Within the range that the PLC itself takes."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return False
    return (tag.low is None or value >= tag.low) and (tag.high is None or value <= tag.high)

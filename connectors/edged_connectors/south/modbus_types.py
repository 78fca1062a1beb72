"""Where a Modbus value is and how it is laid out on the wire; whole blocks are decoded by one `struct` call."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Annotated

from pydantic import Field as Option
from pydantic import model_validator

from edged.errors import WriteFailed
from edged.settings import Finite, Seconds, Section
from edged.types import Signal, Value, ValueType

REGISTER_BYTES = 2
REGISTER_BITS = 16
ADDRESSES = 65_536
MAX_TEXT_CHARACTERS = 250
"""125 registers, the most that one request can read."""

NOT_A_NUMBER = "not a number"
NOT_TEXT = "not UTF-8 text"


class Table(StrEnum):
    """The four tables of a Modbus device."""

    HOLDING = "holding"
    INPUT = "input"
    COIL = "coil"
    DISCRETE = "discrete"


BIT_TABLES = frozenset({Table.COIL, Table.DISCRETE})
READ_ONLY_TABLES = frozenset({Table.INPUT, Table.DISCRETE})


class WireType(StrEnum):
    """What a device stores at an address."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BOOL = "bool"
    STRING = "string"


class WordOrder(StrEnum):
    """How the bytes of a value lie in its registers, named after a 32-bit value whose most significant byte is A.

    For 64 bits: ABCDEFGH, GHEFCDAB, BADCFEHG, HGFEDCBA. A string keeps its registers in order; BADC and DCBA swap the
    two characters of each.
    """

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


SWAPPED_REGISTERS = frozenset({WordOrder.CDAB, WordOrder.DCBA})
SWAPPED_BYTES = frozenset({WordOrder.BADC, WordOrder.DCBA})

NUMBER_CODES = {
    WireType.INT16: "h",
    WireType.UINT16: "H",
    WireType.INT32: "i",
    WireType.UINT32: "I",
    WireType.INT64: "q",
    WireType.UINT64: "Q",
    WireType.FLOAT32: "f",
    WireType.FLOAT64: "d",
}
FLOATS = frozenset({WireType.FLOAT32, WireType.FLOAT64})


class ModbusAddress(Section):
    """Where one signal is. `first` is its first register, or its bit in a bit table."""

    table: Table
    first: Annotated[int, Option(alias="register", ge=0, lt=ADDRESSES, description="counted from 0, as on the wire")]
    type: WireType
    length: Annotated[int, Option(ge=1, le=MAX_TEXT_CHARACTERS, description="characters of a string")] | None = None
    bit: Annotated[int, Option(ge=0, lt=REGISTER_BITS, description="bit of a register, 0 is the lowest")] | None = None
    word_order: WordOrder | None = Option(default=None, description="the source's word_order if not given")
    scale: Finite = Option(default=1.0, description="value = raw * scale + offset")
    offset: Finite = 0.0
    period_milliseconds: Annotated[int, Option(ge=1)] | None = Option(default=None, description="its own poll group")
    heartbeat_seconds: Seconds | None = Option(default=None, description="with a deadband: report at least so often")

    @model_validator(mode="after")
    def _sound(self) -> ModbusAddress:
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        if (self.length is None) == (self.type is WireType.STRING):
            raise ValueError("length belongs to type string, and only to it")
        if self.bit is not None and (self.type is not WireType.BOOL or self.table in BIT_TABLES):
            raise ValueError("bit belongs to type bool in a register table")
        if self.table in BIT_TABLES and self.type is not WireType.BOOL:
            raise ValueError(f"table {self.table} holds bits: type must be bool, got {self.type}")
        if self.type not in NUMBER_CODES and (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError(f"scale and offset belong to numbers, not to {self.type}")
        if self.first + self.width > ADDRESSES:
            raise ValueError(f"ends beyond address {ADDRESSES - 1}")
        return self

    @property
    def width(self) -> int:
        """Registers, or bits in a bit table."""
        if self.length is not None:
            return math.ceil(self.length / REGISTER_BYTES)
        code = NUMBER_CODES.get(self.type)
        return struct.calcsize(f">{code}") // REGISTER_BYTES if code else 1


@dataclass(frozen=True, slots=True)
class Field:
    """One signal in its table, with everything settled."""

    signal: Signal
    address: ModbusAddress
    order: WordOrder

    @property
    def start(self) -> int:
        return self.address.first

    @property
    def end(self) -> int:
        """One past the last register or bit."""
        return self.address.first + self.address.width

    @property
    def fault(self) -> str:
        """The reason when the wire holds no usable value."""
        return NOT_TEXT if self.address.type is WireType.STRING else NOT_A_NUMBER


def mismatch(signal: Signal, address: ModbusAddress) -> str:
    """Why the signal cannot be kept at this address; empty when it can."""
    if (signal.type is ValueType.STRING) != (address.type is WireType.STRING):
        return f"a {signal.type} signal cannot hold {address.type}"
    if signal.type is not ValueType.BOOL and address.type is WireType.BOOL:
        return f"a {signal.type} signal cannot hold bool"
    if not signal.writable:
        return ""
    if address.table in READ_ONLY_TABLES:
        return f"table {address.table} cannot be written"
    if address.bit is not None or address.type is WireType.STRING:
        return "only whole numbers of registers and coils can be written"
    return ""


class BlockCodec:
    """Decodes the bytes of one answered register block into the values of its fields, all at once."""

    def __init__(self, start: int, fields: Sequence[Field]) -> None:
        layout = [
            (field.start - start) * REGISTER_BYTES + position
            for field in fields
            for position in _byte_order(field.address.width, field.order, field.address.type)
        ]
        self._in_order = layout == list(range(len(layout)))
        self._length = len(layout)
        self._arrange = itemgetter(*layout)
        self._struct = struct.Struct(">" + "".join(_code(field.address) for field in fields))
        self._finish = [_finisher(field.signal.type, field.address) for field in fields]

    def decode(self, raw: bytes) -> list[Value | None]:
        """The values in the order of the fields; None where the wire holds no usable value."""
        arranged = raw[: self._length] if self._in_order else bytes(self._arrange(raw))
        return [finish(item) for finish, item in zip(self._finish, self._struct.unpack(arranged), strict=True)]


class BitCodec:
    """Decodes the bytes of one answered coil or discrete block; the lowest bit of the first byte comes first."""

    def __init__(self, start: int, fields: Sequence[Field]) -> None:
        self._places = [divmod(field.start - start, 8) for field in fields]

    def decode(self, raw: bytes) -> list[Value | None]:
        """The values in the order of the fields."""
        return [bool(raw[byte] >> bit & 1) for byte, bit in self._places]


def encode(field: Field, value: float) -> bytes:
    """The bytes of the field's registers for a value in the signal's unit. Raises WriteFailed."""
    address = field.address
    path = field.signal.path
    raw = (value - address.offset) / address.scale
    if not math.isfinite(raw):
        raise WriteFailed(f"{path}: {value!r} is not a number that {address.type} can hold")
    code = NUMBER_CODES.get(address.type, "H")
    try:
        plain = struct.pack(f">{code}", raw if address.type in FLOATS else round(raw))
    except (struct.error, OverflowError):
        raise WriteFailed(f"{path}: {value!r} does not fit into {address.type}") from None
    wire = bytearray(len(plain))
    for byte, position in zip(plain, _byte_order(address.width, field.order, address.type), strict=True):
        wire[position] = byte
    return bytes(wire)


def _code(address: ModbusAddress) -> str:
    if address.type is WireType.STRING:
        return f"{address.width * REGISTER_BYTES}s"
    return NUMBER_CODES.get(address.type, "H")


def _byte_order(width: int, order: WordOrder, kind: WireType) -> list[int]:
    """Positions on the wire of a value's bytes, most significant first."""
    registers = list(range(width))
    if order in SWAPPED_REGISTERS and kind is not WireType.STRING:
        registers.reverse()
    pair = (1, 0) if order in SWAPPED_BYTES else (0, 1)
    return [register * REGISTER_BYTES + byte for register in registers for byte in pair]


def _finisher(kind: ValueType, address: ModbusAddress) -> Callable[..., Value | None]:
    """From what `struct` found to the value in the signal's unit and type."""
    if address.type is WireType.STRING:
        return _text_of(address.length or 0)
    if address.bit is not None:
        mask = 1 << address.bit
        return lambda raw: bool(raw & mask)
    if kind is ValueType.BOOL:
        return bool
    scaled = _scaled(address.scale, address.offset)
    return _whole(scaled) if kind is ValueType.INT else _real(scaled)


def _scaled(scale: float, offset: float) -> Callable[[float], float] | None:
    """Raw to unit. A scale such as 0.1 divides by 10, so that 1234 becomes the number nearest to 123.4."""
    if (scale, offset) == (1.0, 0.0):
        return None
    divisor = round(1.0 / scale)
    if divisor and 1.0 / divisor == scale:
        return lambda raw: raw / divisor + offset
    return lambda raw: raw * scale + offset


def _real(scaled: Callable[[float], float] | None) -> Callable[[float], float | None]:
    def finish(raw: float) -> float | None:
        value = float(raw) if scaled is None else scaled(raw)
        return value if math.isfinite(value) else None

    return finish


def _whole(scaled: Callable[[float], float] | None) -> Callable[[float], int | None]:
    def finish(raw: float) -> int | None:
        value = raw if scaled is None else scaled(raw)
        return round(value) if math.isfinite(value) else None

    return finish


def _text_of(length: int) -> Callable[[bytes], str | None]:
    def finish(raw: bytes) -> str | None:
        try:
            return raw[:length].split(b"\0", 1)[0].decode().rstrip()
        except UnicodeDecodeError:
            return None

    return finish

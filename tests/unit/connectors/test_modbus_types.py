"""Wire types: hand-computed vectors, all word orders both ways, and what does not fit."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edged.errors import WriteFailed
from edged.types import Signal, ValueType
from edged_connectors.south.modbus_types import (
    BitCodec,
    BlockCodec,
    Field,
    ModbusAddress,
    WireType,
    WordOrder,
    encode,
    mismatch,
)


def field(kind: ValueType = ValueType.FLOAT, *, writable: bool = False, **address: Any) -> Field:
    wanted = ModbusAddress.model_validate({"table": "holding", "register": 0, **address})
    return Field(Signal("line/unit/value", "1", kind, writable=writable), wanted, wanted.word_order or WordOrder.ABCD)


def decode(one: Field, raw: bytes) -> Any:
    return BlockCodec(one.start, [one]).decode(raw)[0]


# 123.456 as float32 is 0x42F6E979; 305419896 is 0x12345678; 1.0 as float64 is 0x3FF0000000000000;
# -2 as int64 is 0xFFFFFFFFFFFFFFFE; 0x0102030405060708 is 72623859790382856.
VECTORS = [
    ("float32", "ABCD", "42F6E979", 123.45600128173828),
    ("float32", "CDAB", "E97942F6", 123.45600128173828),
    ("float32", "BADC", "F64279E9", 123.45600128173828),
    ("float32", "DCBA", "79E9F642", 123.45600128173828),
    ("uint32", "ABCD", "12345678", 305419896),
    ("uint32", "CDAB", "56781234", 305419896),
    ("uint32", "BADC", "34127856", 305419896),
    ("uint32", "DCBA", "78563412", 305419896),
    ("int32", "CDAB", "FFFEFFFF", -2),
    ("float64", "ABCD", "3FF0000000000000", 1.0),
    ("float64", "CDAB", "0000000000003FF0", 1.0),
    ("float64", "BADC", "F03F000000000000", 1.0),
    ("float64", "DCBA", "000000000000F03F", 1.0),
    ("uint64", "ABCD", "0102030405060708", 72623859790382856),
    ("uint64", "CDAB", "0708050603040102", 72623859790382856),
    ("uint64", "BADC", "0201040306050807", 72623859790382856),
    ("uint64", "DCBA", "0807060504030201", 72623859790382856),
    ("int64", "BADC", "FFFFFFFFFFFFFEFF", -2),
    ("int16", "ABCD", "FB2E", -1234),
    ("int16", "CDAB", "FB2E", -1234),
    ("int16", "DCBA", "2EFB", -1234),
    ("uint16", "BADC", "0100", 1),
]


@pytest.mark.parametrize(("kind", "order", "wire", "value"), VECTORS)
def test_vectors_both_ways(kind: str, order: str, wire: str, value: float) -> None:
    number = ValueType.FLOAT if kind.startswith("float") else ValueType.INT
    one = field(number, type=kind, word_order=order)
    assert decode(one, bytes.fromhex(wire)) == value
    if abs(value) < 2**53:
        assert encode(one, value) == bytes.fromhex(wire)


@pytest.mark.parametrize("order", list(WordOrder))
@given(number=st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_float32_survives_the_round_trip(order: WordOrder, number: float) -> None:
    one = field(type="float32", word_order=order)
    assert decode(one, encode(one, number)) == number


@pytest.mark.parametrize("order", list(WordOrder))
@given(number=st.integers(-(2**31), 2**31 - 1))
def test_int32_survives_the_round_trip(order: WordOrder, number: int) -> None:
    one = field(ValueType.INT, type="int32", word_order=order)
    assert decode(one, encode(one, number)) == number


@given(
    orders=st.lists(st.sampled_from(list(WordOrder)), min_size=1, max_size=20),
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=20, max_size=20),
    gaps=st.lists(st.integers(0, 3), min_size=20, max_size=20),
)
def test_a_block_decodes_like_its_values_one_by_one(
    orders: list[WordOrder], numbers: list[float], gaps: list[int]
) -> None:
    fields, raw, at = [], b"", 7
    for order, number, gap in zip(orders, numbers, gaps, strict=False):
        at += gap
        raw += b"\xaa\xbb" * gap
        one = field(register=at, type="float64", word_order=order)
        fields.append(one)
        raw += encode(one, number)
        at += 4
    assert BlockCodec(7, fields).decode(raw) == numbers[: len(fields)]


@pytest.mark.parametrize("text", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_has_no_value(text: float) -> None:
    assert decode(field(type="float32"), struct.pack(">f", text)) is None
    assert decode(field(ValueType.INT, type="float64"), struct.pack(">d", text)) is None
    assert decode(field(type="float64", scale=10), struct.pack(">d", 1e308)) is None


def test_tenths_become_the_nearest_decimal() -> None:
    one = field(type="int16", scale=0.1)
    assert [decode(one, struct.pack(">h", raw)) for raw in (3, 1234, -7)] == [0.3, 123.4, -0.7]


def test_scale_and_offset() -> None:
    one = field(type="uint16", scale=0.5, offset=-40)
    assert decode(one, b"\x00\x64") == 10.0
    assert encode(one, 10.0) == b"\x00\x64"


@pytest.mark.parametrize("raw", range(-5, 6))
def test_a_boolean_in_a_register(raw: int) -> None:
    assert decode(field(ValueType.BOOL, type="bool"), struct.pack(">h", raw)) is (raw != 0)


def test_a_bit_in_a_register() -> None:
    found = [decode(field(ValueType.BOOL, type="bool", bit=bit), b"\x80\x05") for bit in range(16)]
    assert [bit for bit, value in enumerate(found) if value] == [0, 2, 15]


@pytest.mark.parametrize(
    ("wire", "order", "length", "text"),
    [
        (b"GLAS", "ABCD", 4, "GLAS"),
        (b"LGSA", "BADC", 4, "GLAS"),
        (b"GLAS", "CDAB", 4, "GLAS"),
        (b"GL\0\xff", "ABCD", 4, "GL"),
        (b"AB  ", "ABCD", 4, "AB"),
        (b"ABCD", "ABCD", 3, "ABC"),
        (b"\xff\xfe", "ABCD", 2, None),
    ],
)
def test_strings(wire: bytes, order: str, length: int, text: str | None) -> None:
    assert decode(field(ValueType.STRING, type="string", length=length, word_order=order), wire) == text


@given(bits=st.lists(st.booleans(), min_size=1, max_size=100), first=st.integers(0, 50))
def test_coils(bits: list[bool], first: int) -> None:
    raw = bytearray((len(bits) + 7) // 8)
    for at, bit in enumerate(bits):
        raw[at // 8] |= bit << (at % 8)
    fields = [field(ValueType.BOOL, table="coil", type="bool", register=first + at) for at in range(len(bits))]
    assert BitCodec(first, fields).decode(bytes(raw)) == bits


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int16", 32768),
        ("int16", -32769),
        ("uint16", -1),
        ("uint16", 65536),
        ("int32", 2**31),
        ("uint32", -1),
        ("uint64", 2.0**64),
        ("float32", 1e39),
        ("float64", math.nan),
        ("float32", math.inf),
        ("bool", 65536),
    ],
)
def test_what_does_not_fit_is_not_written(kind: str, value: float) -> None:
    with pytest.raises(WriteFailed, match="line/unit/value"):
        encode(field(type=kind), value)


@pytest.mark.parametrize(
    "address",
    [
        {"type": "float32", "scale": 0},
        {"type": "string"},
        {"type": "int16", "length": 3},
        {"type": "int16", "bit": 3},
        {"type": "bool", "table": "coil", "bit": 3},
        {"type": "int16", "table": "coil"},
        {"type": "bool", "scale": 2},
        {"type": "float32", "register": 65535},
        {"type": "bool", "bit": 16},
        {"type": "float32", "scale": math.nan},
        {"type": "float31"},
        {"type": "float32", "registr": 3},
    ],
)
def test_addresses_that_make_no_sense(address: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModbusAddress.model_validate({"table": "holding", "register": 0, **address})


@pytest.mark.parametrize(
    ("kind", "writable", "address", "said"),
    [
        (ValueType.STRING, False, {"type": "int16"}, "cannot hold int16"),
        (ValueType.FLOAT, False, {"type": "string", "length": 2}, "cannot hold string"),
        (ValueType.FLOAT, False, {"type": "bool"}, "cannot hold bool"),
        (ValueType.FLOAT, True, {"type": "int16", "table": "input"}, "cannot be written"),
        (ValueType.BOOL, True, {"type": "bool", "bit": 1}, "only whole"),
        (ValueType.STRING, True, {"type": "string", "length": 2}, "only whole"),
        (ValueType.BOOL, True, {"type": "bool", "table": "coil"}, ""),
        (ValueType.BOOL, False, {"type": "uint16"}, ""),
        (ValueType.INT, True, {"type": "float32"}, ""),
    ],
)
def test_signals_that_an_address_cannot_hold(
    kind: ValueType, writable: bool, address: dict[str, Any], said: str
) -> None:
    one = field(kind, writable=writable, **address)
    fault = mismatch(one.signal, one.address)
    assert (said in fault) if said else not fault


def test_widths() -> None:
    widths = {kind: field(type=kind).address.width for kind in WireType if kind is not WireType.STRING}
    assert widths == {
        WireType.INT16: 1,
        WireType.UINT16: 1,
        WireType.INT32: 2,
        WireType.UINT32: 2,
        WireType.INT64: 4,
        WireType.UINT64: 4,
        WireType.FLOAT32: 2,
        WireType.FLOAT64: 4,
        WireType.BOOL: 1,
    }
    assert field(ValueType.STRING, type="string", length=5).address.width == 3

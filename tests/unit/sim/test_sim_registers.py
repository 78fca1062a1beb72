"""Registers: every encoding and word order, against themselves and against pymodbus where it knows the order."""

from __future__ import annotations

import math
import struct
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from edged_sim.registers import from_words, to_words
from edged_sim.tags import Encoding, Register, Table, WordOrder

ORDERS = st.sampled_from(WordOrder)
BYTES_OF_1 = {
    WordOrder.ABCD: [0x3F80, 0x0000],
    WordOrder.CDAB: [0x0000, 0x3F80],
    WordOrder.BADC: [0x803F, 0x0000],
    WordOrder.DCBA: [0x0000, 0x803F],
}


@pytest.mark.parametrize("order", WordOrder)
def test_one_in_every_order(order: WordOrder) -> None:
    assert to_words(Register(Table.INPUT, 0, Encoding.FLOAT32, order), 1.0) == BYTES_OF_1[order]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), ORDERS)
def test_float32_comes_back(number: float, order: WordOrder) -> None:
    register = Register(Table.INPUT, 0, Encoding.FLOAT32, order)
    assert from_words(register, to_words(register, number)) == number


@given(st.floats(-1e30, 1e30))
def test_pymodbus_reads_what_was_written(number: float) -> None:
    rounded = struct.unpack(">f", struct.pack(">f", number))[0]
    orders: list[tuple[WordOrder, Literal["big", "little"]]] = [(WordOrder.ABCD, "big"), (WordOrder.CDAB, "little")]
    for order, word_order in orders:
        words = to_words(Register(Table.INPUT, 0, Encoding.FLOAT32, order), number)
        read = ModbusClientMixin.convert_from_registers(words, ModbusClientMixin.DATATYPE.FLOAT32, word_order)
        assert read == rounded


@given(st.integers(0, 2**32 - 1), ORDERS)
def test_uint32_comes_back(number: int, order: WordOrder) -> None:
    register = Register(Table.HOLDING, 0, Encoding.UINT32, order)
    assert from_words(register, to_words(register, number)) == number


@given(st.floats(-1e5, 1e5), st.sampled_from([1.0, 0.1, 0.01]))
def test_scaled_int16_is_off_by_half_a_step_at_most_or_saturated(number: float, scale: float) -> None:
    register = Register(Table.INPUT, 0, Encoding.INT16, scale=scale)
    read = from_words(register, to_words(register, number))
    assert isinstance(read, float)
    limited = min(max(number, -32768 * scale), 32767 * scale)
    assert read == pytest.approx(limited, abs=scale / 2 + 1e-9)


def test_no_value_is_a_nan_and_a_nan_is_no_value() -> None:
    register = Register(Table.INPUT, 0, Encoding.FLOAT32)
    words = to_words(register, None)
    assert math.isnan(struct.unpack(">f", struct.pack(">HH", *words))[0])
    assert from_words(register, words) is None


def test_coils_and_counters_are_whole() -> None:
    assert to_words(Register(Table.COIL, 0, Encoding.BOOL), True) == [1]
    assert from_words(Register(Table.INPUT, 0, Encoding.UINT16), [65535]) == 65535

"""Values as Modbus registers: four word orders, scaled integers, floats."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from edged.types import Value
from edged_sim.tags import Encoding, Register, WordOrder

LOWEST_INT16, HIGHEST_INT16 = -32_768, 32_767
HIGHEST_UINT16 = 65_535
HIGHEST_UINT32 = 4_294_967_295


def to_words(register: Register, value: Value | None) -> list[int]:
    """The registers that carry the value, saturated at the type's ends; None is a NaN (float32 only, else 0)."""
    number = math.nan if value is None else float(value)
    if register.encoding is Encoding.FLOAT32:
        return _ordered(struct.pack(">f", number), register.order)
    raw = 0 if math.isnan(number) else round(number / register.scale)
    if register.encoding is Encoding.UINT32:
        return _ordered(struct.pack(">I", min(max(raw, 0), HIGHEST_UINT32)), register.order)
    if register.encoding is Encoding.INT16:
        return [min(max(raw, LOWEST_INT16), HIGHEST_INT16) & HIGHEST_UINT16]
    return [min(max(raw, 0), HIGHEST_UINT16)]


def from_words(register: Register, words: Sequence[int]) -> Value | None:
    """The value as any client reads it; None for a NaN."""
    if register.encoding in (Encoding.FLOAT32, Encoding.UINT32):
        data = _bytes(words, register.order)
        if register.encoding is Encoding.UINT32:
            return int.from_bytes(data, "big")
        number: float = struct.unpack(">f", data)[0]
        return number if math.isfinite(number) else None
    raw = words[0]
    if register.encoding is Encoding.INT16:
        raw = raw - HIGHEST_UINT16 - 1 if raw > HIGHEST_INT16 else raw
        return raw * register.scale
    return raw * register.scale if register.scale != 1.0 else raw


def _ordered(data: bytes, order: WordOrder) -> list[int]:
    a, b, c, d = data
    first, second, third, fourth = {
        WordOrder.ABCD: (a, b, c, d),
        WordOrder.CDAB: (c, d, a, b),
        WordOrder.BADC: (b, a, d, c),
        WordOrder.DCBA: (d, c, b, a),
    }[order]
    return [first << 8 | second, third << 8 | fourth]


def _bytes(words: Sequence[int], order: WordOrder) -> bytes:
    """Each order is its own inverse."""
    high, low = _ordered(struct.pack(">HH", *words), order)
    return struct.pack(">HH", high, low)

"""A stream of msgpack items, flat on purpose: numbers, byte strings, and columns of numbers, times and texts.

All integers are little-endian. A column of integers is its width (0: all zero, else 1, 2, 4, 8 bytes, signed) and the
bytes, shuffled: all lowest bytes first, then the next, which is what makes slowly changing columns compress. A column
of texts is its UTF-8 lengths and the joined bytes. A column of times is the first value and the differences; when a
difference exceeds int64, a None and the times themselves.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import isfinite
from operator import sub
from typing import TypeAlias

import msgpack

Item: TypeAlias = int | float | bytes | str | bool | None

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
_WIDTHS = {1: "b", 2: "h", 4: "i", 8: "q"}
_DOUBLE_BYTES = 8


class ColumnWriter:
    """Collects items; `finish` gives the bytes. Raises TypeError, OverflowError or UnicodeEncodeError."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def items(self, *items: Item) -> None:
        """Single items as they are."""
        self._items += items

    def integers(self, values: Sequence[int]) -> None:
        """A column of int64."""
        self._integers_within(values, min(values, default=0), max(values, default=0))

    def _integers_within(self, values: Sequence[int], low: int, high: int) -> None:
        if low == high == 0:
            self._items += (0, b"")
            return
        if low >= -128 and high <= 127:
            width = 1
        elif low >= -(2**15) and high < 2**15:
            width = 2
        else:
            width = 4 if low >= -(2**31) and high < 2**31 else 8
        self._items += (width, _shuffled(array(_WIDTHS[width], values)))

    def times(self, values: Sequence[int]) -> None:
        """A column of int64 that change little from row to row."""
        array("q", values)  # raises OverflowError for a time outside int64
        if values.count(values[0]) == len(values):
            self._items += (values[0], 0, b"")
            return
        steps = list(map(sub, values[1:], values))
        low, high = min(steps), max(steps)
        if not INT64_MIN <= low <= high <= INT64_MAX:
            self._items.append(None)
            self.integers(values)
            return
        self._items.append(values[0])
        self._integers_within(steps, low, high)

    def floats(self, values: Sequence[float]) -> None:
        """A column of finite doubles. Raises OverflowError for others."""
        column = array("d", values)
        if not (isfinite(sum(column)) or all(map(isfinite, column))):
            raise OverflowError("a value is not finite")
        self._items.append(_shuffled(column))

    def texts(self, values: Sequence[str]) -> None:
        """A column of texts."""
        encoded = [value.encode() for value in values]
        self.integers(list(map(len, encoded)))
        self._items.append(b"".join(encoded))

    def byte_strings(self, values: Sequence[bytes]) -> None:
        """A column of byte strings."""
        self.integers(list(map(len, values)))
        self._items.append(b"".join(values))

    def finish(self) -> bytes:
        """The whole stream."""
        return b"".join(map(_pack, self._items))


class ColumnReader:
    """Reads back what a ColumnWriter wrote. Raises ValueError, TypeError or msgpack.UnpackException on other bytes."""

    def __init__(self, stream: bytes) -> None:
        unpacker = msgpack.Unpacker(
            max_buffer_size=max(1, len(stream)), max_array_len=0, max_map_len=0, max_ext_len=0, strict_map_key=True
        )
        unpacker.feed(stream)
        self._next: Callable[[], object] = unpacker.unpack
        self._tell: Callable[[], int] = unpacker.tell
        self._size = len(stream)

    def item(self) -> Item:
        """The next item, whatever single value it is."""
        item = self._next()
        if item is None or isinstance(item, int | float | str | bytes):
            return item
        raise TypeError(f"a single value is expected, got {type(item).__name__}")

    def integer(self, low: int, high: int) -> int:
        """An integer within `low..high`."""
        item = self._next()
        if type(item) is not int or not low <= item <= high:
            raise ValueError(f"an integer within {low}..{high} is expected, got {str(item)[:40]}")
        return item

    def raw(self) -> bytes:
        """A byte string."""
        item = self._next()
        if type(item) is not bytes:
            raise TypeError(f"bytes are expected, got {type(item).__name__}")
        return item

    def integers(self, count: int) -> Sequence[int]:
        """A column of `count` integers."""
        width = self.integer(0, 8)
        raw = self.raw()
        if width == 0 and not raw:
            return [0] * count
        if width not in _WIDTHS or len(raw) != count * width:
            raise ValueError(f"a column of {count} rows has {len(raw)} bytes of width {width}")
        return _unshuffled(_WIDTHS[width], raw)

    def numbers(self, count: int, below: int) -> Sequence[int]:
        """A column of `count` integers within 0..below-1: places in another column."""
        column = self.integers(count)
        if count and not 0 <= min(column) <= max(column) < below:
            raise ValueError(f"a number is not within 0..{below - 1}")
        return column

    def times(self, count: int) -> Sequence[int]:
        """A column of `count` times, at least one."""
        first = self.item()
        if first is None:
            return self.integers(count)
        if type(first) is not int:
            raise TypeError("a time is expected")
        times = list(accumulate(self.integers(count - 1), initial=first))
        if not INT64_MIN <= min(times) <= max(times) <= INT64_MAX:
            raise ValueError("a time is outside int64")
        return times

    def floats(self, count: int) -> Sequence[float]:
        """A column of `count` finite doubles."""
        raw = self.raw()
        if len(raw) != count * _DOUBLE_BYTES:
            raise ValueError(f"a column of {count} doubles has {len(raw)} bytes")
        column: array[float] = array("d", _unshuffled_bytes(raw, _DOUBLE_BYTES))
        if sys.byteorder == "big":
            column.byteswap()
        if not (isfinite(sum(column)) or all(map(isfinite, column))):
            raise ValueError("a value is not finite")
        return column

    def texts(self, count: int) -> list[str]:
        """A column of `count` texts."""
        return [piece.decode() for piece in self.byte_strings(count)]

    def byte_strings(self, count: int) -> list[bytes]:
        """A column of `count` byte strings."""
        lengths = self.integers(count)
        joined = self.raw()
        if (count and min(lengths) < 0) or sum(lengths) != len(joined):
            raise ValueError("the lengths do not fit the bytes")
        pieces, start = [], 0
        for length in lengths:
            pieces.append(joined[start : start + length])
            start += length
        return pieces

    def finish(self) -> None:
        """Raises ValueError when something is left over."""
        if self._tell() != self._size:
            raise ValueError(f"{self._size - self._tell()} bytes are left over")


_pack: Callable[[Item], bytes] = msgpack.packb


def _shuffled(column: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    width, raw = column.itemsize, column.tobytes()
    return raw if width == 1 else b"".join([raw[place::width] for place in range(width)])


def _unshuffled(code: str, raw: bytes) -> array[int]:
    column: array[int] = array(code)
    column.frombytes(_unshuffled_bytes(raw, column.itemsize))
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _unshuffled_bytes(raw: bytes, width: int) -> bytes:
    if width == 1:
        return raw
    rows = len(raw) // width
    plain = bytearray(len(raw))
    for place in range(width):
        plain[place::width] = raw[place * rows : (place + 1) * rows]
    return bytes(plain)

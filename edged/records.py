"""The bytes of a batch: columns as a msgpack stream, compressed where that helps (see `edged.columns`).

Layout: version (1 byte), kind (1 byte, high bit set when compressed), then the stream; when compressed its size
(4 bytes, little-endian) and the zlib data. Samples: row count; dictionary of signals; signal numbers; source and
receive times (ns); the kind of value, one for all rows or one per row, and a column for each kind; the rows whose
quality is not GOOD and those qualities; the rows that have a reason and those reasons. Events: event count; for each
its kind, how many fields, and the fields in the order of the dataclass. A field missing at the end takes its default,
one too many is ignored: a dataclass may grow at its end without a new version.

Kept exactly: float (-0.0 too), bool, int of up to 4096 bits, str of up to 256 KiB of UTF-8, None, times within int64.
`encode_samples` refuses everything else; `edged.repair` is the one place that makes it storable.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import TypeVar

import msgpack

from edged.columns import INT64_MAX, INT64_MIN, ColumnReader, ColumnWriter
from edged.errors import DamagedRecord
from edged.event_fields import read_event, write_event
from edged.types import Event, Quality, Sample, Value

VERSION = 1
MAX_ROWS = 65_536
MAX_BODY_BYTES = 4 * 1024 * 1024
"""Bound of what decoding unpacks; a longer batch is split before it is stored."""
MAX_TEXT_BYTES = 256 * 1024
MAX_INT_BITS = 4096
COMPRESS_ABOVE_BYTES = 200
COMPRESSION_LEVEL = 1

_SAMPLES, _EVENTS = 0, 1
_COMPRESSED = 0x80
_GOOD = Quality.GOOD
_HEADER = struct.Struct("<BB")
_SIZE = struct.Struct("<I")
_BODY_AT = _HEADER.size + _SIZE.size
_FLOAT, _INT, _FALSE, _TRUE, _NONE, _TEXT, _BIG_INT, _KINDS = range(8)
_MIXED = _KINDS
T = TypeVar("T")
_new_sample: Callable[[tuple[object, ...]], Sample] = partial(tuple.__new__, Sample)


class NotStorable(ValueError):
    """A batch holds something that is never stored: it has to be repaired first."""


class BatchTooLong(ValueError):
    """A batch exceeds what decoding accepts: it has to be split first."""


def encode_samples(samples: Sequence[Sample]) -> bytes:
    """The bytes of a process batch. Raises NotStorable (see `edged.repair`) or BatchTooLong."""
    _check_rows(len(samples))
    writer = ColumnWriter()
    writer.items(len(samples))
    try:
        if samples:
            _write_samples(writer, samples)
        return _sealed(_SAMPLES, writer.finish())
    except (TypeError, AttributeError, OverflowError, UnicodeEncodeError) as fault:
        raise NotStorable(str(fault)) from fault


def encode_events(events: Sequence[Event]) -> bytes:
    """The bytes of an events batch; an optional number that is not finite becomes None. Raises like encode_samples."""
    _check_rows(len(events))
    writer = ColumnWriter()
    writer.items(len(events))
    try:
        for event in events:
            write_event(writer, event)
        return _sealed(_EVENTS, writer.finish())
    except (TypeError, AttributeError, OverflowError, UnicodeEncodeError) as fault:
        raise NotStorable(str(fault)) from fault


def decode(blob: bytes) -> list[Sample] | list[Event]:
    """What a batch holds, of either kind. Raises DamagedRecord and nothing else, in bounded memory."""
    return decode_events(blob) if blob[1:2] and blob[1] & ~_COMPRESSED == _EVENTS else decode_samples(blob)


def decode_samples(blob: bytes) -> list[Sample]:
    """The samples of a process batch. Raises DamagedRecord and nothing else, in bounded memory."""
    try:
        reader = ColumnReader(_opened(blob, _SAMPLES))
        samples = _read_samples(reader, reader.integer(0, MAX_ROWS))
        reader.finish()
    except (ValueError, TypeError, OverflowError, zlib.error, msgpack.UnpackException) as fault:
        raise DamagedRecord(f"{len(blob)} bytes are not a batch of samples: {fault}") from fault
    return samples


def decode_events(blob: bytes) -> list[Event]:
    """The events of an events batch. Raises DamagedRecord and nothing else, in bounded memory."""
    try:
        reader = ColumnReader(_opened(blob, _EVENTS))
        events = [read_event(reader) for _ in range(reader.integer(0, MAX_ROWS))]
        reader.finish()
    except (ValueError, TypeError, OverflowError, zlib.error, msgpack.UnpackException) as fault:
        raise DamagedRecord(f"{len(blob)} bytes are not a batch of events: {fault}") from fault
    return events


def _check_rows(count: int) -> None:
    if count > MAX_ROWS:
        raise BatchTooLong(f"a batch holds {MAX_ROWS} rows at most, got {count}")


def _sealed(kind: int, stream: bytes) -> bytes:
    if len(stream) > MAX_BODY_BYTES:
        raise BatchTooLong(f"a batch has {MAX_BODY_BYTES} bytes at most, got {len(stream)}")
    if len(stream) > COMPRESS_ABOVE_BYTES:
        packed = zlib.compress(stream, COMPRESSION_LEVEL)
        if len(packed) + _SIZE.size < len(stream):
            return _HEADER.pack(VERSION, kind | _COMPRESSED) + _SIZE.pack(len(stream)) + packed
    return _HEADER.pack(VERSION, kind) + stream


def _opened(blob: bytes, kind: int) -> bytes:
    """The stream within; never more than MAX_BODY_BYTES whatever the compressed data claim."""
    if len(blob) <= _HEADER.size:
        raise ValueError("too short")
    version, flags = _HEADER.unpack_from(blob)
    if version != VERSION:
        raise ValueError(f"version {version} is unknown")
    if flags & ~_COMPRESSED != kind:
        raise ValueError(f"kind {flags} is another one")
    if not flags & _COMPRESSED:
        stream = blob[_HEADER.size :]
    else:
        size = int.from_bytes(blob[_HEADER.size : _BODY_AT], "little")
        if len(blob) < _BODY_AT or size > MAX_BODY_BYTES:
            raise ValueError(f"{size} bytes are announced")
        inflater = zlib.decompressobj()
        stream = inflater.decompress(blob[_BODY_AT:], size + 1)
        if len(stream) != size or not inflater.eof or inflater.unused_data:
            raise ValueError("the compressed data do not have the announced size")
    if len(stream) > MAX_BODY_BYTES:
        raise ValueError(f"{len(stream)} bytes are too many")
    return stream


def _write_samples(writer: ColumnWriter, samples: Sequence[Sample]) -> None:
    signals, values, source_times, receive_times, qualities, reasons = zip(*samples, strict=True)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(signals))}
    writer.items(len(numbers))
    writer.texts(list(numbers))
    writer.integers(list(map(numbers.__getitem__, signals)))
    writer.times(source_times)
    writer.times(receive_times)
    _write_values(writer, values)
    rows = [] if qualities.count(_GOOD) == len(samples) else [row for row, q in enumerate(qualities) if q != _GOOD]
    writer.items(len(rows))
    writer.integers(rows)
    writer.integers([int(qualities[row]) for row in rows])
    rows = [row for row, reason in enumerate(reasons) if reason] if any(reasons) else []
    named = {reason: number for number, reason in enumerate(dict.fromkeys(reasons[row] for row in rows))}
    writer.items(len(rows), len(named))
    writer.integers(rows)
    writer.texts(list(named))
    writer.integers([named[reasons[row]] for row in rows])


def _read_samples(reader: ColumnReader, count: int) -> list[Sample]:
    if count == 0:
        return []
    known = reader.integer(1, count)
    names = reader.texts(known)
    signals = map(names.__getitem__, reader.numbers(count, known))
    source_times, receive_times = reader.times(count), reader.times(count)
    values = _read_values(reader, count)
    qualities: Sequence[int] | Iterator[int] = repeat(_GOOD, count)
    reasons: Sequence[str] | Iterator[str] = repeat("", count)
    odd = reader.integer(0, count)
    rows, odd_qualities = reader.numbers(odd, count), reader.integers(odd)
    if odd:
        qualities = _spread(count, _GOOD, rows, odd_qualities)
    odd, known = reader.integer(0, count), reader.integer(0, count)
    rows, named = reader.numbers(odd, count), reader.texts(known)
    of_row = reader.numbers(odd, known)
    if odd:
        reasons = _spread(count, "", rows, [named[number] for number in of_row])
    return list(map(_new_sample, zip(signals, values, source_times, receive_times, qualities, reasons, strict=True)))


def _write_values(writer: ColumnWriter, values: Sequence[Value | None]) -> None:
    if set(map(type, values)) == {float}:
        writer.items(_FLOAT)
        writer.floats(values)  # type: ignore[arg-type]  # the line above
        return
    kinds = bytes(map(_kind_of, values))
    of_one_kind = kinds.count(kinds[0]) == len(kinds)
    writer.items(kinds[0] if of_one_kind else _MIXED)
    if not of_one_kind:
        writer.items(kinds)
    writer.floats([value for value in values if type(value) is float])
    writer.integers([value for value, kind in zip(values, kinds, strict=True) if kind == _INT])  # type: ignore[misc]
    writer.texts([value for value in values if type(value) is str])
    large = [value for value, kind in zip(values, kinds, strict=True) if kind == _BIG_INT]
    writer.byte_strings([value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True) for value in large])  # type: ignore[union-attr]


def _read_values(reader: ColumnReader, count: int) -> Sequence[Value | None]:
    kind = reader.integer(0, _MIXED)
    if kind == _FLOAT:
        return reader.floats(count)
    kinds = reader.raw() if kind == _MIXED else bytes([kind]) * count
    if len(kinds) != count or max(kinds) >= _KINDS:
        raise ValueError("the kinds of the values are not what they should be")
    floats = iter(reader.floats(kinds.count(_FLOAT)))
    integers = iter(reader.integers(kinds.count(_INT)))
    texts = iter(reader.texts(kinds.count(_TEXT)))
    large = iter([_big(raw) for raw in reader.byte_strings(kinds.count(_BIG_INT))])
    take: tuple[Callable[[], Value | None], ...] = (
        floats.__next__,
        integers.__next__,
        lambda: False,
        lambda: True,
        lambda: None,
        texts.__next__,
        large.__next__,
    )
    return [take[kind]() for kind in kinds]


def _kind_of(value: Value | None) -> int:
    kind = _KIND_OF_TYPE.get(type(value))
    if kind is None:
        raise TypeError(f"a value is of type {type(value).__name__}")
    if kind == _INT:
        return _INT if INT64_MIN <= value <= INT64_MAX else _big_kind(value)  # type: ignore[operator,arg-type]
    if kind == _TEXT and len(value) > MAX_TEXT_BYTES:  # type: ignore[arg-type]
        raise OverflowError("a text is too long")
    return _TRUE if value is True else kind


_KIND_OF_TYPE: dict[type, int] = {float: _FLOAT, int: _INT, bool: _FALSE, type(None): _NONE, str: _TEXT}


def _big_kind(value: int) -> int:
    if value.bit_length() > MAX_INT_BITS:
        raise OverflowError("an integer is too large")
    return _BIG_INT


def _big(raw: bytes) -> int:
    value = int.from_bytes(raw, "little", signed=True)
    if not MAX_INT_BITS >= value.bit_length() > 63:
        raise ValueError("a large integer is not large, or too large")
    return value


def _spread(count: int, usual: T, rows: Sequence[int], others: Sequence[T]) -> list[T]:
    column = [usual] * count
    for row, other in zip(rows, others, strict=True):
        column[row] = other
    return column

"""Was anything lost from the write-ahead log? SQLite itself takes what follows a damaged frame for never written.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682
_SUMMED_OF_HEADER = 24
_SUMMED_OF_FRAME = 8
_WORD = 0xFFFFFFFF

_Sums = tuple[int, int]


class _Log(NamedTuple):
    page_bytes: int
    salts: tuple[int, int]
    order: str
    """Byte order of the checksums, as `struct` writes it."""
    sums: _Sums
    whole: bool
    """Whether the header fits its own checksum."""


def last_commit_frame(log_file: Path) -> int:
    """The number of the last frame that claims to end a transaction; 1 when not even the header can be trusted.

    A frame that the file does not hold whole was being written when the process ended: it ended nothing.
    """
    if not log_file.exists():
        return 0
    with log_file.open("rb") as file:
        log = _read_header(file)
        if log is None:
            return 0
        if not log.whole:
            return 1
        number = last = 0
        whole_frames = (log_file.stat().st_size - _HEADER.size) // (_FRAME.size + log.page_bytes)
        while number < whole_frames and len(frame := file.read(_FRAME.size)) == _FRAME.size:
            number += 1
            _, pages_after, *salts, _, _ = _FRAME.unpack(frame)
            if pages_after and tuple(salts) == log.salts:
                last = number
            file.seek(log.page_bytes, 1)
        return last


def is_whole(log_file: Path, frames: int) -> bool:
    """Whether header and that many frames fit their checksums, each of which includes all before it, and the salts."""
    with log_file.open("rb") as file:
        log = _read_header(file)
        if log is None or not log.whole:
            return False
        sums = log.sums
        for _ in range(frames):
            raw = file.read(_FRAME.size + log.page_bytes)
            if len(raw) < _FRAME.size + log.page_bytes:
                return False
            sums = _added(raw[:_SUMMED_OF_FRAME] + raw[_FRAME.size :], log.order, sums)
            _, _, *salts, one, two = _FRAME.unpack_from(raw)
            if tuple(salts) != log.salts or (one, two) != sums:
                return False
    return True


def _read_header(file: BinaryIO) -> _Log | None:
    raw = file.read(_HEADER.size)
    if len(raw) < _HEADER.size:
        return None
    magic, _, page_bytes, _, salt1, salt2, *sums = _HEADER.unpack(raw)
    order = ">" if magic & 1 else "<"
    added = _added(raw[:_SUMMED_OF_HEADER], order, (0, 0))
    return _Log(page_bytes, (salt1, salt2), order, added, magic & ~1 == _MAGIC and added == tuple(sums))


def _added(raw: bytes, order: str, sums: _Sums) -> _Sums:
    one, two = sums
    words = iter(struct.unpack(f"{order}{len(raw) // 4}I", raw))
    for even, odd in zip(words, words, strict=True):
        one = (one + even + two) & _WORD
        two = (two + odd + one) & _WORD
    return one, two

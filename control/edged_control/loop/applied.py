"""The last value of an output that this box knows of: by it a change made while edged was away is noticed.

The file has two slots that are overwritten in turn, so it needs no new space on a full disk and a torn write leaves the
other slot. It is written at every move and never synced: it survives a killed process at once, a power cut in what the
kernel had written by then; what is older than the plant looks like a change, and that is the safe side.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from edged_control.files import LOCAL, Files

SLOT_BYTES = 512
"""A sector each: a torn write never reaches the other slot."""
_SLOT = struct.Struct("<Q8sdd")
_CHECKSUM = struct.Struct("<I")


class Known(NamedTuple):
    """What the readback showed last, and a value that was on its way; None where there was none."""

    applied: float | None
    sent: float | None


class AppliedFile:
    """One output's file."""

    def __init__(self, path: Path, signal: str, files: Files = LOCAL) -> None:
        self._path = path
        self._files = files
        self._digest = hashlib.blake2b(signal.encode(), digest_size=8).digest()
        self._count = 0

    def recall(self) -> Known | None:
        """What was noted last; None when nothing ever was. A file that can't be read knows of no value."""
        try:
            content = self._files.read(self._path)
        except FileNotFoundError:
            return None
        except OSError:
            return Known(None, None)
        found = [slot for at in (0, SLOT_BYTES) if (slot := self._slot(content[at : at + SLOT_BYTES])) is not None]
        if not found:
            return Known(None, None) if content else None
        self._count, known = max(found)
        return known

    def note(self, applied: float, sent: float | None = None) -> None:
        """Keeps what is applied, and what is about to be sent. Raises OSError."""
        self._count += 1
        body = _SLOT.pack(self._count, self._digest, applied, math.nan if sent is None else sent)
        slot = body + _CHECKSUM.pack(zlib.crc32(body))
        self._files.overwrite(self._path, SLOT_BYTES * (self._count % 2), slot)

    def _slot(self, content: bytes) -> tuple[int, Known] | None:
        """Its number and what it says, if it is whole and about this signal."""
        body, checksum = content[: _SLOT.size], content[_SLOT.size : _SLOT.size + _CHECKSUM.size]
        if len(checksum) < _CHECKSUM.size or _CHECKSUM.unpack(checksum)[0] != zlib.crc32(body):
            return None
        count, digest, applied, sent = _SLOT.unpack(body)
        if digest != self._digest:
            return None
        return count, Known(applied, None if math.isnan(sent) else sent)

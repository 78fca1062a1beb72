"""The file of a flight recorder: its tables, and how the body of a part is written down."""

from __future__ import annotations

import zlib
from typing import Any

import msgpack

from edged.errors import EdgedError

APPLICATION_ID = 0x65646766
FORMAT = 1
"""Counts up with every change that an older edged could not read."""
DICTIONARY_BYTES = 32_768
"""The first records of a session are the dictionary of its parts: zlib uses no more than this."""
COMPRESSION = 6
TABLES = (
    """CREATE TABLE session (id INTEGER PRIMARY KEY, version TEXT NOT NULL, started INTEGER NOT NULL,
       blueprint BLOB NOT NULL, dictionary BLOB NOT NULL)""",
    """CREATE TABLE part (number INTEGER PRIMARY KEY, session INTEGER NOT NULL, key_frame INTEGER NOT NULL,
       serial INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, checksum INTEGER NOT NULL,
       body BLOB NOT NULL)""",
    "CREATE TABLE incident (since INTEGER NOT NULL, until INTEGER NOT NULL)",
)
INSERT_PART = "INSERT INTO part (session, key_frame, serial, since, until, checksum, body) VALUES (?,?,?,?,?,?,?)"


class DamagedFlight(EdgedError):
    """The flight file is damaged there: replay a range behind it, or bring a copy of the file that is whole."""


def compressed(body: bytes, dictionary: bytes) -> bytes:
    """The body as it is stored."""
    squeeze = zlib.compressobj(COMPRESSION, zdict=dictionary) if dictionary else zlib.compressobj(COMPRESSION)
    return squeeze.compress(body) + squeeze.flush()


def expanded(stored: bytes, dictionary: bytes, checksum: int, where: str) -> bytes:
    """The body again. Raises DamagedFlight."""
    if zlib.crc32(stored) != checksum:
        raise DamagedFlight(f"{where}: the checksum is wrong")
    try:
        swell = zlib.decompressobj(zdict=dictionary) if dictionary else zlib.decompressobj()
        return swell.decompress(stored) + swell.flush()
    except zlib.error as fault:
        raise DamagedFlight(f"{where}: {fault}") from fault


def packed_blueprint(plain: dict[str, Any]) -> bytes:
    """A blueprint as it is stored."""
    return zlib.compress(msgpack.packb(plain))


def unpacked_blueprint(stored: bytes, where: str) -> dict[str, Any]:
    """The plain blueprint again. Raises DamagedFlight."""
    try:
        plain: dict[str, Any] = msgpack.unpackb(zlib.decompress(stored))
    except (zlib.error, ValueError) as fault:
        raise DamagedFlight(f"{where}: {fault}") from fault
    return plain

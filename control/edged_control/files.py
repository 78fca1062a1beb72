"""The few small files that control keeps, as functions: what comes of each call is an input of control."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edged.durable import OWNER_ONLY, replace_file


class Files(NamedTuple):
    """`read` the whole file, `replace` it with a text, `overwrite` bytes at a place. All raise OSError."""

    read: Callable[[Path], bytes]
    replace: Callable[[Path, str], None]
    overwrite: Callable[[Path, int, bytes], None]


def _overwrite(path: Path, at: int, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    try:
        os.pwrite(file, content, at)
    finally:
        os.close(file)


LOCAL = Files(Path.read_bytes, replace_file, _overwrite)
"""Those of this box."""

"""Small files that are replaced as a whole: after a crash, and on a full disk, the old one is still there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

OWNER_ONLY = 0o600
DRAFT_SUFFIX = ".new"


def replace_file(path: Path, text: str, mode: int = OWNER_ONLY, *, synced: bool = True) -> None:
    """Returns when the text is on disk under that name. Raises OSError, and then the old file is untouched.

    Not `synced`, it waits for no disk: after a power cut the old text may be there again, or none.
    """
    draft = path.with_suffix(DRAFT_SUFFIX)
    try:
        _write(draft, text, mode, synced=synced)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
    if not synced:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, text: str, mode: int, *, synced: bool) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if synced:
            os.fsync(file.fileno())

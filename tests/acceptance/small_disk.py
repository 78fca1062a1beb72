"""A disk of a few MB, or of a few files, that is full whenever a test wants it; only root can mount one."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(place: Path, options: str) -> Iterator[None]:
    """A tmpfs with these mount options, such as size=6m, while the block runs."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "edged-test", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Not a byte is left until the file that this returns is removed."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(place).free == 0
    return filler


def fill_with_files(place: Path) -> list[Path]:
    """No new file finds room until those that this returns are removed; the others may still grow."""
    fillers: list[Path] = []
    with contextlib.suppress(OSError):
        for number in itertools.count():
            filler = place / f"filler-{number}"
            filler.touch()
            fillers.append(filler)
    assert os.statvfs(place).f_ffree == 0
    return fillers

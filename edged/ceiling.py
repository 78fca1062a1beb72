"""Who could write the ceiling file: it binds every configuration only as long as the daemon itself can't change it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
ROOT = 0


class Trust(NamedTuple):
    """`fault` tells why control must not write by this file, `doubt` what is not as it should be; empty for none."""

    fault: str = ""
    doubt: str = ""


def trust(path: Path) -> Trust:
    """Judges the file for the user that asks. Raises OSError."""
    found, user = path.stat(), os.geteuid()
    return judge(path, found.st_mode, found.st_uid, user=user, writable=user != ROOT and os.access(path, os.W_OK))


def judge(path: Path, mode: int, owner: int, *, user: int, writable: bool) -> Trust:
    """The judgement for a `user` who can write the file as it is, or can't."""
    if mode & WRITABLE_BY_OTHERS:
        return Trust(fault=f"{path} is writable by others: chmod 644 {path}")
    if writable:
        text = (
            f"{path} can be written by edged itself (user {user}): chown root {path}, or for a trial chmod 444 {path}"
        )
        return Trust(fault=text)
    if owner != ROOT:
        return Trust(doubt=f"{path} belongs to user {owner}, who could change it: chown root {path}")
    return Trust()

"""The process that solves: numeric libraries live here alone, and whoever waits for it may kill it.

Started as `python -m edged_control.solver.worker`; it ends when its standard input does.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import RawIOBase
from typing import TYPE_CHECKING, BinaryIO

from edged.errors import EdgedError, MissingLibrary
from edged_control.solver.messages import LENGTH, Question, Ready, Setup, body_bytes, framed, read_message

if TYPE_CHECKING:
    from edged_control.solver.workbench import Workbench


def serve(questions: BinaryIO, answers: RawIOBase) -> None:
    """Answers until the other side closes."""
    setup = _read(questions)
    if setup is None:
        return
    try:
        workbench = _workbench(read_message(Setup, setup))
    except EdgedError as fault:
        answers.write(framed(Ready(fault=str(fault))))
        return
    answers.write(framed(Ready(model_hash=workbench.model_hash)))
    while (body := _read(questions)) is not None:
        answers.write(framed(workbench.answer(read_message(Question, body))))


def main() -> None:
    """Serves on the standard streams; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with suppress(BrokenPipeError):  # whoever asked is gone: nobody is left to tell
        serve(sys.stdin.buffer, answers)


def _workbench(setup: Setup) -> Workbench:
    try:
        from edged_control.solver.workbench import Workbench
    except ImportError as fault:
        raise MissingLibrary(fault.name or "numpy", "control") from fault
    return Workbench(setup)


def _read(stream: BinaryIO) -> bytes | None:
    """The body of a message; None where the stream ends, also in the middle of one."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    size = body_bytes(head)
    body = stream.read(size)
    return body if len(body) == size else None


if __name__ == "__main__":
    main()

"""The process that solves: numeric libraries live here alone, and whoever waits for it may kill it.

Started as `python -m edged_control.solver_worker`; it ends when its standard input does.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, BinaryIO

from edged.errors import EdgedError, MissingLibrary
from edged_control.solver_messages import LENGTH, Question, Ready, Setup, body_bytes, framed, read_message

if TYPE_CHECKING:
    from edged_control.workbench import Workbench


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answers until the other side closes."""
    setup = _read(questions)
    if setup is None:
        return
    try:
        workbench = _workbench(read_message(Setup, setup))
    except EdgedError as fault:
        _write(answers, framed(Ready(fault=str(fault))))
        return
    _write(answers, framed(Ready(model_hash=workbench.model_hash)))
    while (body := _read(questions)) is not None:
        _write(answers, framed(workbench.answer(read_message(Question, body))))


def main() -> None:
    """Serves on the standard streams; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)


def _workbench(setup: Setup) -> Workbench:
    try:
        from edged_control.workbench import Workbench
    except ImportError as fault:
        raise MissingLibrary(fault.name or "numpy", "control") from fault
    return Workbench(setup)


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH.size)
    return stream.read(body_bytes(head)) if len(head) == LENGTH.size else None


def _write(stream: BinaryIO, frame: bytes) -> None:
    stream.write(frame)
    stream.flush()


if __name__ == "__main__":
    main()

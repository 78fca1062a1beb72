"""The checker beside a running line: in a process of its own, so nothing waits for it and its memory comes back."""

from __future__ import annotations

import json
import sys
import time
from typing import NamedTuple

from bench.line import LineStack
from bench.processes import Process

PAUSE_SECONDS = 5.0
PAUSE_SHARE = 10.0
"""A check reads everything so far: the longer it took, the longer the pause after it."""


class Checked(NamedTuple):
    """What a check found; `seconds` is the line's age when it began."""

    seconds: float
    lost: int
    duplicated: int
    out_of_order: int
    p50_milliseconds: float
    p99_milliseconds: float


class LiveCheck:
    """Checks again and again while it is polled."""

    def __init__(self, stack: LineStack) -> None:
        self._stack = stack
        self._began = self._due = time.monotonic()
        self._due += PAUSE_SECONDS
        self._started = 0.0
        self._running: Process | None = None
        self.last: Checked | None = None
        """The newest result."""

    def poll(self) -> None:
        """Starts a check that is due, takes up one that has ended."""
        now = time.monotonic()
        if self._running is None:
            if now >= self._due:
                self._start(now)
        elif not self._running.alive():
            self._take(self._running)
            self._running = None
            self._due = now + max(PAUSE_SECONDS, PAUSE_SHARE * (now - self._started))

    def close(self) -> None:
        """Ends one that still runs."""
        if self._running is not None:
            self._running.stop()

    def _start(self, now: float) -> None:
        stack, self._started = self._stack, now
        (stack.folder / "check.log").unlink(missing_ok=True)
        arguments = [sys.executable, "-m", "bench", "check", str(stack.journal), str(stack.hub_data / "hub.db")]
        self._running = stack.start("check", [*arguments, "--node", stack.node])

    def _take(self, process: Process) -> None:
        try:
            document = json.loads(process.tail(1))
        except ValueError:
            return  # its log says why; the next one may do better
        found = {bar["name"]: bar["value"] for bar in document["bars"]}
        figures = document["figures"]
        self.last = Checked(
            self._started - self._began,
            found["lost"],
            found["duplicated"],
            found["out_of_order"],
            figures["p50_milliseconds"] or 0.0,
            figures["p99_milliseconds"] or 0.0,
        )

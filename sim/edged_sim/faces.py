"""The plant's side of the faces: one child process each, fed every tick, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections import deque
from collections.abc import Callable

from edged.clock import Clock
from edged.log import get_logger
from edged_sim.link import PIPE_BYTES, LocalSet, OnWrite, Ready, Setup, Tick, Written, decode, encode

STOP_SECONDS = 5.0
START_RETRY_SECONDS = 1.0

log = get_logger("faces")


class FaceChild:
    """One face. `run` keeps it alive; `feed` never waits: a face that does not take a tick misses it."""

    def __init__(
        self, setup: Setup, clock: Clock, restart_seconds: float, on_write: OnWrite, on_ready: Callable[[], None]
    ) -> None:
        self.setup = setup
        self.pid: int | None = None
        self.ready = False
        self.missed_ticks = 0
        self._clock = clock
        self._restart_seconds = restart_seconds
        self._down_seconds: float | None = None
        self._on_write = on_write
        self._on_ready = on_ready
        self._pipe: int | None = None
        self._panel: deque[LocalSet] = deque()
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Starts the process, listens to it, and starts it again after its restart time; until cancelled."""
        try:
            while True:
                await self._live()
                seconds = self._restart_seconds if self._down_seconds is None else self._down_seconds
                self._down_seconds = None
                log.warning("face_died", face=self.setup.face, restart_seconds=seconds)
                await self._clock.sleep(seconds)
        finally:
            await self._stop()

    def feed(self, tick: Tick) -> None:
        """Offers a tick to the process; first what was changed at the panel."""
        while self._panel and self._write(encode(self._panel[0])):
            self._panel.popleft()
        if self._pipe is not None and not self._write(encode(tick)):
            self.missed_ticks += 1

    def local_set(self, message: LocalSet) -> None:
        """Queued until the process takes it; a process that is down learns it from its first tick."""
        if self.pid is not None:
            self._panel.append(message)

    def stall(self) -> None:
        """Stops the process until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a stalled process go on."""
        self._signal(signal.SIGCONT)

    def kill(self, down_seconds: float) -> None:
        """As if the machine lost power; it comes up again after that time."""
        self._down_seconds = down_seconds
        self._signal(signal.SIGKILL)

    async def _live(self) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writing, False)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.write(writing, encode(self.setup))
        self._pipe = writing
        try:
            arguments = ("-m", "edged_sim", "face")
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=reading, stdout=asyncio.subprocess.PIPE
            )
        finally:
            os.close(reading)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._take(line)
        await self._process.wait()
        self._close()

    def _take(self, line: bytes) -> None:
        message = decode(line)
        if isinstance(message, Written):
            self._on_write(message.write, message.value)
        elif isinstance(message, Ready):
            self.ready = True
            self._on_ready()

    def _write(self, line: bytes) -> bool:
        if self._pipe is None:
            return False
        try:
            os.write(self._pipe, line)
        except (BlockingIOError, BrokenPipeError):
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _close(self) -> None:
        self.pid, self.ready = None, False
        self._panel.clear()
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    async def _stop(self) -> None:
        """Closing the pipe tells the process to end; one that does not is killed."""
        process, self._process = self._process, None
        self.resume()
        self._close()
        if process is None or process.returncode is not None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

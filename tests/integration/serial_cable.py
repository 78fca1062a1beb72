"""A serial line between two pseudo-terminals that can be unplugged and disturbed. They know no parity bits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHUNK_BYTES = 4096

Disturb = Callable[[bytes], bytes]


class End:
    """One pseudo-terminal: `near` is what a program opens, `far` is where its bytes come out. Skips where none is."""

    def __init__(self) -> None:
        try:
            self.far, self._near = pty.openpty()
        except OSError as fault:
            pytest.skip(f"this machine offers no pseudo-terminals: {fault}")
        tty.setraw(self._near)
        os.set_blocking(self.far, False)
        self.path = os.ttyname(self._near)

    def close(self) -> None:
        os.close(self.far)
        os.close(self._near)


class SerialCable:
    """Bytes put in at one end come out at the other, as `disturb` leaves them; `path` is the adapter's fixed name."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "adapter"
        self.disturb: Disturb = bytes
        self._loop = asyncio.get_running_loop()
        self._device = End()
        self._adapter: End | None = None
        self._loop.add_reader(self._device.far, self._pass, self._device.far)
        self.plug()

    @property
    def device_path(self) -> str:
        """Where the device's end is."""
        return self._device.path

    def plug(self) -> None:
        """The adapter is there."""
        self._adapter = End()
        self._loop.add_reader(self._adapter.far, self._pass, self._adapter.far)
        self.path.symlink_to(self._adapter.path)

    def unplug(self) -> None:
        """The adapter and its path vanish."""
        adapter, self._adapter = self._adapter, None
        if adapter is not None:
            self.path.unlink()
            self._loop.remove_reader(adapter.far)
            adapter.close()

    def close(self) -> None:
        self.unplug()
        self._loop.remove_reader(self._device.far)
        self._device.close()

    def _pass(self, source: int) -> None:
        with contextlib.suppress(BlockingIOError):
            data = self.disturb(os.read(source, CHUNK_BYTES))
            if self._adapter is not None and data:
                os.write(self._adapter.far if source == self._device.far else self._device.far, data)


@contextlib.contextmanager
def serial_cable(folder: Path) -> Iterator[SerialCable]:
    """A cable that is plugged in; it is gone afterwards."""
    cable = SerialCable(folder)
    try:
        yield cable
    finally:
        cable.close()

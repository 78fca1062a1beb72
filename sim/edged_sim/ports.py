"""Ports of the loopback interface."""

from __future__ import annotations

import contextlib
import socket

from edged.errors import EdgedError


class PortTaken(EdgedError):
    """Something else listens on this port: stop it, or choose another port (0 picks a free one)."""


def claim_port(port: int) -> int:
    """The port itself when nobody listens on it, a free one for 0. Raises PortTaken."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; 0 picks a free port") from error
        free: int = probe.getsockname()[1]
        return free
